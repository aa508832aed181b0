package server

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// port67 is port 67 on Linux: a packet socket for each scope.
type port67 struct {
	listeners map[scopeKey]*listener
	begin     chan struct{} // closed when answering begins
	holder    *portHolder
}

// listener is a packet socket with its goroutine, which opens it, answers, and
// closes it.
type listener struct {
	scope atomic.Pointer[scope] // its names and addresses change
	conn  *packetConn
	end   context.CancelFunc
	ended chan struct{}
}

// open opens the sockets. On an error, close closes those that did open.
func (p *port67) open(s *Server, n *network) (err error) {
	p.listeners, p.begin = map[scopeKey]*listener{}, make(chan struct{})
	if s.config.Relayed {
		if p.holder, err = holdPort(proxydhcp.PortServer); err != nil {
			return err
		}
	}
	var errs []error
	for _, f := range p.adapt(s, n) {
		errs = append(errs, fmt.Errorf("interface %s: %w", f.Interface, f.Err))
	}
	return errors.Join(errs...)
}

// close ends every listener. It may be called again.
func (p *port67) close() error {
	p.closeExcept(nil)
	holder := p.holder
	p.holder = nil
	return holder.close()
}

// reception returns how requests are received.
func (p *port67) reception() (Reception, error) { return ByPacketSocket, nil }

// serve lets the listeners answer until ctx ends.
func (p *port67) serve(ctx context.Context, _ *Server) error {
	close(p.begin)
	<-ctx.Done()
	return nil
}

// adapt opens and closes listeners so that every scope of n has one. No frame
// is seen by two: a VLAN leaves one socket before the other one opens for it,
// and what a socket accepts is decided when the frame arrives.
func (p *port67) adapt(s *Server, n *network) (failures []Error) {
	wanted := map[scopeKey]bool{}
	for i := range n.scopes {
		wanted[n.scopes[i].key] = true
	}
	p.closeExcept(wanted)
	var opening []*scope
	for i := range n.scopes {
		sc := &n.scopes[i]
		l := p.listeners[sc.key]
		if l == nil {
			opening = append(opening, sc)
		} else if err := l.move(sc); err != nil {
			failures = append(failures, Error{sc.segment.Interface, err})
		}
	}
	for _, sc := range opening {
		l, err := p.listen(s, sc)
		if err != nil {
			failures = append(failures, Error{sc.segment.Interface, err})
			continue
		}
		p.listeners[sc.key] = l
	}
	return failures
}

// closeExcept closes the listeners that are not wanted. Each waits until no
// processor of the kernel uses its socket any more, so they do it together.
func (p *port67) closeExcept(wanted map[scopeKey]bool) {
	var closing []*listener
	for key, l := range p.listeners {
		if !wanted[key] {
			l.end()
			closing = append(closing, l)
			delete(p.listeners, key)
		}
	}
	for _, l := range closing {
		<-l.ended
	}
}

// listen starts a listener and waits until its socket is open.
func (p *port67) listen(s *Server, sc *scope) (*listener, error) {
	ctx, end := context.WithCancel(context.Background())
	l := &listener{end: end, ended: make(chan struct{})}
	l.scope.Store(sc)
	opened := make(chan error, 1)
	go l.run(ctx, s, p.begin, opened)
	if err := <-opened; err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// close ends the listener and returns when its socket is closed.
func (l *listener) close() {
	l.end()
	<-l.ended
}

// move gives the listener the new state of its scope.
func (l *listener) move(sc *scope) error {
	if sc.tagged != l.scope.Load().tagged {
		if err := l.conn.setFilter(sc); err != nil {
			return err
		}
	}
	l.scope.Store(sc)
	return nil
}

// run opens the listener's socket, answers from begin until ctx ends, and
// closes it.
func (l *listener) run(ctx context.Context, s *Server, begin <-chan struct{}, opened chan<- error) {
	defer close(l.ended)
	conn, err := listenPacket(l.scope.Load(), s.config.Events.listens())
	if err != nil {
		opened <- err
		return
	}
	defer conn.Close()
	l.conn = conn
	opened <- nil
	select {
	case <-begin:
	case <-ctx.Done():
	}
	stop := context.AfterFunc(ctx, conn.Wake)
	defer stop()
	l.answer(ctx, s)
}

// answer answers until ctx ends.
func (l *listener) answer(ctx context.Context, s *Server) {
	var reply []byte
	for ctx.Err() == nil {
		count, err := l.conn.receive()
		if isGone(err) {
			continue // reported once; reading goes on when the interface is up again
		}
		if err != nil {
			if !s.goOn(ctx, l.scope.Load().segment.Interface, err) {
				return
			}
			continue
		}
		now, n, sc := time.Now(), s.network.Load(), l.scope.Load()
		for i := range count {
			reply = l.answerPacket(s, n, sc, i, reply[:0], now)
		}
		if err := l.conn.flush(); err != nil && !isGone(err) {
			report(s.config.Events.Error, Error{sc.segment.Interface, fmt.Errorf("sending: %w", err)})
		}
	}
}

// isGone reports whether an error says that the interface is down or gone. That
// is no failure of ours, and is reported as a change of the link.
func isGone(err error) bool {
	return errors.Is(err, unix.ENETDOWN) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV)
}

// answerPacket answers the i-th packet that was received. It uses buf as memory
// for the reply, and returns that memory.
func (l *listener) answerPacket(s *Server, n *network, sc *scope, i int, buf []byte, now time.Time) []byte {
	packet, from, vlan := l.conn.packet(i)
	d, ok := dhcp4.ParseDatagram(packet)
	if !ok {
		return buf
	}
	if sc.key.trunk {
		tagged := *sc
		tagged.segment.VLAN = vlan
		sc = &tagged
	}
	if d.To.Port() == proxydhcp.PortClient {
		a, _ := n.arrival(sc, proxydhcp.PortClient, d.From, d.To.Addr())
		s.overhear(a, d.Payload, now)
		return buf
	}
	res := s.answer(n, sc, proxydhcp.PortServer, d, buf, now)
	if res.Reply != nil {
		buf = res.Reply
		if res.To.Link {
			from = broadcastHop
		}
		out := dhcp4.Datagram{From: netip.AddrPortFrom(res.Arrival.Server, res.To.FromPort), To: res.To.To, Payload: res.Reply}
		if err := l.conn.send(from, vlan, out); err != nil {
			res.Err = fmt.Errorf("sending to %s: %w", res.To.To, err)
		}
	}
	report(s.config.Events.Request, res)
	return buf
}
