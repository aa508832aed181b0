package tftp

// The server: its sockets and their goroutines, and how a request becomes an
// open file.

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"net/netip"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pxesidecar/pxesidecar/internal/netstate"
)

// Server serves the files of a Config. Listen makes one.
type Server struct {
	config    Config
	ownHost   bool // Config.Host was not set
	limits    limits
	epoch     time.Time
	seed      maphash.Seed
	ports     []*port // those of every goroutine; requests come to the first
	places    []place // where transfers may be
	admission *admission
	neighbors *neighbors
	cache     *cache
	do        func(file string, run func()) // runs what may block on a disk
	workers   *workers

	serving atomic.Bool
	ending  context.Context // ends when Serve is to end
	stop    func()          // ends Serve
	stopped chan struct{}
	closing sync.Once
}

// place is where a transfer may be: a goroutine's inbox, and one of its ports.
type place struct {
	inbox *inbox
	via   int
}

// port is a goroutine's socket with its transfers.
type port struct {
	socket *socket
	engine *engine
	inbox  *inbox
	ending atomic.Bool
}

// Listen opens every socket that a server needs, or none. For an address in use
// it returns an error that wraps [syscall.EADDRINUSE] and names the address.
func Listen(c Config) (*Server, error) {
	s, err := newServer(c)
	if err != nil {
		return nil, err
	}
	if err := s.openPorts(); err != nil {
		s.closePorts()
		return nil, err
	}
	s.stopped = make(chan struct{})
	s.ending, s.stop = context.WithCancel(context.Background())
	context.AfterFunc(s.ending, func() {
		for _, p := range s.ports {
			p.ending.Store(true)
			p.socket.wake()
		}
	})
	return s, nil
}

// newServer returns a server without sockets.
func newServer(c Config) (*Server, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	ownHost := c.Host == nil
	if ownHost {
		if c.Host, err = netstate.NewWatcher(); err != nil {
			return nil, fmt.Errorf("tftp: %w", err)
		}
	}
	s := &Server{
		config:    c,
		ownHost:   ownHost,
		limits:    limits{blockSize: c.MaxBlockSize, window: c.MaxWindow},
		epoch:     time.Now(),
		seed:      maphash.MakeSeed(),
		neighbors: newNeighbors(netstate.Resolved),
		admission: newAdmission(c.MaxTransfers, c.MaxTransfersPerClient),
	}
	s.cache = newCache(c.CacheBytes, func(file string, run func()) { s.do(file, run) })
	return s, nil
}

// openPorts opens the port for requests and those for transfers.
func (s *Server) openPorts() error {
	if err := s.openPort(s.config.Addr, true); err != nil {
		return err
	}
	if s.config.SinglePort {
		s.places = []place{{s.ports[0].inbox, 0}}
		return nil
	}
	count, each := goroutines()
	low, high := s.config.PortRange[0], s.config.PortRange[1]
	for number := low; len(s.places) < count*each; {
		err := s.openTransferPort(netip.AddrPortFrom(s.config.Addr.Addr(), number), count)
		if err != nil && !errors.Is(err, syscall.EADDRINUSE) {
			return err
		}
		if high == 0 {
			continue
		}
		if number == high {
			break
		}
		number++
	}
	if len(s.places) == 0 {
		return fmt.Errorf("tftp: no free port in %d-%d: %w", low, high, syscall.EADDRINUSE)
	}
	return nil
}

// openTransferPort opens one port more for transfers. Up to count of them have
// goroutines of their own, which the others share.
func (s *Server) openTransferPort(addr netip.AddrPort, count int) error {
	n := len(s.places)
	if n < count {
		if err := s.openPort(addr, false); err != nil {
			return err
		}
	} else if err := s.ports[1+n%count].socket.listen(addr); err != nil {
		return fmt.Errorf("tftp: listen on %s: %w", addr, err)
	}
	s.places = append(s.places, place{s.ports[1+n%count].inbox, n / count})
	return nil
}

