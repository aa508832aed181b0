package proxydhcp

// The loop guard, by the packets of machines that no ROM helps.

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// looper is a machine with a number of sidecars around it, which all hear its
// broadcasts.
type looper struct {
	sidecars []*Responder
	now      time.Time
	xid      byte
	told     []string // the loops that were reported
}

// looperAddr is the address that the machine takes.
var looperAddr = netip.MustParseAddr("192.0.2.50")

// newLooper returns a machine among n sidecars of the policy that no BIOS ROM
// is known to satisfy.
func newLooper(t *testing.T, n int) *looper {
	l := &looper{now: testTime}
	for range n {
		l.sidecars = append(l.sidecars, NewResponder(ResponderConfig{Policy: testPolicy(t)}))
	}
	return l
}

// broadcasts sends a request to every sidecar, and returns how each ended.
func (l *looper) broadcasts(in []byte) []Result {
	in[offXID] = l.xid
	var all []Result
	for _, r := range l.sidecars {
		res := r.Respond(nil, in, onServerPort(), l.now)
		if res.LoopEnded != "" {
			l.told = append(l.told, res.LoopEnded)
		}
		all = append(all, res)
	}
	return all
}

// asks has the machine ask all sidecars, twice as after a lost packet, and take
// an address. It returns what each says. The version of firmware is 0.
func (l *looper) asks(t *testing.T, v Version) []OutcomeKind {
	t.Helper()
	l.xid++
	l.now = l.now.Add(time.Second)
	var own []option
	if v != (Version{}) {
		own = ipxeOptions(v, 20)
	}
	var first, second []OutcomeKind
	for _, res := range l.broadcasts(discover(ArchBIOS, own...)) {
		first = append(first, res.Decision.Kind)
	}
	for _, res := range l.broadcasts(discover(ArchBIOS, own...)) {
		second = append(second, res.Decision.Kind)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("asked again (-first +second):\n%s", diff)
	}
	l.broadcasts(request(testMAC, append(own, opt(dhcp4.OptionDHCPMessageType, "\x03"), opt(dhcp4.OptionServerIdentifier, "\xc0\x00\x02\x01"),
		opt(dhcp4.OptionRequestedIPAddress, "\xc0\x00\x02\x32"), opt(dhcp4.OptionClassIdentifier, "PXEClient"))...))
	return first
}

// reads has the machine read the ROM from a sidecar, to its end.
func (l *looper) reads(sidecar int) {
	l.sidecars[sidecar].machines.ROMRead(looperAddr, "/undionly.kpxe", l.now)
}

