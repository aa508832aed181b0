package test

// Figures that a note quotes: how soon the daemon answers, how much memory and disk it takes.

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// startLimit is the most that may pass between the start of the program and its first OFFER.
const startLimit = 2 * time.Second

// TestFigures measures the time from exec to the first OFFER, resident memory before and after, and the binary's size.
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

// askAlways sends DISCOVERs, a few every hundredth of a second, until the context ends.
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

// TestMemoryDuringBoot measures resident memory while a machine boots: before it, the most, and after it.
func TestMemoryDuringBoot(t *testing.T) {
	t.Parallel()
	newest := ipxe(t, lab.Sid)
	r := scenario{sidecar: sidecar(roms(t, lab.Sid, everyROM...), "--ipxe-version", ">="+newest.Version)}.setUp(t)
	before := must(r.daemon.Memory())
	ctx, stop := context.WithCancel(deadline(t, bootLimit))
	defer stop()
	most := make(chan int64)
	go func() { most <- mostMemory(ctx, r.daemon) }()
	want := outcome{Version: newest.Version, Platform: "efi", Arch: "x86_64", ROMs: []string{"snponly.efi"}, Asked4011: 1, Answered4011: 1}
	got, _ := r.boot(t, lab.Guest{Name: "ovmf", Firmware: lab.OVMF64})
	stop()
	peak, after := <-most, must(r.daemon.Memory())
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("evidence (-want +got):\n%s", diff)
	}
	t.Logf("resident %d KiB when idle, at most %d KiB during a boot, %d KiB after it", before>>10, peak>>10, after>>10)
	if peak-before > memoryGrowth {
		t.Errorf("one boot took %d KiB", (peak-before)>>10)
	}
	r.sound(t)
}

// mostMemory samples a daemon's resident memory until the context ends, and returns the most. A ROM takes the daemon
// some hundredths of a second, so it looks more often than that.
func mostMemory(ctx context.Context, d *lab.Daemon) int64 {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	var most int64
	for {
		select {
		case <-ctx.Done():
			return most
		case <-tick.C:
			if now, err := d.Memory(); err == nil {
				most = max(most, now)
			}
		}
	}
}
