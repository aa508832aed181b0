package proxydhcp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
	"unsafe"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Port 67 on Linux: a packet socket on each interface. It sees what is sent to
// a DHCP server on the same host without taking it away from it, which a second
// UDP socket on port 67 would do to every unicast renewal. It is read and
// written in batches, because a rack that powers up asks all at once.

// Sizes of the batches, and of the socket's own buffer, which holds the
// DISCOVERs of a power-up; the kernel's default loses most of a thousand.
const (
	receiveBatch  = 32      // packets
	packetSize    = 2048    // bytes kept of a packet, which is more than an Ethernet frame holds
	receiveBuffer = 8 << 20 // bytes
)

// packetConn reads and writes the IPv4 packets of one place. One goroutine at a
// time may use it, but for setFilter, SetReadDeadline and Close.
type packetConn struct {
	conn    *packet.Conn
	raw     syscall.RawConn
	trunk   bool // packets have a VLAN tag
	answers bool // hear other servers' answers too
	in      packetBatch
	out     packetBatch

	read, write func(fd uintptr) bool // of raw, made once
	errno       unix.Errno            // of the last call of read or write
	n           int                   // messages that it moved
	first       int                   // the first message to write
	queued      int                   // messages in out
}

// packetBatch is the memory of one recvmmsg or sendmmsg call.
type packetBatch struct {
	messages [receiveBatch]struct {
		header unix.Msghdr
		length uint32
	}
	names   [receiveBatch]unix.RawSockaddrLinklayer
	vectors [receiveBatch]unix.Iovec
	tags    [receiveBatch]tagMessage
	buffers [receiveBatch][packetSize]byte
}

// tagMessage is the control message with what the kernel knows of a packet: the
// VLAN tag, which it takes off every frame before a socket sees it, if the
// network card did not do so already.
type tagMessage struct {
	header  unix.Cmsghdr
	auxdata unix.TpacketAuxdata
}

// hop is a link-layer neighbour: where a packet came from, or its next hop. It
// holds up to eight bytes, as the kernel does.
type hop struct {
	addr   [8]byte
	length uint8
}

