package server

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
	"unsafe"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/pxesidecar/pxesidecar/internal/poll"
	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// Port 67 on Linux: a packet socket on each interface. It sees what is sent to
// a DHCP server on the same host without taking it away from it, which a second
// UDP socket on port 67 would do to every unicast renewal. It is read and
// written in batches, because a rack that powers up asks all at once, and waited
// for outside Go's poller.

// Sizes of the batches, and of the socket's own buffer, which holds the
// DISCOVERs of a power-up; the kernel's default loses most of a thousand.
const (
	receiveBatch  = 64      // packets
	packetSize    = 2048    // bytes kept of a packet, which is more than an Ethernet frame holds
	receiveBuffer = 8 << 20 // bytes
)

// sendPatience is how long sending waits for a wire that takes nothing.
const sendPatience = 100 * time.Millisecond

// packetConn reads and writes the IPv4 packets of one scope. One goroutine at a
// time may use it, but for setFilter, Wake and Close.
type packetConn struct {
	fd      int
	poller  *poll.Poller
	trunk   bool // packets have a VLAN tag
	answers bool // hear other servers' answers too
	in      packetBatch
	out     packetBatch

	received int // messages in in
	queued   int // messages in out

	mu     sync.Mutex // setFilter against Close
	closed bool
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

// listenPacket opens the socket of a scope, with its filter in place before the
// first packet can reach it. A socket on tagged frames must take every protocol
// to be shown the tags, and a card that drops the VLANs which the system does
// not know of stops doing so only when it takes everybody's frames.
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
	conn, err := packet.Listen(ifi, packet.Datagram, protocol, &packet.Config{Filter: filter})
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	c := &packetConn{fd: -1, trunk: sc.key.trunk, answers: answers}
	if c.trunk {
		err = conn.SetPromiscuous(true)
	}
	if c.fd, err = leavePoller(conn, err); err == nil {
		err = c.setOptions()
	}
	if err == nil {
		c.poller, err = poll.New(c.fd)
	}
	if err != nil {
		c.Close()
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
	return c, nil
}

// leavePoller returns a socket's descriptor, free of Go's poller, and closes conn; the socket stays as it was set up. A failure before is passed on.
func leavePoller(conn *packet.Conn, failed error) (fd int, err error) {
	fd = -1
	raw, err := conn.SyscallConn()
	if err == nil {
		control := raw.Control(func(own uintptr) { fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) })
		err = errors.Join(err, control)
	}
	return fd, errors.Join(failed, err, conn.Close())
}

// setFilter replaces the filter for the packets that arrive from now on.
func (c *packetConn) setFilter(sc *scope) error {
	filter, err := bpf.Assemble(serverFilter(sc, c.answers))
	if err != nil {
		return fmt.Errorf("packet filter: %w", err)
	}
	program := make([]unix.SockFilter, len(filter))
	for i, f := range filter {
		program[i] = unix.SockFilter{Code: f.Op, Jt: f.Jt, Jf: f.Jf, K: f.K}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return fmt.Errorf("packet filter: %w", net.ErrClosed)
	}
	fprog := &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.SetsockoptSockFprog(c.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, fprog); err != nil {
		return fmt.Errorf("packet filter: %w", os.NewSyscallError("setsockopt SO_ATTACH_FILTER", err))
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
		h.Iov = &b.vectors[i]
		h.SetIovlen(1)
		if tags {
			h.Control = (*byte)(unsafe.Pointer(&b.tags[i]))
		}
	}
	b.reset(len(b.messages))
}

// reset makes room again for the addresses and control messages of the first
// count messages, which the kernel has set to what it wrote there.
func (b *packetBatch) reset(count int) {
	for i := range count {
		h := &b.messages[i].header
		h.Namelen = unix.SizeofSockaddrLinklayer
		if h.Control != nil {
			h.SetControllen(int(unsafe.Sizeof(tagMessage{})))
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
// the process may, up to the limit where it may not; for sending that waits for a
// full wire, but not for a dead one; and for what tagged frames need.
func (c *packetConn) setOptions() error {
	err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
	if err != nil {
		err = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	patience := unix.NsecToTimeval(int64(sendPatience))
	err = errors.Join(err, unix.SetNonblock(c.fd, false), unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &patience))
	if c.trunk {
		err = errors.Join(err, unix.SetsockoptInt(c.fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1))
		// Older kernels lack this one, and the filter does without it.
		_ = unix.SetsockoptInt(c.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	}
	return err
}

// receive waits for packets or for Wake, and returns how many there are, perhaps
// none; packet gives each.
func (c *packetConn) receive() (int, error) {
	c.in.reset(c.received)
	until := poll.Never
	if c.received == receiveBatch { // there may be more at once
		until = 0
	}
	var err error
	c.received, err = c.poller.Receive(unsafe.Pointer(&c.in.messages), receiveBatch, 0, until, c.received > 0)
	return c.received, err
}

// packet returns the i-th packet of the last receive, who on the link sent it,
// and its VLAN. The bytes are valid until the next receive.
func (c *packetConn) packet(i int) ([]byte, hop, uint16) {
	name := &c.in.names[i]
	b := c.in.buffers[i][:min(c.in.messages[i].length, packetSize)]
	return b, hop{name.Addr, min(name.Halen, 8)}, c.in.tags[i].auxdata.Vlan_tci & 0xfff
}

// send queues one datagram to a host on the link, behind a VLAN tag (IEEE 802.1Q,
// section 9.6) where the socket is one on tagged frames: the kernel writes the
// frame's addresses and the type that announces the tag. A full queue is
// flushed.
func (c *packetConn) send(to hop, vlan uint16, d dhcp4.Datagram) error {
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
	b = d.Append(b)
	if len(b) > packetSize {
		return errors.Join(err, fmt.Errorf("packet of %d bytes", len(b)))
	}
	c.out.vectors[i].SetLen(len(b))
	c.out.names[i].Addr, c.out.names[i].Halen = to.addr, to.length
	c.queued++
	return err
}

// flush sends what is queued. A packet that the system refuses is reported and
// does not hold up the others; on a wire that takes nothing they are given up
// with it, or each would be waited for.
func (c *packetConn) flush() error {
	var failed error
	for first := 0; first < c.queued; {
		n, errno := c.poller.Send(unsafe.Pointer(&c.out.messages[first]), c.queued-first)
		switch errno {
		case 0:
		case unix.EAGAIN:
			failed = fmt.Errorf("the wire took nothing for %s: %w", sendPatience, os.NewSyscallError("sendmmsg", errno))
			n = c.queued - first
		default:
			failed = os.NewSyscallError("sendmmsg", errno)
			n = 1
		}
		first += n
	}
	c.queued = 0
	return failed
}

// Wake ends a wait of receive, the current one or the next, at most some
// milliseconds later.
func (c *packetConn) Wake() { c.poller.Wake() }

// Close closes the socket.
func (c *packetConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	if c.poller != nil {
		c.poller.Close()
	}
	if c.fd < 0 {
		return nil
	}
	return os.NewSyscallError("close", unix.Close(c.fd))
}
