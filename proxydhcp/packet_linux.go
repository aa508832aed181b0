package proxydhcp

import (
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

// packetConn reads and writes IPv4 packets on one interface. One goroutine at
// a time may use it, but for SetReadDeadline and Close.
type packetConn struct {
	conn *packet.Conn
	raw  syscall.RawConn
	in   packetBatch
	out  packetBatch

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
	buffers [receiveBatch][packetSize]byte
}

// hop is a link-layer neighbour: where a packet came from, or its next hop. It
// holds up to eight bytes, as the kernel does.
type hop struct {
	addr   [8]byte
	length uint8
}

// broadcastHop reaches everybody on the link.
var broadcastHop = hop{[8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 6}

// listenPacket opens the socket, with its filter in place before the first
// packet can reach it.
func listenPacket(ifi *net.Interface) (*packetConn, error) {
	filter, err := bpf.Assemble(serverFilter(ifi.Index))
	if err != nil {
		return nil, fmt.Errorf("packet filter: %w", err)
	}
	conn, err := packet.Listen(ifi, packet.Datagram, unix.ETH_P_IP, &packet.Config{Filter: filter})
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	c := &packetConn{conn: conn}
	if c.raw, err = conn.SyscallConn(); err == nil {
		err = c.setReceiveBuffer()
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	c.in.layOut()
	c.out.layOut()
	for i := range c.out.names {
		c.out.names[i] = unix.RawSockaddrLinklayer{Family: unix.AF_PACKET, Protocol: bigEndian(unix.ETH_P_IP), Ifindex: int32(ifi.Index)}
	}
	c.read, c.write = c.recvmmsg, c.sendmmsg
	return c, nil
}

// layOut points the parts of a batch at each other.
func (b *packetBatch) layOut() {
	for i := range b.messages {
		b.vectors[i].Base = &b.buffers[i][0]
		b.vectors[i].SetLen(packetSize)
		h := &b.messages[i].header
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		h.Namelen = unix.SizeofSockaddrLinklayer
		h.Iov = &b.vectors[i]
		h.SetIovlen(1)
	}
}

// bigEndian is a 16-bit number in network byte order, as the kernel's
// structures hold it.
func bigEndian(v uint16) (n uint16) {
	*(*[2]byte)(unsafe.Pointer(&n)) = [2]byte{byte(v >> 8), byte(v)}
	return n
}

// setReceiveBuffer asks for a large receive buffer: above the system's limit
// where the process may, up to the limit where it may not.
func (c *packetConn) setReceiveBuffer() error {
	var set error
	err := c.raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
		if set != nil {
			set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
		}
	})
	return errors.Join(err, set)
}

// serverFilter keeps what is sent to port 67 on this very interface: BOOTP
// requests in unfragmented UDP. Two kinds of packets must be dropped by what
// the kernel knows of them, because their bytes look right: those for another
// host, among which are those of VLANs that have no interface here, their tag
// already removed; and those of a VLAN interface above this one.
func serverFilter(ifIndex int) []bpf.Instruction {
	const drop = 255
	program := []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PACKET_OTHERHOST, SkipTrue: drop},
		bpf.LoadExtension{Num: bpf.ExtInterfaceIndex},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(ifIndex), SkipTrue: drop},
		bpf.LoadAbsolute{Off: 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protocolUDP, SkipTrue: drop},
		bpf.LoadAbsolute{Off: 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: fragmentBits, SkipTrue: drop},
		bpf.LoadMemShift{Off: 0}, // X = length of the IP header
		bpf.LoadIndirect{Off: 2, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: PortServer, SkipTrue: drop},
		bpf.LoadIndirect{Off: udpHeader, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: bootRequest, SkipTrue: drop},
		bpf.LoadIndirect{Off: udpHeader + offCookie, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0x63825363, SkipTrue: drop},
		bpf.RetConstant{Val: 0xffff},
		bpf.RetConstant{Val: 0},
	}
	for i, instruction := range program {
		if jump, ok := instruction.(bpf.JumpIf); ok && jump.SkipTrue == drop {
			jump.SkipTrue = uint8(len(program) - 2 - i)
			program[i] = jump
		}
	}
	return program
}

// receive waits for packets and returns how many there are; packet gives each.
func (c *packetConn) receive() (int, error) {
	for i := range c.in.messages {
		c.in.messages[i].header.Namelen = unix.SizeofSockaddrLinklayer
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

// packet returns the i-th packet of the last receive, and who on the link sent
// it. The bytes are valid until the next receive.
func (c *packetConn) packet(i int) ([]byte, hop) {
	name := &c.in.names[i]
	return c.in.buffers[i][:min(c.in.messages[i].length, packetSize)], hop{name.Addr, min(name.Halen, 8)}
}

// send queues one IPv4 packet to a neighbour: compose appends it to a buffer.
// A full queue is flushed.
func (c *packetConn) send(to hop, d datagram) error {
	var err error
	if c.queued == receiveBatch {
		err = c.flush()
	}
	i := c.queued
	b := d.append(c.out.buffers[i][:0])
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
