package tftp

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// ms is a millisecond.
const ms = time.Millisecond

// step is one event and what must follow.
type step struct {
	at     time.Duration
	event  string // "begin", "ack N", "expire", "ask", "ask other", "error N", "closed"
	want   burst
	result Result
}

// play runs steps and compares what follows.
func play(t *testing.T, name string, agreed terms, size int64, steps []step) {
	t.Helper()
	m := newTransfer(agreed, size, 1)
	for i, s := range steps {
		var got burst
		var n int
		switch {
		case s.event == "begin":
			got = m.begin(s.at)
		case s.event == "expire":
			if m.deadline > s.at {
				t.Errorf("%s, step %d: deadline is %v", name, i, m.deadline)
			}
			got = m.expire(s.at)
		case s.event == "closed":
			m.closed()
		case s.event == "ask":
			got, _ = m.ask(true, s.at)
		case s.event == "ask other":
			if _, restart := m.ask(false, s.at); !restart {
				t.Errorf("%s, step %d: not restarted", name, i)
			}
		default:
			if _, err := fmt.Sscanf(s.event, "ack %d", &n); err == nil {
				got = m.ack(uint16(n), s.at)
			} else if _, err := fmt.Sscanf(s.event, "error %d", &n); err == nil {
				m.stop(uint16(n))
			}
		}
		if diff := cmp.Diff(s.want, got, cmp.AllowUnexported(burst{})); diff != "" {
			t.Errorf("%s, step %d, %s (-want +got):\n%s", name, i, s.event, diff)
		}
		if m.result != s.result {
			t.Errorf("%s, step %d, %s: result %v, want %v", name, i, s.event, m.result, s.result)
		}
	}
}

