package server

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// readBuffer holds any datagram that DHCP allows, in bytes. A longer one is cut
// short and then malformed.
const readBuffer = 4096

// udpConn is an ordinary UDP socket that reports where a datagram arrived, and
// sends from where it is asked to: port 4011, and port 67 on systems without
// packet sockets.
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
// the index of the interface on which it arrived.
func (c *udpConn) receive() (dhcp4.Datagram, int, error) {
	n, oob, _, from, err := c.conn.ReadMsgUDPAddrPort(c.in[:], c.oob[:])
	if err != nil {
		return dhcp4.Datagram{}, 0, err
	}
	to, index := c.control.read(c.oob[:oob])
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	return dhcp4.Datagram{From: from, To: netip.AddrPortFrom(to, 0), Payload: c.in[:n]}, index, nil
}

// serveUDP answers on port 4011, or on port 67 if that is an ordinary socket,
// until ctx ends.
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
		sc, served := n.scopeOf(index, d.To.Addr())
		if !served {
			report(s.config.Events.Request, proxydhcp.Result{Arrival: proxydhcp.Arrival{Port: port, From: d.From, To: d.To.Addr()}, Reason: proxydhcp.NotServed})
			continue
		}
		res := s.answer(n, &sc, port, d, buf[:0], time.Now())
		if res.Reply != nil {
			buf = res.Reply
			res.Err = c.send(n, &sc, res, index)
		}
		report(s.config.Events.Request, res)
	}
}

// send sends an answer from the address that was asked. What goes to everybody,
// or to a host on the link, leaves by the interface of the request: two
// interfaces may have the same network behind them. What is routed goes its own
// way.
func (c *udpConn) send(n *network, sc *scope, res proxydhcp.Result, index int) error {
	from, to, via := res.Arrival.Server, res.To.To, 0
	if !n.host.Owns(from) { // another host stands for us there, and we may not send from it
		from = netip.Addr{}
		if n.host.Owns(res.Arrival.To) {
			from = res.Arrival.To
		}
	}
	if res.To.Link {
		to = netip.AddrPortFrom(linkBroadcast(res.Arrival.Ours), to.Port())
	}
	if res.To.Link || sc.key.index == index && sc.onLink(to.Addr()) {
		via = index
	}
	if _, _, err := c.conn.WriteMsgUDPAddrPort(res.Reply, controlMessage(from, via), to); err != nil {
		return fmt.Errorf("sending to %s: %w", to, err)
	}
	return nil
}
