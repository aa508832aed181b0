package tftp

// The transfers of one socket: datagrams, messages and the passing of time in,
// packets out. An engine belongs to one goroutine and does not block. It knows
// neither the socket nor the server nor the clock, so tests can feed it
// anything.

import (
	"errors"
	"math"
	"net/netip"
	"time"
)

// The texts of ERROR packets.
const (
	textNotFound        = "file not found"
	textDenied          = "access denied"
	textIllegal         = "illegal request"
	textUnreadable      = "file cannot be read"
	textUnknownTransfer = "unknown transfer"
	textChanged         = "file has changed, ask again"
	textShutDown        = "server is shutting down"
)

var (
	errShutDown    = errors.New("server is shutting down")
	errReplaced    = errors.New("client sent a new request")
	errMadeRoom    = errors.New("made room for a newer request")
	errUnreachable = errors.New("nobody receives there")
	errStray       = errors.New("an acknowledgment came to another port: the request was forged")
)

// never is a time that does not come.
const never = time.Duration(math.MaxInt64)

// datagram is a datagram that arrived. data is valid until the next batch is
// read.
type datagram struct {
	via       int // at which of the goroutine's ports
	client    netip.AddrPort
	local     netip.Addr // the destination in the IP header
	iface     int        // 0 when unknown
	multicast bool       // local is not an address of ours
	data      []byte
}

// outbox takes packets. It may keep them until the engine's owner flushes it;
// data must not change before.
type outbox interface {
	// packet sends a datagram, of which it keeps a copy.
	packet(r *route, p []byte)

	// blocks sends count DATA packets, numbered from first, with the bytes of
	// data: all of them are blockSize long except the last one, which may be
	// shorter or empty. It does not keep the slice data itself.
	blocks(r *route, first int64, count, blockSize int, data [][]byte)
}

// engineConfig is what an engine needs to know, and the functions it calls.
type engineConfig struct {
	acceptsRequests bool // this socket is the one that requests are sent to
	maxRequestRate  int  // requests of one address in a second that are answered
	remembered      int  // finished transfers whose clients are remembered

	allow  func(netip.Addr) bool        // reports whether a client is served
	admit  func(Request, time.Duration) // opens the file of a request and sends a message to start or refuse it
	leave  func(*session)               // counts a session no more
	stray  func(netip.AddrPort) bool    // reports whether a client has a transfer, with another port than it acknowledged
	events Events                       // every hook is set
}

// engine is the transfers of one socket.
type engine struct {
	engineConfig
	out         outbox
	sessions    map[clientKey]*session
	queue       deadlines
	recent      recent
	requestRate rate
	unknownRate rate
	buffer      []byte
	view        view // what is being sent, and what the outbox still reads
}

// newEngine returns an engine without transfers.
func newEngine(c engineConfig, out outbox) *engine {
	return &engine{
		engineConfig: c, out: out, sessions: map[clientKey]*session{}, recent: newRecent(c.remembered),
		requestRate: rate{limit: c.maxRequestRate}, unknownRate: rate{limit: maxUnknownRate},
	}
}

// datagram handles a datagram that arrived. An ERROR is never answered.
func (e *engine) datagram(d *datagram, now time.Duration) {
	switch opcodeOf(d.data) {
	case opAck:
		e.ack(d, now)
	case opError:
		e.remoteError(d, now)
	case opRead, opWrite:
		if e.acceptsRequests {
			e.ask(d, now)
		}
	case opData, opOACK: // only a server sends these
	}
}

// find returns the running transfer that a datagram belongs to, nil if there is
// none.
func (e *engine) find(d *datagram) *session {
	s := e.sessions[keyOf(d.client)]
	if s == nil || s.route.local != d.local || s.route.via != d.via {
		return nil
	}
	return s
}

// ack handles an ACK.
func (e *engine) ack(d *datagram, now time.Duration) {
	number, ok := parseAck(d.data)
	if !ok {
		return
	}
	s := e.find(d)
	if s == nil {
		e.unknownTransfer(d, now)
		return
	}
	s.heard.Store(int64(now))
	b := s.machine.ack(number, now)
	if s.machine.proven && s.stage.Load() != stageProven {
		s.stage.Store(stageProven)
	}
	e.act(s, b, now)
}

