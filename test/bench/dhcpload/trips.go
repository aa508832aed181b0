package dhcpload

import "time"

// trips is a histogram of round trips. It is exact to one part in 64, for any
// size and number.
type trips struct {
	counts  [64 * 64]int
	total   int
	longest time.Duration
}

// slot returns where a duration is counted: its power of two, and the six bits
// after the first.
func slot(d time.Duration) int {
	exponent := 0
	for d >= 128 {
		d >>= 1
		exponent++
	}
	return exponent*64 + int(d)
}

// value returns the least duration that is counted in a slot.
func value(slot int) time.Duration {
	if slot < 128 {
		return time.Duration(slot)
	}
	exponent := slot/64 - 1
	return time.Duration(slot-exponent*64) << exponent
}

// add counts a round trip.
func (t *trips) add(d time.Duration) {
	t.counts[slot(d)]++
	t.total++
	t.longest = max(t.longest, d)
}

// quantile returns the round trip that a share of all does not exceed, or 0 if
// there was none.
func (t *trips) quantile(share float64) time.Duration {
	if share >= 1 {
		return t.longest
	}
	left := int(share * float64(t.total))
	for i, n := range t.counts {
		if left -= n; left < 0 {
			return value(i)
		}
	}
	return 0
}
