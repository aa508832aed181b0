//go:build !linux

package server

// A UDP socket on systems other than Linux: one datagram for each system call.

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// Sizes of a datagram and of the socket's own buffer, in bytes. A longer
// datagram is cut short and then malformed. The system may give less.
const (
	datagramSize  = 4096
	receiveBuffer = 8 << 20
)

// udpConn is a UDP socket. One goroutine at a time may use it, except for wake
// and close.
type udpConn struct {
	conn    *net.UDPConn
	control controls
	in      [datagramSize]byte
	oob     [256]byte
	size    int // of what arrived last, and of its control messages
	oobSize int
	from    netip.AddrPort
	failed  error // of what was sent last
}

// listenUDP listens on a port of every address.
func listenUDP(port int) (*udpConn, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{Port: port})
	if err != nil {
		return nil, fmt.Errorf("port %d: %w", port, err)
	}
	_ = conn.SetReadBuffer(receiveBuffer) // an improvement if the system allows it
	c := &udpConn{conn: conn}
	if err := c.control.ask(conn); err != nil {
		conn.Close()
		return nil, fmt.Errorf("port %d: asking for arrival addresses: %w", port, err)
	}
	return c, nil
}

// receive waits for a datagram or for wake, and returns how many there are.
func (c *udpConn) receive() (count int, err error) {
	c.size, c.oobSize, _, c.from, err = c.conn.ReadMsgUDPAddrPort(c.in[:], c.oob[:])
	if err != nil {
		return 0, err
	}
	return 1, nil
}

// datagram returns the datagram of the last receive, and the index of the
// interface on which it arrived. It is valid until the next receive.
func (c *udpConn) datagram(int) (dhcp4.Datagram, int) {
	to, index := c.control.read(c.oob[:c.oobSize])
	from := netip.AddrPortFrom(c.from.Addr().Unmap(), c.from.Port())
	return dhcp4.Datagram{From: from, To: netip.AddrPortFrom(to, 0), Payload: c.in[:c.size]}, index
}

// send sends the answer to the datagram.
func (c *udpConn) send(_ int, out outgoing) {
	_, _, c.failed = c.conn.WriteMsgUDPAddrPort(out.Payload, controlMessage(out.From.Addr(), out.via), out.To)
}

// flush reports an answer that could not be sent.
func (c *udpConn) flush(failed func(i int, err error)) {
	if c.failed != nil {
		failed(0, c.failed)
		c.failed = nil
	}
}

// wake ends a wait of receive, for good.
func (c *udpConn) wake() { c.conn.SetReadDeadline(time.Unix(1, 0)) }

// close closes the socket.
func (c *udpConn) close() error { return c.conn.Close() }
