package e2e

// Two sidecars with the same policy on one segment.

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// pair is a trial with two sidecars of the same policy, on two hosts. Its
// daemon is the first of them.
type pair struct {
	trial
	second *lab.Daemon
}

// secondAddress is the second sidecar's address, counted from the segment's
// start.
const secondAddress = 4

// newPair builds the network; args are further arguments of both sidecars. The
// DHCP server pings an address before it offers it, so that both sidecars'
// OFFERs come before its own.
func newPair(t *testing.T, args ...string) pair {
	t.Helper()
	policy := append([]string{"--log-level", "debug", "--ipxe-version", ">=" + ipxe(t, lab.Sid).Version}, args...)
	s := scenario{sidecar: sidecar(roms(t, lab.Sid, everyROM...), policy...), dhcp: func(*lab.Lab) lab.DHCP { return lab.DHCP{PingCheck: true} }}
	p := pair{trial: s.setUp(t)}
	host, err := p.lab.NewHost("second")
	if err != nil {
		t.Fatal(err)
	}
	address := p.lab.LAN.Address(secondAddress)
	iface, err := host.Join(p.lab.LAN, address)
	if err == nil {
		err = host.FullChecksums(iface)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.lab.Name("proxy "+address.String(), "second")
	p.second, err = p.lab.StartSidecar(deadline(t, stepLimit), lab.Sidecar{Host: host, Address: address, Args: append(policy, "--root", p.daemon.Root)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// pairGuests returns the real machines of these tests and their outcomes. The
// counts of port 4011 are left out, because a machine may ask both sidecars.
func pairGuests(t *testing.T) ([]lab.Guest, map[string]outcome) {
	newest := ipxe(t, lab.Sid)
	return []lab.Guest{
			{Name: "ovmf", Firmware: lab.OVMF64},
			{Name: "bios", Firmware: lab.BIOS, OptionROM: optionROM(t, lab.Bookworm, lab.BIOS)},
		}, map[string]outcome{
			"ovmf": {Version: newest.Version, Platform: "efi", Arch: "x86_64", ROMs: []string{"snponly.efi"}},
			"bios": {Version: newest.Version, Platform: "pcbios", Arch: "i386", HTTP: []string{"undionly.kpxe"}},
		}
}

// bootAll boots real machines, all at once, each by the function boot, and
// compares the outcomes.
func (p *pair) bootAll(t *testing.T, guests []lab.Guest, want map[string]outcome, boot func(*testing.T, lab.Guest) (outcome, bool)) {
	got := map[string]outcome{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, g := range guests {
		all.Go(func() {
			if o, ok := boot(t, g); ok {
				o.Asked4011, o.Answered4011 = 0, 0
				mu.Lock()
				defer mu.Unlock()
				got[g.Name] = o
			}
		})
	}
	all.Wait()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("evidence (-want +got):\n%s", diff)
	}
}
