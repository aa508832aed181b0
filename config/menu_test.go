package config

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// TestMenu checks what each kind of client gets of a boot menu.
func TestMenu(t *testing.T) {
	s := Settings{Menu: []string{"Install=rom", "Memory test=memtest.efi", "Local disk=local-disk"}, MenuPrompt: "F8", MenuTimeout: 5, DenyMACs: []string{"00:11"}}
	policy := policyOf(t, parse(t, s))
	menu := func(rom string) *proxydhcp.Menu {
		return &proxydhcp.Menu{Prompt: "F8", Timeout: 5, Items: []proxydhcp.MenuItem{
			{Type: proxydhcp.FirstItemType, Text: "Install", File: rom},
			{Type: proxydhcp.FirstItemType + 1, Text: "Memory test", File: "memtest.efi"},
			{Type: proxydhcp.LocalDiskItem, Text: "Local disk"},
		}}
	}
	for _, tt := range []struct {
		name   string
		client proxydhcp.Client
		want   proxydhcp.Decision
	}{
		{"UEFI", proxydhcp.Client{Arch: proxydhcp.ArchX64}, proxydhcp.Decision{Rule: "menu", Kind: proxydhcp.BootMenu, Menu: menu("snponly.efi")}},
		{"BIOS", proxydhcp.Client{Arch: proxydhcp.ArchBIOS}, proxydhcp.Decision{Rule: "menu", Kind: proxydhcp.BootMenu, Menu: menu("undionly.kpxe")}},
		{"HTTP boot", proxydhcp.Client{Arch: proxydhcp.ArchX64HTTP, Transport: proxydhcp.HTTP}, proxydhcp.Decision{Rule: "rom", Kind: proxydhcp.BootROM, File: "snponly.efi"}},
		{"iPXE", proxydhcp.Client{Arch: proxydhcp.ArchX64, IPXE: proxydhcp.IPXE{Present: true}}, proxydhcp.Decision{Rule: "script", Kind: proxydhcp.BootScript, File: "boot.ipxe"}},
	} {
		got := policy.Decide(tt.client, false)
		if diff := cmp.Diff(tt.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestMenuOfNextServer checks that the files of a menu come from the next
// server, that the built-in script does not, and that there is room for both
// addresses of each item.
func TestMenuOfNextServer(t *testing.T) {
	next := netip.MustParseAddr("192.0.2.99")
	s := Settings{
		AnswersText: AnswersText{NextServer: next.String(), ROMs: []string{"x64=a.efi"}},
		Menu:        []string{"Install=rom", "Memory test=memtest.efi", "Local disk=local-disk"}, MenuTimeout: 5,
	}
	c := parse(t, s)
	files := testFiles(c)
	files[0] = SegmentFiles{ROMs: []ROM{{Platform: proxydhcp.X64, Name: "a.efi"}}, Script: BootScriptName}
	policy, _, err := c.Policy(files)
	if err != nil {
		t.Fatal(err)
	}
	want := []proxydhcp.MenuItem{
		{Type: proxydhcp.FirstItemType, Text: "Install", File: "a.efi", NextServer: next},
		{Type: proxydhcp.FirstItemType + 1, Text: "Memory test", File: "memtest.efi", NextServer: next},
		{Type: proxydhcp.LocalDiskItem, Text: "Local disk"},
	}
	got := policy.Decide(proxydhcp.Client{Arch: proxydhcp.ArchX64}, false)
	if diff := cmp.Diff(want, got.Menu.Items, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
	for _, r := range policy.Rules {
		if r.Outcome.Kind == proxydhcp.BootMenu && (r.Outcome.File != BootScriptName || r.Outcome.NextServer.IsValid()) {
			t.Errorf("the script is %s of %s", r.Outcome.File, r.Outcome.NextServer)
		}
	}
	for range 12 {
		s.Menu = append(s.Menu, "Item=file.efi")
	}
	if _, err := Parse(s, testHost()); err == nil {
		t.Error("a menu of 14 files with two addresses each is accepted")
	}
	s.NextServer = ""
	if _, err := Parse(s, testHost()); err != nil {
		t.Errorf("with one address each: %v", err)
	}
}

// TestMenuErrors checks what is said of a menu that cannot be shown.
func TestMenuErrors(t *testing.T) {
	for _, tt := range []struct {
		settings Settings
		want     string
	}{
		{Settings{Menu: []string{"Install"}}, `--menu "Install": write TEXT=FILE, TEXT=rom or TEXT=local-disk` + "\n" + `--menu "Install": boot menu item "Install": no boot file`},
		{Settings{Menu: []string{"Install=rom"}, MenuTimeout: 300}, `--menu-timeout "300": not between 0 and 255 seconds (255 waits for somebody to choose)`},
		{Settings{Menu: []string{"Install={Mac}"}}, `--menu "Install={Mac}": unknown placeholder {Mac}: known are {arch}, {arch-number}, {interface}, {ipxe-version}, {mac}, {mac-hyphen}, {mac-plain}, {relay}, {user-class}, {uuid}, {vlan}, and iPXE's own ${settings}`},
		{Settings{Rules: []RuleText{{Name: "m", Outcome: "menu"}}}, `--rule[0].outcome "menu": there is no menu; its items are the key menu`},
	} {
		_, err := Parse(tt.settings, testHost())
		checkError(t, err, tt.want)
	}
}