// TestTransfer checks transfers step by step.
func TestTransfer(t *testing.T) {
	plain := terms{block: 512, window: 1}
	lockstep := terms{granted: Options{BlockSize: 512, Size: true}, block: 512, window: 1}
	window4 := terms{granted: Options{BlockSize: 512, WindowSize: 4, Size: true}, block: 512, window: 4}
	oack := burst{oack: true}
	blocks := func(first int64, count int) burst { return burst{first: first, count: count} }
	var nothing burst

	for _, c := range []struct {
		name   string
		agreed terms
		size   int64
		steps  []step
	}{
		{"without options", plain, 600, []step{
			{0, "begin", blocks(1, 1), 0},
			{1 * ms, "ack 1", blocks(2, 1), 0},
			{2 * ms, "ack 2", nothing, Completed},
		}},
		{"half of a last window that was sent twice", window4, 3*512 + 10, []step{
			{0, "begin", oack, 0},
			{1 * ms, "ack 0", blocks(1, 4), 0},
			{300 * ms, "expire", blocks(1, 4), 0},
			{301 * ms, "ack 2", nothing, 0},
			{302 * ms, "ack 4", nothing, Completed},
		}},
		{"empty file", plain, 0, []step{{0, "begin", blocks(1, 1), 0}, {ms, "ack 1", nothing, Completed}}},
		{"one byte", lockstep, 1, []step{{0, "begin", oack, 0}, {ms, "ack 0", blocks(1, 1), 0}, {2 * ms, "ack 1", nothing, Completed}}},
		{"multiple of the block ends with an empty one", lockstep, 1024, []step{
			{0, "begin", oack, 0},
			{1 * ms, "ack 0", blocks(1, 1), 0},
			{2 * ms, "ack 1", blocks(2, 1), 0},
			{3 * ms, "ack 2", blocks(3, 1), 0},
			{4 * ms, "ack 3", nothing, Completed},
		}},
		{"window, the last one short", window4, 512*5 + 1, []step{
			{0, "begin", oack, 0},
			{1 * ms, "ack 0", blocks(1, 4), 0},
			{2 * ms, "ack 4", blocks(5, 2), 0},
			{3 * ms, "ack 6", nothing, Completed},
		}},
		{"only the OACK until it is answered", window4, 1 << 20, []step{
			{0, "begin", oack, 0},
			{1 * ms, "ack 1", nothing, 0},
			{2 * ms, "ack 4", nothing, 0},
			{300 * ms, "expire", oack, 0},
			{1 * time.Second, "expire", oack, 0},
			{11 * time.Second, "expire", nothing, TimedOut},
		}},
		{"a late answer to the last OACK", lockstep, 1024, []step{
			{0, "begin", oack, 0},
			{300 * ms, "expire", oack, 0},
			{1 * time.Second, "expire", oack, 0},
			{10 * time.Second, "ack 0", blocks(1, 1), 0},
		}},
		{"DATA 1 at most three times for a forged request", plain, 1 << 20, []step{
			{0, "begin", blocks(1, 1), 0},
			{300 * ms, "expire", blocks(1, 1), 0},
			{1 * time.Second, "expire", blocks(1, 1), 0},
			{11 * time.Second, "expire", nothing, TimedOut},
		}},
		{"nobody has the port", window4, 4096, []step{
			{0, "begin", oack, 0},
			{1 * ms, "ack 0", blocks(1, 4), 0},
			{2 * ms, "closed", nothing, Aborted},
		}},
		{"the port is closed after the size", lockstep, 1024, []step{
			{0, "begin", oack, 0},
			{1 * ms, "closed", nothing, Probed},
		}},
		{"the port is closed after the final block", plain, 600, []step{
			{0, "begin", blocks(1, 1), 0},
			{1 * ms, "ack 1", blocks(2, 1), 0},
			{2 * ms, "closed", nothing, Completed},
		}},
		{"a duplicate ACK sends nothing", lockstep, 5000, []step{
			{0, "begin", oack, 0},
			{1 * ms, "ack 0", blocks(1, 1), 0},
			{1 * ms, "ack 0", nothing, 0},
			{2 * ms, "ack 1", blocks(2, 1), 0},
			{2 * ms, "ack 1", nothing, 0},
			{3 * ms, "ack 1", nothing, 0},
			{4 * ms, "ack 0", nothing, 0},
			{4 * ms, "ack 3", nothing, 0},
			{4 * ms, "ack 65535", nothing, 0},
			{5 * ms, "ack 2", blocks(3, 1), 0},
		}},
		{"a duplicate ACK after a while brings the block again, once", lockstep, 5000, []step{
			{0, "begin", oack, 0},
			{500 * ms, "ack 0", blocks(1, 1), 0},
			{590 * ms, "ack 0", nothing, 0},
			{601 * ms, "ack 0", blocks(1, 1), 0},
			{602 * ms, "ack 0", nothing, 0},
			{1999 * ms, "ack 0", nothing, 0},
		}},
		{"an ACK within the window rewinds", window4, 512 * 20, []step{
			{0, "begin", oack, 0},
			{1 * ms, "ack 0", blocks(1, 4), 0},
			{2 * ms, "ack 2", blocks(3, 4), 0},
			{2 * ms, "ack 2", nothing, 0},
			{3 * ms, "ack 6", blocks(7, 4), 0},
		}},
		{"the first block of a window lost", window4, 512 * 20, []step{
			{0, "begin", oack, 0},
			{1 * ms, "ack 0", blocks(1, 4), 0},
			{2 * ms, "ack 4", blocks(5, 4), 0},
			{3 * ms, "ack 4", blocks(5, 4), 0},
			{3 * ms, "ack 4", nothing, 0},
			{3 * ms, "ack 4", nothing, 0},
			{4 * ms, "ack 8", blocks(9, 4), 0},
		}},
		{"a duplicate ACK too early for that", window4, 512 * 20, []step{
			{0, "begin", oack, 0},
			{1 * ms, "ack 0", blocks(1, 4), 0},
			{2 * ms, "ack 4", blocks(5, 4), 0},
			{2*ms + 700*time.Microsecond, "ack 4", nothing, 0},
		}},
		{"after a repetition an ACK tells where the client is", window4, 512 * 20, []step{
			{0, "begin", oack, 0},
			{1 * ms, "ack 0", blocks(1, 4), 0},
			{2 * ms, "ack 4", blocks(5, 4), 0},
			{30 * ms, "expire", blocks(5, 4), 0},
			{31 * ms, "ack 7", blocks(9, 3), 0}, // 8 is under way
			{31 * ms, "ack 7", nothing, 0},
			{31 * ms, "ack 7", nothing, 0},
			{32 * ms, "ack 11", blocks(12, 4), 0},
		}},
		{"repetitions shrink", window4, 512 * 20, []step{
			{0, "begin", oack, 0},
			{1 * ms, "ack 0", blocks(1, 4), 0},
			{1 * time.Second, "expire", blocks(1, 4), 0},
			{2 * time.Second, "expire", blocks(1, 4), 0},
			{3 * time.Second, "expire", blocks(1, 2), 0},
			{9 * time.Second, "expire", blocks(1, 1), 0},
			{20 * time.Second, "expire", blocks(1, 1), 0},
			{61 * time.Second, "expire", nothing, TimedOut},
		}},
		{"the request again before it was answered", window4, 512 * 20, []step{
			{0, "begin", oack, 0},
			{20 * ms, "ask", oack, 0},
			{21 * ms, "ack 0", blocks(1, 4), 0},
			{22 * ms, "ask", nothing, 0},
			{23 * ms, "ask other", nothing, 0},
		}},
		{"the request again without options", plain, 5000, []step{
			{0, "begin", blocks(1, 1), 0},
			{200 * ms, "ask", blocks(1, 1), 0},
			{201 * ms, "ack 1", blocks(2, 1), 0},
			{202 * ms, "ask", nothing, 0},
		}},
		{"edk2's size probe", window4, 5000, []step{{0, "begin", oack, 0}, {ms, "error 8", nothing, Probed}}},
		{"iPXE's size query", lockstep, 5000, []step{{0, "begin", oack, 0}, {ms, "error 0", nothing, Probed}}},
		{"edk2 dislikes the OACK", lockstep, 5000, []step{{0, "begin", oack, 0}, {ms, "error 4", nothing, Aborted}}},
		{"pxelinux dislikes the OACK", terms{granted: Options{BlockSize: 512}, block: 512, window: 1}, 5000, []step{{0, "begin", oack, 0}, {ms, "error 8", nothing, Aborted}}},
		{"closed in the middle", lockstep, 5000, []step{{0, "begin", oack, 0}, {ms, "ack 0", blocks(1, 1), 0}, {2 * ms, "error 0", nothing, Aborted}}},
		{"the final block unacknowledged", lockstep, 5000, []step{
			{0, "begin", oack, 0},
			{1 * ms, "ack 0", blocks(1, 1), 0}, {2 * ms, "ack 1", blocks(2, 1), 0}, {3 * ms, "ack 2", blocks(3, 1), 0},
			{4 * ms, "ack 3", blocks(4, 1), 0}, {5 * ms, "ack 4", blocks(5, 1), 0}, {6 * ms, "ack 5", blocks(6, 1), 0},
			{7 * ms, "ack 6", blocks(7, 1), 0}, {8 * ms, "ack 7", blocks(8, 1), 0}, {9 * ms, "ack 8", blocks(9, 1), 0},
			{10 * ms, "ack 9", blocks(10, 1), 0},
			{1 * time.Second, "expire", blocks(10, 1), 0}, {2 * time.Second, "expire", blocks(10, 1), 0},
			{3 * time.Second, "expire", blocks(10, 1), 0}, {4 * time.Second, "expire", blocks(10, 1), 0},
			{6 * time.Second, "expire", blocks(10, 1), 0}, {8 * time.Second, "expire", blocks(10, 1), 0},
			{11 * time.Second, "expire", blocks(10, 1), 0}, {14 * time.Second, "expire", blocks(10, 1), 0},
			{20 * time.Second, "expire", nothing, Completed},
		}},
	} {
		play(t, c.name, c.agreed, c.size, c.steps)
	}
}

