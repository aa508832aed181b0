package proxydhcp

// Machines that load ROMs and start them, or not.

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// loader is a machine that boots from a responder.
type loader struct {
	t     *testing.T
	r     *Responder
	now   time.Time
	mac   [6]byte
	ip    netip.Addr
	xid   byte
	given string   // the file of the last OFFER
	told  []string // the reports, and the OFFERs that were asked for by "boots"
}

// twoROMs is a policy with two ROMs for each of two platforms.
func twoROMs() *Policy {
	return &Policy{Rules: []Rule{
		{Name: "script", Match: Match{IPXE: &IPXEMatch{Version: AtLeast(Version{2, 0, 0})}}, Outcome: Outcome{Kind: BootScript, File: "boot.ipxe"}},
		{Name: "rom", Outcome: Outcome{Kind: BootROM, ROMs: ROMs{BIOS: {"undionly.kpxe", "/ipxe.pxe"}, X64: {"sb/shim.efi"}}}},
	}}
}

// newLoader returns a machine before a responder with the policy.
func newLoader(t *testing.T, r *Responder, last byte) *loader {
	return &loader{t: t, r: r, now: testTime, mac: [6]byte{0x52, 0x54, 0, 0, 1, last}, ip: netip.AddrFrom4([4]byte{192, 0, 2, last})}
}

// discovers sends a DISCOVER, and takes an address.
func (l *loader) discovers(arch Arch, own ...option) {
	l.xid++
	send := func(in []byte) Result {
		copy(in[offCHAddr:], l.mac[:])
		in[offXID] = l.xid
		return l.r.Respond(nil, in, onServerPort(), l.now)
	}
	l.given = send(discover(arch, own...)).Decision.File
	ip := l.ip.As4()
	send(request(l.mac, append(own, opt(dhcp4.OptionDHCPMessageType, "\x03"), opt(dhcp4.OptionServerIdentifier, "\xc0\x00\x02\x01"),
		opt(dhcp4.OptionRequestedIPAddress, string(ip[:])), opt(dhcp4.OptionClassIdentifier, "PXEClient"))...))
}

// do plays the steps of a story.
func (l *loader) do(story string) {
	l.t.Helper()
	for step := range strings.SplitSeq(story, ", ") {
		l.now = l.now.Add(time.Second)
		what, file, _ := strings.Cut(step, " ")
		switch what {
		case "boots": // the firmware
			l.discovers(ArchBIOS)
			l.told = append(l.told, "offered "+l.given)
		case "uefi":
			l.discovers(ArchX64)
			l.told = append(l.told, "offered "+l.given)
		case "ipxe": // comes back as a good one, with a network card of that number
			l.discovers(ArchBIOS, opt(dhcp4.OptionUserClassInformation, "iPXE"),
				option{dhcp4.OptionEtherboot, []byte{subBusID, 5, busPCI, 0x80, 0x86, 0, file[0], subVersion, 3, 2, 0, 0}})
		case "old": // an iPXE that needs the ROM, with that card
			l.discovers(ArchBIOS, opt(dhcp4.OptionUserClassInformation, "iPXE"),
				option{dhcp4.OptionEtherboot, []byte{subBusID, 5, busPCI, 0x80, 0x86, 0, file[0], subVersion, 3, 1, 0, 0}})
			l.told = append(l.told, "offered "+l.given)
		case "reads":
			l.r.machines.FileRequested(l.ip, file, true, l.now)
			l.r.machines.ROMRead(l.ip, file, l.now)
		case "stage":
			l.r.machines.FileRequested(l.ip, file, true, l.now)
			l.r.machines.SecondStageRead(l.ip, file, l.now)
		case "asks":
			l.r.machines.FileRequested(l.ip, file, true, l.now)
		case "misses":
			l.r.machines.FileRequested(l.ip, file, false, l.now)
		case "waits":
			d, err := time.ParseDuration(file)
			if err != nil {
				l.t.Fatal(err)
			}
			l.now = l.now.Add(d)
		default:
			l.t.Fatalf("step %q", step)
		}
		l.listen()
	}
}

// listen notes the reports.
func (l *loader) listen() {
	for _, r := range l.r.machines.StartReports(l.now) {
		text := r.File + " did not start"
		if r.Started {
			text = r.ROM + " started"
		}
		if r.Missing != "" {
			text += ", misses " + r.Missing
		}
		if r.Next != "" {
			text += ", next " + r.Next
		}
		if r.Exhausted {
			text += ", exhausted"
		}
		if r.IP != l.ip || r.Client.Hardware.Bytes[5] != l.mac[5] {
			text += fmt.Sprintf(" on %s %s", r.IP, r.Client.Hardware)
		}
		l.told = append(l.told, text)
	}
}

