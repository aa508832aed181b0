package proxydhcp

// Simulated firmware, with the times of real firmware, asks the responder.

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// rom is a PXE ROM of which only the taste in OFFERs matters.
type rom struct {
	name string
	arch Arch
	// takes judges an OFFER of a proxy: a ROM drops what it does not take, and
	// repeats its DISCOVER as though nothing had come.
	takes func(m *dhcp4.Message) bool
	// asks reports whether it goes to port 4011 with an OFFER that it took, and
	// boots whether it boots from the OFFER. A ROM that does neither takes the
	// address, gives up, and is started again.
	asks, boots func(m *dhcp4.Message) bool
}

// The building blocks of ROMs.
func always(*dhcp4.Message) bool          { return true }
func never(*dhcp4.Message) bool           { return false }
func hasInfo(m *dhcp4.Message) bool       { return m.Has(dhcp4.OptionVendorSpecificInformation) }
func withoutInfo(m *dhcp4.Message) bool   { return !m.Has(dhcp4.OptionVendorSpecificInformation) }
func withoutEchoes(m *dhcp4.Message) bool { return !m.Has(dhcp4.OptionClientMachineIdentifier) }
func hasFile(m *dhcp4.Message) bool       { return m.File != "" && !m.SIAddr.IsUnspecified() }

// mainServer is how the DHCP server beside us behaves.
type mainServer struct {
	name string
	// answers is how long after a DISCOVER the server offers an address; -1 for
	// a server that does not.
	answers time.Duration
	// audible says whether its answers are broadcast, so that we hear them.
	audible bool
}

// play boots a ROM until it has its boot file or gave up three times, and
// returns the shapes that it was offered.
func (f rom) play(t *testing.T, r *Responder, n mainServer) (shapes []string) {
	t.Helper()
	now := testTime
	heard := func(xid [4]byte, messageType dhcp4.MessageType) {
		if n.audible {
			r.Heard(onServerPort(), answer(testMAC, xid, messageType), now)
		}
	}
	for attempt := range 3 {
		xid := [4]byte{byte(attempt)}
		var taken *dhcp4.Message
		var address bool
		for _, window := range []time.Duration{4, 8, 16, 32} {
			begun := now
			in := discover(f.arch, opt(dhcp4.OptionClientMachineIdentifier, "\x000123456789abcdef"))
			copy(in[offXID:], xid[:])
			res := r.Respond(nil, in, onServerPort(), now)
			if res.Err != nil || res.Reply == nil {
				t.Fatalf("no OFFER: %s, %v", res.Reason, res.Err)
			}
			if res.Stepped || len(shapes) == 0 {
				shapes = append(shapes, res.Shape.String())
			}
			m, err := dhcp4.Decode(res.Reply)
			if err != nil {
				t.Fatal(err)
			}
			if taken == nil && f.takes(&m) {
				taken = &m
			}
			if n.answers >= 0 {
				now = begun.Add(n.answers)
				heard(xid, dhcp4.MessageTypeOffer)
				address = address || n.answers < window*time.Second
			}
			now = begun.Add(window * time.Second)
			if address && taken != nil {
				break
			}
		}
		if !address || taken == nil {
			now = now.Add(time.Minute)
			continue
		}
		r.Respond(nil, leaseRequest(testMAC, xid), onServerPort(), now)
		heard(xid, dhcp4.MessageTypeAck)
		ip := netip.MustParseAddr("192.0.2.50")
		switch {
		case f.asks(taken):
			ask := discover(f.arch)
			ask[dhcp4.HeaderLen+2] = uint8(dhcp4.MessageTypeRequest)
			copy(ask[offCIAddr:], ip.AsSlice())
			if res := r.Respond(nil, ask, onProxyPort("192.0.2.50:4011"), now); res.Reply == nil {
				t.Fatalf("no ACK: %s", res.Reason)
			}
			return append(shapes, "boots by 4011")
		case f.boots(taken):
			r.machines.FileRequested(ip, "file", true, now)
			r.machines.FileReceived(ip, now)
			return append(shapes, "boots")
		}
		now = now.Add(20 * time.Second)
	}
	return append(shapes, "gives up")
}

