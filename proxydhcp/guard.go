package proxydhcp

import "time"

// The loop guard: it remembers which iPXE a ROM did not help.
//
// It ends upgrade loops. A machine that was offered a ROM, was seen to load it
// to the end, and comes back as an iPXE that would be given the same ROM again,
// did not become the iPXE that the policy wants: it is settled, and gets the
// boot script from then on. An iPXE that comes back and satisfies the policy is
// forgotten, so that its next reboot, with the old iPXE of its card, is upgraded
// again. So is one that the ROM made another iPXE of, when it comes as the old
// one: somebody may have mended the ROM in the meantime. Firmware that is not
// iPXE may load the same ROM at every boot.
//
// Where several sidecars serve a machine, each knows only of the reads that it
// served itself: the machine loads the ROM once from each of them at most.

// guardMemory is how long a completed download counts against its client. A
// machine that runs the ROM asks again within seconds.
const guardMemory = 10 * time.Minute

// sessionsWithoutRead is how many boots may end in another server's TFTP, whose
// downloads we cannot see, before the ROM counts as loaded.
const sessionsWithoutRead = 2

// upgrade is what the guard knows of a machine that was offered a ROM. The zero
// value is that of a machine that was offered none.
type upgrade struct {
	rom      string      // the file it was offered last
	before   fingerprint // what it was when it was offered that; zero for firmware
	foreign  bool        // another server's TFTP hands the file out
	sessions int         // leases it took as an iPXE after such an offer
	xid      [4]byte     // of the last lease counted
	loaded   time.Time   // when it last read the ROM to the end
	after    fingerprint // the first iPXE that it was after that; zero where it was none yet
	told     bool        // whether its loop was reported
}

// fingerprint is what tells one iPXE build from another on the same machine.
type fingerprint struct {
	arch      Arch
	ipxe      IPXE
	userClass string
}

// printOf returns the fingerprint of an iPXE, the zero one for firmware.
func printOf(c Client) fingerprint {
	if !c.IPXE.Present {
		return fingerprint{}
	}
	return fingerprint{c.Arch, c.IPXE, c.UserClass}
}

// settled reports whether c is an iPXE that the ROM file, which it is to get,
// has not helped within the last ten minutes.
func (g *memory) settled(c Client, file string, now time.Time) bool {
	if !c.IPXE.Present {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.known(c.Hardware)
	return m != nil && m.upgrade.spent(printOf(c), file, now)
}

// spent reports whether the ROM file was loaded and led to the iPXE print, or
// led it back to itself.
func (u *upgrade) spent(print fingerprint, file string, now time.Time) bool {
	if u.rom != file || u.loaded.IsZero() || now.Sub(u.loaded) >= guardMemory {
		return false
	}
	return print != u.before || print == u.after
}

// decided tells the guard what a client was told: the offer of a ROM is
// remembered; a script given on an iPXE's own merits means that it needs no
// upgrade, or that the upgrade helped. foreign says that the file comes from
// another server. It returns the ROM whose loop this decision ends, once for
// each time; else "".
func (g *memory) decided(c Client, d Decision, foreign bool, now time.Time) (ended string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.known(c.Hardware)
	if m == nil {
		return ""
	}
	u := &m.upgrade
	switch {
	case d.Kind == BootROM:
		u.offered(printOf(c), d.File, now)
		u.foreign = foreign
	case d.Kind != BootScript:
	case !d.Settled:
		*u = upgrade{}
	case !u.told:
		u.told = true
		return u.rom
	}
	return ""
}

// offered notes the offer of a ROM. What is known of that ROM stays, unless it
// is of another iPXE, or of long ago.
func (u *upgrade) offered(print fingerprint, file string, now time.Time) {
	if u.rom != file || u.before != print && now.Sub(u.loaded) >= guardMemory {
		*u = upgrade{rom: file, before: print}
	}
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
		u.loaded, u.after, u.told = now, fingerprint{}, false
	}
}

// returned notes which iPXE a ROM led to.
func (u *upgrade) returned(c Client) {
	if !u.loaded.IsZero() && u.after == (fingerprint{}) {
		u.after = printOf(c)
	}
}
