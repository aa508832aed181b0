package proxydhcp

import "time"

// The loop guard: it remembers which iPXE a ROM did not help.
//
// It ends upgrade loops. An iPXE that was offered a ROM, was seen to load it to
// the end, and comes back with the fingerprint it had, did not become the iPXE
// that the policy wants: it is settled, and gets the boot script from then on.
// An iPXE that comes back and satisfies the policy is forgotten, so that its
// next reboot, with the old iPXE of its card, is upgraded again. Firmware that
// is not iPXE may load the same ROM at every boot.

// guardMemory is how long a completed download counts against its client. A
// machine that runs the ROM asks again within seconds.
const guardMemory = 10 * time.Minute

// sessionsWithoutRead is how many boots may end in another server's TFTP, whose
// downloads we cannot see, before the ROM counts as loaded.
const sessionsWithoutRead = 2

// upgrade is what the guard knows of an iPXE that was offered a ROM. The zero
// value is that of a machine that was offered none.
type upgrade struct {
	print    fingerprint
	rom      string    // the file it was offered last
	foreign  bool      // which another server's TFTP hands out
	sessions int       // leases it took after such an offer
	xid      [4]byte   // of the last lease counted
	loaded   time.Time // when it last read the ROM to the end
	told     bool      // whether its loop was reported
}

// fingerprint is what tells one iPXE build from another on the same machine.
type fingerprint struct {
	arch      Arch
	ipxe      IPXE
	userClass string
}

func printOf(c Client) fingerprint { return fingerprint{c.Arch, c.IPXE, c.UserClass} }

// settled reports whether c loaded a ROM within the last ten minutes and came
// back as it was.
func (g *memory) settled(c Client, now time.Time) bool {
	if !c.IPXE.Present {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.known(c.Hardware)
	if m == nil {
		return false
	}
	u := &m.upgrade
	return u.print == printOf(c) && !u.loaded.IsZero() && now.Sub(u.loaded) < guardMemory
}

// decided tells the guard what an iPXE was told: the offer of a ROM is
// remembered; a script given on the client's own merits means that it needs no
// upgrade, or that the upgrade helped. foreign says that the file comes from
// another server. It returns the ROM whose loop this decision ends, once for
// each time; else "".
func (g *memory) decided(c Client, d Decision, foreign bool) (ended string) {
	if !c.IPXE.Present {
		return ""
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.known(c.Hardware)
	if m == nil {
		return ""
	}
	u := &m.upgrade
	switch {
	case d.Kind == BootROM:
		if print := printOf(c); u.print != print || u.rom != d.File {
			*u = upgrade{print: print, rom: d.File}
		}
		u.foreign = foreign
	case d.Kind != BootScript || u.rom == "":
	case !d.Settled:
		*u = upgrade{}
	case !u.told:
		u.told = true
		return u.rom
	}
	return ""
}

// session counts a lease that an iPXE takes after the offer of a ROM; its
// REQUEST may be sent again.
func (u *upgrade) session(xid [4]byte, now time.Time) {
	if u.rom == "" || xid == u.xid {
		return
	}
	u.xid = xid
	if u.sessions++; u.foreign && u.sessions >= sessionsWithoutRead {
		u.loaded = now
	}
}

// read notes that a boot file was read to its end.
func (u *upgrade) read(file string, now time.Time) {
	if u.rom != "" && cleanName(u.rom) == cleanName(file) {
		u.loaded = now
	}
}
