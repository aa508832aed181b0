package server

// Port 67 on Linux: a packet socket on each interface. It sees what is sent to
// a DHCP server on the same host without taking it away from that server. A
// second UDP socket on port 67 would take every unicast renewal. It receives
// and sends in batches, because a rack that powers up asks all at once.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/pxesidecar/pxesidecar/internal/mmsg"
	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// Sizes of a packet, and of the socket's own buffer, which holds the DISCOVERs
// of a power-up; the kernel's default loses most of a thousand.
const (
	packetSize    = 2048    // bytes kept of a packet, which is more than an Ethernet frame holds
	receiveBuffer = 8 << 20 // bytes
)

// packetConn receives and sends the IPv4 packets of one scope. One goroutine at
// a time may use it, except for setFilter, Wake and Close.
type packetConn struct {
	socket  *packet.Conn
	conn    *mmsg.Conn // of socket
	index   int        // of the interface
	trunk   bool       // packets have a VLAN tag
	answers bool       // hear other servers' answers too
	in      *mmsg.Incoming
	out     *mmsg.Outgoing
	buf     []byte // for a packet to be sent
}

// broadcastHop reaches everybody on the link.
var broadcastHop = mmsg.LinkAddr{Bytes: [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, Len: 6}

// listenPacket opens the socket of a scope, with its filter in place before the
// first packet can reach it. A socket on tagged frames must take every protocol
// to be shown the tags. A network card may drop the VLANs that the system does
// not know of. In promiscuous mode it passes them.
func listenPacket(sc *scope, answers bool) (*packetConn, error) {
	filter, err := bpf.Assemble(serverFilter(sc, answers))
	if err != nil {
		return nil, fmt.Errorf("packet filter: %w", err)
	}
	protocol := unix.ETH_P_IP
	if sc.key.trunk {
		protocol = unix.ETH_P_ALL
	}
	ifi := &net.Interface{Index: sc.key.index, Name: sc.segment.Interface}
	socket, err := packet.Listen(ifi, packet.Datagram, protocol, &packet.Config{Filter: filter})
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	if sc.key.trunk {
		err = socket.SetPromiscuous(true)
	}
	err = errors.Join(err, setOptions(socket, sc.key.trunk))
	conn, failed := mmsg.New(socket)
	if err = errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("packet socket: %w", errors.Join(err, socket.Close()))
	}
	c := newPacketConn(conn)
	c.socket, c.index, c.trunk, c.answers = socket, sc.key.index, sc.key.trunk, answers
	return c, nil
}

// newPacketConn returns a packetConn that uses a connection.
func newPacketConn(conn *mmsg.Conn) *packetConn {
	return &packetConn{conn: conn, in: mmsg.NewIncoming(packetSize), out: mmsg.NewOutgoing(mmsg.BatchSize, mmsg.BatchSize*packetSize)}
}

// setFilter replaces the filter for the packets that arrive from now on.
func (c *packetConn) setFilter(sc *scope) error {
	filter, err := bpf.Assemble(serverFilter(sc, c.answers))
	if err == nil {
		err = c.socket.SetBPF(filter)
	}
	if err != nil {
		return fmt.Errorf("packet filter: %w", err)
	}
	return nil
}

// setOptions asks for a large receive buffer: above the system's limit if the
// process may, up to the limit if it may not. It also asks for what tagged
// frames need.
func setOptions(socket *packet.Conn, trunk bool) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	set := func(fd int) error {
		err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
		if err != nil {
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
		}
		if trunk {
			err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1))
			// Older kernels lack this one, and the filter does without it.
			_ = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
		}
		return os.NewSyscallError("setsockopt", err)
	}
	controlled := raw.Control(func(fd uintptr) { err = set(int(fd)) })
	return errors.Join(err, controlled)
}

// receive waits for packets or for Wake, and returns how many there are,
// perhaps none; packet returns each.
func (c *packetConn) receive() (int, error) { return c.conn.Receive(c.in, time.Time{}) }

// packet returns the i-th packet of the last receive, who on the link sent it,
// and its VLAN. The bytes are valid until the next receive.
func (c *packetConn) packet(i int) ([]byte, mmsg.LinkAddr, uint16) {
	return c.in.Data(i), c.in.LinkSender(i), c.in.VLAN(i)
}

// send queues one datagram to an address on the link. On a socket for tagged
// frames it puts a VLAN tag before it (IEEE 802.1Q, section 9.6); the kernel
// writes the frame's addresses and the type that announces the tag. A full
// queue is flushed.
func (c *packetConn) send(to mmsg.LinkAddr, vlan uint16, d dhcp4.Datagram) error {
	b, protocol := c.buf[:0], uint16(unix.ETH_P_IP)
	if c.trunk {
		b = binary.BigEndian.AppendUint16(b, vlan)
		b = binary.BigEndian.AppendUint16(b, unix.ETH_P_IP)
		protocol = unix.ETH_P_8021Q
	}
	c.buf = d.Append(b)
	if len(c.buf) > packetSize {
		return fmt.Errorf("packet of %d bytes", len(c.buf))
	}
	var err error
	if !c.out.HasRoom(1, len(c.buf)) {
		err = c.flush()
	}
	c.out.AppendCopy(c.buf)
	c.out.EndLink(to, protocol, c.index)
	return err
}

// flush sends what is queued. A packet that the system refuses is reported and
// does not hold up the others. When a wire takes nothing, the rest is dropped:
// otherwise each packet would have to wait for it.
func (c *packetConn) flush() error {
	var failed error
	for first := 0; first < c.out.Len(); {
		n, err := c.conn.Send(c.out, first)
		switch {
		case err == nil:
		case errors.Is(err, unix.EAGAIN):
			failed = fmt.Errorf("the wire took nothing for %s: %w", mmsg.SendTimeout, err)
			n = c.out.Len() - first
		default:
			failed = err
			n = 1
		}
		first += n
	}
	c.out.Reset()
	return failed
}

// Wake ends a wait of receive, the current one or the next.
func (c *packetConn) Wake() { c.conn.Wake() }

// Close closes the socket.
func (c *packetConn) Close() error { return c.conn.Close() }
