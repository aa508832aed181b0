package proxydhcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sync/errgroup"
)

// The shell around the responder: sockets, goroutines and nothing to decide.

// Config says where a Server listens and what it answers.
type Config struct {
	Interfaces []string // where clients are answered, by name
	Policy     *Policy
	Service    Service
	DryRun     bool // decide and report, send nothing
	Events     Events
}

// Events are the hooks through which a Server reports. Each may be nil. They
// are called from the goroutine that reads the socket, so they must not block.
type Events struct {
	Request func(Result)                        // how a request ended
	Fault   func(interfaceName string, e error) // our own reading or writing failed; the server goes on
}

// Server answers on port 67 of each interface and on port 4011.
type Server struct {
	responder *Responder
	events    Events
	links     []*link
	proxy     *ipv4.PacketConn // of port 4011; it alone knows which control messages it asked for
}

// link is one served interface.
type link struct {
	name  string
	index int
	conn  *packetConn

	mu   sync.Mutex
	ours []netip.Prefix
	read time.Time // when ours was read
}

// Listen opens every socket, so that port 4011 is there before the first OFFER
// sends a client to it; on an error none stays open. An address in use wraps
// syscall.EADDRINUSE, a missing privilege os.ErrPermission.
func Listen(c Config) (_ *Server, err error) {
	s := &Server{responder: NewResponder(c.Policy, c.Service, c.DryRun), events: c.Events}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{Port: PortProxy})
	if err != nil {
		return nil, fmt.Errorf("port %d: %w", PortProxy, err)
	}
	s.proxy = ipv4.NewPacketConn(conn)
	if err := s.proxy.SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true); err != nil {
		return nil, fmt.Errorf("port %d: asking for arrival addresses: %w", PortProxy, err)
	}
	for _, name := range c.Interfaces {
		ifi, err := net.InterfaceByName(name)
		if err != nil {
			return nil, fmt.Errorf("interface %s: %w", name, err)
		}
		conn, err := listenPacket(ifi)
		if err != nil {
			return nil, fmt.Errorf("interface %s: %w", name, err)
		}
		s.links = append(s.links, &link{name: name, index: ifi.Index, conn: conn})
	}
	return s, nil
}

// Close closes the sockets. Serve must have returned.
func (s *Server) Close() error {
	var errs []error
	if s.proxy != nil {
		errs = append(errs, s.proxy.Close())
	}
	for _, l := range s.links {
		errs = append(errs, l.conn.Close())
	}
	return errors.Join(errs...)
}

// SetPolicy replaces the policy for every request from now on.
func (s *Server) SetPolicy(p *Policy) { s.responder.SetPolicy(p) }

// BootFileRead tells the loop guard that the client at ip has read a boot file
// to its end.
func (s *Server) BootFileRead(ip netip.Addr, file string) {
	s.responder.BootFileRead(ip, file, time.Now())
}

// Serve answers until ctx ends, and returns nil then.
func (s *Server) Serve(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	past := time.Unix(1, 0)
	stop := context.AfterFunc(ctx, func() {
		s.proxy.SetReadDeadline(past)
		for _, l := range s.links {
			l.conn.SetReadDeadline(past)
		}
	})
	defer stop()
	g.Go(func() error { return s.serveProxy(ctx) })
	for _, l := range s.links {
		g.Go(func() error { return s.serveLink(ctx, l) })
	}
	return g.Wait()
}

// readBuffer holds any datagram that DHCP allows; a longer one is cut short and
// then malformed.
const readBuffer = 4096

// faultPause keeps a socket that fails at every call from taking the processor.
const faultPause = 100 * time.Millisecond

// serveLink answers on port 67 of one interface.
func (s *Server) serveLink(ctx context.Context, l *link) error {
	var reply []byte
	for {
		n, err := l.conn.receive()
		if err != nil {
			if !s.goOn(ctx, l.name, err) {
				return nil
			}
			continue
		}
		now := time.Now()
		for i := range n {
			reply = s.answerPacket(l, i, reply[:0], now)
		}
		if err := l.conn.flush(); err != nil {
			s.fault(l.name, fmt.Errorf("sending: %w", err))
		}
	}
}

