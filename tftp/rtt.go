package tftp

// The retransmission timer of one transfer: RFC 6298's estimator with a floor for a local network.

import "time"

const (
	// firstRTO is the timer before anything was measured. RFC 6298 says 1 s for the Internet; boot clients are a few routers away and
	// answer an OACK at once. With its jitter it must end before the quarter of a second after which iPXE repeats itself: an answer that
	// the client's own timer brought looks like a long round trip, and it takes many short ones to forget that.
	firstRTO = 200 * time.Millisecond

	// minRTO keeps the timer above the scheduling noise of busy hosts and polled network cards.
	minRTO = 20 * time.Millisecond

	// maxRTO ends the back-off.
	maxRTO = 5 * time.Second

	// activeRTO ends it for a client that was heard moments ago: on a wire that loses a tenth, several losses in a row are no sign of an
	// absent client, and waiting seconds for it is what makes peers take half a minute. It is below iPXE's timer, too.
	activeRTO = 200 * time.Millisecond
)

// An estimator measures round trips and says how long to wait for an answer.
type estimator struct {
	smoothed  time.Duration // SRTT, 0 before the first sample
	variation time.Duration // RTTVAR
	least     time.Duration // the shortest round trip seen
	rto       time.Duration // current timer
	ceiling   time.Duration // end of the back-off
}

// newEstimator starts with no measurement. A client that named a timeout option has its number as the end of the back-off.
func newEstimator(timeout time.Duration) estimator {
	ceiling := maxRTO
	if timeout != 0 {
		ceiling = timeout
	}
	return estimator{rto: firstRTO, ceiling: ceiling}
}

// sample takes in a round trip. By Karn's rule the caller never offers one of a flight that was sent twice, so a backed-off timer stays
// until a clean measurement (or recover): a client slower than the timer is sent a few duplicates, not one for each packet. A round trip far below
// what was usual so far is no variation to allow for: what came before it was the client's own timer (pxelinux has one of 110 ms), and is
// forgotten by halves.
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
	e.rto = e.settled()
}

// settled is the timer that the measurements ask for, without back-off.
func (e *estimator) settled() time.Duration {
	return min(max(e.smoothed+4*e.variation, minRTO), e.ceiling)
}

// plausible reports whether a round trip is like those measured.
func (e *estimator) plausible(trip time.Duration) bool {
	return trip >= e.least*3/4 && trip <= e.smoothed+4*e.variation
}

// recover ends the back-off when the answer to a repetition came after a usual round trip: then the first copy was lost, and the client is no
// slower than it was. Of a slow client's answer to the first copy that is unlikely. Karn's rule would keep the back-off, which on a wire that
// loses every tenth packet adds up.
func (e *estimator) recover(trip time.Duration) {
	if e.smoothed != 0 && e.plausible(trip) {
		e.rto = e.settled()
	}
}

// backOff doubles the timer after it fired, up to a limit for the time being, and never shortens it.
func (e *estimator) backOff(limit time.Duration) {
	e.rto = max(e.rto, min(2*e.rto, e.ceiling, limit))
}
