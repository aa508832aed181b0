package tftp

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

// TestNeighbors checks that hosts which the kernel knows are always answered,
// and of the others so many a second.
func TestNeighbors(t *testing.T) {
	var failure error
	asked := 0
	n := newNeighbors(func(_ int, host netip.Addr) (bool, error) {
		asked++
		return host.As4()[0] == 192, failure
	})
	answered := func(first byte, now time.Duration) (count int) {
		for i := range 2 * maxUnresolved {
			if n.allow(1, netip.AddrFrom4([4]byte{first, 0, 0, byte(i)}), now) {
				count++
			}
		}
		return count
	}
	for _, c := range []struct {
		first   byte
		now     time.Duration
		failure error
		want    int
		asked   int
	}{
		{203, 0, nil, maxUnresolved, 2 * maxUnresolved},
		{203, 0, nil, 0, 2 * maxUnresolved},
		{192, 0, nil, 2 * maxUnresolved, 2 * maxUnresolved},
		{192, resolvedLife / 2, nil, 2 * maxUnresolved, 0},
		{192, 2 * resolvedLife, nil, 2 * maxUnresolved, 2 * maxUnresolved},
		{203, 2 * resolvedLife, nil, maxUnresolved, 2 * maxUnresolved},
		{10, 2 * resolvedLife, errors.New("no netlink"), 2 * maxUnresolved, 2 * maxUnresolved},
	} {
		asked, failure = 0, c.failure
		if got := answered(c.first, c.now); got != c.want || asked != c.asked {
			t.Errorf("%d.0.0.0 at %v: %d answered, %d lookups; want %d, %d", c.first, c.now, got, asked, c.want, c.asked)
		}
	}
}