// TestShapes plays firmware of every taste on networks of every kind.
func TestShapes(t *testing.T) {
	const ask, offer, minimal = "without option 43", "discovery control 8", "minimal"
	roms := []struct {
		rom
		want []string
	}{
		{rom{"edk2", ArchX64, always, withoutInfo, hasInfo}, []string{ask, "boots by 4011"}},
		{rom{"edk2 before 2017", ArchX64, withoutInfo, withoutInfo, never}, []string{ask, "boots by 4011"}},
		{rom{"UEFI that drops what has no discovery control", ArchX64, hasInfo, never, hasFile}, []string{ask, offer, "boots"}},
		{rom{"UEFI that never asks 4011 and gives up", ArchARM64, always, never, hasInfo}, []string{ask, offer, "boots"}},
		{rom{"UEFI that wants nothing echoed", ArchX64, withoutEchoes, withoutInfo, never}, []string{ask, offer, minimal, "boots by 4011"}},
		{rom{"Intel's ROM", ArchBIOS, always, never, hasInfo}, []string{offer, "boots"}},
		{rom{"BIOS that chokes on option 43", ArchBIOS, withoutInfo, never, hasFile}, []string{offer, ask, "boots"}},
		{rom{"BIOS that asks 4011 or nobody", ArchBIOS, always, withoutInfo, never}, []string{offer, ask, "boots by 4011"}},
		{rom{"BIOS that wants nothing echoed", ArchBIOS, withoutEchoes, never, hasFile}, []string{offer, ask, minimal, "boots"}},
	}
	networks := []mainServer{
		{"a quick server", 10 * time.Millisecond, true},
		{"a server with a ping check", 1100 * time.Millisecond, true},
		{"a slow server", 5 * time.Second, true},
	}
	for _, f := range roms {
		for _, n := range networks {
			t.Run(f.name+"/"+n.name, func(t *testing.T) {
				r := NewResponder(ResponderConfig{Policy: shapePolicy()})
				if diff := cmp.Diff(f.want, f.play(t, r, n)); diff != "" {
					t.Fatalf("(-want +got):\n%s", diff)
				}
				again := f.want[len(f.want)-2:] // the shape that worked is remembered
				if diff := cmp.Diff(again, f.play(t, r, n)); diff != "" {
					t.Errorf("the next boot (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func shapePolicy() *Policy {
	roms := ROMs{BIOS: {"undionly.kpxe"}, X64: {"ipxe.efi"}, ARM64: {"ipxe-arm64.efi"}}
	return &Policy{Rules: []Rule{{Name: "rom", Outcome: Outcome{Kind: BootROM, ROMs: roms}}}}
}

// TestShapesKept checks when the shape must not change: where the OFFER is not
// what keeps a machine from booting, or where nobody can tell.
func TestShapesKept(t *testing.T) {
	sulky := rom{"drops everything", ArchX64, never, never, never}
	silent := rom{"boots unseen", ArchBIOS, always, never, never}
	policy := shapePolicy()
	for _, tt := range []struct {
		name string
		rom  rom
		net  mainServer
		edit func(p *Policy)
		want int // how many shapes it is offered
	}{
		{"no DHCP server", sulky, mainServer{"", -1, true}, nil, 1},
		{"a DHCP server that is not heard", sulky, mainServer{"", time.Second, false}, nil, 1},
		{"a lease that is heard, by its REQUEST alone", silent, mainServer{"", time.Second, false}, nil, 3},
		{"the files are elsewhere", silent, mainServer{"", time.Second, true}, func(p *Policy) {
			p.Rules[0].Outcome.NextServer = netip.MustParseAddr("192.0.2.99")
		}, 1},
		{"a boot menu", silent, mainServer{"", time.Second, true}, func(p *Policy) {
			p.Rules[0].Outcome = Outcome{Kind: BootMenu, Menu: testMenu()}
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &Policy{Rules: append([]Rule{}, policy.Rules...)}
			if tt.edit != nil {
				tt.edit(p)
			}
			got := tt.rom.play(t, NewResponder(ResponderConfig{Policy: p}), tt.net)
			if len(got) != tt.want+1 {
				t.Errorf("%d shapes, want %d: %s", len(got)-1, tt.want, strings.Join(got, ", "))
			}
		})
	}
}

// TestShapesOfRivals checks that a machine that another server tells how to
// boot is left alone, however often it asks again.
func TestShapesOfRivals(t *testing.T) {
	pxe := opt(dhcp4.OptionClassIdentifier, "PXEClient")
	proxy := answer(testMAC, [4]byte{1}, dhcp4.MessageTypeOffer, pxe)
	copy(proxy[offYIAddr:], []byte{0, 0, 0, 0})
	nak := answer(testMAC, [4]byte{1}, dhcp4.MessageTypeNak)
	for _, tt := range []struct {
		name    string
		answers [][]byte
		leases  bool
		want    bool
	}{
		{"the server offers an address", [][]byte{answer(testMAC, [4]byte{1}, dhcp4.MessageTypeOffer)}, false, true},
		{"another proxy", [][]byte{answer(testMAC, [4]byte{1}, dhcp4.MessageTypeOffer), proxy}, false, false},
		{"a server that announces PXEClient", [][]byte{answer(testMAC, [4]byte{1}, dhcp4.MessageTypeOffer, pxe)}, false, false},
		{"another transaction", [][]byte{answer(testMAC, [4]byte{2}, dhcp4.MessageTypeOffer)}, false, false},
		{"another machine", [][]byte{answer([6]byte{2}, [4]byte{1}, dhcp4.MessageTypeOffer)}, false, false},
		{"the lease is granted", [][]byte{answer(testMAC, [4]byte{1}, dhcp4.MessageTypeOffer), answer(testMAC, [4]byte{1}, dhcp4.MessageTypeAck)}, true, true},
		{"the lease is not granted", [][]byte{answer(testMAC, [4]byte{1}, dhcp4.MessageTypeOffer)}, true, false},
		{"the lease is refused", [][]byte{nak}, true, false},
		{"the lease is offered and refused", [][]byte{answer(testMAC, [4]byte{1}, dhcp4.MessageTypeOffer), nak}, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := NewResponder(ResponderConfig{Policy: shapePolicy()})
			in := discover(ArchX64)
			copy(in[offXID:], []byte{1, 0, 0, 0})
			r.Respond(nil, in, onServerPort(), testTime)
			if tt.leases {
				r.Respond(nil, leaseRequest(testMAC, [4]byte{1}), onServerPort(), testTime)
			}
			for _, b := range tt.answers {
				r.Heard(onServerPort(), b, testTime)
			}
			if tt.leases {
				in[offXID] = 9
			}
			if early := r.machines.last.offer; early.failed(r.machines.at(testTime.Add(patience - 1))) {
				t.Error("counts too early")
			}
			if got := r.Respond(nil, in, onServerPort(), testTime.Add(patience)).Stepped; got != tt.want {
				t.Errorf("another shape: %v, want %v", got, tt.want)
			}
		})
	}
}

// TestShapesForget checks that an iPXE never gets another shape, that a failure
// of long ago does not count, and that another firmware begins anew.
func TestShapesForget(t *testing.T) {
	r := NewResponder(ResponderConfig{Policy: &Policy{Rules: []Rule{{Outcome: Outcome{Kind: BootROM, ROMs: ROMs{BIOS: {"b"}, X64: {"x"}}}}}}})
	ask := func(xid byte, after time.Duration, arch Arch, more ...option) Result {
		in := discover(arch, more...)
		in[offXID] = xid
		res := r.Respond(nil, in, onServerPort(), testTime.Add(after))
		r.Heard(onServerPort(), answer(testMAC, [4]byte(in[offXID:offXID+4]), dhcp4.MessageTypeOffer), testTime.Add(after))
		return res
	}
	for i, tt := range []struct {
		after   time.Duration
		arch    Arch
		more    []option
		shape   Shape
		stepped bool
	}{
		{0, ArchX64, nil, AskProxy, false},
		{5 * time.Second, ArchX64, ipxeOptions(Version{1, 0, 0}), FixedShape, false},
		{10 * time.Second, ArchX64, nil, BootOffer, true},
		{11 * time.Second, ArchX64, nil, BootOffer, false},
		{20 * time.Second, ArchBIOS, nil, BootOffer, false},
		{25 * time.Second, ArchBIOS, nil, AskProxy, true},
		{26*time.Second + failureMemory, ArchBIOS, nil, AskProxy, false},
		{31*time.Second + failureMemory, ArchBIOS, nil, Minimal, true},
		{36*time.Second + failureMemory, ArchBIOS, nil, BootOffer, true},
	} {
		res := ask(byte(i), tt.after, tt.arch, tt.more...)
		if res.Shape != tt.shape || res.Stepped != tt.stepped {
			t.Errorf("%d: %s, stepped %v; want %s, %v", i, res.Shape, res.Stepped, tt.shape, tt.stepped)
		}
	}
}

// TestShapesRemembered plays what a machine does, step by step, and checks the
// shape of the last OFFER. A step is a letter, the number of a transaction, and
// when it happens, in seconds: the firmware's DISCOVER (d), REQUEST (l) and
// request to port 4011 (p); the same of an iPXE on that machine (i, j, q); the
// server's OFFER (o) and ACK (a); our own OFFER, heard by us (w); the machine
// loads a file (r), or somebody asks for one in its name (u).
func TestShapesRemembered(t *testing.T) {
	for steps, want := range map[string]Shape{
		"d1@0 o1@0 l1@4 a1@4 d2@60":                                            BootOffer,
		"d1@0 o1@0 l1@4 a1@4 d1@60":                                            BootOffer,
		"d1@0 o1@0 l1@4 a1@4 p1@5 d2@60":                                       AskProxy,
		"d1@0 o1@0 l1@4 a1@4 p1@5 d2@60 o2@60 d2@64 o2@64 d2@72":               AskProxy,
		"d1@0 l1@4 r0@5 d2@60 l2@64 d3@120":                                    AskProxy,
		"d1@0 o1@0 d1@4 l1@8 r0@9 d2@60 l2@64 d3@120":                          BootOffer,
		"d1@0 l1@4 r0@700 d2@710":                                              BootOffer, // too late to be of that boot
		"d1@0 l1@4 i5@20 j5@20 r0@21 d2@60":                                    BootOffer, // from another disk, and not ours
		"d1@0 l1@4 i5@20 q5@21 d2@60":                                          BootOffer,
		"d1@0 i2@1 o2@1 d3@10":                                                 AskProxy, // that was the iPXE's address
		"d1@0 a1@0 d1@4":                                                       AskProxy,
		"d1@0 o1@0 w1@0 d1@4":                                                  BootOffer,
		"d1@0 l2@4 d3@60":                                                      AskProxy, // another transaction's lease
		"d1@0 l1@4 u0@5 d2@60":                                                 AskProxy,
		"d1@0 l1@4 u0@5 d2@60 l2@64 d3@120":                                    BootOffer, // one request, perhaps another's, says nothing about the next boot
		"d1@0 l1@4 r0@5 d2@60 l2@64 d3@120 l3@124 d4@180":                      BootOffer, // two boots in vain: it works no more
		"d1@0 l1@4 r0@5 d2@60 l2@64 d3@120 l3@124 r0@125 d4@180 l4@184 d5@240": AskProxy,
	} {
		t.Run(steps, func(t *testing.T) {
			r := NewResponder(ResponderConfig{Policy: shapePolicy()})
			var got Shape
			for step := range strings.FieldsSeq(steps) {
				var what, number byte
				var seconds int
				if _, err := fmt.Sscanf(step, "%c%c@%d", &what, &number, &seconds); err != nil {
					t.Fatal(err)
				}
				now, xid := testTime.Add(time.Duration(seconds)*time.Second), [4]byte{number}
				var more []option
				if strings.IndexByte("ijq", what) >= 0 {
					more = ipxeOptions(Version{1, 0, 0})
				}
				in := discover(ArchX64, more...)
				copy(in[offXID:], xid[:])
				switch what {
				case 'd', 'i':
					if res := r.Respond(nil, in, onServerPort(), now); what == 'd' {
						got = res.Shape
					}
				case 'l', 'j':
					lease := leaseRequest(testMAC, xid)
					if what == 'j' {
						lease = append(lease[:len(lease)-1], uint8(dhcp4.OptionEtherboot), 3, 20, 1, 1, uint8(dhcp4.OptionEnd))
					}
					r.Respond(nil, lease, onServerPort(), now)
				case 'p', 'q':
					in[dhcp4.HeaderLen+2] = uint8(dhcp4.MessageTypeRequest)
					r.Respond(nil, in, onProxyPort("192.0.2.50:4011"), now)
				case 'o', 'a':
					r.Heard(onServerPort(), answer(testMAC, xid, map[byte]dhcp4.MessageType{'o': dhcp4.MessageTypeOffer, 'a': dhcp4.MessageTypeAck}[what]), now)
				case 'w':
					own := answer(testMAC, xid, dhcp4.MessageTypeOffer, opt(dhcp4.OptionClassIdentifier, "PXEClient"))
					copy(own[offYIAddr:], []byte{0, 0, 0, 0})
					copy(own[dhcp4.HeaderLen+5:], testServer.AsSlice())
					r.Heard(onServerPort(), own, now)
				case 'u':
					r.machines.FileRequested(netip.MustParseAddr("192.0.2.50"), "file", true, now)
				case 'r':
					r.machines.FileRequested(netip.MustParseAddr("192.0.2.50"), "file", true, now)
					r.machines.FileReceived(netip.MustParseAddr("192.0.2.50"), now)
				default:
					t.Fatalf("unknown step %q", step)
				}
			}
			if got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
}
