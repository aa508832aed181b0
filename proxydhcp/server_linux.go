package proxydhcp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Port 67 on Linux: a packet socket for each place.

// server is the packet sockets on port 67, by the places they serve.
type server struct {
	taps   map[placeKey]*tap
	begin  chan struct{} // closed when answering begins
	holder *portHolder
}

// tap is a packet socket with its goroutine, which opens it, answers, and
// closes it.
type tap struct {
	place atomic.Pointer[place] // the names and addresses change
	conn  *packetConn
	end   context.CancelFunc
	ended chan struct{}
}

// open opens the sockets; on an error close closes those that did open.
func (v *server) open(s *Server, n *network) (err error) {
	v.taps, v.begin = map[placeKey]*tap{}, make(chan struct{})
	if s.config.Relayed {
		if v.holder, err = holdPort(PortServer); err != nil {
			return err
		}
	}
	var errs []error
	for _, f := range v.adapt(s, n) {
		errs = append(errs, fmt.Errorf("interface %s: %w", f.interfaceName, f.err))
	}
	return errors.Join(errs...)
}

// close ends every tap. It may be called again.
func (v *server) close() error {
	for key, t := range v.taps {
		t.close()
		delete(v.taps, key)
	}
	holder := v.holder
	v.holder = nil
	return holder.close()
}

func (v *server) reception() (Reception, error) { return ByPacketSocket, nil }

// serve lets the taps answer until ctx ends.
func (v *server) serve(ctx context.Context, _ *Server) error {
	close(v.begin)
	<-ctx.Done()
	return nil
}

// adapt opens and closes taps so that every place of n has one. A frame is
// never seen by two: a VLAN leaves one socket before the other one opens for
// it, and what a socket takes is decided when the frame arrives.
func (v *server) adapt(s *Server, n *network) (failures []failure) {
	wanted := map[placeKey]bool{}
	for i := range n.places {
		wanted[n.places[i].key] = true
	}
	for key, t := range v.taps {
		if !wanted[key] {
			t.close()
			delete(v.taps, key)
		}
	}
	var opening []*place
	for i := range n.places {
		p := &n.places[i]
		t := v.taps[p.key]
		if t == nil {
			opening = append(opening, p)
		} else if err := t.move(p); err != nil {
			failures = append(failures, failure{p.segment.Interface, err})
		}
	}
	for _, p := range opening {
		t, err := v.tap(s, p)
		if err != nil {
			failures = append(failures, failure{p.segment.Interface, err})
			continue
		}
		v.taps[p.key] = t
	}
	return failures
}

// tap starts a tap and waits until its socket is open.
func (v *server) tap(s *Server, p *place) (*tap, error) {
	ctx, end := context.WithCancel(context.Background())
	t := &tap{end: end, ended: make(chan struct{})}
	t.place.Store(p)
	opened := make(chan error, 1)
	go t.run(ctx, s, v.begin, opened)
	if err := <-opened; err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// close ends the tap and returns when its socket is closed.
func (t *tap) close() {
	t.end()
	<-t.ended
}

// move tells the tap what became of its place.
func (t *tap) move(p *place) error {
	if p.tagged != t.place.Load().tagged {
		if err := t.conn.setFilter(p); err != nil {
			return err
		}
	}
	t.place.Store(p)
	return nil
}

// run opens the tap's socket, answers from begin until ctx ends, and closes it.
func (t *tap) run(ctx context.Context, s *Server, begin <-chan struct{}, opened chan<- error) {
	defer close(t.ended)
	conn, err := listenPacket(t.place.Load(), s.config.Events.Heard != nil || s.config.Events.Found != nil)
	if err != nil {
		opened <- err
		return
	}
	defer conn.Close()
	t.conn = conn
	opened <- nil
	select {
	case <-begin:
	case <-ctx.Done():
	}
	stop := context.AfterFunc(ctx, conn.Wake)
	defer stop()
	t.answer(ctx, s)
}

// answer answers until ctx ends.
func (t *tap) answer(ctx context.Context, s *Server) {
	var reply []byte
	for ctx.Err() == nil {
		count, err := t.conn.receive()
		if isGone(err) {
			continue // told once; reading goes on when the interface is up again
		}
		if err != nil {
			if !s.goOn(ctx, t.place.Load().segment.Interface, err) {
				return
			}
			continue
		}
		now, n, p := time.Now(), s.network.Load(), t.place.Load()
		for i := range count {
			reply = t.answerPacket(s, n, p, i, reply[:0], now)
		}
		if err := t.conn.flush(); err != nil && !isGone(err) {
			s.fault(p.segment.Interface, fmt.Errorf("sending: %w", err))
		}
	}
}

// isGone reports whether an error says that the interface is down or gone. That
// is no failure of ours, and is told as what became of the link.
func isGone(err error) bool {
	return errors.Is(err, unix.ENETDOWN) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV)
}

// answerPacket answers the i-th packet that was received, with buf as memory
// for the reply, and returns that memory.
func (t *tap) answerPacket(s *Server, n *network, p *place, i int, buf []byte, now time.Time) []byte {
	packet, from, vlan := t.conn.packet(i)
	d, ok := parseDatagram(packet)
	if !ok {
		return buf
	}
	if p.key.trunk {
		tagged := *p
		tagged.segment.VLAN = vlan
		p = &tagged
	}
	if d.to.Port() == PortClient {
		a, _ := n.arrival(p, PortClient, d.from, d.to.Addr())
		s.overhear(a, d.payload, now)
		return buf
	}
	res := s.answer(n, p, PortServer, d, buf, now)
	if res.Reply != nil {
		buf = res.Reply
		if res.To.Link {
			from = broadcastHop
		}
		out := datagram{from: netip.AddrPortFrom(res.Arrival.Server, res.To.FromPort), to: res.To.To, payload: res.Reply}
		if err := t.conn.send(from, vlan, out); err != nil {
			res.Err = fmt.Errorf("sending to %s: %w", res.To.To, err)
		}
	}
	s.report(res)
	return buf
}
