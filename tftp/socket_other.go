//go:build !linux

package tftp

// A UDP socket on systems other than Linux: one datagram for each system call.

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
)

// receiveBuffer is the size asked for; the system may give less.
const receiveBuffer = 4 << 20

// goroutines returns how many sockets carry transfers, each with a goroutine,
// and how many ports each has.
func goroutines() (count, ports int) { return min(max(runtime.GOMAXPROCS(0)/2, 1), 4), 1 }

// maxFailures is how many errors in a row a socket may return. Windows reports
// a client that closed its port as an error of the next read.
const maxFailures = 1000

// socket is a UDP socket. One goroutine may use it at a time, except for wake
// and close.
type socket struct {
	conn    *net.UDPConn
	packet4 *ipv4.PacketConn
	woken   atomic.Bool
	failed  int
	read    [1024]byte
	one     [1]datagram
	write   []byte
}

// openSocket returns a socket that is not open yet.
func openSocket() (*socket, error) { return &socket{}, nil }

// listen opens the socket on an IPv4 address.
func (s *socket) listen(addr netip.AddrPort) (err error) {
	if s.conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(addr)); err != nil {
		return err
	}
	s.packet4 = ipv4.NewPacketConn(s.conn)
	// Both are improvements if the system has them. Windows has no arrival
	// address; there the routing table chooses that of the reply.
	_ = s.conn.SetReadBuffer(receiveBuffer)
	_ = s.packet4.SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
	return nil
}

// addr returns the address the socket is bound to.
func (s *socket) addr() netip.AddrPort {
	bound, _ := netip.ParseAddrPort(s.conn.LocalAddr().String())
	return bound
}

// receive returns what has arrived, after waiting for it until the deadline or
// until wake; the zero time is no deadline. The result is valid until the next
// call.
func (s *socket) receive(deadline time.Time) (arrived []datagram, more bool, err error) {
	if err := s.conn.SetReadDeadline(deadline); err != nil {
		return nil, false, err
	}
	if s.woken.Swap(false) {
		return nil, false, nil
	}
	n, info, from, err := s.packet4.ReadFrom(s.read[:])
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, false, nil
	case errors.Is(err, net.ErrClosed):
		return nil, false, err
	case err != nil:
		if s.failed++; s.failed > maxFailures {
			return nil, false, err
		}
		return nil, false, nil
	}
	s.failed = 0
	sender, ok := from.(*net.UDPAddr)
	if !ok {
		return nil, false, nil
	}
	client := sender.AddrPort()
	d := datagram{client: netip.AddrPortFrom(client.Addr().Unmap(), client.Port()), data: s.read[:n]}
	if info != nil {
		d.iface = info.IfIndex
		if local, ok := netip.AddrFromSlice(info.Dst.To4()); ok {
			d.local = local
			d.multicast = local.IsMulticast() || local == netip.AddrFrom4([4]byte{255, 255, 255, 255})
		}
	}
	s.one[0] = d
	return s.one[:], false, nil
}

// undelivered returns nothing: what ICMP says is not known here.
func (s *socket) undelivered() (client netip.AddrPort, via int, closed, ok bool) {
	return netip.AddrPort{}, 0, false, false
}

// wake ends a wait, the current one or the next.
func (s *socket) wake() {
	s.woken.Store(true)
	_ = s.conn.SetReadDeadline(time.Unix(1, 0)) // fails when closed: then nobody waits
}

// close closes the socket. It may be called twice.
func (s *socket) close() {
	if s.conn != nil {
		_ = s.conn.Close()
	}
}

// packet sends a datagram. What the system does not take is lost, as datagrams
// may be.
func (s *socket) packet(r *route, p []byte) {
	var info *ipv4.ControlMessage
	if r.local.IsValid() {
		info = &ipv4.ControlMessage{Src: r.local.AsSlice(), IfIndex: r.iface}
	}
	_, _ = s.packet4.WriteTo(p, info, net.UDPAddrFromAddrPort(r.client))
}

// blocks sends DATA packets one by one.
func (s *socket) blocks(r *route, first int64, count, blockSize int, data [][]byte) {
	for i := range count {
		var header [headerLen]byte
		putDataHeader(&header, first+int64(i))
		s.write = append(s.write[:0], header[:]...)
		for len(data) > 0 && len(s.write) < headerLen+blockSize {
			take := min(headerLen+blockSize-len(s.write), len(data[0]))
			s.write = append(s.write, data[0][:take]...)
			if data[0] = data[0][take:]; len(data[0]) == 0 {
				data = data[1:]
			}
		}
		s.packet(r, s.write)
	}
}

// flush has nothing to do: nothing is held back.
func (s *socket) flush() {}
