package proxydhcp

// What holds for every input.

import (
	"bytes"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// seeds adds requests of every kind to a fuzz test.
func seeds(f *testing.F, add func([]byte)) {
	f.Helper()
	add(discover(ArchBIOS))
	add(discover(ArchX64, ipxeOptions(Version{1, 0, 0}, 19, 20)...))
	add(discover(ArchX64, opt(dhcp4.OptionRelayAgentInformation, "\x01\x04eth1"), opt(dhcp4.OptionClientIdentifier, "\x01abcdef"), opt(dhcp4.OptionClientMachineIdentifier, "\x000123456789abcdef"), opt(dhcp4.OptionMaximumDHCPMessageSize, "\x05\xc0")))
	add(request(testMAC, opt(dhcp4.OptionDHCPMessageType, "\x01"), opt(dhcp4.OptionClientSystemArchitectureType, "\x00\x10"), opt(dhcp4.OptionClassIdentifier, "HTTPClient:Arch:00016")))
	add(request(testMAC, opt(dhcp4.OptionDHCPMessageType, "\x03"), opt(dhcp4.OptionClientSystemArchitectureType, "\x00\x07"), opt(dhcp4.OptionClassIdentifier, "PXEClient")))
	add(request(testMAC, opt(dhcp4.OptionDHCPMessageType, "\x01"), opt(dhcp4.OptionOptionOverload, "\x03")))
	add(request(testMAC, opt(dhcp4.OptionDHCPMessageType, "\x01"), opt(dhcp4.OptionClientSystemArchitectureType, "\x00\x16"), opt(dhcp4.OptionClassIdentifier, "U-Boot.armv8")))
	add(request([6]byte{0xdc, 0xa6, 0x32}, opt(dhcp4.OptionDHCPMessageType, "\x01"), opt(dhcp4.OptionClientSystemArchitectureType, "\x00\x00"), opt(dhcp4.OptionClassIdentifier, "PXEClient")))
	add(request(testMAC, opt(dhcp4.OptionDHCPMessageType, "\x03"), opt(dhcp4.OptionClientSystemArchitectureType, "\x00\x06"), opt(dhcp4.OptionClassIdentifier, "PXEClient"), opt(dhcp4.OptionVendorSpecificInformation, "\x47\x04\x80\x00\x00\x00\xff")))
	add(discover(ArchIA32))
}

// FuzzRespond holds every answer against what a proxy may say: it repeats the
// request's xid and hardware address, gives no address, no lease, no router and
// no name server, has at least 300 bytes, parses, and goes to a booting client
// only.
func FuzzRespond(f *testing.F) {
	seeds(f, func(in []byte) { f.Add(in, false); f.Add(in, true) })
	menu := &Menu{Prompt: "Press F8", Timeout: 5, Items: []MenuItem{{Type: 0x8000, Text: "Install", File: "{mac}"}, {Text: "Local disk"}}}
	policy := &Policy{Rules: []Rule{
		{Name: "menu", Match: Match{Platforms: []Platform{IA32}}, Outcome: Outcome{Kind: BootMenu, Menu: menu, File: "menu.ipxe"}},
		{Name: "disk", Match: Match{Platforms: []Platform{ARM32}}, Outcome: Outcome{Kind: LocalDisk, File: "disk.ipxe"}},
		{Name: "pi", Match: Match{Firmware: RaspberryPi}, Outcome: Outcome{Kind: BootFile, File: "bootcode.bin"}},
		{Name: "script", Match: Match{IPXE: &IPXEMatch{Version: AtLeast(Version{2, 0, 0})}}, Outcome: Outcome{Kind: BootScript, File: "boot.ipxe"}},
		{Name: "rom", Outcome: Outcome{Kind: BootROM, ROMs: ROMs{BIOS: {"undionly.kpxe"}, X64: {"ipxe.efi"}, ARM64: {"ipxe-arm64.efi"}}}},
	}}
	f.Fuzz(func(t *testing.T, in []byte, proxy bool) {
		a := onServerPort()
		if proxy {
			a = onProxyPort("192.0.2.50:4011")
		}
		r := NewResponder(ResponderConfig{Policy: policy, Options: ReplyOptions{HTTPPort: 80, UBoot: true}})
		res := r.Respond(nil, bytes.Clone(in), a, testTime)
		if res.Reply == nil {
			if res.Reason == Answerable && res.Err == nil {
				t.Fatal("neither answered, nor ignored, nor failed")
			}
			return
		}
		m, err := dhcpv4.FromBytes(res.Reply)
		if err != nil {
			t.Fatalf("the answer does not parse: %v", err)
		}
		switch {
		case len(res.Reply) < 300 || len(res.Reply) > 1472:
			t.Errorf("%d bytes", len(res.Reply))
		case !bytes.Equal(res.Reply[offXID:offXID+4], in[offXID:offXID+4]):
			t.Error("another xid")
		case !bytes.Equal(res.Reply[offCHAddr:offSName], in[offCHAddr:offSName]) || !bytes.Equal(res.Reply[1:3], in[1:3]):
			t.Error("another hardware address")
		case !m.YourIPAddr.IsUnspecified():
			t.Errorf("yiaddr %s", m.YourIPAddr)
		case m.ServerIPAddr.IsUnspecified() || m.ServerIPAddr.String() != testServer.String():
			t.Errorf("siaddr %s", m.ServerIPAddr)
		case m.Options.Get(dhcpv4.OptionServerIdentifier) == nil:
			t.Error("no option 54")
		}
		for _, code := range []uint8{1, 3, 6, 51, 58, 59, 121, uint8(dhcp4.OptionOptionOverload), 13} {
			if m.Options.Has(dhcpv4.GenericOptionCode(code)) {
				t.Errorf("option %d in a proxy's answer", code)
			}
		}
		if class := m.Options[uint8(dhcp4.OptionClassIdentifier)]; string(class) != pxeClient && string(class) != httpClient {
			t.Errorf("vendor class %q", class)
		}
		if info := m.Options[uint8(dhcp4.OptionVendorSpecificInformation)]; info != nil && (!dhcp4.SubOptions(info, func(uint8, []byte) {}) || info[len(info)-1] != uint8(dhcp4.OptionEnd)) {
			t.Errorf("option 43 is % x", info)
		}
		q, err := dhcp4.Decode(in)
		if class := q.Option(dhcp4.OptionClassIdentifier); err != nil || !isPXEOrHTTP(class) && !isUBoot(class) {
			t.Errorf("answered somebody who is not booting: %v", err)
		}
	})
}

// FuzzFirstLook checks that the look at the bytes drops nothing that would be
// answered.
func FuzzFirstLook(f *testing.F) {
	seeds(f, func(in []byte) { f.Add(in, false); f.Add(in, true) })
	f.Fuzz(func(t *testing.T, in []byte, uBoot bool) {
		m, err := dhcp4.Decode(in)
		if err != nil {
			return
		}
		if _, reason := readClientOf(&m, PortServer, Segment{}, ReplyOptions{UBoot: uBoot}); reason == Answerable && !MayBoot(in, uBoot) {
			t.Error("the first look drops a booting client")
		}
	})
}
