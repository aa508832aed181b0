package server

// A UDP socket on Linux: batches both ways, as on port 67, and answers that
// need no ARP.
//
// The kernel holds what is sent to an address on the link until ARP has found
// its hardware address, for three seconds if nobody has it, and all of that
// counts against the socket's send buffer and against the kernel's table of
// neighbours. A few hundred requests a second in the names of addresses that
// nobody has would fill both. So when much is held, answers to hosts on the
// link are sent to the hardware address that is in the request, by a packet
// socket.

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pxesidecar/pxesidecar/internal/mmsg"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

const (
	datagramSize = 4096    // bytes kept of a datagram; a longer one is then malformed
	sendBuffer   = 4 << 20 // bytes asked for, of the socket

	maxHeaders = 64 // bytes of the headers that a packet socket leaves to us, at most

	// crowded is how many bytes the system may hold before ARP is avoided. An
	// answer counts as one to two KiB.
	crowded = 64 << 10
)

// udpConn is a UDP socket. One goroutine at a time may use it, except for wake
// and close.
type udpConn struct {
	conn    *mmsg.Conn
	in      *mmsg.Incoming
	out     *mmsg.Outgoing
	answers []int // which datagrams the messages of out answer

	link    *mmsg.Conn // a packet socket that only sends; nil without the privilege
	linkOut *mmsg.Outgoing
	linked  []int // as answers
	buf     []byte

	crowded bool
}

// listenUDP listens on a port of every address.
func listenUDP(port int) (*udpConn, error) {
	c := &udpConn{in: mmsg.NewIncoming(datagramSize)}
	any := netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(port))
	fd, err := mmsg.OpenUDP(any, mmsg.UDPOptions{ReceiveBuffer: receiveBuffer, SendBuffer: sendBuffer, Broadcast: true})
	if err == nil {
		c.conn, err = mmsg.NewFD(fd)
	}
	if err != nil {
		return nil, fmt.Errorf("port %d: %w", port, err)
	}
	c.out = mmsg.NewOutgoing(mmsg.BatchSize, 0)
	c.linkOut = mmsg.NewOutgoing(mmsg.BatchSize, mmsg.BatchSize*packetSize)
	if c.link, err = openLink(); err != nil && !errors.Is(err, os.ErrPermission) {
		return nil, errors.Join(fmt.Errorf("port %d: packet socket: %w", port, err), c.conn.Close())
	}
	return c, nil
}

// openLink opens a packet socket that receives nothing.
func openLink() (*mmsg.Conn, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	return mmsg.NewFD(fd)
}

// receive waits for datagrams or for wake, and returns how many there are,
// perhaps none; datagram returns each.
func (c *udpConn) receive() (int, error) {
	count, err := c.conn.Receive(c.in, time.Time{})
	if count > 0 && c.link != nil {
		held, _ := c.conn.Held() // without an answer, ARP is used
		c.crowded = held > crowded
	}
	return count, err
}

// datagram returns the i-th datagram of the last receive, and the index of the
// interface on which it arrived. The bytes are valid until the next receive.
func (c *udpConn) datagram(i int) (dhcp4.Datagram, int) {
	info := c.in.PacketInfo(i)
	return dhcp4.Datagram{From: c.in.Sender(i), To: netip.AddrPortFrom(info.Destination, 0), Payload: c.in.Data(i)}, info.Interface
}

// send queues the answer to the i-th datagram of the last receive. There is
// room for one to each.
func (c *udpConn) send(i int, out outgoing) {
	if c.crowded && c.sendLink(i, out) {
		return
	}
	c.out.Append(out.Payload)
	c.out.End(out.To, mmsg.PacketInfo{Interface: out.via, Local: out.From.Addr()}, 0)
	c.answers = append(c.answers, i)
}

// sendLink queues an answer to the hardware address of its receiver. It returns
// false if that is unknown.
func (c *udpConn) sendLink(i int, out outgoing) bool {
	mac, ok := out.hardware.MAC()
	if !ok || !out.From.Addr().IsValid() || len(out.Payload) > packetSize-maxHeaders {
		return false
	}
	c.buf = out.Datagram.Append(c.buf[:0])
	c.linkOut.AppendCopy(c.buf)
	c.linkOut.EndLink(mmsg.LinkAddr{Bytes: [8]byte(append(mac[:], 0, 0)), Len: uint8(len(mac))}, unix.ETH_P_IP, out.via)
	c.linked = append(c.linked, i)
	return true
}

// flush sends what is queued, and reports the datagrams whose answers could not
// be sent. It does not wait.
func (c *udpConn) flush(failed func(i int, err error)) {
	sendNow(c.conn, c.out, c.answers, failed)
	c.answers = c.answers[:0]
	if c.link != nil {
		sendNow(c.link, c.linkOut, c.linked, failed)
		c.linked = c.linked[:0]
	}
}

// sendNow sends a batch, and reports what each message that could not be sent
// answers.
func sendNow(conn *mmsg.Conn, out *mmsg.Outgoing, answers []int, failed func(i int, err error)) {
	for first := 0; first < out.Len(); {
		n, err := conn.TrySend(out, first)
		if err != nil {
			failed(answers[first], err)
			n = 1
		}
		first += n
	}
	out.Reset()
}

// wake ends a wait of receive, the current one or the next.
func (c *udpConn) wake() { c.conn.Wake() }

// close closes the sockets.
func (c *udpConn) close() error {
	err := c.conn.Close()
	if c.link != nil {
		err = errors.Join(err, c.link.Close())
	}
	return err
}

// linkBroadcast returns the address that reaches everybody on our link.
func linkBroadcast([]netip.Prefix) netip.Addr { return proxydhcp.Broadcast }