// remoteError handles an ERROR.
func (e *engine) remoteError(d *datagram, now time.Duration) {
	s := e.find(d)
	if s == nil {
		return
	}
	received := parseError(d.data)
	s.machine.stop(received.Code)
	var err error
	if s.machine.result != Probed {
		err = received
	}
	e.finish(s, s.machine.result, err, now)
}

// undelivered handles the news that a packet did not reach a client, because
// nobody has its port, or its address. An address that is not found may be
// found again; so only a transfer whose client has acknowledged nothing ends.
func (e *engine) undelivered(client netip.AddrPort, via int, closed bool, now time.Duration) {
	s := e.sessions[keyOf(client)]
	if s == nil || s.route.via != via {
		return
	}
	switch {
	case closed:
		s.machine.closed()
	case !s.machine.proven:
		s.machine.result = TimedOut
	default:
		return
	}
	var err error
	if s.machine.result != Completed && s.machine.result != Probed {
		err = errUnreachable
	}
	e.finish(s, s.machine.result, err, now)
}

// act does what the state machine wants after a step.
func (e *engine) act(s *session, b burst, now time.Duration) {
	if s.machine.result != 0 {
		var err error
		if s.machine.result == TimedOut {
			err = errSilent
		}
		e.finish(s, s.machine.result, err, now)
		return
	}
	if b != (burst{}) {
		e.send(s, b)
	}
	e.queue.set(s, s.machine.deadline)
}

// unknownTransfer handles an ACK that belongs to no transfer with this port. It
// ignores one that is late for a finished transfer. If the client has a
// transfer with another port, somebody guesses ports. Otherwise it answers
// (RFC 1350, section 4).
func (e *engine) unknownTransfer(d *datagram, now time.Duration) {
	if e.recent.has(peers{keyOf(d.client), d.via}, now) || d.multicast || !plausible(d.client) {
		return
	}
	if e.stray(d.client) || !e.unknownRate.allow(d.client.Addr(), now) {
		return
	}
	e.refuse(&route{client: d.client, local: d.local, via: d.via}, Refusal{Client: d.client, Local: d.local, Interface: d.iface, Reason: UnknownPort})
}

// refuse sends an ERROR that gives the reason of a refusal, and reports it.
func (e *engine) refuse(to *route, r Refusal) {
	code, text := wireError(r.Reason)
	e.sendError(to, code, text)
	r.Answered = true
	e.events.Refused(r)
}

// sendError sends an ERROR.
func (e *engine) sendError(to *route, code errorCode, text string) {
	e.buffer = appendError(e.buffer[:0], code, text)
	e.out.packet(to, e.buffer)
}

// wireError returns what the client is told about a reason.
func wireError(r Reason) (errorCode, string) {
	switch r {
	case NotFound:
		return codeNotFound, textNotFound
	case Denied:
		return codeAccess, textDenied
	case Illegal:
		return codeIllegal, textIllegal
	case UnknownPort:
		return codeUnknownPort, textUnknownTransfer
	case Unreadable:
	case NotAllowed, Forged, Multicast, TooFast, TooMany: // not answered
	}
	return codeUndefined, textUnreadable
}

// ask handles a request: it is ignored, refused, or handed over to be admitted.
func (e *engine) ask(d *datagram, now time.Duration) {
	r, err := parseRequest(d.data)
	r.Client, r.Local, r.Interface = d.client, d.local, d.iface
	refusal := Refusal{Client: d.client, Local: d.local, Interface: d.iface, Asked: r.File, Err: err}
	if refusal.Reason = e.screen(d, now); refusal.Reason != 0 {
		e.events.Refused(refusal)
		return
	}
	if err != nil {
		refusal.Reason = Illegal
		e.refuse(&route{client: d.client, local: d.local, via: d.via}, refusal)
		return
	}
	e.admit(r, now)
}

// screen returns why a request is ignored, 0 if it is not.
func (e *engine) screen(d *datagram, now time.Duration) Reason {
	switch {
	case d.multicast:
		return Multicast
	case !plausible(d.client):
		return Forged
	case !e.allow(d.client.Addr()):
		return NotAllowed
	case !e.requestRate.allow(d.client.Addr(), now):
		return TooFast
	}
	return 0
}