// TestStart plays machines that start what they load, and machines that do not.
func TestStart(t *testing.T) {
	for _, tt := range []struct{ name, story, want string }{
		{"comes back as an iPXE", "boots, reads undionly.kpxe, waits 28s, ipxe a, waits 1h",
			"offered undionly.kpxe"},
		{"is not heard of", "boots, reads undionly.kpxe, waits 28s, waits 1s, waits 1h",
			"offered undionly.kpxe; undionly.kpxe did not start, next /ipxe.pxe"},
		{"tries again at once", "boots, reads undionly.kpxe, boots",
			"offered undionly.kpxe; offered undionly.kpxe; undionly.kpxe did not start, next /ipxe.pxe"},
		{"reads the same file again", "boots, reads undionly.kpxe, reads undionly.kpxe",
			"offered undionly.kpxe; undionly.kpxe did not start, next /ipxe.pxe"},
		{"the other ROM starts", "boots, reads undionly.kpxe, waits 30s, boots, reads ipxe.pxe, ipxe a, boots, reads ipxe.pxe, ipxe a, boots",
			"offered undionly.kpxe; undionly.kpxe did not start, next /ipxe.pxe; offered /ipxe.pxe; ipxe.pxe started; offered /ipxe.pxe; offered /ipxe.pxe"},
		{"none starts", "boots, reads undionly.kpxe, waits 30s, boots, reads ipxe.pxe, waits 30s, boots, reads undionly.kpxe, waits 30s, boots",
			"offered undionly.kpxe; undionly.kpxe did not start, next /ipxe.pxe; offered /ipxe.pxe; ipxe.pxe did not start, next undionly.kpxe, exhausted; offered undionly.kpxe; offered /ipxe.pxe"},
		{"starts late", "boots, reads undionly.kpxe, waits 40s, ipxe a, boots",
			"offered undionly.kpxe; undionly.kpxe did not start, next /ipxe.pxe; offered undionly.kpxe"},
		{"fails again after it has started", "boots, reads undionly.kpxe, waits 40s, ipxe a, boots, reads undionly.kpxe, waits 30s",
			"offered undionly.kpxe; undionly.kpxe did not start, next /ipxe.pxe; offered undionly.kpxe; undionly.kpxe did not start, next /ipxe.pxe"},
		{"goes on by autoexec.ipxe", "uefi, reads sb/shim.efi, asks sb/autoexec.ipxe, waits 1h", "offered sb/shim.efi"},
		{"goes on although there is none", "uefi, reads sb/shim.efi, misses sb/autoexec.ipxe, waits 1h", "offered sb/shim.efi"},
		{"a shim finds its second stage", "uefi, reads sb/shim.efi, misses revocations.efi, stage sb/grubx64.efi, misses sb/autoexec.ipxe, waits 1h",
			"offered sb/shim.efi"},
		{"the second stage is refused", "uefi, reads sb/shim.efi, stage sb/grubx64.efi, waits 29s, waits 1s",
			"offered sb/shim.efi; sb/grubx64.efi did not start"},
		{"there is no second stage", "uefi, reads sb/shim.efi, misses revocations.efi, misses grubx64.efi, waits 30s",
			"offered sb/shim.efi; sb/shim.efi did not start, misses grubx64.efi"},
		{"a firmware without DHCP that we hear", "reads undionly.kpxe, waits 1h", ""},
		{"another iPXE that stays what it was", "old a, reads undionly.kpxe, old a, waits 1h", "offered undionly.kpxe; offered boot.ipxe"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLoader(t, NewResponder(ResponderConfig{Policy: twoROMs()}), 50)
			l.do(tt.story)
			if got := strings.Join(l.told, "; "); got != tt.want {
				t.Errorf("it went\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// TestCardModel checks that a machine is given at once what a machine with the
// same network card has started, and another card's machine is not.
func TestCardModel(t *testing.T) {
	r := NewResponder(ResponderConfig{Policy: twoROMs()})
	first := newLoader(t, r, 50)
	first.do("boots, reads undionly.kpxe, waits 30s, boots, reads ipxe.pxe, ipxe a")
	var got []string
	for last, story := range []string{"old a, reads ipxe.pxe, ipxe a", "old b", "boots"} {
		l := newLoader(t, r, byte(60+last))
		l.now = first.now
		l.do(story)
		got = append(got, l.told...)
	}
	if diff := cmp.Diff([]string{"offered /ipxe.pxe", "offered undionly.kpxe", "offered undionly.kpxe"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFallbackPolicy checks that a machine begins anew with the ROMs of another
// policy.
func TestFallbackPolicy(t *testing.T) {
	l := newLoader(t, NewResponder(ResponderConfig{Policy: twoROMs()}), 50)
	l.do("boots, reads undionly.kpxe, waits 30s, boots")
	changed := twoROMs()
	changed.Rules[1].Outcome.ROMs[BIOS] = []string{"new.kpxe", "/ipxe.pxe"}
	l.r.SetPolicy(changed)
	l.do("boots")
	if got := l.told[len(l.told)-1]; got != "offered new.kpxe" {
		t.Error(got)
	}
}

// TestStartBounds checks that machines that load and vanish take no more room
// than the table of machines has, and that each is reported in its turn.
func TestStartBounds(t *testing.T) {
	r := NewResponder(ResponderConfig{Policy: twoROMs()})
	m, now := r.machines, testTime
	const extra = 100
	for i := range maxMachines + extra {
		ip := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		l := &loader{t: t, r: r, now: now, mac: [6]byte{0x52, 0x54, 1, byte(i >> 16), byte(i >> 8), byte(i)}, ip: ip}
		l.discovers(ArchBIOS)
		for range 3 {
			m.ROMRead(ip, "undionly.kpxe", now)
		}
		now = now.Add(time.Millisecond)
	}
	if n := m.loading.waiting.Len(); n != maxMachines {
		t.Errorf("%d machines wait, want %d", n, maxMachines)
	}
	now = now.Add(startTime)
	seen := 0
	for {
		reports := m.StartReports(now)
		if len(reports) == 0 {
			break
		}
		if len(reports) > maxStartReports {
			t.Fatalf("%d reports at once", len(reports))
		}
		seen += len(reports)
	}
	// The first ones have read their ROM again, and were reported then.
	if want := maxMachines + extra; seen != want || m.loading.waiting.Len() != 0 {
		t.Errorf("%d reports, want %d; %d machines still wait", seen, want, m.loading.waiting.Len())
	}
}