// TestEstimator checks that the timer follows the round trip, with a minimum,
// and stays backed off until a clean measurement.
func TestEstimator(t *testing.T) {
	e := newEstimator(0)
	var got []time.Duration
	note := func() { got = append(got, e.rto) }
	note()
	e.sample(100 * ms)
	note()
	e.sample(100 * ms)
	note()
	e.backOff(maxRTO)
	note()
	e.recover(400 * ms) // maybe a slow client's answer to the first copy
	note()
	e.recover(100 * ms)
	note()
	for range 4 { // long round trips are forgotten soon
		e.sample(ms)
	}
	note()
	for range 20 {
		e.backOff(maxRTO)
	}
	note()
	want := []time.Duration{200 * ms, 300 * ms, 250 * ms, 500 * ms, 500 * ms, 250 * ms, 20 * ms, 5 * time.Second}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("timer (-want +got):\n%s", diff)
	}
	// A client that is slow from time to time does not count as fast in
	// between.
	e = newEstimator(0)
	for i := range 40 {
		e.sample([]time.Duration{ms, 100 * ms}[i%2])
		if i > 4 && e.rto < 110*ms {
			t.Errorf("after %d round trips of 1 and 100 ms the timer is %v", i+1, e.rto)
		}
	}
	if e := newEstimator(2 * time.Second); e.ceiling != 2*time.Second {
		t.Errorf("ceiling %v", e.ceiling)
	}
}
