package proxydhcp

import (
	"net/netip"
	"testing"
)

// TestScriptUpgradeOfAddress checks that what is known of an upgrade by script
// stays known when the machine at the address is heard by DHCP.
func TestScriptUpgradeOfAddress(t *testing.T) {
	ip := netip.MustParseAddr("192.0.2.50")
	m := NewMachines()
	for range sessionsWithoutRead {
		if m.ScriptUpgradeWanted(ip, false, testTime) {
			t.Fatal("failed too early")
		}
	}
	if !m.ScriptUpgradeFailed(ip, testTime) {
		t.Fatal("did not fail")
	}
	v := m.visit(identity{station: hardware(testMAC)}, &Segment{}, testTime)
	v.discovered(Client{Hardware: hardware(testMAC)}, [4]byte{})
	v.leased(ip, [4]byte{}, true)
	v.end()
	if !m.ScriptUpgradeFailed(ip, testTime) || m.count != 1 {
		t.Errorf("forgotten, with %d records", m.count)
	}
}