// plausible reports whether a datagram can come from a TFTP client. The ports
// below belong to services that answer whatever they are sent (echo, daytime,
// chargen, DNS, NTP), or to a TFTP server: a forged request from one would have
// two servers answer each other.
func plausible(client netip.AddrPort) bool {
	switch client.Port() {
	case 0, 7, 13, 19, 53, 69, 123:
		return false
	}
	a := client.Addr()
	return !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// message handles a message from another goroutine.
func (e *engine) message(m message, now time.Duration) {
	s := m.session
	switch m.kind {
	case messageStart:
		e.start(s, now)
	case messageRefuse:
		e.refuseSession(s, m)
	case messageRequest:
		e.again(s, *m.request, now)
	case messageDrop:
		if !s.over {
			e.finish(s, Replaced, errMadeRoom, now)
		}
	case messageStray:
		if !s.over && !s.machine.proven {
			e.finish(s, Aborted, errStray, now)
		}
	case messageChunks:
		e.chunks(s, m, now)
	}
}

// start begins a transfer whose file is open.
func (e *engine) start(s *session, now time.Duration) {
	if s.over { // dropped before it began
		s.file.release()
		s.file = nil
		return
	}
	e.sessions[keyOf(s.route.client)] = s
	s.began = now
	s.heard.Store(int64(now))
	s.stage.Store(stageOffered)
	b := s.machine.begin(now)
	e.act(s, b, now)
	e.events.Started(s.summary(now))
}

// refuseSession tells a client that its file cannot be served.
func (e *engine) refuseSession(s *session, m message) {
	e.leave(s)
	if s.over {
		return
	}
	s.over = true
	r := s.request
	e.refuse(&s.route, Refusal{Client: r.Client, Local: r.Local, Interface: r.Interface, Asked: r.File, Reason: m.reason, Err: m.err})
}

// again handles a request that its client repeated from the same port.
func (e *engine) again(s *session, r Request, now time.Duration) {
	if s.over {
		e.admit(r, now)
		return
	}
	if e.sessions[keyOf(s.route.client)] != s { // not yet begun
		return
	}
	same := r.File == s.request.File && r.Netascii == s.request.Netascii && r.Options == s.request.Options
	b, restart := s.machine.ask(same, now)
	if restart {
		e.finish(s, Replaced, errReplaced, now)
		e.admit(r, now)
		return
	}
	e.act(s, b, now)
}

// expire handles the deadlines that have passed.
func (e *engine) expire(now time.Duration) {
	e.recent.expire(now)
	for {
		s := e.queue.first()
		switch {
		case s == nil || s.alarm > now:
			return
		case s.machine.deadline > now:
			e.queue.delay(s.machine.deadline)
		case s.waiting: // for our disk: the client is not silent
			s.machine.await(now)
		default:
			b := s.machine.expire(now)
			if s.machine.result == 0 {
				e.queue.delay(s.machine.deadline)
			}
			e.act(s, b, now)
		}
	}
}

// next returns when the next deadline passes, never if there is none.
func (e *engine) next() time.Duration {
	if s := e.queue.first(); s != nil {
		return s.alarm
	}
	return never
}

// finish ends a transfer. Its client is remembered for a while.
func (e *engine) finish(s *session, result Result, err error, now time.Duration) {
	s.over = true
	s.machine.result = result
	e.leave(s)
	key := keyOf(s.route.client)
	if e.sessions[key] != s { // never begun: start releases the file
		return
	}
	delete(e.sessions, key)
	e.queue.remove(s)
	e.recent.add(peers{key, s.route.via}, now)
	summary := s.summary(now)
	summary.Err = err
	e.releaseHeld(s)
	s.file.release()
	s.file, s.pending = nil, burst{}
	e.events.Finished(summary)
}

// shutDown tells every client that the server ends.
func (e *engine) shutDown(now time.Duration) {
	for _, s := range e.sessions {
		e.sendError(&s.route, codeUndefined, textShutDown)
		e.finish(s, ShutDown, errShutDown, now)
	}
}
