package proxydhcp

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
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
	p, err := dhcp4.ParseMACPrefix(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func hardware(mac [6]byte) HardwareAddr {
	a := HardwareAddr{Type: dhcp4.Ethernet, Len: 6}
	copy(a.Bytes[:], mac[:])
	return a
}

// testPolicy demands iPXE 2.0.0 with HTTPS and has ROMs for BIOS and x64.
func testPolicy(t *testing.T) *Policy {
	script := Outcome{Kind: BootScript, File: "http://boot.example/boot.ipxe"}
	rom := Outcome{Kind: BootROM, ROMs: ROMs{BIOS: {"undionly.kpxe"}, X64: {"ipxe.efi"}}}
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
		name          string
		client        Client
		upgradeFailed bool
		want          Decision
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
			Decision{Rule: "upgrade", Kind: BootROM, File: "undionly.kpxe", Unmet: Unmet{Version: true, Text: "iPXE reports version 1.0.0, wanted >=2.0.0"}}},
		{"iPXE without HTTPS is upgraded", Client{Hardware: mac, Arch: ArchBIOS, IPXE: ipxe(Version{2, 0, 0}, 0)}, false,
			Decision{Rule: "upgrade", Kind: BootROM, File: "undionly.kpxe", Unmet: Unmet{Text: "iPXE lacks https"}}},
		{"unknown features are given the benefit of the doubt", Client{Hardware: mac, Arch: ArchBIOS, IPXE: IPXE{Present: true, HasVersion: true, Version: Version{2, 0, 0}}}, false,
			Decision{Rule: "script", Kind: BootScript, File: script}},
		{"iPXE that tells no version", Client{Hardware: mac, Arch: ArchBIOS, IPXE: IPXE{Present: true}}, false,
			Decision{Rule: "upgrade", Kind: BootROM, File: "undionly.kpxe", Unmet: Unmet{Version: true, Text: "iPXE reports no version, wanted >=2.0.0"}}},
		{"iPXE whose upgrade failed gets the script", Client{Hardware: mac, Arch: ArchBIOS, IPXE: old}, true,
			Decision{Rule: "script", Kind: BootScript, File: script, UpgradeFailed: true, Unmet: Unmet{Version: true, Text: "iPXE reports version 1.0.0, wanted >=2.0.0"}}},
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
			got := testPolicy(t).Decide(tt.client, tt.upgradeFailed)
			if diff := cmp.Diff(tt.want, got, compareAddrs); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestMatch checks each demand: what it takes, and what is said of a client
// that it does not take.
func TestMatch(t *testing.T) {
	relay := netip.MustParseAddr("192.0.2.1")
	uuid := UUID{1}
	c := Client{
		Hardware: hardware(testMAC), Arch: ArchX64, VendorClass: "PXEClient:Arch:00007:UNDI:003001", UserClass: "iPXE", UUID: uuid,
		IPXE:    IPXE{Present: true, HasVersion: true, Version: Version{1, 21, 1}, HasFeatures: true, Features: Features(0).With(19), NIC: PCIID{0x8086, 0x1521}},
		Segment: Segment{Interface: "eth0", VLAN: 20, Relay: relay, Circuit: "eth1/3"},
	}
	firmware := c
	firmware.IPXE = IPXE{}
	bios, web, local := firmware, firmware, firmware
	bios.Arch, web.Transport = ArchBIOS, HTTP
	local.Segment.Relay = netip.Addr{}
	prefixes := func(s ...string) (list []netip.Prefix) {
		for _, p := range s {
			list = append(list, netip.MustParsePrefix(p))
		}
		return list
	}
	for _, tt := range []struct {
		name   string
		match  Match
		client Client
		want   string // "" where it takes the client
	}{
		{"anybody", Match{}, c, ""},
		{"platform", Match{Platforms: []Platform{BIOS, X64}}, c, ""},
		{"other platform", Match{Platforms: []Platform{BIOS, ARM64}}, c, "architecture is x64, wanted bios, arm64"},
		{"architecture", Match{Archs: []Arch{ArchX64}}, c, ""},
		{"other architecture of the platform", Match{Archs: []Arch{ArchEBC}}, c, "architecture is x64-uefi, wanted ebc-uefi"},
		{"firmware", Match{Firmware: UEFIFirmware}, firmware, ""},
		{"BIOS", Match{Firmware: BIOSFirmware}, bios, ""},
		{"HTTP boot", Match{Firmware: HTTPBootFirmware}, web, ""},
		{"HTTP boot is not PXE", Match{Firmware: UEFIFirmware}, web, "client is HTTP firmware, wanted uefi"},
		{"any firmware", Match{Firmware: NoIPXE}, web, ""},
		{"iPXE is not firmware", Match{Firmware: NoIPXE}, c, "client is iPXE 1.21.1, wanted no-ipxe"},
		{"MAC", Match{MACs: []MACPrefix{mustMAC(t, "aa"), mustMAC(t, "52:54")}}, c, ""},
		{"other MAC", Match{MACs: []MACPrefix{mustMAC(t, "aa"), mustMAC(t, "52:55")}}, c, "MAC address 52:54:00:00:00:01 begins with none of aa, 52:55"},
		{"excepted MAC", Match{NotMACs: []MACPrefix{mustMAC(t, "52")}}, c, "MAC address 52:54:00:00:00:01 is excepted"},
		{"place", Match{Interfaces: []string{"eth1", "eth0"}, VLANs: []uint16{10, 20}, Relays: prefixes("192.0.2.0/24")}, c, ""},
		{"other interface", Match{Interfaces: []string{"eth1"}}, c, "interface is eth0, wanted eth1"},
		{"other VLAN", Match{VLANs: []uint16{10, 0}}, c, "VLAN is 20, wanted 10 0"},
		{"other relay", Match{Relays: prefixes("192.0.3.0/24")}, c, "relay is 192.0.2.1, wanted 192.0.3.0/24"},
		{"circuit", Match{Circuits: []string{"eth1/2", "eth1/3"}}, c, ""},
		{"other circuit", Match{Circuits: []string{"eth1/2"}}, c, `circuit is "eth1/3", wanted eth1/2`},
		{"no relay", Match{Relays: prefixes("0.0.0.0/0")}, local, "not relayed"},
		{"vendor class", Match{VendorClass: "PXEClient:Arch:00007"}, c, ""},
		{"other vendor class", Match{VendorClass: "HTTPClient"}, c, `vendor class is "PXEClient:Arch:00007:UNDI:003001", wanted "HTTPClient"`},
		{"UUID", Match{UUIDs: []UUID{{2}, uuid}}, c, ""},
		{"other UUID", Match{UUIDs: []UUID{{0, 0, 0, 2}}}, c, "UUID is 00000001-0000-0000-0000-000000000000, wanted 02000000-0000-0000-0000-000000000000"},
		{"card", Match{NICs: []PCIID{{0x8086, 0x1521}}}, c, ""},
		{"other card", Match{NICs: []PCIID{{0x8086, 0x1522}}}, c, "network card is 8086:1521, wanted 8086:1522"},
		{"not an iPXE", Match{IPXE: &IPXEMatch{}}, firmware, "client is not an iPXE"},
		{"lacks", Match{IPXE: &IPXEMatch{Lacks: Features(0).With(19).With(20)}}, c, ""},
		{"lacks nothing of it", Match{IPXE: &IPXEMatch{Lacks: Features(0).With(19)}}, c, "iPXE has http"},
		{"version", Match{IPXE: &IPXEMatch{Version: mustRange(t, "<1.21.1")}}, c, "iPXE reports version 1.21.1, wanted <1.21.1"},
		{"features", Match{IPXE: &IPXEMatch{Features: Features(0).With(19).With(20)}}, c, "iPXE lacks https"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := tt.match.mismatch(&tt.client, false)
			if got := tt.match.explain(d, tt.client); got != tt.want || (d == matches) != (tt.want == "") {
				t.Errorf("%q (%d), want %q", got, d, tt.want)
			}
		})
	}
}

