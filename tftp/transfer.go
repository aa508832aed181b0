package tftp

// One transfer as a state machine. It has no socket, clock or file: each step
// is told what arrived and the time, and returns what to send. It leaves the
// time of its next step in deadline. Times are durations since an epoch that
// the caller chose.
//
// Two faults of the protocol shape it.
//
// The Sorcerer's Apprentice (RFC 1123, section 4.2.3.1): a server that answers
// a duplicate ACK with data doubles every packet until the end of the file, if
// the client answers duplicate data with an ACK (edk2, GRUB and pxelinux do).
// Here a duplicate ACK leads to data only when it shows a loss, at most once
// for each block number, and never while it may be the answer to something sent
// twice.
//
// Windows (RFC 7440): an ACK inside the window means that the block after it
// was lost, and the window starts again from there. But a client that answers
// every duplicate also sends such an ACK when it got blocks twice. Then the ACK
// only says where the client is, and the window moves on from there. Taken for
// a loss, it would have the next blocks sent twice, and so on: the apprentice
// again.

import (
	"errors"
	"time"
)

const (
	// offerTries is how often a packet is repeated to an address that has not
	// yet proved that it wants it. It bounds what a forged request can cause:
	// three packets.
	offerTries = 2

	// offerPatience is how long the answer to the last of them may take. A
	// client that lost all of them repeats its request meanwhile, and a slow
	// one still gets its file.
	offerPatience = 10 * time.Second

	// tailTries is how often a final block is repeated before silence counts as
	// success: several ROMs do not acknowledge it.
	tailTries = 8

	// patience is how long a client may make no progress. GRUB stops
	// acknowledging while it works on what it has.
	patience = 60 * time.Second

	// fullTries is how many repetitions of a window are whole. Later ones
	// shrink.
	fullTries = 2

	// duplicateAge is how old a block in lock-step must be before a duplicate
	// ACK has it sent again. Without windows such an ACK means that the
	// client's own timer fired.
	duplicateAge = 100 * time.Millisecond

	// restartSilence is how long a client must have made no progress when it
	// repeats its request, to count as one that starts again.
	restartSilence = time.Second
)

// errSilent is why a transfer timed out.
var errSilent = errors.New("client fell silent")

// burst is what a transfer sends now: the OACK, or count blocks from first. The
// zero burst is nothing.
type burst struct {
	oack  bool
	first int64
	count int
}

// transfer is one file on its way to one client. The flight is the blocks that
// were sent and not acknowledged.
type transfer struct {
	deadline time.Duration // when to call expire
	sentAt   time.Duration // when the block after acked was last sent
	progress time.Duration // when acked last grew
	echoEnd  time.Duration // until when echoes counts

	acked    int64 // highest block acknowledged
	sent     int64 // highest block ever sent
	twice    int64 // highest block sent more than once
	last     int64 // the final block
	answered int64 // the duplicate ACK that was last answered with data; -1 if none was

	timer       estimator
	window      int32  // blocks per acknowledgement
	echoes      int32  // duplicate ACKs that blocks sent twice may still cause
	tries       int32  // how often the timer fired since the last progress
	random      uint32 // state of the jitter
	offered     bool   // the OACK is sent and not answered
	proven      bool   // the client has acknowledged something
	resent      bool   // the flight has repetitions: no round trip can be measured
	unrequested bool   // the client did not ask for the last repetition: the next ACK says where the client is, not what it lost
	probe       bool   // the client asked for the size: closing after the OACK is not a failure
	result      Result // 0 while it runs
	repeats     int    // blocks sent again
}

// newTransfer returns the transfer of size bytes under these terms. seed makes
// its jitter differ from other transfers'.
func newTransfer(t terms, size int64, seed uint32) transfer {
	return transfer{
		last:     size/int64(t.block) + 1,
		window:   int32(t.window),
		answered: -1,
		timer:    newEstimator(t.granted.Timeout),
		offered:  t.oack(),
		probe:    t.granted.Size,
		random:   seed | 1,
	}
}

// begin sends the first packet. It is exactly one until the client answers,
// whatever the window is.
func (t *transfer) begin(now time.Duration) burst {
	t.progress = now
	if t.offered {
		t.await(now)
		return burst{oack: true}
	}
	return t.sendWindow(1, now)
}

// ask handles a request that came again from the same port. same reports
// whether it is the same request. Before the client has answered anything, the
// first packet is repeated. Otherwise the request is ignored as a late
// duplicate, unless restart: then the client starts again, and this transfer is
// over.
func (t *transfer) ask(same bool, now time.Duration) (b burst, restart bool) {
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
	return burst{}, now-t.progress >= restartSilence
}

