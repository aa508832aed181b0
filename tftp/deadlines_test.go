package tftp

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestDeadlines checks after any additions, moves and removals that the first
// session is the earliest, and that each session knows its slot.
func TestDeadlines(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		var d deadlines
		sessions := make([]session, 20)
		for range 200 {
			s, at := &sessions[random.IntN(len(sessions))], time.Duration(random.IntN(1000))
			switch {
			case random.IntN(3) == 0:
				d.remove(s)
			case s.slot != 0 && d.first() == s && random.IntN(2) == 0:
				d.delay(max(at, s.alarm))
			default:
				d.set(s, at)
			}
			in := 0
			for i := range sessions {
				s := &sessions[i]
				if s.slot == 0 {
					continue
				}
				in++
				if d[s.slot-1] != s || s.alarm < d.first().alarm {
					t.Fatalf("seed %d: slot %d of %d, alarm %d, the first at %d", seed, s.slot, len(d), s.alarm, d.first().alarm)
				}
			}
			if in != len(d) {
				t.Fatalf("seed %d: %d are in, %d know it", seed, len(d), in)
			}
		}
	}
}
