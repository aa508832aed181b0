package proxydhcp

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// testMenu has a file of ours, one elsewhere, and the local disk.
func testMenu() *Menu {
	return &Menu{Prompt: "Press F8", Timeout: 10, Items: []MenuItem{
		{Type: 0x8000, Text: "Install", File: "install/{arch}.efi"},
		{Type: 0x8001, Text: "Elsewhere", File: "other.efi", NextServer: netip.MustParseAddr("192.0.2.99")},
		{Type: LocalDiskItem, Text: "Local disk"},
	}}
}

// TestMenuOutcome checks what each kind of client gets of a menu.
func TestMenuOutcome(t *testing.T) {
	menu := testMenu()
	disk := &Menu{Items: []MenuItem{menu.Items[2], menu.Items[0]}}
	withScript := Outcome{Kind: BootMenu, Menu: menu, File: "menu.ipxe", NextServer: testServer}
	fallback := Rule{Name: "else", Outcome: Outcome{Kind: BootFile, File: "else"}}
	ipxe := Client{Arch: ArchX64, IPXE: IPXE{Present: true}}
	web := Client{Arch: ArchX64HTTP, Transport: HTTP}
	pi := Client{Arch: ArchRPiBoot}
	for _, tt := range []struct {
		name    string
		outcome Outcome
		client  Client
		want    Decision
	}{
		{"UEFI", withScript, Client{Arch: ArchX64}, Decision{Rule: "menu", Kind: BootMenu, Menu: menu, NextServer: testServer}},
		{"BIOS", withScript, Client{Arch: ArchBIOS}, Decision{Rule: "menu", Kind: BootMenu, Menu: menu, NextServer: testServer}},
		{"iPXE", withScript, ipxe, Decision{Rule: "menu", Kind: BootScript, File: "menu.ipxe", NextServer: testServer}},
		{"iPXE, and no script", Outcome{Kind: BootMenu, Menu: menu}, ipxe, Decision{Rule: "else", Kind: BootFile, File: "else"}},
		{"HTTP boot gets the first item", withScript, web, Decision{Rule: "menu", Kind: BootFile, File: "install/x64.efi"}},
		{"HTTP boot, and the first is the disk", Outcome{Kind: BootMenu, Menu: disk}, web, Decision{Rule: "menu", Kind: Ignore, Reason: ToLocalDisk}},
		{"Raspberry Pi", withScript, pi, Decision{Rule: "menu", Kind: BootFile, File: "install/none.efi"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &Policy{Rules: []Rule{{Name: "menu", Outcome: tt.outcome}, fallback}}
			if diff := cmp.Diff(tt.want, p.Decide(tt.client, false), compareAddrs); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	p := &Policy{Rules: []Rule{{Name: "menu", Outcome: Outcome{Kind: BootMenu, Menu: menu}}}}
	if got := p.Decide(ipxe, false); got.Reason != NoMenuScript {
		t.Errorf("iPXE without a script or another rule: %s", got.Reason)
	}
	if diff := cmp.Diff([]Passed{{"menu", "boot menu without a script for iPXE"}}, p.Trail(ipxe, false)); diff != "" {
		t.Errorf("trail (-want +got):\n%s", diff)
	}
}

// TestMenuItems checks which requests for an item are answered, and how.
func TestMenuItems(t *testing.T) {
	p := &Policy{Rules: []Rule{{Name: "menu", Match: Match{Firmware: UEFIFirmware}, Outcome: Outcome{Kind: BootMenu, Menu: testMenu()}},
		{Name: "file", Outcome: Outcome{Kind: BootFile, File: "x"}}}}
	ask := func(arch Arch, messageType, item string, more ...option) []byte {
		b := discover(arch, append(more, opt(dhcp4.OptionVendorSpecificInformation, "\x47\x04"+item+"\xff"))...)
		b[dhcp4.HeaderLen+2] = messageType[0]
		copy(b[offCIAddr:], []byte{192, 0, 2, 50})
		return b
	}
	broadcast := onServerPort()
	broadcast.From = netip.MustParseAddrPort("192.0.2.50:68")
	noAddress := ask(ArchX64, "\x03", "\x80\x00\x00\x00")
	copy(noAddress[offCIAddr:], []byte{0, 0, 0, 0})
	relayed := ask(ArchX64, "\x03", "\x80\x00\x00\x00")
	copy(relayed[offGIAddr:], []byte{198, 51, 100, 1})
	for _, tt := range []struct {
		name string
		in   []byte
		at   Arrival
		want string
	}{
		{"by unicast", ask(ArchX64, "\x03", "\x80\x00\x00\x00"), onProxyPort("192.0.2.50:4011"), "Install: install/x64.efi at 192.0.2.10, 47048000 0000ff to 192.0.2.50:4011 from 4011"},
		{"by broadcast", ask(ArchX64, "\x03", "\x80\x01\x00\x00"), broadcast, "Elsewhere: other.efi at 192.0.2.99, 47048001 0000ff to 192.0.2.50:68 from 67"},
		{"by broadcast, an INFORM", ask(ArchX64, "\x08", "\x80\x00\x00\x02"), broadcast, "Install: install/x64.efi at 192.0.2.10, 47048000 0002ff to 192.0.2.50:68 from 67"},
		{"by broadcast, without an address", noAddress, onServerPort(), "Install: install/x64.efi at 192.0.2.10, 47048000 0000ff to 255.255.255.255:68 from 67"},
		{"relayed", relayed, broadcast, "Install: install/x64.efi at 192.0.2.10, 47048000 0000ff to 198.51.100.1:67 from 67"},
		{"to another server", ask(ArchX64, "\x03", "\x80\x00\x00\x00", opt(dhcp4.OptionServerIdentifier, "\xc0\x00\x02\x01")), broadcast, "request to another server"},
		{"a type that is not in the menu", ask(ArchX64, "\x03", "\x80\x09\x00\x00"), broadcast, "asks for a boot menu item that it was not offered"},
		{"the local disk", ask(ArchX64, "\x03", "\x00\x00\x00\x00"), broadcast, "asks for a boot menu item that it was not offered"},
		{"credentials", ask(ArchX64, "\x03", "\x80\x00\x80\x00"), broadcast, "asks for a boot menu item that it was not offered"},
		{"who has no menu", ask(ArchBIOS, "\x03", "\x80\x00\x00\x00"), onProxyPort("192.0.2.50:4011"), "asks for a boot menu item that it was not offered"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res := NewResponder(ResponderConfig{Policy: p}).Respond(nil, tt.in, tt.at, testTime)
			got := res.Reason.String()
			if res.Reply != nil {
				m, err := dhcp4.Decode(res.Reply)
				if err != nil || m.Type() != dhcp4.MessageTypeAck {
					t.Fatalf("type %d, %v", m.Type(), err)
				}
				info := m.Option(dhcp4.OptionVendorSpecificInformation)
				got = fmt.Sprintf("%s: %s at %s, %x %x to %s from %d", res.Decision.Item, m.File, m.SIAddr, info[:4], info[4:], res.To.To, res.To.FromPort)
			}
			if got != tt.want {
				t.Errorf("%s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestMenuCheck checks what cannot be shown.
func TestMenuCheck(t *testing.T) {
	item := func(kind uint16, text, file string) MenuItem { return MenuItem{Type: kind, Text: text, File: file} }
	var many []MenuItem
	for i := range 25 {
		many = append(many, item(uint16(i+1), "x", "f"))
	}
	for _, tt := range []struct {
		items  []MenuItem
		prompt string
		want   string
	}{
		{testMenu().Items, "Press F8", ""},
		{nil, "", "a boot menu has 1 to 24 items, not 0"},
		{many, "", "a boot menu has 1 to 24 items, not 25"},
		{[]MenuItem{item(1, "", "f")}, "", "boot menu item 1: its text has 1 to 255 bytes, not 0"},
		{[]MenuItem{item(0, "disk", "f")}, "", `boot menu item "disk": the local disk has no boot file`},
		{[]MenuItem{item(1, "a", "")}, "", `boot menu item "a": no boot file`},
		{[]MenuItem{item(1, "a", "f"), item(1, "b", "f")}, "", `boot menu item "b": type 1 is another item's too`},
		{[]MenuItem{item(1, strings.Repeat("a", 120), "f"), item(2, strings.Repeat("b", 120), "f")}, "", "the boot menu is too long: DHCP carries 255 bytes of it, texts and prompt together; take shorter texts or fewer items"},
		{[]MenuItem{item(1, "a", "f")}, strings.Repeat("p", 255), "the boot menu is too long: DHCP carries 255 bytes of it, texts and prompt together; take shorter texts or fewer items"},
	} {
		got := ""
		if err := (&Menu{Prompt: tt.prompt, Items: tt.items}).Check(); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%q\nwant %q", got, tt.want)
		}
	}
}

// TestMenuServers checks which servers clients are told to ask: us, and beside
// us another server that has the file.
func TestMenuServers(t *testing.T) {
	menu := &Menu{Items: []MenuItem{
		{Type: 1, Text: "a", File: "f"}, {Type: 2, Text: "b", File: "f", NextServer: testServer},
		{Type: 3, Text: "c", File: "f", NextServer: netip.MustParseAddr("192.0.2.99")}, {Text: "d"},
	}}
	var got []byte
	dhcp4.SubOptions(menu.encode(testServer), func(tag uint8, value []byte) {
		if tag == subBootServers {
			got = value
		}
	})
	want := "\x00\x01\x01\xc0\x00\x02\x0a" + "\x00\x02\x01\xc0\x00\x02\x0a" + "\x00\x03\x02\xc0\x00\x02\x0a\xc0\x00\x02\x63"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestDiscoverWithItem checks that a DISCOVER is answered as one, whatever its
// option 43 and ciaddr hold.
func TestDiscoverWithItem(t *testing.T) {
	in := discover(ArchX64, opt(dhcp4.OptionVendorSpecificInformation, "\x47\x04\x80\x00\x00\x00\xff"))
	copy(in[offCIAddr:], []byte{192, 0, 2, 50})
	res := NewResponder(ResponderConfig{Policy: shapePolicy()}).Respond(nil, in, onServerPort(), testTime)
	if !res.To.Link || res.Reply[dhcp4.HeaderLen+2] != uint8(dhcp4.MessageTypeOffer) {
		t.Errorf("message type %d to %s", res.Reply[dhcp4.HeaderLen+2], res.To.To)
	}
}

// TestMenuTooLong checks that a menu which nobody checked is not cut short.
func TestMenuTooLong(t *testing.T) {
	menu := &Menu{Items: []MenuItem{{Type: 1, Text: strings.Repeat("a", 250), File: "f"}}}
	p := &Policy{Rules: []Rule{{Outcome: Outcome{Kind: BootMenu, Menu: menu}}}}
	res := NewResponder(ResponderConfig{Policy: p}).Respond(nil, discover(ArchX64), onServerPort(), testTime)
	if res.Err == nil || res.Err.Error() != "boot menu: 271 bytes long, and DHCP carries at most 255" {
		t.Errorf("%v, %s", res.Err, res.Reason)
	}
}
