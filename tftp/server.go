package tftp

// The server: its configuration, its sockets and their goroutines, and the way of a request from the socket to an open file.

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
)

// The defaults of a Config's zero fields.
const (
	DefaultMaxWindow             = 64
	DefaultMaxTransfers          = 4096
	DefaultMaxTransfersPerClient = 8
	DefaultMaxRequestRate        = 100
	DefaultCacheBytes            = 16 << 20
)

// A Config says what to serve and within which bounds. FS or Tree must be set; every other zero field has a default.
type Config struct {
	// FS holds the files. Root it (os.Root.FS): what it gives out is given out.
	FS fs.FS

	// Tree picks the files for one request, so that interfaces and addresses can have roots of their own; nil means FS for all, and so
	// does a nil result. It is called from several goroutines and may block. Return the same comparable value for the same tree: it is part of the
	// key under which content is shared.
	Tree func(Request) fs.FS

	// Addr is where requests are received, 0.0.0.0:69 by default. IPv4 only.
	Addr netip.AddrPort

	// SinglePort has everything sent from Addr's port, for networks where nothing else gets through (Docker, Kubernetes, some firewalls).
	SinglePort bool

	// PortRange are the first and last port transfers may be sent from, for firewalls; any by default.
	PortRange [2]uint16

	// MaxBlockSize bounds blksize beside the bound of the interface's MTU, for tunnels on the way that know less. In bytes; at least 8.
	MaxBlockSize int

	// MaxWindow bounds windowsize, in blocks; DefaultMaxWindow by default.
	MaxWindow int

	// MaxTransfers and MaxTransfersPerClient bound what runs at once. Further requests are ignored, and succeed when the client repeats them.
	MaxTransfers, MaxTransfersPerClient int

	// MaxRequestRate bounds the requests of one address in a second; what is beyond is ignored. Boot loaders that probe for their configuration
	// (pxelinux, GRUB with its modules, the Raspberry Pi) ask for dozens of names in a moment, one after the other.
	MaxRequestRate int

	// CacheBytes bounds the file content kept in memory. Files up to half of it are held whole, larger ones streamed; what is being read of these,
	// and memory to read more into, may come to 4 MiB on top.
	CacheBytes int64

	// IgnoreCase has a name that does not exist match one that differs in case alone.
	IgnoreCase bool

	// Allow says whose requests are taken; nil means everybody's. It is called for each request and must not block.
	Allow func(netip.Addr) bool

	// Events are the hooks.
	Events Events
}

// windowCeiling keeps block numbers within a window unambiguous modulo 65536.
const windowCeiling = 16384

// withDefaults fills in the zero fields and checks the others.
func (c Config) withDefaults() (Config, error) {
	if c.FS == nil && c.Tree == nil {
		return c, errors.New("tftp: neither FS nor Tree is set")
	}
	if c.Addr == (netip.AddrPort{}) {
		c.Addr = netip.AddrPortFrom(netip.IPv4Unspecified(), 69)
	}
	if !c.Addr.Addr().Is4() {
		return c, fmt.Errorf("tftp: address %s is not IPv4", c.Addr)
	}
	if c.PortRange[0] > c.PortRange[1] {
		return c, fmt.Errorf("tftp: port range %d-%d ends before it begins", c.PortRange[0], c.PortRange[1])
	}
	for _, field := range []struct {
		name          string
		value         *int
		low, standard int
		high          int
	}{
		{"block size", &c.MaxBlockSize, minBlockSize, maxBlockSize, maxBlockSize},
		{"window", &c.MaxWindow, 1, DefaultMaxWindow, windowCeiling},
		{"number of transfers", &c.MaxTransfers, 1, DefaultMaxTransfers, 1 << 20},
		{"rate of requests", &c.MaxRequestRate, 1, DefaultMaxRequestRate, 1 << 20},
		{"number of transfers per client", &c.MaxTransfersPerClient, 1, DefaultMaxTransfersPerClient, 1 << 20},
	} {
		if *field.value == 0 {
			*field.value = field.standard
		}
		if *field.value < field.low || *field.value > field.high {
			return c, fmt.Errorf("tftp: %s %d is not within %d..%d", field.name, *field.value, field.low, field.high)
		}
	}
	if c.CacheBytes < 0 {
		return c, fmt.Errorf("tftp: cache of %d bytes", c.CacheBytes)
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = DefaultCacheBytes
	}
	return c, nil
}