// TestTrail checks that the rules passed over are told up to the one that
// decides.
func TestTrail(t *testing.T) {
	c := Client{Hardware: hardware(testMAC), Arch: ArchARM64, IPXE: IPXE{Present: true, HasVersion: true, Version: Version{1, 0, 0}}}
	want := []Passed{
		{"deny", "MAC address 52:54:00:00:00:01 begins with none of 52:54:00:00:00:66, 00:de"},
		{"allow", "MAC address 52:54:00:00:00:01 is excepted"},
		{"script", "iPXE reports version 1.0.0, wanted >=2.0.0"},
		{"upgrade", "there is no ROM for arm64"},
	}
	if diff := cmp.Diff(want, testPolicy(t).Trail(c, false)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	c.Arch = ArchX64
	want[2] = Passed{"upgrade", "the client loaded the ROM, and it did not help"}
	if diff := cmp.Diff(want[:2], testPolicy(t).Trail(c, true)); diff != "" {
		t.Errorf("upgradeFailed (-want +got):\n%s", diff)
	}
}

// TestLocalDisk checks that PXE firmware gets the menu that ends its network
// boot, an iPXE a script, and that others are left to go on by themselves.
func TestLocalDisk(t *testing.T) {
	p := &Policy{Rules: []Rule{{Name: "disk", Outcome: Outcome{Kind: LocalDisk, File: "local-disk.ipxe"}}}}
	for _, tt := range []struct {
		client Client
		want   Decision
	}{
		{Client{Arch: ArchX64}, Decision{Rule: "disk", Kind: LocalDisk, Menu: localDiskMenu}},
		{Client{Arch: ArchBIOS}, Decision{Rule: "disk", Kind: LocalDisk, Menu: localDiskMenu}},
		{Client{Arch: ArchX64HTTP, Transport: HTTP}, Decision{Rule: "disk", Kind: Ignore, Reason: ToLocalDisk}},
		{Client{Arch: ArchRPiBoot}, Decision{Rule: "disk", Kind: Ignore, Reason: ToLocalDisk}},
		{Client{Arch: ArchX64, IPXE: IPXE{Present: true}}, Decision{Rule: "disk", Kind: LocalDisk, File: "local-disk.ipxe"}},
	} {
		if diff := cmp.Diff(tt.want, p.Decide(tt.client, false), compareAddrs); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.client, diff)
		}
	}
}

