package proxydhcp

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// compareAddrs lets cmp look at addresses.
var compareAddrs = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func mustRange(t *testing.T, s string) VersionRange {
	t.Helper()
	r, err := ParseVersionRange(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustMAC(t *testing.T, s string) MACPrefix {
	t.Helper()
	p, err := ParseMACPrefix(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func hardware(mac [6]byte) HardwareAddr {
	a := HardwareAddr{Type: ethernet, Len: 6}
	copy(a.Bytes[:], mac[:])
	return a
}

// testPolicy demands iPXE 2.0.0 with HTTPS and has ROMs for BIOS and x64.
func testPolicy(t *testing.T) *Policy {
	script := Outcome{Kind: BootScript, File: "http://boot.example/boot.ipxe"}
	rom := Outcome{Kind: BootROM, ROMs: ROMs{BIOS: "undionly.kpxe", X64: "ipxe.efi"}}
	return &Policy{Rules: []Rule{
		{Name: "deny", Match: Match{MACs: []MACPrefix{mustMAC(t, "52:54:00:00:00:66"), mustMAC(t, "00:de")}}},
		{Name: "allow", Match: Match{NotMACs: []MACPrefix{mustMAC(t, "52:54:00")}}},
		{Name: "script", Match: Match{IPXE: &IPXEMatch{Version: mustRange(t, ">=2.0.0"), Features: Features(0).With(20), UserClass: ""}}, Outcome: script},
		{Name: "upgrade", Match: Match{IPXE: &IPXEMatch{}}, Outcome: rom},
		{Name: "as-is", Match: Match{IPXE: &IPXEMatch{}}, Outcome: script},
		{Name: "rom", Outcome: rom},
	}}
}

func TestDecide(t *testing.T) {
	https := Features(0).With(20)
	mac := hardware([6]byte{0x52, 0x54, 0, 0, 0, 1})
	ipxe := func(v Version, f Features) IPXE {
		return IPXE{Present: true, HasVersion: true, Version: v, HasFeatures: true, Features: f}
	}
	old, current := ipxe(Version{1, 0, 0}, https), ipxe(Version{2, 0, 0}, https)
	const script = "http://boot.example/boot.ipxe"
	for _, tt := range []struct {
		name    string
		client  Client
		settled bool
		want    Decision
	}{
		{"firmware gets the ROM", Client{Hardware: mac, Arch: ArchX64}, false,
			Decision{Rule: "rom", Kind: BootROM, File: "ipxe.efi"}},
		{"EBC is x64", Client{Hardware: mac, Arch: ArchEBC}, false,
			Decision{Rule: "rom", Kind: BootROM, File: "ipxe.efi"}},
		{"HTTP boot is the same platform", Client{Hardware: mac, Arch: ArchX64HTTP, Transport: HTTP}, false,
			Decision{Rule: "rom", Kind: BootROM, File: "ipxe.efi"}},
		{"no ROM for the platform", Client{Hardware: mac, Arch: ArchARM64}, false,
			Decision{Rule: "rom", Kind: Ignore, Reason: NoROM}},
		{"unknown architecture", Client{Hardware: mac, Arch: 0xffff}, false,
			Decision{Rule: "rom", Kind: Ignore, Reason: NoROM}},
		{"good iPXE gets the script", Client{Hardware: mac, Arch: ArchX64, IPXE: current}, false,
			Decision{Rule: "script", Kind: BootScript, File: script}},
		{"newer iPXE is not downgraded", Client{Hardware: mac, Arch: ArchBIOS, IPXE: ipxe(Version{2, 1, 0}, https)}, false,
			Decision{Rule: "script", Kind: BootScript, File: script}},
		{"old iPXE is upgraded", Client{Hardware: mac, Arch: ArchBIOS, IPXE: old}, false,
			Decision{Rule: "upgrade", Kind: BootROM, File: "undionly.kpxe", Unmet: "iPXE reports version 1.0.0, wanted >=2.0.0"}},
		{"iPXE without HTTPS is upgraded", Client{Hardware: mac, Arch: ArchBIOS, IPXE: ipxe(Version{2, 0, 0}, 0)}, false,
			Decision{Rule: "upgrade", Kind: BootROM, File: "undionly.kpxe", Unmet: "iPXE lacks https"}},
		{"unknown features are given the benefit of the doubt", Client{Hardware: mac, Arch: ArchBIOS, IPXE: IPXE{Present: true, HasVersion: true, Version: Version{2, 0, 0}}}, false,
			Decision{Rule: "script", Kind: BootScript, File: script}},
		{"iPXE that tells no version", Client{Hardware: mac, Arch: ArchBIOS, IPXE: IPXE{Present: true}}, false,
			Decision{Rule: "upgrade", Kind: BootROM, File: "undionly.kpxe", Unmet: "iPXE tells no version, wanted >=2.0.0"}},
		{"settled iPXE gets the script", Client{Hardware: mac, Arch: ArchBIOS, IPXE: old}, true,
			Decision{Rule: "script", Kind: BootScript, File: script, Settled: true, Unmet: "iPXE reports version 1.0.0, wanted >=2.0.0"}},
		{"old iPXE without a ROM for it gets the script", Client{Hardware: mac, Arch: ArchARM64, IPXE: old}, false,
			Decision{Rule: "as-is", Kind: BootScript, File: script}},
		{"denied", Client{Hardware: hardware([6]byte{0x52, 0x54, 0, 0, 0, 0x66}), Arch: ArchX64}, false,
			Decision{Rule: "deny", Kind: Ignore, Reason: Denied}},
		{"denied by prefix, iPXE too", Client{Hardware: hardware([6]byte{0, 0xde, 0, 0, 0, 1}), Arch: ArchX64, IPXE: current}, false,
			Decision{Rule: "deny", Kind: Ignore, Reason: Denied}},
		{"not allowed", Client{Hardware: hardware([6]byte{0xaa}), Arch: ArchX64}, false,
			Decision{Rule: "allow", Kind: Ignore, Reason: Denied}},
		{"no MAC address is not an allowed one", Client{Hardware: HardwareAddr{Type: 1, Len: 16, Bytes: [16]byte{0x52, 0x54}}, Arch: ArchX64}, false,
			Decision{Rule: "allow", Kind: Ignore, Reason: Denied}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := testPolicy(t).Decide(tt.client, tt.settled)
			if diff := cmp.Diff(tt.want, got, compareAddrs); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestMatchSegment checks that a rule for a segment takes that segment only.
func TestMatchSegment(t *testing.T) {
	relay := netip.MustParseAddr("192.0.2.1")
	c := Client{Segment: Segment{Interface: "eth0", VLAN: 20, Relay: relay}}
	for _, tt := range []struct {
		segment Segment
		want    string
	}{
		{Segment{}, ""},
		{Segment{Interface: "eth0"}, ""},
		{Segment{Interface: "eth0", VLAN: 20, Relay: relay}, ""},
		{Segment{Interface: "eth1"}, "another interface"},
		{Segment{VLAN: 30}, "another VLAN"},
		{Segment{Relay: netip.MustParseAddr("192.0.2.2")}, "another relay"},
	} {
		m := Match{Segment: tt.segment}
		if got := m.mismatch(c, false); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.segment, got, tt.want)
		}
	}
}

// TestUserClass checks the marker of a ROM of one's own.
func TestUserClass(t *testing.T) {
	m := IPXEMatch{UserClass: "acme"}
	for class, want := range map[string]string{
		"acme":      "",
		"iPXE,acme": "",
		"iPXE":      `iPXE's user class is "iPXE", wanted "acme"`,
		"acme2":     `iPXE's user class is "acme2", wanted "acme"`,
	} {
		c := Client{UserClass: class, IPXE: IPXE{Present: true}}
		if got := m.Unmet(c); got != want {
			t.Errorf("%s: %q, want %q", class, got, want)
		}
		if (m.mismatch(c) == "") != (want == "") {
			t.Errorf("%s: mismatch %q disagrees with unmet %q", class, m.mismatch(c), want)
		}
	}
}

// TestRejects checks which ROMs a policy would replace.
func TestRejects(t *testing.T) {
	https := Features(0).With(20)
	for _, tt := range []struct {
		name     string
		platform Platform
		ipxe     IPXE
		want     string
	}{
		{"good", X64, IPXE{Present: true, HasVersion: true, Version: Version{2, 0, 0}, HasFeatures: true, Features: https}, ""},
		{"old", X64, IPXE{Present: true, HasVersion: true, Version: Version{1, 0, 0}, HasFeatures: true, Features: https}, "iPXE reports version 1.0.0, wanted >=2.0.0"},
		{"lacks", X64, IPXE{Present: true, HasVersion: true, Version: Version{2, 0, 0}, HasFeatures: true}, "iPXE lacks https"},
		{"unreadable", BIOS, IPXE{Present: true}, ""},
		{"unreadable version, readable features", X64, IPXE{Present: true, HasFeatures: true}, "iPXE lacks https"},
		{"no ROM there, so never handed out", ARM64, IPXE{Present: true, HasVersion: true, Version: Version{1, 0, 0}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := testPolicy(t).Rejects(tt.platform, tt.ipxe); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