// openPort opens a port with a goroutine of its own.
func (s *Server) openPort(addr netip.AddrPort, acceptsRequests bool) error {
	socket, err := openSocket()
	if err != nil {
		return fmt.Errorf("tftp: %w", err)
	}
	if err := socket.listen(addr); err != nil {
		socket.close()
		return fmt.Errorf("tftp: listen on %s: %w", addr, err)
	}
	s.ports = append(s.ports, &port{
		socket: socket,
		engine: newEngine(s.engineConfig(acceptsRequests), socket),
		inbox:  &inbox{wake: socket.wake},
	})
	return nil
}

// engineConfig returns what an engine knows of the server.
func (s *Server) engineConfig(acceptsRequests bool) engineConfig {
	return engineConfig{
		acceptsRequests: acceptsRequests,
		maxRequestRate:  s.config.MaxRequestRate,
		remembered:      s.config.MaxTransfers,
		allow:           s.config.Allow,
		admit:           s.admit,
		leave:           s.admission.leave,
		stray:           s.stray,
		events:          s.config.Events,
	}
}

// closePorts closes every socket.
func (s *Server) closePorts() {
	for _, p := range s.ports {
		p.socket.close()
	}
}

// Addr returns the address that requests are received on.
func (s *Server) Addr() netip.AddrPort { return s.ports[0].socket.addr() }

// Serve answers until ctx ends. Then it sends an ERROR to every client with a
// running transfer, closes the sockets and returns nil. It returns an error
// when a socket fails. It may be called once.
func (s *Server) Serve(ctx context.Context) error {
	if s.serving.Swap(true) {
		return errors.New("tftp: Serve called twice or after Close")
	}
	defer close(s.stopped)
	s.workers = newWorkers(s.config.Events.Stalled)
	s.do = s.workers.do
	defer s.workers.end()
	cancel := context.AfterFunc(ctx, s.stop)
	defer cancel()

	failures := make([]error, len(s.ports))
	var running sync.WaitGroup
	running.Go(func() { s.workers.watch(s.ending) })
	if s.ownHost {
		running.Go(func() { s.config.Host.Run(s.ending, func(error) {}) }) // what was seen before stays in use
	}
	for i, p := range s.ports {
		running.Go(func() {
			failures[i] = p.run(s)
			s.stop()
		})
	}
	running.Wait()
	s.closePorts()
	return errors.Join(failures...)
}

// Close ends Serve, or closes the sockets of a server that never served.
func (s *Server) Close() error {
	s.closing.Do(func() {
		s.stop()
		if s.serving.Swap(true) {
			<-s.stopped
			return
		}
		s.closePorts()
	})
	return nil
}

// now returns the time since the server began.
func (s *Server) now() time.Duration { return time.Since(s.epoch) }

// deadline converts a time since the server began. It returns the zero time for
// never.
func (s *Server) deadline(at time.Duration) time.Time {
	if at == never {
		return time.Time{}
	}
	return s.epoch.Add(at)
}

// starvation is how long deadlines may wait for a socket that always has more
// to read.
const starvation = 50 * time.Millisecond

// run serves one socket until the server ends. Datagrams that have arrived go
// before deadlines that have passed: under load, an acknowledgement that waits
// in the socket's buffer must not count as lost.
func (p *port) run(s *Server) error {
	var deadline time.Time
	var drained time.Duration // when the socket last had nothing more to read
	for {
		arrived, more, err := p.socket.receive(deadline)
		if err != nil {
			return err
		}
		now := s.now()
		for i := range arrived {
			p.engine.datagram(&arrived[i], now)
		}
		for client, via, closed, ok := p.socket.undelivered(); ok; client, via, closed, ok = p.socket.undelivered() {
			p.engine.undelivered(client, via, closed, now)
		}
		for _, m := range p.inbox.take() {
			p.engine.message(m, now)
		}
		if p.ending.Load() {
			p.engine.shutDown(now)
			p.socket.flush()
			return nil
		}
		if !more || now-drained > starvation {
			drained = now
			p.engine.expire(now)
		}
		p.socket.flush()
		p.engine.flushed()
		deadline = s.deadline(p.engine.next())
		if s.workers.busy() {
			runtime.Gosched() // a single processor would reach the workers only when this goroutine waits
		}
	}
}

