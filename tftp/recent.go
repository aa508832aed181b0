package tftp

// Who has just had a transfer.

import "time"

// linger is how long the client of a finished transfer is remembered: a late duplicate of its final ACK is then no stranger, and does not get an
// ERROR that might hit the next transfer of a client that always uses the same port.
const linger = 3 * time.Second

// recent are the clients whose transfers ended a moment ago.
type recent struct {
	limit int
	ended map[clientKey]time.Duration // when each last did
	order []ending                    // as they ended
}

// ending is the end of one transfer.
type ending struct {
	key clientKey
	at  time.Duration
}

// newRecent makes an empty memory of so many ends.
func newRecent(limit int) recent { return recent{limit: limit, ended: map[clientKey]time.Duration{}} }

// add notes that a client's transfer ends now. The oldest is forgotten where there is no room.
func (r *recent) add(key clientKey, now time.Duration) {
	if len(r.order) == r.limit {
		r.forget()
	}
	r.ended[key] = now
	r.order = append(r.order, ending{key, now})
}

// has reports whether a client's transfer ended a moment ago.
func (r *recent) has(key clientKey, now time.Duration) bool {
	at, ok := r.ended[key]
	return ok && now-at < linger
}

// expire forgets who has been remembered for long enough. It frees memory, which can wait until something is to be done anyway.
func (r *recent) expire(now time.Duration) {
	for len(r.order) > 0 && now-r.order[0].at >= linger {
		r.forget()
	}
}

// forget forgets the oldest end, and with it the client, unless another of its transfers has ended since.
func (r *recent) forget() {
	oldest := r.order[0]
	r.order = r.order[1:]
	if r.ended[oldest.key] == oldest.at {
		delete(r.ended, oldest.key)
	}
}
