package proxydhcp

// Upgrades by script, where no DHCP is answered (package ipxescript). An iPXE
// that is not the wanted one says so right before it loads a ROM. If it does so
// again after the ROM, the upgrade has failed, and it is told to go on as it
// is. So a loop ends that the scripts themselves cannot see: one iPXE leaves
// the next one nothing.
//
// Whether it has loaded the ROM is seen if the ROM is ours. If it is another
// server's, two tries count as a failure (sessionsWithoutRead). A machine that
// reads the version check and then does not say that it is not the wanted one
// needs no ROM: what was known of it is forgotten, and its next reboot, with
// the old iPXE of its card, is upgraded again.

import (
	"net/netip"
	"time"
)

// scripted is how far a machine is with an upgrade by script: a state machine
// without a lock. The zero value is a machine that was given no ROM.
type scripted struct {
	at      instant // when it was told to load a ROM last
	given   uint8   // how many times; it is not told again after sessionsWithoutRead
	checked bool    // it has read the version check since
}

// checks notes that the machine has read the version check.
func (s *scripted) checks() {
	if s.checked {
		*s = scripted{} // the last check ended there: a wanted iPXE
	}
	s.checked = true
}

// failed reports whether the ROM has not helped the machine lately.
func (s *scripted) failed(read romRead, now instant) bool {
	if s.given == 0 || now.since(s.at) >= guardMemory {
		return false
	}
	return s.given >= sessionsWithoutRead || !read.assumed && read.at > s.at
}

// wants notes that the machine is not the wanted iPXE. Unless its upgrade has
// failed, it loads a ROM now.
func (s *scripted) wants(failed bool, now instant) {
	if now.since(s.at) >= guardMemory {
		s.given = 0
	}
	if !failed {
		s.given, s.at = s.given+1, now
	}
	s.checked = false
}

// VersionCheckRead is called when the client at ip has read the version check.
func (m *Machines) VersionCheckRead(ip netip.Addr, now time.Time) {
	at := m.lock(now)
	defer m.mu.Unlock()
	m.received(ip, at)
	for k := range m.holders(ip) {
		if notes := k.start.notes; notes != nil {
			notes.scripted.checks()
		}
	}
}

// ScriptUpgradeFailed reports whether an upgrade by script has failed for the
// client at ip, which is not the wanted iPXE.
func (m *Machines) ScriptUpgradeFailed(ip netip.Addr, now time.Time) bool {
	at := m.lock(now)
	defer m.mu.Unlock()
	return m.scriptUpgradeFailed(ip, at)
}

// scriptUpgradeFailed is ScriptUpgradeFailed under the lock.
func (m *Machines) scriptUpgradeFailed(ip netip.Addr, now instant) bool {
	for k := range m.holders(ip) {
		if notes := k.start.notes; notes != nil && notes.scripted.failed(k.read, now) {
			return true
		}
	}
	return false
}

// ScriptUpgradeWanted is called when the client at ip has said that it is not
// the wanted iPXE, and has read the answer. tried says that it knows by itself
// that it has been replaced. It returns whether its upgrade has failed.
func (m *Machines) ScriptUpgradeWanted(ip netip.Addr, tried bool, now time.Time) (failed bool) {
	at := m.lock(now)
	defer m.mu.Unlock()
	failed = tried || m.scriptUpgradeFailed(ip, at)
	known := false
	for k := range m.holders(ip) {
		known = true
		k.start.note().scripted.wants(failed, at)
	}
	if !known && ip.IsValid() {
		m.insertAnonymous(ip, at).start.note().scripted.wants(failed, at)
	}
	m.received(ip, at)
	return failed
}
