package tftp

// The transfers of one socket: datagrams, letters and the passing of time in, packets out. An engine belongs to one goroutine and does not block; it
// knows neither the socket nor the clock, so tests feed it whatever they like.

import (
	"encoding/binary"
	"errors"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Texts of ERROR packets.
const (
	textNotFound   = "file not found"
	textDenied     = "access denied"
	textIllegal    = "illegal request"
	textUnreadable = "file cannot be read"
	textStranger   = "unknown transfer"
	textChanged    = "file has changed, ask again"
	textShutDown   = "server is shutting down"
)

var (
	errShutDown = errors.New("server is shutting down")
	errReplaced = errors.New("client asked anew")
)

// A datagram is what arrived: data is valid until the next batch is read.
type datagram struct {
	client    netip.AddrPort
	local     netip.Addr // the destination in the IP header
	iface     int        // 0 when unknown
	multicast bool       // local is no address of ours
	data      []byte
}

// A route is where a transfer's packets go, and how.
type route struct {
	client netip.AddrPort
	local  netip.Addr // the source address
	iface  int        // the interface to leave by, 0 to follow the routing table
	plain  bool       // this path takes no segmentation offload
}

// An outbox takes packets. It may hold them back until the engine's owner flushes it; data must not change before.
type outbox interface {
	// packet sends a datagram, of which it keeps a copy.
	packet(r *route, p []byte)

	// blocks sends count DATA packets, numbered from first, over the bytes of data joined: all of them blockSize long but the last one, which may be
	// shorter or empty. It keeps no reference to the slice data itself.
	blocks(r *route, first int64, count, blockSize int, data [][]byte)
}

// A session is a transfer with all that belongs to it.
type session struct {
	// What each ACK touches comes first, on as few cache lines as may be.
	heard   atomic.Int64 // when the client last made itself heard, a time.Duration; the desk reads it
	over    bool         // finished, or never to begin
	waiting bool         // a letter with pending's chunks is on its way
	file    *file
	sent    int64
	place   int           // in deadlines, from 1; 0 when not there
	alarm   time.Duration // when deadlines has it come up
	route   route
	machine transfer
	terms   terms

	held    []*chunk   // chunks brought by the last letter
	pending burst      // what waits for chunks to be read
	box     *letterBox // where its socket's goroutine gets its letters
	begun   time.Duration
	request Request
}

// A letterKind says what a letter is about.
type letterKind uint8

const (
	letterStart  letterKind = iota + 1 // the file is open: begin
	letterRefuse                       // it is not: tell the client
	letterAgain                        // the client repeated its request
	letterDrop                         // make room for another of the same client
	letterChunks                       // what pending waited for
)

// A letter is a message to the goroutine that owns a session.
type letter struct {
	kind    letterKind
	session *session
	request *Request // letterAgain
	chunks  []*chunk // letterChunks
	reason  Reason   // letterRefuse
	err     error    // letterRefuse, letterChunks
}

// A letterBox takes letters from any goroutine for one.
type letterBox struct {
	wake func() // makes the owner look; called when the first letter arrives

	mu      sync.Mutex
	letters []letter
	spare   []letter
}

// post leaves a letter.
func (b *letterBox) post(l letter) {
	b.mu.Lock()
	first := len(b.letters) == 0
	b.letters = append(b.letters, l)
	b.mu.Unlock()
	if first {
		b.wake()
	}
}

// empty takes all letters out. The result is valid until the next call.
func (b *letterBox) empty() []letter {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.letters
	clear(b.spare)
	b.letters, b.spare = b.spare[:0], taken
	return taken
}

// A clientKey is a client's IPv4 address and port: a map finds a number in half of the time of a netip.AddrPort.
type clientKey uint64

// keyOf returns the key of a client.
func keyOf(client netip.AddrPort) clientKey {
	a := client.Addr().As4()
	return clientKey(binary.BigEndian.Uint32(a[:]))<<16 | clientKey(client.Port())
}

// An engine is the transfers of one socket.
type engine struct {
	server   *Server
	out      outbox
	door     bool // requests are taken here
	sessions map[clientKey]*session
	queue    deadlines
	recent   recent
	asking   rate // of requests
	strange  rate // of packets that belong to nothing
	buffer   []byte
	view     view // what is being sent, and what the outbox still looks at
}

// newEngine makes an engine without transfers.
func newEngine(s *Server, out outbox, door bool) *engine {
	limit := rate{limit: s.config.MaxRequestRate}
	return &engine{
		server: s, out: out, door: door, sessions: map[clientKey]*session{}, recent: newRecent(s.config.MaxTransfers), asking: limit, strange: limit,
	}
}

// datagram takes what arrived. An ERROR is never answered.
func (e *engine) datagram(d *datagram, now time.Duration) {
	switch kindOf(d.data) {
	case opAck:
		e.ack(d, now)
	case opError:
		s := e.find(d)
		if s == nil {
			return
		}
		told := parseError(d.data)
		s.machine.stop(told.Code)
		var err error
		if s.machine.result != Probed {
			err = told
		}
		e.finish(s, s.machine.result, err, now)
	case opRead, opWrite:
		if e.door {
			e.ask(d, now)
		}
	}
}

// find returns the running transfer that a datagram belongs to.
func (e *engine) find(d *datagram) *session {
	s := e.sessions[keyOf(d.client)]
	if s == nil || s.route.local != d.local {
		return nil
	}
	return s
}

// ack takes an ACK.
func (e *engine) ack(d *datagram, now time.Duration) {
	number, ok := parseAck(d.data)
	if !ok {
		return
	}
	s := e.find(d)
	if s == nil {
		e.stranger(d, now)
		return
	}
	s.heard.Store(int64(now))
	e.act(s, s.machine.ack(number, now), now)
}

// act does what the machine wants after a step.
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
		e.send(s, b, now)
	}
	e.queue.set(s, s.machine.deadline)
}