// admit opens the file of a request, unless the client has a transfer already
// or there is no room.
func (s *Server) admit(r Request, now time.Duration) {
	at := s.placeOf(r)
	t := &session{inbox: at.inbox, request: r, route: route{client: r.Client, local: r.Local, via: at.via}}
	t.heard.Store(int64(now))
	verdict, other := s.admission.admit(t, now)
	switch verdict {
	case admitted:
		if other != nil {
			other.inbox.post(message{kind: messageDrop, session: other})
		}
		s.do(fileOf(r), func() { s.open(t) })
	case repeated:
		other.inbox.post(message{kind: messageRequest, session: other, request: &r})
	case full:
		s.ignore(r, TooMany)
	}
}

// fileOf returns the file that a request is probably about.
func fileOf(r Request) string {
	for name := range candidates(r.File) {
		return name
	}
	return ""
}

// stray has the transfer of a client told that somebody acknowledged it to
// another port, and reports whether there is one.
func (s *Server) stray(client netip.AddrPort) bool {
	t := s.admission.of(client)
	if t != nil && t.stage.Load() != stageProven {
		t.inbox.post(message{kind: messageStray, session: t})
	}
	return t != nil
}

// ignore reports a request that is not answered.
func (s *Server) ignore(r Request, why Reason) {
	s.config.Events.Refused(Refusal{Client: r.Client, Local: r.Local, Interface: r.Interface, Asked: r.File, Reason: why})
}

// placeOf returns where the transfer of a request is. A request that is
// repeated gets the same place, and nobody who does not know the seed can tell
// which.
func (s *Server) placeOf(r Request) place {
	if len(s.places) == 1 {
		return s.places[0]
	}
	r.Interface = 0 // may be unknown once and known at another time
	return s.places[maphash.Comparable(s.seed, r)%uint64(len(s.places))]
}

// open finds and opens the file of a transfer, negotiates, and has the transfer
// started. It runs on a worker.
func (s *Server) open(t *session) {
	host := s.config.Host.Host()
	if reason := screen(host, t.request); reason != 0 {
		s.admission.leave(t)
		s.ignore(t.request, reason)
		return
	}
	t.route.iface = replyInterface(host, t.route.client.Addr(), t.request.Interface)
	if usesARP(host, t.route.iface) && !s.neighbors.allow(t.route.iface, t.route.client.Addr(), s.now()) {
		s.admission.leave(t)
		s.ignore(t.request, TooMany)
		return
	}
	fsys, tree := s.tree(t.request)
	name, info, err := findFile(fsys, t.request.File, s.config.IgnoreCase)
	if err != nil {
		t.inbox.post(message{kind: messageRefuse, session: t, reason: reasonOf(err), err: err})
		return
	}
	key := fileKey{tree: tree, name: name, netascii: t.request.Netascii}
	s.cache.open(fsys, key, info, func(f *file, err error) {
		if err != nil {
			t.inbox.post(message{kind: messageRefuse, session: t, reason: reasonOf(err), err: err})
			return
		}
		t.file = f
		t.terms = negotiate(t.request, s.limits.forMTU(mtuOf(host, t.request.Interface)))
		seed := maphash.Comparable(s.seed, t.route.client)
		t.machine = newTransfer(t.terms, f.size, uint32(seed))
		t.inbox.post(message{kind: messageStart, session: t})
	})
}

// tree returns the files for a request, and a value that identifies them. Trees
// that cannot be compared share nothing.
func (s *Server) tree(r Request) (fsys fs.FS, key any) {
	if s.config.Tree != nil {
		fsys = s.config.Tree(r)
	}
	switch {
	case fsys == nil && s.config.FS == nil:
		return noFiles{}, noFiles{}
	case fsys == nil:
		return s.config.FS, s
	case reflect.ValueOf(fsys).Comparable():
		return fsys, fsys
	}
	return fsys, new(byte)
}
