package proxydhcp

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// ordinary is the DISCOVER of an operating system, as an office sends it all
// day.
func ordinary() []byte {
	return request(testMAC, opt(dhcp4.OptionDHCPMessageType, "\x01"), opt(61, "\x01abcdef"), opt(12, "laptop"), opt(dhcp4.OptionClassIdentifier, "MSFT 5.0"), opt(55, "\x01\x03\x06\x0f\x1f\x21\x2b\x2c\x2e\x2f\x77\x79\xf9\xfc"))
}

// TestIgnoredCostsNothing checks that what is not answered allocates nothing.
func TestIgnoredCostsNothing(t *testing.T) {
	r := NewResponder(ResponderConfig{Policy: testPolicy(t)})
	a, in := onServerPort(), ordinary()
	frame := dhcp4.Datagram{From: netip.MustParseAddrPort("0.0.0.0:68"), To: netip.MustParseAddrPort("255.255.255.255:67"), Payload: in}.Append(nil)
	allocations := testing.AllocsPerRun(1000, func() {
		d, ok := dhcp4.ParseDatagram(frame)
		if !ok {
			t.Fatal("not parsed")
		}
		if res := r.Respond(nil, d.Payload, a, testTime); res.Reason != NotBooting {
			t.Fatal(res.Reason)
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations for an ordinary client", allocations)
	}
}

func BenchmarkIgnore(b *testing.B) {
	r := NewResponder(ResponderConfig{Policy: &Policy{}})
	a, in := onServerPort(), ordinary()
	b.ReportAllocs()
	for b.Loop() {
		r.Respond(nil, in, a, testTime)
	}
}

func BenchmarkDecode(b *testing.B) {
	in := discover(ArchX64, ipxeOptions(Version{1, 0, 0}, 19, 20)...)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := dhcp4.Decode(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	p := &Policy{Rules: []Rule{
		{Name: "script", Match: Match{IPXE: &IPXEMatch{Version: AtLeast(Version{2, 0, 0})}}, Outcome: Outcome{Kind: BootScript, File: "boot.ipxe"}},
		{Name: "rom", Outcome: Outcome{Kind: BootROM, ROMs: ROMs{X64: {"ipxe.efi"}}}},
	}}
	c := Client{Hardware: hardware(testMAC), Arch: ArchX64}
	b.ReportAllocs()
	for b.Loop() {
		p.Decide(c, false)
	}
}

func BenchmarkCompose(b *testing.B) {
	m, err := dhcp4.Decode(discover(ArchX64, opt(dhcp4.OptionClientMachineIdentifier, "\x000123456789abcdef")))
	if err != nil {
		b.Fatal(err)
	}
	a, d := onServerPort(), Decision{Kind: BootROM, File: "ipxe.efi"}
	a.Server = testServer
	q, _ := ReadRequest(m, a, ReplyOptions{})
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		reply, reason := Compose(&q, d, AskProxy, ReplyOptions{})
		if reason != Answerable {
			b.Fatal(reason)
		}
		if out, err = reply.Append(out[:0]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRespond(b *testing.B) {
	firmware := func() []byte {
		return discover(ArchX64, opt(dhcp4.OptionClientMachineIdentifier, "\x000123456789abcdef"))
	}
	for _, c := range []struct {
		name     string
		in       []byte
		machines uint32 // that take turns
	}{
		{"firmware", firmware(), 1},
		{"iPXE", discover(ArchX64, ipxeOptions(Version{2, 0, 0}, 19, 20)...), 1},
		{"firmware of always another machine", firmware(), 4 * maxMachines},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := NewResponder(ResponderConfig{Policy: &Policy{Rules: []Rule{
				{Name: "script", Match: Match{IPXE: &IPXEMatch{}}, Outcome: Outcome{Kind: BootScript, File: "boot.ipxe"}},
				{Name: "rom", Outcome: Outcome{Kind: BootROM, ROMs: ROMs{X64: {"ipxe.efi"}}}},
			}}})
			a := onServerPort()
			var out, frame []byte
			var machine uint32
			b.ReportAllocs()
			for b.Loop() {
				machine = (machine + 1) % c.machines
				binary.BigEndian.PutUint32(c.in[30:], machine) // the end of its MAC address
				res := r.Respond(out[:0], c.in, a, testTime)
				if res.Reply == nil {
					b.Fatal(res.Reason)
				}
				out = res.Reply
				frame = dhcp4.Datagram{From: netip.AddrPortFrom(res.Arrival.Server, 67), To: res.To.To, Payload: out}.Append(frame[:0])
			}
		})
	}
}