// A Server serves the files of a Config. It is made by Listen.
type Server struct {
	config  Config
	limits  limits
	epoch   time.Time
	seed    maphash.Seed
	ports   []*port      // every socket; requests come to the first
	boxes   []*letterBox // of the sockets that carry transfers
	desk    *desk
	links   linkCache
	library *library
	do      func(func()) // runs what may block
	crew    *crew

	serving atomic.Bool
	stop    func() // ends Serve
	stopped chan struct{}
	closing sync.Once
}

// A port is one socket with its transfers.
type port struct {
	socket *socket
	engine *engine
	box    *letterBox
	ending atomic.Bool
}

// Listen opens every socket that a server needs, or none. An address in use is reported as an error that wraps [syscall.EADDRINUSE] and names the address.
func Listen(c Config) (*Server, error) {
	s, err := newServer(c)
	if err != nil {
		return nil, err
	}
	if err := s.openPorts(); err != nil {
		for _, p := range s.ports {
			p.socket.close()
		}
		return nil, err
	}
	s.stopped = make(chan struct{})
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	context.AfterFunc(ctx, func() {
		for _, p := range s.ports {
			p.ending.Store(true)
			p.socket.wake()
		}
	})
	return s, nil
}

// newServer makes a server without sockets.
func newServer(c Config) (*Server, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{
		config: c,
		limits: limits{blockSize: c.MaxBlockSize, window: c.MaxWindow},
		epoch:  time.Now(),
		seed:   maphash.MakeSeed(),
		links:  linkCache{read: readLinks},
		desk:   newDesk(c.MaxTransfers, c.MaxTransfersPerClient),
	}
	s.library = newLibrary(c.CacheBytes, func(job func()) { s.do(job) })
	return s, nil
}

// openPorts opens the socket for requests and those for transfers.
func (s *Server) openPorts() error {
	if err := s.openPort(s.config.Addr, true); err != nil {
		return err
	}
	if s.config.SinglePort {
		s.boxes = []*letterBox{s.ports[0].box}
		return nil
	}
	low, high := int(s.config.PortRange[0]), int(s.config.PortRange[1])
	wanted := transferSockets()
	for number := low; len(s.boxes) < wanted; {
		err := s.openPort(netip.AddrPortFrom(s.config.Addr.Addr(), uint16(number)), false)
		if err != nil && !errors.Is(err, syscall.EADDRINUSE) {
			return err
		}
		if err == nil {
			s.boxes = append(s.boxes, s.ports[len(s.ports)-1].box)
		}
		if high == 0 {
			continue
		}
		if number++; number > high {
			break
		}
	}
	if len(s.boxes) == 0 {
		return fmt.Errorf("tftp: no free port in %d-%d: %w", low, high, syscall.EADDRINUSE)
	}
	return nil
}

// transferSockets is the number of sockets that carry transfers. One fills a fast network; more serve machines with cores to spare.
func transferSockets() int { return min(max(runtime.GOMAXPROCS(0)/2, 1), 4) }

// openPort opens one socket.
func (s *Server) openPort(addr netip.AddrPort, door bool) error {
	socket, err := openSocket(addr)
	if err != nil {
		return fmt.Errorf("tftp: listen on %s: %w", addr, err)
	}
	box := &letterBox{wake: socket.wake}
	s.ports = append(s.ports, &port{socket: socket, engine: newEngine(s, socket, door), box: box})
	return nil
}

// Addr returns the address that requests are received on.
func (s *Server) Addr() netip.AddrPort { return s.ports[0].socket.addr() }

// Serve answers until ctx ends; then it tells every client with a running transfer, closes the sockets and returns nil. It returns an error
// when a socket fails. It may be called once.
func (s *Server) Serve(ctx context.Context) error {
	if s.serving.Swap(true) {
		return errors.New("tftp: Serve called twice or after Close")
	}
	defer close(s.stopped)
	s.crew = newCrew()
	s.do = s.crew.do
	defer s.crew.end()
	cancel := context.AfterFunc(ctx, s.stop)
	defer cancel()

	failures := make([]error, len(s.ports))
	var running sync.WaitGroup
	for i, p := range s.ports {
		running.Go(func() {
			failures[i] = p.run(s)
			s.stop()
		})
	}
	running.Wait()
	for _, p := range s.ports {
		p.socket.close()
	}
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
		for _, p := range s.ports {
			p.socket.close()
		}
	})
	return nil
}

