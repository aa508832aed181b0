package proxydhcp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestAutoexec checks what an iPXE gets before it asks DHCP: what DHCP would
// give it.
func TestAutoexec(t *testing.T) {
	want := AtLeast(Version{2, 0, 0})
	policy := &Policy{Rules: []Rule{
		{Name: "deny", Match: Match{MACs: []MACPrefix{mustMAC(t, "52:54:00:00:01:3c")}, IPXE: &IPXEMatch{}}},
		{Name: "disk", Match: Match{MACs: []MACPrefix{mustMAC(t, "52:54:00:00:01:3d")}, IPXE: &IPXEMatch{}}, Outcome: Outcome{Kind: LocalDisk, File: "local-disk.ipxe"}},
		{Name: "wlan", Match: Match{Interfaces: []string{"wlan0"}}, Outcome: Outcome{Kind: BootScript, File: "wlan.ipxe"}},
		{Name: "https", Match: Match{IPXE: &IPXEMatch{Version: want, Features: Features(0).With(FeatureHTTPS)}}, Outcome: Outcome{Kind: BootScript, File: "https://boot.example/{mac}.ipxe"}},
		{Name: "script", Match: Match{IPXE: &IPXEMatch{Version: want}}, Outcome: Outcome{Kind: BootScript, File: "boot.ipxe"}},
		{Name: "rom", Outcome: Outcome{Kind: BootROM, ROMs: ROMs{X64: {"ipxe.efi"}}}},
	}}
	of := func(v Version, features ...Feature) IPXE {
		x := IPXE{Present: true, HasVersion: true, Version: v, HasFeatures: true}
		for _, f := range features {
			x.Features = x.Features.With(f)
		}
		return x
	}
	newest := of(Version{2, 0, 0})
	for _, tt := range []struct {
		name  string
		last  byte // of the machine's addresses
		story string
		rom   IPXE // what ipxe.efi is
		after time.Duration
		known bool
		rule  string
		url   string
	}{
		{"read the ROM", 50, "uefi, reads ipxe.efi", newest, 0, true, "script", "tftp://192.0.2.10/boot.ipxe"},
		{"has HTTPS", 50, "uefi, reads ipxe.efi", of(Version{2, 0, 0}, FeatureHTTPS), 0, true, "https", "https://boot.example/52:54:00:00:01:32.ipxe"},
		{"denied", 60, "uefi, reads ipxe.efi", newest, 0, true, "deny", ""},
		{"local disk", 61, "uefi, reads ipxe.efi", newest, 0, true, "disk", "tftp://192.0.2.10/local-disk.ipxe"},
		{"the ROM is too old itself", 50, "uefi, reads ipxe.efi", of(Version{1, 0, 0}), 0, true, "https", ""}, // the guard says so; DHCP has to
		{"the ROM says nothing", 50, "uefi, reads ipxe.efi", IPXE{}, 0, false, "", ""},
		{"another file", 50, "uefi, reads other.efi", newest, 0, false, "", ""},
		{"read no ROM", 50, "uefi", newest, 0, false, "", ""},
		{"long ago", 50, "uefi, reads ipxe.efi", newest, time.Hour, false, "", ""},
		{"no DHCP heard", 50, "reads ipxe.efi", newest, 0, false, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLoader(t, NewResponder(ResponderConfig{Policy: policy}), tt.last)
			l.do(tt.story)
			running := func(rom string) (IPXE, bool) { return tt.rom, tt.rom.Present && rom == "ipxe.efi" }
			a, known := l.r.Autoexec(l.ip, running, l.now.Add(tt.after))
			if known != tt.known || a.Decision.Rule != tt.rule || a.URL != tt.url {
				t.Errorf("known %v, rule %q, URL %q; want %v, %q, %q", known, a.Decision.Rule, a.URL, tt.known, tt.rule, tt.url)
			}
			read, ok := l.r.machines.AutoexecRead(l.ip, l.now)
			if ok != (tt.url != "") || read.URL != tt.url {
				t.Errorf("when it was read: %v, %q", ok, read.URL)
			}
			if _, again := l.r.machines.AutoexecRead(l.ip, l.now); again {
				t.Error("it is told twice")
			}
		})
	}
}

// TestAutoexecGuard checks that a machine whose iPXE is upgraded without asking
// DHCP again is upgraded at its next boot, too.
func TestAutoexecGuard(t *testing.T) {
	l := newLoader(t, NewResponder(ResponderConfig{Policy: twoROMs()}), 50)
	running := func(string) (IPXE, bool) {
		return IPXE{Present: true, HasVersion: true, Version: Version{2, 0, 0}}, true
	}
	for range 3 {
		l.do("old a, reads undionly.kpxe, asks autoexec.ipxe")
		if a, ok := l.r.Autoexec(l.ip, running, l.now); !ok || a.URL == "" {
			t.Errorf("autoexec: %v, %+v", ok, a)
		}
	}
	if diff := cmp.Diff([]string{"offered undionly.kpxe", "offered undionly.kpxe", "offered undionly.kpxe"}, l.told); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestAutoexecOf checks what a machine gets that describes itself.
func TestAutoexecOf(t *testing.T) {
	r := NewResponder(ResponderConfig{Policy: twoROMs(), Options: ReplyOptions{HTTPPort: 8080}})
	for version, want := range map[Version]string{{2, 0, 0}: "tftp://192.0.2.10/boot.ipxe", {1, 0, 0}: ""} {
		c := Client{Arch: ArchX64, IPXE: IPXE{HasVersion: true, Version: version}}
		if a := r.AutoexecOf(c, testServer); a.URL != want || a.Client.String() != "iPXE "+version.String() {
			t.Errorf("%s: %q for %s, want %q", version, a.URL, a.Client, want)
		}
	}
	if url := r.TreeURL(testServer, AutoexecName); url != "http://192.0.2.10:8080/autoexec.ipxe" {
		t.Errorf("the tree is at %q", url)
	}
	for _, o := range []ReplyOptions{{}, {HTTPPort: 443, HTTPS: true}} {
		if url := NewResponder(ResponderConfig{Options: o}).TreeURL(netip.IPv4Unspecified(), "x"); url != "" {
			t.Errorf("with %+v the tree is at %q", o, url)
		}
	}
}