// TestUpgradeLoop plays the boots of one machine whose ROM does not help, and
// of one whose ROM does.
func TestUpgradeLoop(t *testing.T) {
	firmware, old, other, good := Version{}, Version{1, 0, 0}, Version{1, 21, 1}, Version{2, 0, 0}
	for _, tt := range []struct {
		name  string
		boots []Version // the machine as it asks; before the last it is quiet for long
		reads bool      // whether it reads the ROM that it is offered
		want  []OutcomeKind
		told  []string
	}{
		{"a ROM that is what was there before", []Version{old, old, old, old}, true,
			[]OutcomeKind{BootROM, BootScript, BootScript, BootROM}, []string{"undionly.kpxe"}},
		{"a ROM that is another one, but does not help", []Version{old, other, other, other}, true,
			[]OutcomeKind{BootROM, BootScript, BootScript, BootROM}, []string{"undionly.kpxe"}},
		{"and its next boots", []Version{old, other, old, other, old}, true,
			[]OutcomeKind{BootROM, BootScript, BootROM, BootScript, BootROM}, []string{"undionly.kpxe", "undionly.kpxe"}},
		{"and then another, which is what was there before", []Version{old, other, old, old, old}, true,
			[]OutcomeKind{BootROM, BootScript, BootROM, BootScript, BootROM}, []string{"undionly.kpxe", "undionly.kpxe"}},
		{"a ROM mended meanwhile", []Version{old, other, old, good, old}, true,
			[]OutcomeKind{BootROM, BootScript, BootROM, BootScript, BootROM}, []string{"undionly.kpxe"}},
		{"firmware's ROM", []Version{firmware, old, firmware, old, firmware}, true,
			[]OutcomeKind{BootROM, BootScript, BootROM, BootScript, BootROM}, []string{"undionly.kpxe", "undionly.kpxe"}},
		{"a ROM that is not read", []Version{firmware, old, old, other, other}, false,
			[]OutcomeKind{BootROM, BootROM, BootROM, BootROM, BootROM}, nil},
		{"a ROM that helps, at every boot", []Version{old, good, old, good, firmware, good, old}, true,
			[]OutcomeKind{BootROM, BootScript, BootROM, BootScript, BootROM, BootScript, BootROM}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLooper(t, 1)
			var got []OutcomeKind
			for i, version := range tt.boots {
				if i == len(tt.boots)-1 {
					l.now = l.now.Add(guardMemory)
				}
				kind := l.asks(t, version)[0]
				got = append(got, kind)
				l.sidecars[0].machines.FileRequested(looperAddr, "undionly.kpxe", true, l.now)
				if tt.reads && kind == BootROM {
					l.reads(0)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.told, l.told); diff != "" {
				t.Errorf("loops told (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSpellings checks that a ROM counts as read, however the policy spells its
// name in the boot file tree.
func TestSpellings(t *testing.T) {
	for _, name := range []string{"undionly.kpxe", "/undionly.kpxe", "./undionly.kpxe", "roms//../undionly.kpxe"} {
		l := newLooper(t, 1)
		for _, rule := range l.sidecars[0].policy.Load().Rules {
			if rule.Outcome.Kind == BootROM {
				rule.Outcome.ROMs[BIOS] = []string{name}
			}
		}
		got := l.asks(t, Version{1, 0, 0})
		l.reads(0)
		got = append(got, l.asks(t, Version{1, 0, 0})...)
		if diff := cmp.Diff([]OutcomeKind{BootROM, BootScript}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestUpgradeInSteps checks that a ROM that leads to an iPXE for which the
// policy has another ROM is no loop, and that the other one is, when it does
// not help.
func TestUpgradeInSteps(t *testing.T) {
	rom := func(file string) Outcome { return Outcome{Kind: BootROM, ROMs: ROMs{BIOS: {file}}} }
	script := Outcome{Kind: BootScript, File: "http://boot.example/boot.ipxe"}
	l := &looper{now: testTime, sidecars: []*Responder{NewResponder(ResponderConfig{Policy: &Policy{Rules: []Rule{
		{Name: "old", Match: Match{IPXE: &IPXEMatch{Version: mustRange(t, "<2.0.0")}}, Outcome: rom("second.kpxe")},
		{Name: "script", Match: Match{IPXE: &IPXEMatch{}}, Outcome: script},
		{Name: "rom", Outcome: rom("first.kpxe")},
	}}})}}
	var got []OutcomeKind
	for i, version := range []Version{{}, {1, 0, 0}, {1, 0, 0}} {
		got = append(got, l.asks(t, version)[0])
		l.sidecars[0].machines.ROMRead(looperAddr, []string{"first.kpxe", "second.kpxe", "none"}[i], l.now)
	}
	if diff := cmp.Diff([]OutcomeKind{BootROM, BootROM, BootScript}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"second.kpxe"}, l.told); diff != "" {
		t.Errorf("loops told (-want +got):\n%s", diff)
	}
}

// TestManySidecars checks how often a machine that no ROM helps loads one where
// several sidecars serve it: once from each at most, however unlucky it is with
// whose OFFER it takes.
func TestManySidecars(t *testing.T) {
	old := Version{1, 0, 0}
	for _, tt := range []struct {
		name   string
		before Version
		after  []Version // what each sidecar's ROM is
		later  []int     // how many it loads at a later boot, by the number of sidecars
	}{
		{"an iPXE and the same again", old, []Version{old, old, old}, []int{0, 0, 0}}, // nobody sees that it boots anew
		{"an iPXE and another one", old, []Version{{1, 21, 1}, {1, 21, 1}, {1, 21, 1}}, []int{1, 1, 1}},
		{"firmware", Version{}, []Version{old, old, old}, []int{1, 1, 1}},
		{"an iPXE, and ROMs that differ", old, []Version{{1, 20, 1}, {1, 21, 1}, {1, 22, 1}}, []int{1, 2, 3}},
	} {
		for n := 1; n <= len(tt.after); n++ {
			t.Run(fmt.Sprintf("%s, sidecars: %d", tt.name, n), func(t *testing.T) {
				l := newLooper(t, n)
				want := []int{n, tt.later[n-1], tt.later[n-1], tt.later[n-1]}
				var got []int
				for range want {
					got = append(got, l.boot(t, tt.before, tt.after))
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("ROMs loaded at each boot (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// boot boots the machine until nobody offers it a ROM, and returns how many it
// loaded. It takes one from whoever still offers it, each time from the next.
func (l *looper) boot(t *testing.T, version Version, after []Version) (loaded int) {
	t.Helper()
	for ; loaded < 10; loaded++ {
		var offering []int
		for i, kind := range l.asks(t, version) {
			if kind == BootROM {
				offering = append(offering, i)
			}
		}
		if len(offering) == 0 {
			break
		}
		from := offering[loaded%len(offering)]
		l.reads(from)
		version = after[from]
	}
	return loaded
}
