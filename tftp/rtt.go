package tftp

// The retransmission timer of one transfer: the estimator of RFC 6298, with a
// minimum for local networks.

import "time"

const (
	// firstRTO is the timer before anything was measured. RFC 6298 says 1 s for
	// the Internet; boot clients are a few routers away and answer an OACK at
	// once. With its jitter it must end before 250 ms, when iPXE repeats its
	// packet: an answer that the client's own timer caused looks like a long
	// round trip, and it takes many short ones to forget that.
	firstRTO = 200 * time.Millisecond

	// minRTO keeps the timer above the delays of busy hosts and polled network
	// cards.
	minRTO = 20 * time.Millisecond

	// maxRTO is the end of the back-off.
	maxRTO = 5 * time.Second

	// activeRTO is the end of the back-off for a client that was heard moments
	// ago. On a wire that loses a tenth of the packets, several losses in a row
	// do not mean that the client is gone, and waiting seconds for it makes
	// other servers take half a minute. It is below iPXE's timer, too.
	activeRTO = 200 * time.Millisecond
)

// estimator measures round trips and computes how long to wait for an answer.
type estimator struct {
	smoothed  time.Duration // SRTT, 0 before the first sample
	variation time.Duration // RTTVAR
	least     time.Duration // the shortest round trip seen
	rto       time.Duration // current timer
	ceiling   time.Duration // end of the back-off
}

// newEstimator returns an estimator without measurements. The back-off ends at
// the timeout that the client asked for, if it did.
func newEstimator(timeout time.Duration) estimator {
	ceiling := maxRTO
	if timeout != 0 {
		ceiling = timeout
	}
	return estimator{rto: firstRTO, ceiling: ceiling}
}

// sample adds a measured round trip. By Karn's rule the caller never measures
// blocks that were sent twice, so a timer that was backed off stays so until a
// clean measurement (or recover): a client slower than the timer is sent a few
// duplicates, not one for each packet. A round trip far below the usual one
// does not count as variation. The longer ones before it were the client's own
// timer (pxelinux has one of 110 ms), and half of what they added is forgotten
// at once.
func (e *estimator) sample(trip time.Duration) {
	trip = max(trip, time.Microsecond)
	switch {
	case e.smoothed == 0:
		e.smoothed, e.variation, e.least = trip, trip/2, trip
	case trip < e.smoothed-e.variation:
		e.smoothed, e.variation, e.least = (e.smoothed+trip)/2, e.variation/2, min(e.least, trip)
	default:
		e.variation += ((e.smoothed - trip).Abs() - e.variation) / 4
		e.smoothed += (trip - e.smoothed) / 8
		e.least = min(e.least, trip)
	}
	e.rto = e.measured()
}

// measured returns the timer that follows from the measurements, without
// back-off.
func (e *estimator) measured() time.Duration {
	return min(max(e.smoothed+4*e.variation, minRTO), e.ceiling)
}

// usual reports whether a round trip is like those measured.
func (e *estimator) usual(trip time.Duration) bool {
	return trip >= e.least*3/4 && trip <= e.smoothed+4*e.variation
}

// recover ends the back-off when the answer to a repetition came after a usual
// round trip: then the first copy was lost, and the client is as fast as
// before. It is unlikely that this is a slow client's answer to the first copy.
// Karn's rule would keep the back-off, which adds up on a wire that loses every
// tenth packet.
func (e *estimator) recover(trip time.Duration) {
	if e.smoothed != 0 && e.usual(trip) {
		e.rto = e.measured()
	}
}

// backOff doubles the timer after it fired, up to a limit that holds for now.
// It never shortens the timer.
func (e *estimator) backOff(limit time.Duration) {
	e.rto = max(e.rto, min(2*e.rto, e.ceiling, limit))
}