// TestExpand checks the placeholders, and that nothing a client says of itself
// gets into a URL as it is.
func TestExpand(t *testing.T) {
	c := Client{
		Hardware: hardware(testMAC), Arch: ArchEBC, UserClass: "a/../b?c #d", UUID: UUID{1},
		IPXE:    IPXE{Present: true, Version: Version{1, 21, 1}},
		Segment: Segment{Interface: "eth0", VLAN: 20},
	}
	for name, want := range map[string]string{
		"plain.efi":                        "plain.efi",
		"x/{mac}/{mac-hyphen}.{mac-plain}": "x/52:54:00:00:00:01/52-54-00-00-00-01.525400000001",
		"{arch}-{arch-number}":             "x64-9",
		"{uuid}":                           "00000001-0000-0000-0000-000000000000",
		"{vlan}{interface}{relay}":         "20eth0none",
		"{ipxe-version}":                   "1.21.1",
		"{user-class}":                     "a%2F..%2Fb%3Fc%20%23d",
		"http://h/${net0/mac}/{vlan}/${x}": "http://h/${net0/mac}/20/${x}",
		"{nothing}{":                       "{nothing}{",
		"{}{vlan}":                         "{}20",
		"a}b{":                             "a}b{",
	} {
		if got := Expand(name, c); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if err := CheckPlaceholders("http://h/${net0/mac}/{vlan}"); err != nil {
		t.Error(err)
	}
	const want = "unknown placeholder {Mac}: known are {arch}, {arch-number}, {interface}, {ipxe-version}, {mac}, {mac-hyphen}, {mac-plain}, {relay}, {user-class}, {uuid}, {vlan}, and iPXE's own ${settings}"
	if err := CheckPlaceholders("{mac}{Mac}{x}"); err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
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
		if got := m.Unmet(c); got.Text != want {
			t.Errorf("%s: %q, want %q", class, got, want)
		}
		if (m.mismatch(&c) == matches) != (want == "") {
			t.Errorf("%s: mismatch %d disagrees with unmet %q", class, m.mismatch(&c), want)
		}
	}
}

// TestRejectsBehindMenu checks that a boot menu without a script does not keep
// an iPXE from being judged by the rules behind it.
func TestRejectsBehindMenu(t *testing.T) {
	p := testPolicy(t)
	p.Rules = append([]Rule{{Name: "menu", Outcome: Outcome{Kind: BootMenu, Menu: testMenu()}}}, p.Rules...)
	old := IPXE{Present: true, HasVersion: true, Version: Version{1, 0, 0}}
	if got, want := p.Rejects(Match{}, X64, old), "iPXE reports version 1.0.0, wanted >=2.0.0"; got.Text != want {
		t.Errorf("%q, want %q", got, want)
	}
	p.Rules[0].Outcome.File = "menu.ipxe"
	if got := p.Rejects(Match{}, X64, old); got != (Unmet{}) {
		t.Errorf("with a script: %q", got)
	}
	upgradeFailed := Client{Arch: ArchX64, IPXE: old}
	p.Rules[0].Match.IPXE = &IPXEMatch{Version: mustRange(t, ">=2.0.0")}
	if got := p.Decide(upgradeFailed, true); got.Rule != "menu" || got.Kind != BootScript || !got.UpgradeFailed {
		t.Errorf("upgradeFailed: %+v", got)
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
			if got := testPolicy(t).Rejects(Match{}, tt.platform, tt.ipxe); got.Text != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
