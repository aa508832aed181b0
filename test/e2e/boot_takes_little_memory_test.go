package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// bootMemory is how much memory the daemon may use for one boot.
const bootMemory = 8 << 20

// TestMemoryDuringBoot measures resident memory while a machine boots: before,
// the maximum, and after.
func TestMemoryDuringBoot(t *testing.T) {
	t.Parallel()
	newest := ipxe(t, lab.Sid)
	r := scenario{sidecar: sidecar(roms(t, lab.Sid, everyROM...), "--ipxe-version", ">="+newest.Version)}.setUp(t)
	before := must(r.daemon.Memory())
	ctx, stop := context.WithCancel(deadline(t, bootLimit))
	defer stop()
	most := make(chan int64)
	go func() { most <- maxMemory(ctx, r.daemon) }()
	want := outcome{Version: newest.Version, Platform: "efi", Arch: "x86_64", ROMs: []string{"snponly.efi"}, Asked4011: 1, Answered4011: 1}
	got, _ := r.boot(t, lab.Guest{Name: "ovmf", Firmware: lab.OVMF64})
	stop()
	peak, after := <-most, must(r.daemon.Memory())
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("evidence (-want +got):\n%s", diff)
	}
	t.Logf("resident %d KiB when idle, at most %d KiB during a boot, %d KiB after it", before>>10, peak>>10, after>>10)
	if peak-before > bootMemory {
		t.Errorf("one boot took %d KiB", (peak-before)>>10)
	}
	r.sound(t)
}

// maxMemory samples a daemon's resident memory until the context ends, and
// returns the maximum. Serving a ROM takes the daemon some hundredths of a
// second, so it samples more often than that.
func maxMemory(ctx context.Context, d *lab.Daemon) int64 {
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