// now is the time since the server began.
func (s *Server) now() time.Duration { return time.Since(s.epoch) }

// time converts a time since the server began. The zero time stands for never.
func (s *Server) time(since time.Duration) time.Time {
	if since == never {
		return time.Time{}
	}
	return s.epoch.Add(since)
}

// starvation is how long deadlines may wait for a socket that never runs dry.
const starvation = 50 * time.Millisecond

// run serves one socket until it is told to end. What has arrived goes before what is due: under load an acknowledgement that waits in the
// socket's buffer must not be taken for a lost one.
func (p *port) run(s *Server) error {
	var deadline time.Time
	var dry time.Duration // when the socket last was
	for {
		arrived, more, err := p.socket.receive(deadline)
		if err != nil {
			return err
		}
		now := s.now()
		for i := range arrived {
			p.engine.datagram(&arrived[i], now)
		}
		for _, l := range p.box.empty() {
			p.engine.letter(l, now)
		}
		if p.ending.Load() {
			p.engine.shutDown(now)
			p.socket.flush()
			return nil
		}
		if !more || now-dry > starvation {
			dry = now
			p.engine.expire(now)
		}
		p.socket.flush()
		p.engine.flushed()
		deadline = s.time(p.engine.next())
		if s.crew.busy() {
			runtime.Gosched() // on a single processor the helpers would else wait for the scheduler to miss this one
		}
	}
}

// refused calls the hook.
func (s *Server) refused(r Refusal) {
	if hook := s.config.Events.Refused; hook != nil {
		hook(r)
	}
}

// admit gives a request to the desk, and the file it asks for to a helper to open.
func (s *Server) admit(r Request, now time.Duration) {
	client := &session{box: s.box(r.Client), request: r, route: route{client: r.Client, local: r.Local}}
	client.heard.Store(int64(now))
	answer, evicted := s.desk.admit(client, now)
	if evicted != nil {
		evicted.box.post(letter{kind: letterDrop, session: evicted})
	}
	switch {
	case answer.known != nil:
		answer.known.box.post(letter{kind: letterAgain, session: answer.known, request: &r})
	case answer.full:
		s.refused(Refusal{Client: r.Client, Local: r.Local, Interface: r.Interface, Asked: r.File, Reason: TooMany})
	default:
		s.do(func() { s.open(client) })
	}
}

// box picks the socket for a client's transfer.
func (s *Server) box(client netip.AddrPort) *letterBox {
	if len(s.boxes) == 1 {
		return s.boxes[0]
	}
	return s.boxes[maphash.Comparable(s.seed, client)%uint64(len(s.boxes))]
}

// open finds and opens the file of a transfer, negotiates, and has it started. It runs on a helper.
func (s *Server) open(t *session) {
	links := s.links.get()
	if reason := links.suspect(t.request); reason != 0 {
		s.desk.leave(t)
		s.refused(Refusal{Client: t.request.Client, Local: t.request.Local, Interface: t.request.Interface, Asked: t.request.File, Reason: reason})
		return
	}
	t.route.iface = links.pin(t.route.client.Addr(), t.request.Interface)
	fsys, tree := s.tree(t.request)
	name, info, err := findFile(fsys, t.request.File, s.config.IgnoreCase)
	if err != nil {
		t.box.post(letter{kind: letterRefuse, session: t, reason: reasonOf(err), err: err})
		return
	}
	key := fileKey{tree: tree, name: name, netascii: t.request.Netascii}
	s.library.open(fsys, key, info, func(f *file, err error) {
		if err != nil {
			t.box.post(letter{kind: letterRefuse, session: t, reason: reasonOf(err), err: err})
			return
		}
		t.file = f
		t.terms = negotiate(t.request, s.limits.forMTU(links[t.request.Interface].mtu))
		seed := maphash.Comparable(s.seed, t.route.client)
		t.machine = newTransfer(t.terms, f.size, uint32(seed))
		t.box.post(letter{kind: letterStart, session: t})
	})
}

// tree returns the files for a request, and a value that tells them apart from others'. Trees that cannot be compared share nothing.
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
