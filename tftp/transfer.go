package tftp

// One transfer as a state machine. It has no socket, clock or file: each step is told what arrived and what time it is, returns what to send,
// and leaves in deadline when it wants to be woken. Times are durations since an epoch the caller chose.
//
// Two faults of the protocol shape it.
//
// The Sorcerer's Apprentice (RFC 1123, section 4.2.3.1): a server that answers a duplicate ACK with data, before a client that answers
// duplicate data with an ACK (edk2, GRUB and pxelinux do), doubles every packet until the end of the file. Here a duplicate ACK leads to data
// only when it tells of a loss, at most once for each block number, and never while it may be the echo of something sent twice.
//
// Windows (RFC 7440): an ACK inside the window means that the block after it was lost, and the window starts anew from there. But a client
// that answers every duplicate also sends such an ACK when it got twice what it had already: then the ACK only says where the client is, and
// the window moves on from there. Taking it for a loss would send the next blocks twice, and so on: the apprentice again, in a second guise.

import (
	"errors"
	"time"
)

const (
	// offerTries is how often a packet is repeated to an address that has not yet proved that it wants it (wire amplification).
	offerTries = 6

	// tailTries is how often a final block is repeated before the silence is taken for success: several ROMs do not acknowledge it.
	tailTries = 8

	// patience is how long a client may make no progress. GRUB stops acknowledging while it works on what it has.
	patience = 60 * time.Second

	// fullTries is how many repetitions of a window go out whole; later ones shrink.
	fullTries = 2

	// duplicateAge is how old a block in lock-step must be before a duplicate ACK brings it again. Without windows such an ACK means that
	// the client's own timer fired.
	duplicateAge = 100 * time.Millisecond

	// reasked is how long a client that repeats its request must have been silent before it is taken for one that starts anew.
	reasked = time.Second
)

// errSilent is why a transfer timed out.
var errSilent = errors.New("client fell silent")

// A burst is what a transfer wants on the wire now: the OACK, or count blocks from first. The zero burst is nothing.
type burst struct {
	oack  bool
	first int64
	count int
}

// A transfer is one file on its way to one client.
type transfer struct {
	deadline time.Duration // when to call expire
	sentAt   time.Duration // when the block after acked was last sent
	progress time.Duration // when acked last grew
	echoEnd  time.Duration // until when echoes counts

	acked int64 // highest block acknowledged
	sent  int64 // highest block ever sent
	twice int64 // highest block sent more than once
	last  int64 // the final block
	hasty int64 // the acknowledgement that was last answered at once; -1 for none

	timer   estimator
	window  int32  // blocks per acknowledgement
	echoes  int32  // duplicate ACKs that blocks sent twice may still provoke
	tries   int32  // timers fired since the last progress
	random  uint32 // jitter's state
	offered bool   // the OACK is out and unanswered
	proven  bool   // the client has acknowledged something
	resent  bool   // the flight holds repetitions: no round trip can be read from it
	blind   bool   // what was repeated last was not asked for: the next ACK tells where the client is, not what it lost
	probe   bool   // the client asked for the size: closing after the OACK is no failure
	result  Result // 0 while it runs
	repeats int    // blocks sent again
}

// newTransfer makes the machine for size bytes under these terms. seed makes its jitter differ from its neighbours'.
func newTransfer(t terms, size int64, seed uint32) transfer {
	return transfer{
		last:    size/int64(t.block) + 1,
		window:  int32(t.window),
		hasty:   -1,
		timer:   newEstimator(t.granted.Timeout),
		offered: t.oack(),
		probe:   t.granted.Size,
		random:  seed | 1,
	}
}

// begin sends the first packet: exactly one until the client answers, whatever the window.
func (t *transfer) begin(now time.Duration) burst {
	t.progress = now
	if t.offered {
		t.await(now)
		return burst{oack: true}
	}
	return t.fly(1, now)
}

// ask takes a request that came again from the same port, and reports whether the client has started anew: then this transfer is over.
// same tells that it is the very same request. Before the client has answered anything the first packet is repeated; a late duplicate
// of the network is ignored.
func (t *transfer) ask(same bool, now time.Duration) (b burst, anew bool) {
	switch {
	case !same:
		return burst{}, true
	case t.offered:
		t.resent = true
		t.await(now)
		return burst{oack: true}, false
	case !t.proven:
		return t.repeat(now), false
	}
	return burst{}, now-t.progress >= reasked
}

// ack takes an ACK of a block number as it is on the wire.
func (t *transfer) ack(number uint16, now time.Duration) burst {
	if t.offered {
		if number != 0 {
			return burst{}
		}
		t.offered = false
		t.advance(0, now)
		return t.fly(1, now)
	}
	ahead := int64(number - uint16(t.acked))
	switch {
	case ahead > t.sent-t.acked: // older than the window, or never sent
		return burst{}
	case ahead == 0:
		return t.duplicate(now)
	}
	block := t.acked + ahead
	lost := block < t.sent && block != t.twice && !t.blind
	whole := block == t.sent
	t.advance(block, now)
	switch {
	case block == t.last:
		t.result = Completed
		return burst{}
	case lost:
		return t.rewind(now)
	case whole:
		return t.fly(block+1, now)
	}
	return t.slide(now)
}