// answerPacket answers the i-th packet that was received, with buf as memory
// for the reply, and returns that memory.
func (s *Server) answerPacket(l *link, i int, buf []byte, now time.Time) []byte {
	frame, from := l.conn.packet(i)
	d, ok := parseDatagram(frame)
	if !ok || d.to.Port() != PortServer {
		return buf
	}
	res := s.responder.Respond(buf, d.payload, Arrival{
		Port:    PortServer,
		From:    d.from,
		To:      d.to.Addr(),
		Segment: Segment{Interface: l.name},
		Ours:    l.addresses(now),
	}, now)
	if res.Reply != nil {
		buf = res.Reply
		if res.To.Link {
			from = broadcastHop
		}
		out := datagram{from: netip.AddrPortFrom(res.Arrival.Server, res.To.FromPort), to: res.To.To, payload: res.Reply}
		if err := l.conn.send(from, out); err != nil {
			res.Err = fmt.Errorf("sending to %s: %w", res.To.To, err)
		}
	}
	s.report(res)
	return buf
}

// serveProxy answers on port 4011.
func (s *Server) serveProxy(ctx context.Context) error {
	in := make([]byte, readBuffer)
	var out []byte
	for {
		n, cm, src, err := s.proxy.ReadFrom(in)
		if err != nil {
			if !s.goOn(ctx, "", err) {
				return nil
			}
			continue
		}
		a := Arrival{Port: PortProxy, From: unmap(src.(*net.UDPAddr).AddrPort())}
		l := s.linkAt(cm)
		if l == nil {
			s.report(Result{Arrival: a, Reason: NotServed})
			continue
		}
		now := time.Now()
		a.To, _ = netip.AddrFromSlice(cm.Dst.To4())
		a.Segment.Interface = l.name
		a.Ours = l.addresses(now)
		res := s.responder.Respond(out[:0], in[:n], a, now)
		if res.Reply != nil {
			out = res.Reply
			res.Err = s.sendProxy(res, l.index)
		}
		s.report(res)
	}
}

// sendProxy sends an answer of port 4011 from the address that was asked, and a
// broadcast on the interface that it was asked on.
func (s *Server) sendProxy(res Result, ifIndex int) error {
	cm := &ipv4.ControlMessage{Src: res.Arrival.Server.AsSlice()}
	if res.To.Link {
		cm.IfIndex = ifIndex
	}
	if _, err := s.proxy.WriteTo(res.Reply, cm, net.UDPAddrFromAddrPort(res.To.To)); err != nil {
		return fmt.Errorf("sending to %s: %w", res.To.To, err)
	}
	return nil
}

// linkAt returns the served interface on which a datagram arrived, nil where it
// is none.
func (s *Server) linkAt(cm *ipv4.ControlMessage) *link {
	if cm == nil {
		return nil
	}
	for _, l := range s.links {
		if l.index == cm.IfIndex {
			return l
		}
	}
	return nil
}

// goOn reports a reading error, and whether reading goes on after it.
func (s *Server) goOn(ctx context.Context, interfaceName string, err error) bool {
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return false
	}
	s.fault(interfaceName, fmt.Errorf("reading: %w", err))
	select {
	case <-ctx.Done():
		return false
	case <-time.After(faultPause):
		return true
	}
}

func (s *Server) fault(interfaceName string, err error) {
	if s.events.Fault != nil {
		s.events.Fault(interfaceName, err)
	}
}

func (s *Server) report(res Result) {
	if s.events.Request != nil {
		s.events.Request(res)
	}
}

// addressAge is how old an interface's addresses may be; they change under
// DHCP and with shared addresses.
const addressAge = time.Second

// addresses returns our addresses on the link, the last known ones where they
// cannot be read now.
func (l *link) addresses(now time.Time) []netip.Prefix {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.read.IsZero() && now.Sub(l.read) < addressAge {
		return l.ours
	}
	l.read = now
	if ours, err := Addresses(l.name); err == nil {
		l.ours = ours
	}
	return l.ours
}

// Addresses returns the IPv4 addresses of an interface, with their networks.
func Addresses(interfaceName string) ([]netip.Prefix, error) {
	ifi, err := net.InterfaceByName(interfaceName)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", interfaceName, err)
	}
	addrs, err := ifi.Addrs()
	if err != nil {
		return nil, fmt.Errorf("interface %s: reading its addresses: %w", interfaceName, err)
	}
	var ours []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			ours = append(ours, p)
		}
	}
	return ours, nil
}

// unmap makes an IPv4 address of one that came in IPv6 notation.
func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
