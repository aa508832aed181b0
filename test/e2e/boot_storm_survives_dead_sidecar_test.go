package e2e

// Many machines that boot at the same time while one of two sidecars is killed.

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

const (
	// stormSize is the number of machines in a storm, and stormGap the time
	// between the starts of simulated ones.
	stormSize = 12
	stormGap  = 150 * time.Millisecond
	// stormLimit bounds a storm. A machine whose server dies in the middle of a
	// file waits half a minute for it.
	stormLimit = 2 * time.Minute
	// ackPace is the time that a simulated machine takes for each packet, as
	// real ones do.
	ackPace = 20 * time.Millisecond
	// maxTries is how often a machine may begin. With one sidecar left, the
	// second try must succeed.
	maxTries = 2
	// interruptedReads is how many real machines must be in the first half of a
	// file when its server dies.
	interruptedReads = 3
)

// TestRealBootStorm switches twelve real machines on at once and kills the
// first sidecar that has several of them in the middle of a file. Every machine
// must boot: at once, or, if its read was interrupted, when its firmware has
// timed out and starts over. No machine reads more than one ROM to its end.
// They read by TFTP, which takes long enough to be interrupted.
//
// No other guest runs meanwhile. Twelve guests need about ten seconds of a core
// each, and twice as much if they start over.
func TestRealBootStorm(t *testing.T) {
	t.Parallel()
	p := newPair(t, "--http", "off")
	rom := optionROM(t, lab.Bookworm, lab.BIOS)
	size := must(os.Stat(filepath.Join(p.daemon.Root, "undionly.kpxe"))).Size()
	var guests []lab.Guest
	want := map[string]outcome{}
	for i := range stormSize {
		name := fmt.Sprint("bios-", i)
		guests = append(guests, lab.Guest{Name: name, MAC: fmt.Sprintf("52:54:00:12:00:%02x", i), Firmware: lab.BIOS, OptionROM: rom, Memory: 64, RebootAfter: time.Second})
		want[name] = outcome{Version: ipxe(t, lab.Sid).Version, Platform: "pcbios", Arch: "i386", ROMs: []string{"undionly.kpxe"}}
	}
	release := takeEverySlot()
	defer release()
	var all sync.WaitGroup
	all.Go(func() { p.bootAll(t, guests, want, p.bootNow) })
	victim, interrupted, err := p.busy(deadline(t, bootLimit), size/2)
	if err == nil {
		err = victim.Signal(syscall.SIGKILL)
	}
	if err != nil {
		t.Error(err)
	}
	all.Wait()
	for _, client := range interrupted {
		if got := p.lab.Capture.Traffic.Transfers(client, nil); len(got) != 2 || got[0].Complete || !got[1].Complete || got[1].Server.Addr() == victim.Address {
			t.Errorf("%s should be interrupted by the end of %s and read the file from the other: %+v", client, victim.Address, got)
		}
	}
	again := 0
	for _, m := range guests {
		if len(p.lab.Capture.Traffic.Transfers(m.MAC, nil)) > 1 {
			again++
		}
	}
	t.Logf("%d of %d machines asked for the file again when %s died; %d were in its first half", again, stormSize, victim.Address, len(interrupted))
	if p.daemon == victim {
		p.daemon = p.second
	}
	p.sound(t)
}

// busy waits until one of the sidecars has several clients that have read
// something of a file, but less than part of it. It returns the sidecar and the
// clients.
func (p *pair) busy(ctx context.Context, part int64) (d *lab.Daemon, clients []string, err error) {
	err = p.lab.Capture.Traffic.AwaitTransfers(ctx, "clients in the middle of a file", func(all []lab.Transfer) bool {
		for _, d = range []*lab.Daemon{p.daemon, p.second} {
			clients = nil
			for _, x := range all {
				if x.Server.Addr() == d.Address && 0 < x.Bytes && x.Bytes < part {
					clients = append(clients, x.Client)
				}
			}
			if len(clients) >= interruptedReads {
				return true
			}
		}
		return false
	})
	return d, clients, err
}

// TestBootStorm kills the first sidecar in the middle of a storm of simulated
// machines, and switches two real ones on at that moment. Every machine must
// boot: at once, or, if its read was interrupted, when its firmware begins
// again.
func TestBootStorm(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	victim := p.daemon
	p.daemon = p.second
	machines := newMachines(t, p)
	var all sync.WaitGroup
	ctx := deadline(t, stormLimit)
	for i, m := range machines {
		all.Go(func() {
			if pause(ctx, time.Duration(i)*stormGap) == nil {
				m.boot(ctx)
			}
		})
	}
	reading := func(x lab.Transfer) bool { return x.Server.Addr() == victim.Address && x.Bytes > 0 && !x.Complete }
	if _, err := p.lab.Capture.Traffic.AwaitTransfer(ctx, "", reading); err != nil {
		t.Errorf("nobody reads from %s: %v", victim.Address, err)
	}
	all.Go(func() {
		guests, want := pairGuests(t)
		p.bootAll(t, guests, want, p.boot)
	})
	if err := victim.Signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	all.Wait()
	checkStorm(t, p, victim, machines)
	p.sound(t)
}

// checkStorm checks that every machine booted with one download.
func checkStorm(t *testing.T, p pair, victim *lab.Daemon, machines []*simulatedMachine) {
	t.Helper()
	again := 0
	for _, m := range machines {
		if m.err != nil {
			t.Errorf("%s: %d tries, %v", m.Name, m.tries, m.err)
		}
		if m.failure != nil {
			again++
			t.Logf("%s began again: %v", m.Name, m.failure)
		}
		// The capture may not have seen the last acknowledgment yet.
		if _, err := p.lab.Capture.Traffic.AwaitTransfer(deadline(t, stepLimit), m.MAC, func(x lab.Transfer) bool { return x.Complete }); err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
		if got := p.lab.Capture.Traffic.Completed(m.MAC); len(got) != 1 {
			t.Errorf("%s read %q", m.Name, got)
		}
	}
	if again == len(machines) {
		t.Error("every machine had to begin again")
	}
	t.Logf("%d of %d machines began again when %s died", again, len(machines), victim.Address)
}
