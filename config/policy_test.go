package config

import (
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// ipxe100 is what iPXE 1.0.0 reports.
var ipxe100 = proxydhcp.IPXE{Present: true, HasVersion: true, Version: proxydhcp.Version{1, 0, 0}}

// testFiles returns files for each segment: the ROMs that are named for another
// server, or else ROMs for BIOS and x64, and the boot script.
func testFiles(c *Config) []SegmentFiles {
	files := make([]SegmentFiles, len(c.Segments))
	for i, a := range c.Segments {
		f := &files[i]
		if f.Script = a.Script; a.Script == "" {
			f.Script = BootScriptName
		} else if !IsURL(a.Script) {
			f.Script = path.Join(a.Mount, a.Script)
		}
		for _, choice := range a.ROMs {
			if choice.Name != "" {
				f.ROMs = append(f.ROMs, ROM{Platform: choice.Platform, Name: choice.Name})
			}
		}
		if len(a.ROMs) == 0 {
			f.ROMs = []ROM{
				{Platform: proxydhcp.BIOS, Name: path.Join(a.Mount, "undionly.kpxe"), Source: "/undionly.kpxe", IPXE: ipxe100, Packed: true},
				{Platform: proxydhcp.X64, Name: path.Join(a.Mount, "snponly.efi"), Source: "/snponly.efi"},
			}
		}
	}
	return files
}

// policyOf returns the policy of a configuration with testFiles.
func policyOf(t *testing.T, c *Config) *proxydhcp.Policy {
	t.Helper()
	policy, _, err := c.Policy(testFiles(c))
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

// TestPolicy checks what clients get from the rules that the flags make.
func TestPolicy(t *testing.T) {
	mac := func(last byte) proxydhcp.HardwareAddr {
		return proxydhcp.HardwareAddr{Type: 1, Len: 6, Bytes: [16]byte{0x52, 0x54, 0, 0, 0, last}}
	}
	ipxe := func(arch proxydhcp.Arch, v proxydhcp.Version) proxydhcp.Client {
		return proxydhcp.Client{Hardware: mac(1), Arch: arch, UserClass: "iPXE", IPXE: proxydhcp.IPXE{Present: true, HasVersion: true, Version: v}}
	}
	firmware := proxydhcp.Client{Hardware: mac(1), Arch: proxydhcp.ArchX64}
	old, current := proxydhcp.Version{1, 0, 0}, proxydhcp.Version{2, 0, 0}
	answers := func(a AnswersText) Settings { return Settings{AnswersText: a} }
	for _, tt := range []struct {
		name     string
		settings Settings
		client   proxydhcp.Client
		want     string // rule and file
	}{
		{"nothing demanded", Settings{}, ipxe(proxydhcp.ArchX64, old), "script boot.ipxe"},
		{"firmware", Settings{}, firmware, "rom snponly.efi"},
		{"version", answers(AnswersText{IPXEVersion: ">=2.0.0"}), ipxe(proxydhcp.ArchX64, old), "upgrade snponly.efi"},
		{"version met", answers(AnswersText{IPXEVersion: ">=2.0.0"}), ipxe(proxydhcp.ArchX64, current), "script boot.ipxe"},
		{"auto is the version of the ROM", answers(AnswersText{IPXEVersion: "auto"}), ipxe(proxydhcp.ArchX64, old), "upgrade snponly.efi"},
		{"auto met", answers(AnswersText{IPXEVersion: "auto"}), ipxe(proxydhcp.ArchX64, current), "script boot.ipxe"},
		{"auto, another platform's ROM is older", answers(AnswersText{IPXEVersion: "auto"}), ipxe(proxydhcp.ArchBIOS, old), "script boot.ipxe"},
		{"auto without a ROM", answers(AnswersText{IPXEVersion: "auto"}), ipxe(proxydhcp.ArchARM64, old), "script boot.ipxe"},
		{"old without a ROM", answers(AnswersText{IPXEVersion: ">=2.0.0"}), ipxe(proxydhcp.ArchARM64, old), "script-as-is boot.ipxe"},
		{"user class", answers(AnswersText{UserClass: "acme"}), ipxe(proxydhcp.ArchX64, old), "upgrade snponly.efi"},
		{"boot URL", answers(AnswersText{BootURL: "http://boot.example/${net0/mac}"}), ipxe(proxydhcp.ArchX64, old), "script http://boot.example/${net0/mac}"},
		{"denied", Settings{DenyMACs: []string{"52:54:00:00:00:01"}}, firmware, "deny-mac "},
		{"not allowed", Settings{AllowMACs: []string{"52:54:00:00:00:02"}}, firmware, "allow-mac "},
		{"allowed", Settings{AllowMACs: []string{"52:54"}}, firmware, "rom snponly.efi"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x64 := ROM{Platform: proxydhcp.X64, Name: "snponly.efi", IPXE: proxydhcp.IPXE{HasVersion: true, Version: current}}
			c := parse(t, tt.settings)
			files := testFiles(c)
			files[0].ROMs = []ROM{x64}
			policy, _, err := c.Policy(files)
			if err != nil {
				t.Fatal(err)
			}
			d := policy.Decide(tt.client, false)
			if got := d.Rule + " " + d.File; got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// TestScriptServer checks which server has the boot script if another one has
// the boot files: that one, but for the built-in script.
func TestScriptServer(t *testing.T) {
	client := proxydhcp.Client{Arch: proxydhcp.ArchX64, IPXE: proxydhcp.IPXE{Present: true}}
	for script, want := range map[string]string{"": "boot.ipxe invalid IP", "/boot.ipxe": "boot.ipxe 192.0.2.99", "menu.ipxe": "menu.ipxe 192.0.2.99"} {
		c := parse(t, Settings{AnswersText: AnswersText{NextServer: "192.0.2.99", BootURL: script, ROMs: []string{"x64=a.efi"}}})
		if d := policyOf(t, c).Decide(client, false); d.File+" "+d.NextServer.String() != want {
			t.Errorf("script %q: %s from %s, want %s", script, d.File, d.NextServer, want)
		}
	}
}

// TestRaspberryPiRule checks that a Raspberry Pi has a rule if its files are
// there.
func TestRaspberryPiRule(t *testing.T) {
	pi := proxydhcp.Client{Arch: proxydhcp.ArchRPiBoot}
	c := parse(t, Settings{})
	files := testFiles(c)
	for has, want := range map[bool]string{false: "rom", true: "raspberry-pi"} {
		files[0].RaspberryPi = has
		policy, _, err := c.Policy(files)
		if err != nil {
			t.Fatal(err)
		}
		if got := policy.Decide(pi, false).Rule; got != want {
			t.Errorf("files %v: rule %s, want %s", has, got, want)
		}
	}
}

// TestFileRules checks what each outcome of a rule of the file gives, and that
// no outcome is missing.
func TestFileRules(t *testing.T) {
	outcomes := map[string]string{
		"ignore": "ignore ", "rom": "rom snponly.efi", "script": "script boot.ipxe",
		"local-disk": "local-disk local-disk.ipxe", "menu": "script boot.ipxe",
	}
	ipxe := proxydhcp.Client{Arch: proxydhcp.ArchX64, IPXE: proxydhcp.IPXE{Present: true}}
	for outcome, want := range outcomes {
		s := Settings{Rules: []RuleText{{Name: "r", Outcome: outcome}}, Menu: []string{"Install=rom"}}
		d := policyOf(t, parse(t, s)).Decide(ipxe, false)
		if got := d.Kind.String() + " " + d.File; got != want || d.Rule != "r" {
			t.Errorf("%s: rule %s gives %q, want %q", outcome, d.Rule, got, want)
		}
	}
	for kind := proxydhcp.Ignore; !strings.HasPrefix(kind.String(), "outcome"); kind++ {
		if _, ok := outcomes[kind.String()]; !ok && kind != proxydhcp.BootFile {
			t.Errorf("the outcome %s is not in this test", kind)
		}
	}
	if len(ruleOutcomes) != len(outcomes) {
		t.Errorf("a rule can name %s", joined(ruleOutcomes))
	}
}

// TestROMCheck checks the errors and warnings for ROMs that the policy would
// replace.
func TestROMCheck(t *testing.T) {
	const rebuild = "rebuild with make VERSION_MAJOR=1 VERSION_MINOR=21 VERSION_PATCH=1 and what else is wanted, demand less (--ipxe-version auto), or leave it out "
	const again = ", so the machines that run it would be handed it again for ever: "
	rom := func(platform proxydhcp.Platform, version proxydhcp.Version) ROM {
		return ROM{Platform: platform, Name: platform.String(), Source: "/" + platform.String() + ".efi", IPXE: proxydhcp.IPXE{HasVersion: true, Version: version, HasFeatures: true}}
	}
	named := rom(proxydhcp.X64, proxydhcp.Version{1, 0, 0})
	named.VersionText = "1.21.1+ (g1234)"
	packed := rom(proxydhcp.BIOS, proxydhcp.Version{1, 20, 0})
	packed.Packed = true
	for _, tt := range []struct {
		name     string
		demands  AnswersText
		roms     []ROM
		warnings []string
		want     string
	}{
		{"nothing demanded", AnswersText{}, []ROM{rom(proxydhcp.X64, proxydhcp.Version{1, 0, 0})}, nil, ""},
		{"accepted", AnswersText{IPXEVersion: ">=1.21.1"}, []ROM{rom(proxydhcp.X64, proxydhcp.Version{1, 21, 1})}, nil, ""},
		{"unknown version", AnswersText{IPXEVersion: ">=1.21.1"}, []ROM{{Platform: proxydhcp.X64, Name: "x"}}, nil, ""},
		{"two that lack the same", AnswersText{IPXEVersion: ">=1.21.1"}, []ROM{rom(proxydhcp.IA32, proxydhcp.Version{1, 20, 0}), rom(proxydhcp.X64, proxydhcp.Version{1, 20, 0})}, nil,
			"ROM /ia32.efi (ia32), /x64.efi (x64): iPXE reports version 1.20.0, wanted >=1.21.1" + again + rebuild + "(--rom ia32=none --rom x64=none)"},
		{"calls itself otherwise", AnswersText{IPXEVersion: ">=1.21.1"}, []ROM{named}, nil,
			"ROM /x64.efi (x64): iPXE reports version 1.0.0, wanted >=1.21.1 (it calls itself 1.21.1+ (g1234), but iPXE 1.x built outside a git clone reports 1.0.0 in DHCP, and DHCP is all there is to go by)" + again + rebuild + "(--rom x64=none)"},
		{"packed", AnswersText{IPXEVersion: ">=1.21.1", BootURL: "https://boot.example/"}, []ROM{packed}, []string{
			"the boot URL is https, and an iPXE without HTTPS cannot load it: --ipxe-feature https upgrades those first",
			"ROM /bios.efi (bios): iPXE reports version 1.20.0, wanted >=1.21.1, so the machines that run it are given the boot script as they are: " + rebuild + "(--rom bios=none)"}, ""},
		{"another feature is wanted", AnswersText{IPXEFeatures: []string{"bzimage"}, BootURL: "https://boot.example/"}, nil, []string{
			"the boot URL is https, and an iPXE without HTTPS cannot load it: --ipxe-feature https upgrades those first"}, ""},
		{"no version is wanted", AnswersText{IPXEFeatures: []string{"https"}, BootURL: "https://boot.example/"}, []ROM{rom(proxydhcp.X64, proxydhcp.Version{1, 0, 0})}, nil,
			"ROM /x64.efi (x64): iPXE lacks https" + again + "rebuild with what is wanted, demand less, or leave it out (--rom x64=none)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := parse(t, Settings{AnswersText: tt.demands})
			files := testFiles(c)
			files[0].ROMs = tt.roms
			_, warnings, err := c.Policy(files)
			checkError(t, err, tt.want)
			if diff := cmp.Diff(tt.warnings, warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}
