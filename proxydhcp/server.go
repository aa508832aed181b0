package proxydhcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// The shell around the responder: sockets, goroutines and nothing to decide.

// Config says where a Server listens and what it answers.
type Config struct {
	Interfaces []Interface // where clients are answered
	ProxyOnly  bool        // listen on port 4011 alone
	Relayed    bool        // DHCP relays send requests here: see to it that they are not told that the port is closed
	Policy     *Policy
	Service    Service
	DryRun     bool // decide and report, send nothing
	Events     Events
}

// Events are the hooks through which a Server reports. Each may be nil. They
// are called from the goroutines that read the sockets, so they must not block,
// and may be called by several at once.
type Events struct {
	Request func(Result)                        // how a request ended
	Heard   func(Arrival, []byte)               // another server's broadcast answer, valid during the call
	Found   func(Finding)                       // another server's answers have a fault; nobody listens for them where both are nil
	Link    func(Link)                          // a served interface changed; Server.Links says how they began
	Fault   func(interfaceName string, e error) // our own reading or writing failed; the server goes on
}

// Server answers on port 67 of each place and on port 4011.
type Server struct {
	config    Config
	responder *Responder
	network   atomic.Pointer[network]
	proxy     *udpConn // port 4011
	server    server   // port 67
}

// Reception is how requests to port 67 are heard.
type Reception uint8

// The kinds of reception.
const (
	ByPacketSocket Reception = iota // beside whoever else listens there
	ByUDPSocket                     // the port is ours alone
	NotAtAll                        // port 4011 alone
)

// Listen opens every socket, so that port 4011 is there before the first OFFER
// sends a client to it; on an error none stays open. Every interface that is
// named must exist. An address in use wraps syscall.EADDRINUSE, a missing
// privilege os.ErrPermission.
func Listen(c Config) (_ *Server, err error) {
	s := &Server{config: c, responder: NewResponder(c.Policy, c.Service, c.DryRun)}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	host, err := readHost()
	if err != nil {
		return nil, err
	}
	if err := check(c.Interfaces, host); err != nil {
		return nil, err
	}
	n := newNetwork(c.Interfaces, host)
	s.network.Store(n)
	if s.proxy, err = listenUDP(PortProxy); err != nil {
		return nil, err
	}
	if c.ProxyOnly {
		return s, nil
	}
	return s, s.server.open(s, n)
}

// Close closes the sockets. Serve must have returned.
func (s *Server) Close() error {
	err := s.server.close()
	if s.proxy != nil {
		err = errors.Join(err, s.proxy.conn.Close())
	}
	return err
}

// SetPolicy replaces the policy for every request from now on.
func (s *Server) SetPolicy(p *Policy) { s.responder.SetPolicy(p) }

// BootFileRead tells the loop guard that the client at ip has read a boot file
// to its end.
func (s *Server) BootFileRead(ip netip.Addr, file string) {
	s.responder.BootFileRead(ip, file, time.Now())
}

// Links returns the served interfaces as they stand now.
func (s *Server) Links() []Link { return s.network.Load().links }

// Reception returns how requests to port 67 are heard. Where they are not,
// though they were to be, the error says why.
func (s *Server) Reception() (Reception, error) {
	if s.config.ProxyOnly {
		return NotAtAll, nil
	}
	return s.server.reception()
}

// Serve answers until ctx ends, and returns nil then.
func (s *Server) Serve(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.serveUDP(ctx, s.proxy, PortProxy) })
	g.Go(func() error { return s.follow(ctx) })
	if !s.config.ProxyOnly {
		g.Go(func() error { return s.server.serve(ctx, s) })
	}
	err := g.Wait()
	return errors.Join(err, s.server.close())
}

// Changes of the host's network come in bursts, and one look serves for all of a
// burst. What failed to open is tried again. People are told when it is over:
// the kernel takes up to a second to tell of a carrier.
const (
	settleTime = 50 * time.Millisecond
	retryTime  = time.Second
	tellTime   = 1200 * time.Millisecond
)

// follow keeps what is served in step with the host's interfaces.
func (s *Server) follow(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		for ctx.Err() == nil {
			err := watchHost(ctx, func() {
				select {
				case changed <- struct{}{}:
				default:
				}
			})
			if err != nil {
				s.fault("", err)
				pause(ctx, retryTime)
			}
		}
		return nil
	})
	g.Go(func() error {
		s.keepUp(ctx, changed)
		return nil
	})
	return g.Wait()
}

