package proxydhcp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Ordinary UDP sockets: port 4011, and port 67 where there are no packet
// sockets.

// readBuffer holds any datagram that DHCP allows; a longer one is cut short and
// then malformed.
const readBuffer = 4096

// udpConn is a UDP socket that tells where a datagram arrived, and sends from
// where it is told.
type udpConn struct {
	conn    *net.UDPConn
	control controls
	oob     [256]byte
	in      [readBuffer]byte
}

// listenUDP listens on a port of every address.
func listenUDP(port int) (*udpConn, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{Port: port})
	if err != nil {
		return nil, fmt.Errorf("port %d: %w", port, err)
	}
	c := &udpConn{conn: conn}
	if err := c.control.ask(conn); err != nil {
		conn.Close()
		return nil, fmt.Errorf("port %d: asking for arrival addresses: %w", port, err)
	}
	return c, nil
}

// receive waits for a datagram, which is valid until the next one, and returns
// with it the index of the interface on which it arrived.
func (c *udpConn) receive() (datagram, int, error) {
	n, oob, _, from, err := c.conn.ReadMsgUDPAddrPort(c.in[:], c.oob[:])
	if err != nil {
		return datagram{}, 0, err
	}
	to, index := c.control.read(c.oob[:oob])
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	return datagram{from: from, to: netip.AddrPortFrom(to, 0), payload: c.in[:n]}, index, nil
}

// serveUDP answers on port 4011, or port 67 where that is an ordinary socket.
func (s *Server) serveUDP(ctx context.Context, c *udpConn, port uint16) error {
	stop := context.AfterFunc(ctx, func() { c.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var buf []byte
	for {
		d, index, err := c.receive()
		if err != nil {
			if !s.goOn(ctx, "", err) {
				return nil
			}
			continue
		}
		n := s.network.Load()
		p, served := n.placeOf(index, d.to.Addr())
		if !served {
			s.report(Result{Arrival: Arrival{Port: port, From: d.from, To: d.to.Addr()}, Reason: NotServed})
			continue
		}
		res := s.answer(n, &p, port, d, buf[:0], time.Now())
		if res.Reply != nil {
			buf = res.Reply
			res.Err = c.send(n, &p, res, index)
		}
		s.report(res)
	}
}

// send sends an answer from the address that was asked. What goes to everybody,
// or to a neighbour, leaves by the interface of the request: two interfaces may
// have the same network behind them. What is routed goes its own way.
func (c *udpConn) send(n *network, p *place, res Result, index int) error {
	from, to, via := res.Arrival.Server, res.To.To, 0
	if !n.local[from] { // one that another host stands for, and that we may not send from
		from = netip.Addr{}
		if n.local[res.Arrival.To] {
			from = res.Arrival.To
		}
	}
	if res.To.Link {
		to = netip.AddrPortFrom(linkBroadcast(res.Arrival.Ours), to.Port())
	}
	if res.To.Link || p.key.index == index && p.onLink(to.Addr()) {
		via = index
	}
	if _, _, err := c.conn.WriteMsgUDPAddrPort(res.Reply, controlMessage(from, via), to); err != nil {
		return fmt.Errorf("sending to %s: %w", to, err)
	}
	return nil
}