// broadcastHop reaches everybody on the link.
var broadcastHop = hop{[8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 6}

// listenPacket opens the socket of a place, with its filter in place before the
// first packet can reach it. A socket on tagged frames must take every protocol
// to be shown the tags, and a card that drops the VLANs which the system does
// not know of stops doing so only when it takes everybody's frames.
func listenPacket(p *place, answers bool) (*packetConn, error) {
	filter, err := bpf.Assemble(serverFilter(p, answers))
	if err != nil {
		return nil, fmt.Errorf("packet filter: %w", err)
	}
	protocol := unix.ETH_P_IP
	if p.key.trunk {
		protocol = unix.ETH_P_ALL
	}
	ifi := &net.Interface{Index: p.key.index, Name: p.segment.Interface}
	conn, err := packet.Listen(ifi, packet.Datagram, protocol, &packet.Config{Filter: filter})
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	c := &packetConn{conn: conn, trunk: p.key.trunk, answers: answers}
	if c.raw, err = conn.SyscallConn(); err == nil {
		err = c.setOptions()
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	c.in.layOut(c.trunk)
	c.out.layOut(false)
	sending := uint16(unix.ETH_P_IP)
	if c.trunk {
		sending = unix.ETH_P_8021Q
	}
	for i := range c.out.names {
		c.out.names[i] = unix.RawSockaddrLinklayer{Family: unix.AF_PACKET, Protocol: bigEndian(sending), Ifindex: int32(ifi.Index)}
	}
	c.read, c.write = c.recvmmsg, c.sendmmsg
	return c, nil
}

// setFilter replaces the filter for the packets that arrive from now on.
func (c *packetConn) setFilter(p *place) error {
	filter, err := bpf.Assemble(serverFilter(p, c.answers))
	if err == nil {
		err = c.conn.SetBPF(filter)
	}
	if err != nil {
		return fmt.Errorf("packet filter: %w", err)
	}
	return nil
}

// layOut points the parts of a batch at each other.
func (b *packetBatch) layOut(tags bool) {
	for i := range b.messages {
		b.vectors[i].Base = &b.buffers[i][0]
		b.vectors[i].SetLen(packetSize)
		h := &b.messages[i].header
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		h.Namelen = unix.SizeofSockaddrLinklayer
		h.Iov = &b.vectors[i]
		h.SetIovlen(1)
		if tags {
			h.Control = (*byte)(unsafe.Pointer(&b.tags[i]))
		}
	}
}

// bigEndian is a 16-bit number in network byte order, as the kernel's
// structures hold it.
func bigEndian(v uint16) (n uint16) {
	*(*[2]byte)(unsafe.Pointer(&n)) = [2]byte{byte(v >> 8), byte(v)}
	return n
}

// setOptions asks for a large receive buffer: above the system's limit where
// the process may, up to the limit where it may not; and for what tagged frames
// need.
func (c *packetConn) setOptions() error {
	var set error
	err := c.raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
		if set != nil {
			set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
		}
		if c.trunk {
			set = errors.Join(set, unix.SetsockoptInt(int(fd), unix.SOL_PACKET, unix.PACKET_AUXDATA, 1))
			// Older kernels lack this one, and the filter does without it.
			_ = unix.SetsockoptInt(int(fd), unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
		}
	})
	if c.trunk {
		err = errors.Join(err, c.conn.SetPromiscuous(true))
	}
	return errors.Join(err, set)
}

// receive waits for packets and returns how many there are; packet gives each.
func (c *packetConn) receive() (int, error) {
	for i := range c.in.messages {
		c.in.messages[i].header.Namelen = unix.SizeofSockaddrLinklayer
		if c.trunk {
			c.in.messages[i].header.SetControllen(int(unsafe.Sizeof(tagMessage{})))
		}
	}
	if err := c.raw.Read(c.read); err != nil {
		return 0, err
	}
	if c.errno != 0 {
		return 0, c.errno
	}
	return c.n, nil
}

// recvmmsg is one system call; false means that there is nothing yet.
func (c *packetConn) recvmmsg(fd uintptr) bool {
	return c.move(unix.SYS_RECVMMSG, fd, &c.in, 0, receiveBatch)
}

// move makes one system call on a part of a batch, and reports whether it is
// done rather than to be tried when the socket is ready.
func (c *packetConn) move(call, fd uintptr, b *packetBatch, first, end int) bool {
	for {
		n, _, errno := unix.Syscall6(call, fd, uintptr(unsafe.Pointer(&b.messages[first])), uintptr(end-first), unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		c.n, c.errno = int(n), errno
		return errno != unix.EAGAIN
	}
}

// packet returns the i-th packet of the last receive, who on the link sent it,
// and its VLAN. The bytes are valid until the next receive.
func (c *packetConn) packet(i int) ([]byte, hop, uint16) {
	name := &c.in.names[i]
	b := c.in.buffers[i][:min(c.in.messages[i].length, packetSize)]
	return b, hop{name.Addr, min(name.Halen, 8)}, c.in.tags[i].auxdata.Vlan_tci & 0xfff
}

// send queues one datagram to a neighbour, behind a VLAN tag (IEEE 802.1Q,
// section 9.6) where the socket is one on tagged frames: the kernel writes the
// frame's addresses and the type that announces the tag. A full queue is
// flushed.
func (c *packetConn) send(to hop, vlan uint16, d datagram) error {
	var err error
	if c.queued == receiveBatch {
		err = c.flush()
	}
	i := c.queued
	b := c.out.buffers[i][:0]
	if c.trunk {
		b = binary.BigEndian.AppendUint16(b, vlan)
		b = binary.BigEndian.AppendUint16(b, unix.ETH_P_IP)
	}
	b = d.append(b)
	if len(b) > packetSize {
		return errors.Join(err, fmt.Errorf("packet of %d bytes", len(b)))
	}
	c.out.vectors[i].SetLen(len(b))
	c.out.names[i].Addr, c.out.names[i].Halen = to.addr, to.length
	c.queued++
	return err
}

// flush sends what is queued. A packet that the system refuses is reported and
// does not hold up the others.
func (c *packetConn) flush() error {
	var failed error
	for c.first = 0; c.first < c.queued; {
		if err := c.raw.Write(c.write); err != nil {
			failed = err
			break
		}
		switch {
		case c.errno != 0:
			failed = c.errno
			c.first++
		default:
			c.first += c.n
		}
	}
	c.queued = 0
	return failed
}

// sendmmsg is one system call; false means that the socket takes nothing now.
func (c *packetConn) sendmmsg(fd uintptr) bool {
	return c.move(unix.SYS_SENDMMSG, fd, &c.out, c.first, c.queued)
}

// SetReadDeadline bounds the wait of receive.
func (c *packetConn) SetReadDeadline(t time.Time) error { return c.conn.SetReadDeadline(t) }

// Close closes the socket.
func (c *packetConn) Close() error { return c.conn.Close() }