// stranger answers an ACK that belongs to no transfer (RFC 1350, section 4). One that is late for a finished transfer is passed over.
func (e *engine) stranger(d *datagram, now time.Duration) {
	if key := keyOf(d.client); e.sessions[key] != nil || e.recent.has(key, now) || d.multicast || !plausible(d.client) {
		return
	}
	if !e.strange.allow(d.client.Addr(), now) {
		return
	}
	e.tell(&route{client: d.client, local: d.local}, codeUnknownPort, textStranger)
	e.server.refused(Refusal{Client: d.client, Local: d.local, Interface: d.iface, Reason: UnknownPort, Answered: true})
}

// tell sends an ERROR.
func (e *engine) tell(r *route, code errorCode, text string) {
	e.buffer = appendError(e.buffer[:0], code, text)
	e.out.packet(r, e.buffer)
}

// ask takes a request: refused here, or given to the server to open the file.
func (e *engine) ask(d *datagram, now time.Duration) {
	r, err := parseRequest(d.data)
	r.Client, r.Local, r.Interface = d.client, d.local, d.iface
	refusal := Refusal{Client: d.client, Local: d.local, Interface: d.iface, Asked: r.File, Err: err}
	if refusal.Reason = e.screen(d, now); refusal.Reason != 0 {
		e.server.refused(refusal)
		return
	}
	if err != nil {
		refusal.Reason, refusal.Answered = Illegal, true
		e.tell(&route{client: d.client, local: d.local}, codeIllegal, textIllegal)
		e.server.refused(refusal)
		return
	}
	e.server.admit(r, now)
}

// screen returns why a request is to be ignored, 0 when it is not.
func (e *engine) screen(d *datagram, now time.Duration) Reason {
	switch {
	case d.multicast:
		return Multicast
	case !plausible(d.client):
		return Forged
	case e.server.config.Allow != nil && !e.server.config.Allow(d.client.Addr()):
		return NotAllowed
	case !e.asking.allow(d.client.Addr(), now):
		return TooFast
	}
	return 0
}