// advance notes that everything up to block has arrived, and reads the round trip where it can be read.
func (t *transfer) advance(block int64, now time.Duration) {
	switch trip := now - t.sentAt; {
	case !t.resent:
		t.timer.sample(trip)
	case !t.proven:
		t.timer.rto = firstRTO // it was backed off for an address, not for a client
	case t.tries > 0:
		t.timer.recover(trip)
	}
	t.acked = block
	t.blind = false
	t.progress = now
	t.proven = true
	t.tries = 0
}

// fly sends a whole window from first, none of it sent before.
func (t *transfer) fly(first int64, now time.Duration) burst {
	end := min(t.acked+int64(t.window), t.last)
	t.sent = end
	t.resent = false
	t.await(now)
	return burst{first: first, count: int(end - first + 1)}
}

// rewind sends the window from the block after acked, which was lost. The client threw away what came behind it and may have answered
// each of those with an ACK of its own.
func (t *transfer) rewind(now time.Duration) burst {
	again := t.sent - t.acked
	t.again(again, now)
	t.sent = min(t.acked+int64(t.window), t.last)
	t.await(now)
	return burst{first: t.acked + 1, count: int(t.sent - t.acked)}
}

// slide extends a flight that is under way by what an ACK has made room for.
func (t *transfer) slide(now time.Duration) burst {
	end := min(t.acked+int64(t.window), t.last)
	t.deadline = now + t.wait()
	if end == t.sent {
		return burst{} // the end of the file is under way already
	}
	b := burst{first: t.sent + 1, count: int(end - t.sent)}
	t.sent = end
	return b
}

// duplicate takes an ACK that says nothing new. In a window it means that the first block of the flight was lost, unless it is the echo of a
// repetition or too early to be an answer to this flight.
func (t *transfer) duplicate(now time.Duration) burst {
	if t.acked <= t.twice && t.echoes > 0 && now < t.echoEnd {
		t.echoes--
		t.blind = false
		return burst{}
	}
	age := now - t.sentAt
	early := age < duplicateAge
	if t.window > 1 && t.timer.least != 0 {
		early = t.premature(age)
	}
	if early || t.hasty == t.acked || !t.proven {
		return burst{}
	}
	t.hasty = t.acked
	return t.repeat(now)
}

// premature reports that an ACK came too soon after the flight to be the answer to it.
func (t *transfer) premature(age time.Duration) bool { return age < t.timer.least*3/4 }

// repeat sends again what is unacknowledged, less of it the longer the client is silent.
func (t *transfer) repeat(now time.Duration) burst {
	count := t.sent - t.acked
	if shrink := t.tries - fullTries; shrink > 0 {
		count = max(count>>shrink, 1)
	}
	t.again(count, now)
	t.blind = true
	t.await(now)
	return burst{first: t.acked + 1, count: int(count)}
}

// again notes that the n blocks after acked are sent once more: no round trip can be read from this flight, and the client may answer each.
func (t *transfer) again(n int64, now time.Duration) {
	t.resent = true
	t.twice = max(t.twice, t.acked+n)
	t.repeats += int(n)
	t.echoes = int32(n)
	t.echoEnd = now + t.timer.rto
}

// expire takes the passing of the deadline.
func (t *transfer) expire(now time.Duration) burst {
	t.tries++
	switch {
	case !t.proven && t.tries > offerTries, now-t.progress >= patience:
		t.result = TimedOut
	case t.proven && !t.offered && t.acked == t.last-1 && t.tries > tailTries:
		t.result = Completed
	}
	if t.result != 0 {
		return burst{}
	}
	if t.proven {
		t.timer.backOff(max(activeRTO, (now-t.progress)/4))
	} else {
		t.timer.backOff(maxRTO)
	}
	if t.offered {
		t.resent = true
		t.await(now)
		return burst{oack: true}
	}
	return t.repeat(now)
}

// stop takes an ERROR of the client.
func (t *transfer) stop(code uint16) {
	closed := code == 0 || code == 8 // iPXE's and pxelinux's "closed"; edk2's "User aborted the transfer"
	if t.offered && t.probe && closed {
		t.result = Probed
		return
	}
	t.result = Aborted
}

// await notes that the front of the flight left now, and sets the deadline.
func (t *transfer) await(now time.Duration) {
	t.sentAt = now
	t.deadline = now + t.wait()
}

// wait is the timer with up to an eighth of jitter, so that a thousand clients that lost a packet together do not repeat together.
func (t *transfer) wait() time.Duration {
	t.random ^= t.random << 13
	t.random ^= t.random >> 17
	t.random ^= t.random << 5
	return t.timer.rto + time.Duration(uint64(t.timer.rto)/8*uint64(t.random>>16)>>16)
}
