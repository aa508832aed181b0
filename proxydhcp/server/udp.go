package server

// Ordinary UDP sockets: port 4011, and port 67 on systems without packet
// sockets. A udpConn, of which each system has its own kind, reports where a
// datagram arrived, and sends from where it is asked to.

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// outgoing is a datagram to be sent by a udpConn. Its bytes do not change
// before they are sent.
type outgoing struct {
	dhcp4.Datagram
	via      int                // the interface to leave by, 0 for the routing table to choose
	hardware dhcp4.HardwareAddr // the receiver's on the link of via, as it says; zero if unknown
}

// serveUDP answers on port 4011, or on port 67 if that is an ordinary socket,
// until ctx ends.
func (s *Server) serveUDP(ctx context.Context, c *udpConn, port uint16) error {
	stop := context.AfterFunc(ctx, c.wake)
	defer stop()
	var results []proxydhcp.Result
	var replies []byte
	for ctx.Err() == nil {
		count, err := c.receive()
		if err != nil {
			if !s.goOn(ctx, "", err) {
				return nil
			}
			continue
		}
		now, n := time.Now(), s.network.Load()
		results, replies = results[:0], replies[:0]
		for i := range count {
			res := s.answerUDP(c, n, port, i, replies[len(replies):], now)
			replies = append(replies, res.Reply...) // where they are, unless there was no room
			results = append(results, res)
		}
		c.flush(func(i int, err error) { results[i].Err = fmt.Errorf("sending to %s: %w", results[i].To.To, err) })
		for _, res := range results {
			report(s.config.Events.Request, res)
		}
	}
	return nil
}

// answerUDP answers the i-th datagram that was received, and queues the answer,
// which it appends to buf.
func (s *Server) answerUDP(c *udpConn, n *network, port uint16, i int, buf []byte, now time.Time) proxydhcp.Result {
	d, index := c.datagram(i)
	a := proxydhcp.Arrival{Port: port, From: d.From, To: d.To.Addr()}
	if d.From.Port() == 0 { // nobody can be answered there (RFC 768)
		return proxydhcp.Result{Arrival: a, Reason: proxydhcp.Malformed}
	}
	sc, served := n.scopeOf(index, d.To.Addr())
	if !served {
		return proxydhcp.Result{Arrival: a, Reason: proxydhcp.NotServed}
	}
	res := s.answer(n, &sc, port, d, buf, now)
	if res.Reply != nil {
		c.send(i, n.outgoing(&sc, &res, index))
	}
	return res
}

// outgoing returns how an answer is sent: from the address that was asked. What
// goes to everybody, or to a host on the link, leaves by the interface of the
// request: two interfaces may have the same network behind them. What is routed
// goes its own way.
func (n *network) outgoing(sc *scope, res *proxydhcp.Result, index int) outgoing {
	from, to := res.Arrival.Server, res.To.To
	if !n.host.Owns(from) { // another host stands for us there, and we may not send from it
		from = netip.Addr{}
		if n.host.Owns(res.Arrival.To) {
			from = res.Arrival.To
		}
	}
	if res.To.Link {
		to = netip.AddrPortFrom(linkBroadcast(res.Arrival.Ours), to.Port())
	}
	out := outgoing{Datagram: dhcp4.Datagram{From: netip.AddrPortFrom(from, res.To.FromPort), To: to, Payload: res.Reply}}
	switch {
	case res.To.Link:
		out.via = index
	case sc.key.index == index && sc.onLink(to.Addr()):
		out.via = index
		if !res.To.Relay {
			out.hardware = res.Client.Hardware
		}
	}
	return out
}