// plausible reports whether a datagram can come from a TFTP client. Those ports belong to services that answer whatever they are sent (echo,
// daytime, chargen, DNS, NTP), or to a TFTP server: a forged request from one would set two servers talking to each other.
func plausible(client netip.AddrPort) bool {
	switch client.Port() {
	case 0, 7, 13, 19, 53, 69, 123:
		return false
	}
	a := client.Addr()
	return !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// letter takes a message from another goroutine.
func (e *engine) letter(l letter, now time.Duration) {
	s := l.session
	switch l.kind {
	case letterStart:
		e.start(s, now)
	case letterRefuse:
		e.refuse(s, l)
	case letterAgain:
		e.again(s, *l.request, now)
	case letterDrop:
		if !s.over {
			e.finish(s, Replaced, errReplaced, now)
		}
	case letterChunks:
		e.chunks(s, l, now)
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
	s.begun = now
	s.heard.Store(int64(now))
	b := s.machine.begin(now)
	e.act(s, b, now)
	if hook := e.server.config.Events.Started; hook != nil {
		hook(s.summary(now))
	}
}

// refuse tells a client that its file cannot be had.
func (e *engine) refuse(s *session, l letter) {
	e.server.desk.leave(s)
	if s.over {
		return
	}
	s.over = true
	code, text := wireError(l.reason)
	e.tell(&s.route, code, text)
	r := s.request
	e.server.refused(Refusal{Client: r.Client, Local: r.Local, Interface: r.Interface, Asked: r.File, Reason: l.reason, Answered: true, Err: l.err})
}

// wireError is what the client is told of a reason.
func wireError(r Reason) (errorCode, string) {
	switch r {
	case NotFound:
		return codeNotFound, textNotFound
	case Denied:
		return codeAccess, textDenied
	case Illegal:
		return codeIllegal, textIllegal
	}
	return codeUndefined, textUnreadable
}

// again takes a request that its client repeated from the same port.
func (e *engine) again(s *session, r Request, now time.Duration) {
	if s.over {
		e.server.admit(r, now)
		return
	}
	if e.sessions[keyOf(s.route.client)] != s { // not yet begun
		return
	}
	same := r.File == s.request.File && r.Netascii == s.request.Netascii && r.Options == s.request.Options
	b, anew := s.machine.ask(same, now)
	if anew {
		e.finish(s, Replaced, errReplaced, now)
		e.server.admit(r, now)
		return
	}
	e.act(s, b, now)
}

// send puts a burst on the wire, or as much of it as is in memory.
func (e *engine) send(s *session, b burst, now time.Duration) {
	if b.oack {
		e.buffer = appendOACK(e.buffer[:0], s.terms.granted, s.file.size)
		e.out.packet(&s.route, e.buffer)
		return
	}
	block := int64(s.terms.block)
	offset := (b.first - 1) * block
	want := min(int64(b.count)*block, s.file.size-offset)
	got := s.file.view(&e.view, offset, want, s.held)
	pieces, count := e.view.pieces, b.count
	if got < want {
		count = int(got / block)
		got = int64(count) * block
		pieces = trim(pieces, got)
	}
	if count > 0 {
		e.out.blocks(&s.route, b.first, count, s.terms.block, pieces)
		s.sent += got
	}
	e.view.reset()
	if s.file.source != nil {
		e.stream(s, burst{first: b.first + int64(count), count: b.count - count}, offset+got)
	}
}

// stream sees to the chunks of a streamed file: asks for those the rest of a burst waits for, or for the one that comes next.
func (e *engine) stream(s *session, rest burst, offset int64) {
	e.letGo(s)
	s.pending = rest
	if rest.count == 0 {
		s.file.fetch(offset/chunkSize+1, nil)
		return
	}
	if s.waiting {
		return
	}
	s.waiting = true
	from := offset / chunkSize
	to := min(offset+int64(s.terms.block), s.file.size-1) / chunkSize
	file := s.file // the session may let go of it meanwhile
	file.fetch(from, func(c *chunk, err error) {
		if err != nil || to == from {
			s.box.post(letter{kind: letterChunks, session: s, chunks: []*chunk{c}, err: err})
			return
		}
		file.fetch(to, func(d *chunk, err error) {
			s.box.post(letter{kind: letterChunks, session: s, chunks: []*chunk{c, d}, err: err})
		})
	})
}

// letGo has the chunks that a session holds given back.
func (e *engine) letGo(s *session) {
	e.view.lent = append(e.view.lent, s.held...)
	s.held = nil
}

// flushed gives back what was sent, now that the outbox does not look at it any more.
func (e *engine) flushed() {
	if len(e.view.lent) == 0 {
		return
	}
	e.server.library.giveBack(e.view.lent)
	clear(e.view.lent)
	e.view.lent = e.view.lent[:0]
}

// trim cuts pieces to n bytes.
func trim(pieces [][]byte, n int64) [][]byte {
	for i, p := range pieces {
		if n <= int64(len(p)) {
			pieces[i] = p[:n]
			return pieces[:i+1]
		}
		n -= int64(len(p))
	}
	return pieces
}

// chunks goes on with a burst whose chunks have been read.
func (e *engine) chunks(s *session, l letter, now time.Duration) {
	s.waiting = false
	s.held = l.chunks
	if s.over {
		e.letGo(s)
		return
	}
	if l.err != nil {
		text := textUnreadable
		if errors.Is(l.err, errChanged) {
			text = textChanged
		}
		e.tell(&s.route, codeUndefined, text)
		e.finish(s, Failed, l.err, now)
		return
	}
	b := s.pending
	if b.count == 0 {
		e.letGo(s)
		return
	}
	s.machine.await(now) // the wait for the disk was not the client's
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
		case s.waiting: // for our disk: not the client's silence
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

// never is a time that does not come.
const never = time.Duration(math.MaxInt64)

// next returns when something is due, never when nothing is.
func (e *engine) next() time.Duration {
	if s := e.queue.first(); s != nil {
		return s.alarm
	}
	return never
}

// finish ends a transfer. Its client stays known for a while.
func (e *engine) finish(s *session, result Result, err error, now time.Duration) {
	s.over = true
	s.machine.result = result
	e.server.desk.leave(s)
	key := keyOf(s.route.client)
	if e.sessions[key] != s { // never begun: start releases the file
		return
	}
	delete(e.sessions, key)
	e.queue.remove(s)
	e.recent.add(key, now)
	summary := s.summary(now)
	summary.Err = err
	e.letGo(s)
	s.file.release()
	s.file, s.pending = nil, burst{}
	if hook := e.server.config.Events.Finished; hook != nil {
		hook(summary)
	}
}

// shutDown tells every running client that the server ends.
func (e *engine) shutDown(now time.Duration) {
	for _, s := range e.sessions {
		e.tell(&s.route, codeUndefined, textShutDown)
		e.finish(s, ShutDown, errShutDown, now)
	}
}

// summary tells the state of a transfer.
func (s *session) summary(now time.Duration) Transfer {
	return Transfer{
		Client: s.request.Client, Local: s.request.Local, Interface: s.request.Interface,
		Asked: s.request.File, File: s.file.key.name, Size: s.file.size,
		BlockSize: s.terms.block, Window: s.terms.window,
		Sent: s.sent, Resent: s.machine.repeats, Duration: now - s.begun, Result: s.machine.result,
	}
}
