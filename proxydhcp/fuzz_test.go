package proxydhcp

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// What holds for every input.

// seeds adds requests of every kind to a fuzz test.
func seeds(f *testing.F, add func([]byte)) {
	f.Helper()
	add(discover(ArchBIOS))
	add(discover(ArchX64, ipxeOptions(Version{1, 0, 0}, 19, 20)...))
	add(discover(ArchX64, opt(optRelayInfo, "\x01\x04eth1"), opt(optClientID, "\x01abcdef"), opt(optMachineID, "\x000123456789abcdef"), opt(optMaxSize, "\x05\xc0")))
	add(request(testMAC, opt(optMessageType, "\x01"), opt(optArch, "\x00\x10"), opt(optVendorClass, "HTTPClient:Arch:00016")))
	add(request(testMAC, opt(optMessageType, "\x03"), opt(optArch, "\x00\x07"), opt(optVendorClass, "PXEClient")))
	add(request(testMAC, opt(optMessageType, "\x01"), opt(optOverload, "\x03")))
	add(request(testMAC, opt(optMessageType, "\x01"), opt(optArch, "\x00\x16"), opt(optVendorClass, "U-Boot.armv8")))
	add(request([6]byte{0xdc, 0xa6, 0x32}, opt(optMessageType, "\x01"), opt(optArch, "\x00\x00"), opt(optVendorClass, "PXEClient")))
	add(request(testMAC, opt(optMessageType, "\x03"), opt(optArch, "\x00\x06"), opt(optVendorClass, "PXEClient"), opt(optVendorInfo, "\x47\x04\x80\x00\x00\x00\xff")))
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
		{Name: "rom", Outcome: Outcome{Kind: BootROM, ROMs: ROMs{BIOS: "undionly.kpxe", X64: "ipxe.efi", ARM64: "ipxe-arm64.efi"}}},
	}}
	f.Fuzz(func(t *testing.T, in []byte, proxy bool) {
		a := onServerPort()
		if proxy {
			a = onProxyPort("192.0.2.50:4011")
		}
		r := NewResponder(policy, Service{HTTPPort: 80, UBoot: true}, false)
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
		case len(res.Reply) < minReply || len(res.Reply) > maxReply:
			t.Errorf("%d bytes", len(res.Reply))
		case !bytes.Equal(res.Reply[offXID:offSecs], in[offXID:offSecs]):
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
		for _, code := range []uint8{1, 3, 6, 51, 58, 59, 121, optOverload, 13} {
			if m.Options.Has(dhcpv4.GenericOptionCode(code)) {
				t.Errorf("option %d in a proxy's answer", code)
			}
		}
		if class := m.Options[optVendorClass]; string(class) != pxeClient && string(class) != httpClient {
			t.Errorf("vendor class %q", class)
		}
		if info := m.Options[optVendorInfo]; info != nil && (!subOptions(info, func(uint8, []byte) {}) || info[len(info)-1] != optEnd) {
			t.Errorf("option 43 is % x", info)
		}
		q, err := Decode(in)
		if class := q.Option(optVendorClass); err != nil || !hasTransport(class) && !isUBoot(class) {
			t.Errorf("answered somebody who is not booting: %v", err)
		}
	})
}

// FuzzFirstLook checks that the look at the bytes drops nothing that would be
// answered.
func FuzzFirstLook(f *testing.F) {
	seeds(f, func(in []byte) { f.Add(in, false); f.Add(in, true) })
	f.Fuzz(func(t *testing.T, in []byte, uBoot bool) {
		m, err := Decode(in)
		if err != nil {
			return
		}
		if _, reason := Classify(&m, PortServer, Segment{}, testServer, Service{UBoot: uBoot}); reason == Answerable && !mayBoot(in, uBoot) {
			t.Error("the first look drops a booting client")
		}
	})
}

// FuzzDatagram checks that no packet breaks the parser, and that what it takes
// survives being written again.
func FuzzDatagram(f *testing.F) {
	f.Add(datagram{netip.MustParseAddrPort("0.0.0.0:68"), netip.MustParseAddrPort("255.255.255.255:67"), discover(ArchBIOS)}.append(nil))
	f.Fuzz(func(t *testing.T, in []byte) {
		d, ok := parseDatagram(in)
		if !ok {
			return
		}
		again, ok := parseDatagram(d.append(nil))
		if !ok || again.from != d.from || again.to != d.to || !bytes.Equal(again.payload, d.payload) {
			t.Errorf("%v %v becomes %v %v", d.from, d.to, again.from, again.to)
		}
	})
}

// FuzzDecode compares with another implementation: what both take as a message
// has the same options.
func FuzzDecode(f *testing.F) {
	seeds(f, func(in []byte) { f.Add(in) })
	f.Add(request(testMAC, opt(optMessageType, "\x01"), opt(optVendorClass, "PXE"), opt(12, ""), opt(optVendorClass, "Client")))
	f.Fuzz(func(t *testing.T, in []byte) {
		ours, err := Decode(in)
		theirs, theirErr := dhcpv4.FromBytes(in)
		if err != nil || theirErr != nil || ours.Has(optOverload) {
			return
		}
		for code := range 256 {
			code := uint8(code)
			value, has := theirs.Options[code]
			if has != ours.Has(code) || !bytes.Equal(value, ours.Option(code)) {
				t.Errorf("option %d: % x (%v), theirs % x (%v)", code, ours.Option(code), ours.Has(code), value, has)
			}
		}
	})
}
