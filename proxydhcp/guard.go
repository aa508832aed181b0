package proxydhcp

// The loop guard remembers which iPXE a ROM did not help, and so ends upgrade
// loops. A machine that was offered a ROM, was seen to read it to the end, and
// comes back as an iPXE that would be given the same ROM again, did not become
// the iPXE that the policy demands: its upgrade has failed, and it gets the
// boot script from then on.
//
// An iPXE that comes back and satisfies the policy is forgotten, so that its
// next reboot, with the old iPXE of its card, is upgraded again. So is one that
// the ROM turned into another iPXE, when it comes back as the old one: somebody
// may have fixed the ROM in the meantime. Firmware that is not iPXE may read
// the same ROM at every boot.
//
// If several sidecars serve a machine, each knows only of the reads that it
// served itself: the machine reads the ROM at most once from each of them.

import "time"

// guardMemory is how long a completed read counts against its client. A machine
// that runs the ROM asks again within seconds.
const guardMemory = 10 * time.Minute

// sessionsWithoutRead is how many boots may end in another server's TFTP, whose
// reads we cannot see, before the ROM counts as read.
const sessionsWithoutRead = 2

// upgrade is what the guard knows of a machine that was offered a ROM: a state
// machine without a lock. The zero value is a machine that was offered none.
type upgrade struct {
	rom      interned[string]      // the file that it was offered last
	since    instant               // when it was offered that first
	before   interned[fingerprint] // what it was then; zero for firmware
	after    interned[fingerprint] // the first iPXE that it was after it read the ROM; zero if it was none yet
	xid      [4]byte               // of the last lease counted
	sessions uint8                 // leases that it took as an iPXE after such an offer
	foreign  bool                  // another server's TFTP has the file
	reported bool                  // whether its loop was reported
}

// fingerprint distinguishes iPXE builds on the same machine.
type fingerprint struct {
	arch      Arch
	ipxe      IPXE
	userClass string
}

// fingerprintOf returns the fingerprint of an iPXE, the zero one for firmware.
func fingerprintOf(c *Client) fingerprint {
	if !c.IPXE.Present {
		return fingerprint{}
	}
	return fingerprint{c.Arch, c.IPXE, cut(c.UserClass)}
}

// loaded returns when the machine last read the ROM of this upgrade, 0 if it
// did not.
func (u *upgrade) loaded(read *romRead) instant {
	if read.at == 0 || read.at < u.since || u.rom.get() == "" || read.file.get() != cleanName(u.rom.get()) {
		return 0
	}
	return read.at
}

// failed reports whether the ROM file was read within the last ten minutes and
// led to the current iPXE, or back to the one before.
func (u *upgrade) failed(current fingerprint, file string, read *romRead, now instant) bool {
	loaded := u.loaded(read)
	if u.rom.get() != file || loaded == 0 || now.since(loaded) >= guardMemory {
		return false
	}
	return current != u.before.get() || current == u.after.get()
}

// decided notes what a client was given. The offer of a ROM is remembered. A
// script that an iPXE gets on its own merits means that it needs no upgrade, or
// that the upgrade helped. foreign says that the file comes from another
// server. It returns the ROM whose loop this decision ends, once for each time
// that it was read; else "".
func (u *upgrade) decided(c *Client, d Decision, foreign bool, read *romRead, now instant) (loopEnded string) {
	switch {
	case d.Kind == BootROM:
		u.offered(fingerprintOf(c), d.File, read, now)
		u.foreign = foreign
	case d.Kind != BootScript:
	case !d.UpgradeFailed:
		*u = upgrade{}
	case !u.reported:
		u.reported = true
		return u.rom.get()
	}
	return ""
}

// offered notes the offer of a ROM. What is known of that ROM stays, unless it
// is of another iPXE and of long ago.
func (u *upgrade) offered(current fingerprint, file string, read *romRead, now instant) {
	if u.rom.get() != file || u.before.get() != current && now.since(u.loaded(read)) >= guardMemory {
		*u = upgrade{since: now}
		u.rom.set(file)
		u.before.set(current)
	}
}

// session counts a lease that an iPXE takes after the offer of a ROM. A
// repeated REQUEST counts once.
func (u *upgrade) session(xid [4]byte, read *romRead, now instant) {
	if u.rom.get() == "" || xid == u.xid {
		return
	}
	u.xid = xid
	u.sessions = min(u.sessions+1, sessionsWithoutRead)
	if u.foreign && u.sessions == sessionsWithoutRead {
		*read = romReadAt(u.rom.get(), now)
		read.assumed = true
	}
}

// read notes that a ROM was read to its end: what comes of it is new.
func (u *upgrade) read(read romRead) {
	if u.loaded(&read) != 0 {
		u.after, u.reported = interned[fingerprint]{}, false
	}
}

// returned notes which iPXE a ROM led to.
func (u *upgrade) returned(c *Client, read *romRead) {
	if u.loaded(read) != 0 && u.after == (interned[fingerprint]{}) {
		u.after.set(fingerprintOf(c))
	}
}
