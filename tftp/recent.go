package tftp

// The clients whose transfers ended a moment ago.

import "time"

// linger is how long the client of a finished transfer is remembered. A late
// duplicate of its final ACK must not be answered with an ERROR, which could
// end the next transfer of a client that always uses the same port.
const linger = 3 * time.Second

// recent is a list of the clients whose transfers ended a moment ago, each with
// the port of ours that it spoke with.
type recent struct {
	limit int
	ended map[peers]time.Duration // when the last transfer of each did
	order []ending                // as they ended
}

// peers are a client and the port of ours that it speaks with.
type peers struct {
	client clientKey
	via    int
}

// ending is the end of one transfer.
type ending struct {
	key peers
	at  time.Duration
}

// newRecent returns an empty list with room for so many transfers.
func newRecent(limit int) recent { return recent{limit: limit, ended: map[peers]time.Duration{}} }

// add adds a client whose transfer ends now. If there is no room, it removes
// the oldest.
func (r *recent) add(key peers, now time.Duration) {
	if len(r.order) == r.limit {
		r.removeOldest()
	}
	r.ended[key] = now
	r.order = append(r.order, ending{key, now})
}

// has reports whether a client's transfer ended a moment ago.
func (r *recent) has(key peers, now time.Duration) bool {
	at, ok := r.ended[key]
	return ok && now-at < linger
}

// expire removes the clients that have been remembered for long enough. It only
// frees memory, so it needs no timer of its own.
func (r *recent) expire(now time.Duration) {
	for len(r.order) > 0 && now-r.order[0].at >= linger {
		r.removeOldest()
	}
}

// removeOldest removes the transfer that ended first, and its client, unless
// another of its transfers has ended since.
func (r *recent) removeOldest() {
	oldest := r.order[0]
	r.order = r.order[1:]
	if r.ended[oldest.key] == oldest.at {
		delete(r.ended, oldest.key)
	}
}