// keepUp adapts to each change, and tells of it, until ctx ends.
func (s *Server) keepUp(ctx context.Context, changed <-chan struct{}) {
	told := s.network.Load().links
	var retry, tell <-chan time.Time
	for {
		select {
		case <-changed:
			pause(ctx, settleTime)
		case <-retry:
		case <-tell:
			tell = nil
			told = s.tell(told)
			continue
		case <-ctx.Done():
			return
		}
		retry = nil
		if !s.adapt() {
			retry = time.After(retryTime)
		}
		if tell == nil {
			tell = time.After(tellTime)
		}
	}
}

// adapt serves what is there now, and reports whether all of it is.
func (s *Server) adapt() bool {
	host, err := readHost()
	if err != nil {
		s.fault("", err)
		return false
	}
	n := newNetwork(s.config.Interfaces, host)
	s.network.Store(n)
	if s.config.ProxyOnly {
		return true
	}
	failures := s.server.adapt(s, n)
	for _, f := range failures {
		if !errors.Is(f.err, syscall.ENODEV) { // gone since we looked, of which the kernel tells us
			s.fault(f.interfaceName, f.err)
		}
	}
	return len(failures) == 0
}

// tell tells what has become of the links since told, and returns how they are.
func (s *Server) tell(told []Link) []Link {
	now := s.network.Load().links
	if s.config.Events.Link != nil {
		for _, l := range changedLinks(told, now) {
			s.config.Events.Link(l)
		}
	}
	return now
}

// failure is an interface that could not be served.
type failure struct {
	interfaceName string
	err           error
}

// answer answers one datagram to port 67 or 4011, with buf as memory for the
// reply. The result's Reply is still to be sent.
func (s *Server) answer(n *network, p *place, port uint16, d datagram, buf []byte, now time.Time) Result {
	a, ok := n.arrival(p, port, d.from, d.to.Addr())
	if !ok {
		return Result{Arrival: a, Reason: NotServed}
	}
	return s.responder.Respond(buf, d.payload, a, now)
}

// faultPause keeps a socket that fails at every call from taking the processor.
const faultPause = 100 * time.Millisecond

// overhear looks at another server's answer to a client.
func (s *Server) overhear(a Arrival, payload []byte, now time.Time) {
	if s.config.Events.Heard != nil {
		s.config.Events.Heard(a, payload)
	}
	if s.config.Events.Found == nil {
		return
	}
	for _, f := range s.responder.Heard(a, payload, now) {
		s.config.Events.Found(f)
	}
}

// BootFileAsked tells the responder that the client at ip asks for a boot file
// of ours: so it understood the OFFER.
func (s *Server) BootFileAsked(ip netip.Addr) { s.responder.BootFileAsked(ip, time.Now()) }

// goOn reports a reading error, and whether reading goes on after it.
func (s *Server) goOn(ctx context.Context, interfaceName string, err error) bool {
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return false
	}
	s.fault(interfaceName, fmt.Errorf("reading: %w", err))
	pause(ctx, faultPause)
	return ctx.Err() == nil
}

// pause waits for a while, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (s *Server) fault(interfaceName string, err error) {
	if s.config.Events.Fault != nil {
		s.config.Events.Fault(interfaceName, err)
	}
}

func (s *Server) report(res Result) {
	if s.config.Events.Request != nil {
		s.config.Events.Request(res)
	}
}

// Addresses returns the IPv4 addresses of an interface, with their networks.
func Addresses(interfaceName string) ([]netip.Prefix, error) {
	ifi, err := net.InterfaceByName(interfaceName)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", interfaceName, err)
	}
	return prefixes(ifi)
}

// prefixes returns the IPv4 addresses of an interface, with their networks.
func prefixes(ifi *net.Interface) ([]netip.Prefix, error) {
	addrs, err := ifi.Addrs()
	if err != nil {
		return nil, fmt.Errorf("interface %s: reading its addresses: %w", ifi.Name, err)
	}
	var ours []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			ours = append(ours, p)
		}
	}
	return ours, nil
}
