package e2e

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// startLimit is the maximum time between the start of the program and its first
// OFFER.
const startLimit = 2 * time.Second

// TestFigures measures the time from exec to the first OFFER, resident memory,
// and the binary's size.
func TestFigures(t *testing.T) {
	l := newLab(t)
	host, err := l.NewServerHost("pxesidecar")
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.NewClient("booting")
	if err != nil {
		t.Fatal(err)
	}
	path, err := stock.Sidecar(deadline(t, bootLimit))
	if err != nil {
		t.Fatal(err)
	}
	tree := roms(t, lab.Sid, everyROM...)
	ctx, stop := context.WithCancel(deadline(t, stepLimit))
	defer stop()
	asking := make(chan error, 1)
	go func() { asking <- askAlways(ctx, c) }()
	d, err := l.LaunchSidecar(ctx, lab.Sidecar{Host: host, Root: tree})
	if err != nil {
		t.Fatal(err)
	}
	m, err := l.Capture.Traffic.AwaitMessage(ctx, c.MAC, func(m lab.Message) bool { return m.Src == d.At(67) })
	if err != nil {
		t.Fatalf("%v\n%s", err, d.Output)
	}
	took := m.At.Sub(d.Started)
	stop()
	if err := <-asking; err != nil {
		t.Error(err)
	}
	idle := must(d.Memory())
	info := must(os.Stat(path))
	t.Logf("from exec to the first OFFER %d ms; resident when idle %d KiB; binary %d KiB", took.Milliseconds(), idle>>10, info.Size()>>10)
	if took > stretched(startLimit) {
		t.Errorf("the first OFFER came after %s", took)
	}
}

// askAlways sends DISCOVERs, several every hundredth of a second, until the
// context ends.
func askAlways(ctx context.Context, c *lab.Client) error {
	tick := time.NewTicker(4 * time.Millisecond)
	defer tick.Stop()
	discover, err := c.Message(dhcpv4.MessageTypeDiscover, pxeOptions()...)
	for err == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			err = c.Broadcast(discover)
		}
	}
	return err
}