// ack handles an ACK of a block number as it is on the wire.
func (t *transfer) ack(number uint16, now time.Duration) burst {
	if t.offered {
		if number != 0 {
			return burst{}
		}
		t.offered = false
		t.advance(0, now)
		return t.sendWindow(1, now)
	}
	ahead := int64(number - uint16(t.acked))
	switch {
	case ahead > t.sent-t.acked: // older than the window, or never sent
		return burst{}
	case ahead == 0:
		return t.duplicate(now)
	}
	block := t.acked + ahead
	lost := block < t.sent && block != t.twice && !t.unrequested
	whole := block == t.sent
	t.advance(block, now)
	switch {
	case block == t.last:
		t.result = Completed
		return burst{}
	case lost:
		return t.rewind(now)
	case whole:
		return t.sendWindow(block+1, now)
	}
	return t.slide(now)
}

// advance notes that everything up to block has arrived, and measures the round
// trip if it can.
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
	t.unrequested = false
	t.progress = now
	t.proven = true
	t.tries = 0
}

// sendWindow sends a whole window from first. None of it was sent before.
func (t *transfer) sendWindow(first int64, now time.Duration) burst {
	end := min(t.acked+int64(t.window), t.last)
	t.sent = end
	t.resent = false
	t.await(now)
	return burst{first: first, count: int(end - first + 1)}
}

// rewind sends the window from the block after acked, which was lost. The
// client dropped what came after that block, and may have answered each with an
// ACK.
func (t *transfer) rewind(now time.Duration) burst {
	again := t.sent - t.acked
	t.again(again, now)
	t.sent = min(t.acked+int64(t.window), t.last)
	t.await(now)
	return burst{first: t.acked + 1, count: int(t.sent - t.acked)}
}

// slide extends the flight by what an ACK has made room for.
func (t *transfer) slide(now time.Duration) burst {
	end := min(t.acked+int64(t.window), t.last)
	t.deadline = now + t.timeout()
	if end == t.sent {
		return burst{} // the end of the file is sent already
	}
	b := burst{first: t.sent + 1, count: int(end - t.sent)}
	t.sent = end
	return b
}

// duplicate handles an ACK of a block that was acknowledged before. In a window
// it means that the first block of the flight was lost, unless it is the answer
// to a repetition, or too early to be an answer to this flight.
func (t *transfer) duplicate(now time.Duration) burst {
	if t.acked <= t.twice && t.echoes > 0 && now < t.echoEnd {
		t.echoes--
		t.unrequested = false
		return burst{}
	}
	age := now - t.sentAt
	early := age < duplicateAge
	if t.window > 1 && t.timer.least != 0 {
		early = age < t.timer.least*3/4
	}
	if early || t.answered == t.acked || !t.proven {
		return burst{}
	}
	t.answered = t.acked
	return t.repeat(now)
}

// repeat sends the flight again. The longer the client is silent, the less of
// it.
func (t *transfer) repeat(now time.Duration) burst {
	count := t.sent - t.acked
	if shrink := t.tries - fullTries; shrink > 0 {
		count = max(count>>shrink, 1)
	}
	t.again(count, now)
	t.unrequested = true
	t.await(now)
	return burst{first: t.acked + 1, count: int(count)}
}

// again notes that the n blocks after acked are sent once more: no round trip
// can be measured, and the client may answer each of them.
func (t *transfer) again(n int64, now time.Duration) {
	t.resent = true
	t.twice = max(t.twice, t.acked+n)
	t.repeats += int(n)
	t.echoes = int32(n)
	t.echoEnd = now + t.timer.rto
}

// expire handles a deadline that has passed.
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

// stop handles an ERROR of the client.
func (t *transfer) stop(code uint16) {
	closed := code == 0 || code == 8 // "closed" of iPXE and pxelinux; "User aborted the transfer" of edk2
	if t.offered && t.probe && closed {
		t.result = Probed
		return
	}
	t.result = Aborted
}

// closed handles the news that nobody has the client's port any more. A client
// closes it when it has the size that it asked for, or the final block; or the
// request was not the client's.
func (t *transfer) closed() {
	switch {
	case t.offered && t.probe:
		t.result = Probed
	case t.proven && !t.offered && t.acked == t.last-1:
		t.result = Completed
	default:
		t.result = Aborted
	}
}

// await notes that the first block of the flight is sent now, and sets the
// deadline.
func (t *transfer) await(now time.Duration) {
	t.sentAt = now
	t.deadline = now + t.timeout()
}

// timeout returns the timer with up to an eighth of jitter, so that a thousand
// clients that lost a packet together do not repeat together. For the last
// packet to an address that has proved nothing it is offerPatience.
func (t *transfer) timeout() time.Duration {
	if !t.proven && t.tries >= offerTries {
		return offerPatience
	}
	t.random ^= t.random << 13
	t.random ^= t.random >> 17
	t.random ^= t.random << 5
	return t.timer.rto + time.Duration(uint64(t.timer.rto)/8*uint64(t.random>>16)>>16)
}
