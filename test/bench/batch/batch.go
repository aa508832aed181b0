// Package batch sends and receives many datagrams at a time: each system call
// moves a hundred (recvmmsg, sendmmsg), so that the load and the limit of a
// benchmark cost less than what is measured.
package batch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	// Messages is how many datagrams one system call moves.
	Messages = 128

	bufferSize   = 2048     // bytes per datagram; an Ethernet frame has 1514
	vectorsEach  = 160      // maximum pieces of a message: 64 headers, their blocks, and some that are split
	socketBuffer = 64 << 20 // bytes, for each direction: the load must not lose packets
)

// Socket is a datagram socket with a batch for each direction. Only one
// goroutine may use it.
type Socket struct {
	fd      int
	local   netip.AddrPort
	polled  [1]unix.PollFd
	timeout unix.Timespec
	in, out half
	queued  int
	vectors []unix.Iovec // of what is queued
}

// half is the memory of one recvmmsg or sendmmsg call.
type half struct {
	messages [Messages]message
	names    [Messages]unix.RawSockaddrInet4
	controls [Messages]control
	vectors  [Messages]unix.Iovec
	buffers  [Messages][bufferSize]byte
}

// message is the kernel's struct mmsghdr.
type message struct {
	header unix.Msghdr
	length uint32
}

// control is room for struct in_pktinfo and a segment size.
type control [8]uint64

// UDP opens a socket on an IPv4 address. For each datagram it reports which
// local address it was sent to.
func UDP(address netip.AddrPort) (*Socket, error) {
	s, err := open(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetsockoptInt(s.fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1); err != nil {
		return nil, s.fail("IP_PKTINFO", err)
	}
	if err := unix.Bind(s.fd, &unix.SockaddrInet4{Addr: address.Addr().As4(), Port: int(address.Port())}); err != nil {
		return nil, s.fail("bind to "+address.String(), err)
	}
	name, err := unix.Getsockname(s.fd)
	if err != nil {
		return nil, s.fail("getsockname", err)
	}
	if name, ok := name.(*unix.SockaddrInet4); ok {
		s.local = netip.AddrPortFrom(netip.AddrFrom4(name.Addr), uint16(name.Port))
	}
	for i := range Messages {
		in, out := &s.in.messages[i].header, &s.out.messages[i].header
		in.Name, out.Name = (*byte)(unsafe.Pointer(&s.in.names[i])), (*byte)(unsafe.Pointer(&s.out.names[i]))
		out.Namelen = unix.SizeofSockaddrInet4
		in.Control, out.Control = (*byte)(unsafe.Pointer(&s.in.controls[i])), (*byte)(unsafe.Pointer(&s.out.controls[i]))
	}
	return s, nil
}

// Packet opens a socket for whole Ethernet frames with IPv4 on one interface.
// It receives those that the filter accepts.
func Packet(ifIndex int, filter []bpf.Instruction) (*Socket, error) {
	s, err := open(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		return nil, err
	}
	raw, err := bpf.Assemble(filter)
	if err != nil {
		return nil, s.fail("packet filter", err)
	}
	program := unix.SockFprog{Len: uint16(len(raw)), Filter: (*unix.SockFilter)(unsafe.Pointer(&raw[0]))}
	if err := unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
		return nil, s.fail("packet filter", err)
	}
	var protocol [2]byte
	binary.BigEndian.PutUint16(protocol[:], unix.ETH_P_IP)
	if err := unix.Bind(s.fd, &unix.SockaddrLinklayer{Protocol: binary.NativeEndian.Uint16(protocol[:]), Ifindex: ifIndex}); err != nil {
		return nil, s.fail(fmt.Sprintf("bind to interface %d", ifIndex), err)
	}
	return s, nil
}

// open opens a socket with large buffers and prepares the batches.
func open(family, kind, protocol int) (*Socket, error) {
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &Socket{fd: fd, vectors: make([]unix.Iovec, 0, Messages*vectorsEach)}
	s.polled[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	for _, option := range []int{unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, socketBuffer); err != nil {
			return nil, s.fail("socket buffer", err)
		}
	}
	for i := range Messages {
		s.in.vectors[i].Base = &s.in.buffers[i][0]
		s.in.vectors[i].SetLen(bufferSize)
		s.in.messages[i].header.Iov = &s.in.vectors[i]
		s.in.messages[i].header.SetIovlen(1)
	}
	return s, nil
}

// fail closes the socket and returns the error.
func (s *Socket) fail(what string, err error) error {
	return errors.Join(fmt.Errorf("%s: %w", what, err), s.Close())
}

// Close closes the socket.
func (s *Socket) Close() error { return os.NewSyscallError("close", unix.Close(s.fd)) }

// Local returns the address that the socket is bound to.
func (s *Socket) Local() netip.AddrPort { return s.local }

// Wait waits until something has arrived, but no longer than timeout. It
// returns at once if timeout is negative.
//
// It does not involve Go's scheduler, which would add to every round trip.
// Nothing else runs in these processes.
func (s *Socket) Wait(timeout time.Duration) error {
	s.timeout = unix.NsecToTimespec(int64(max(timeout, 0)))
	_, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&s.polled[0])), uintptr(len(s.polled)), uintptr(unsafe.Pointer(&s.timeout)), 0, 0, 0)
	if errno != 0 && errno != unix.EINTR {
		return os.NewSyscallError("ppoll", errno)
	}
	return nil
}

// Receive receives what has arrived, without waiting, and returns the number of
// datagrams. They are valid until the next call.
func (s *Socket) Receive() (int, error) { return s.receive(unix.MSG_DONTWAIT) }

// ReceiveSome is Receive, but waits for the first datagram, in the same system
// call.
func (s *Socket) ReceiveSome() (int, error) { return s.receive(unix.MSG_WAITFORONE) }

// receive is recvmmsg.
func (s *Socket) receive(flags uintptr) (int, error) {
	for i := range s.in.messages {
		h := &s.in.messages[i].header
		if h.Name != nil {
			h.Namelen = unix.SizeofSockaddrInet4
			h.SetControllen(int(unsafe.Sizeof(control{})))
		}
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.in.messages)), Messages, flags, 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EAGAIN, unix.EINTR:
		return 0, nil
	}
	return 0, os.NewSyscallError("recvmmsg", errno)
}

// Data returns the i-th received datagram, or the frame of a packet socket.
func (s *Socket) Data(i int) []byte {
	return s.in.buffers[i][:min(s.in.messages[i].length, bufferSize)]
}

// Source returns the sender of the i-th received datagram. UDP only.
func (s *Socket) Source(i int) netip.AddrPort {
	name := &s.in.names[i]
	port := (*[2]byte)(unsafe.Pointer(&name.Port))
	return netip.AddrPortFrom(netip.AddrFrom4(name.Addr), binary.BigEndian.Uint16(port[:]))
}

// Target returns the local address that the i-th received datagram was sent to,
// in four bytes. UDP only.
func (s *Socket) Target(i int) [4]byte {
	c := (*unix.Cmsghdr)(unsafe.Pointer(&s.in.controls[i]))
	return (*unix.Inet4Pktinfo)(unsafe.Add(unsafe.Pointer(c), unix.CmsgLen(0))).Addr
}

// Next returns memory for the next datagram to queue, of up to 2 KiB. A full
// queue is flushed first.
func (s *Socket) Next() []byte {
	if s.queued == Messages {
		s.Flush()
	}
	return s.out.buffers[s.queued][:]
}

// QueueUDP queues the first n bytes of Next, from a local address (four bytes)
// to another host.
func (s *Socket) QueueUDP(n int, from [4]byte, to netip.AddrPort) {
	s.vectors = append(s.vectors, unix.Iovec{Base: &s.out.buffers[s.queued][0]})
	s.vectors[len(s.vectors)-1].SetLen(n)
	s.seal(1)
	s.address(from, to, 0)
}

// QueueFrame queues the first n bytes of Next. Packet sockets only.
func (s *Socket) QueueFrame(n int) {
	s.vectors = append(s.vectors, unix.Iovec{Base: &s.out.buffers[s.queued][0]})
	s.vectors[len(s.vectors)-1].SetLen(n)
	s.seal(1)
	s.queued++
}

// QueueSegments queues the pieces as one message that the kernel splits into
// datagrams of segment bytes (UDP_SEGMENT); 0 means a single datagram. The
// pieces must not change until the next Flush.
func (s *Socket) QueueSegments(pieces [][]byte, segment int, from [4]byte, to netip.AddrPort) {
	if s.queued == Messages || len(s.vectors)+len(pieces) > cap(s.vectors) {
		s.Flush()
	}
	for _, p := range pieces {
		s.vectors = append(s.vectors, unix.Iovec{Base: &p[0]})
		s.vectors[len(s.vectors)-1].SetLen(len(p))
	}
	s.seal(len(pieces))
	s.address(from, to, segment)
}

// seal makes a message of the last n pieces.
func (s *Socket) seal(n int) {
	h := &s.out.messages[s.queued].header
	h.Iov = &s.vectors[len(s.vectors)-n]
	h.SetIovlen(n)
}

// address sets the addresses of the message and completes it.
func (s *Socket) address(from [4]byte, to netip.AddrPort, segment int) {
	i := s.queued
	name := &s.out.names[i]
	name.Family, name.Addr = unix.AF_INET, to.Addr().As4()
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&name.Port))[:], to.Port())
	c := &s.out.controls[i]
	*c = control{}
	h := (*unix.Cmsghdr)(unsafe.Pointer(c))
	h.Level, h.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
	h.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
	(*unix.Inet4Pktinfo)(unsafe.Add(unsafe.Pointer(h), unix.CmsgLen(0))).Spec_dst = from
	length := unix.CmsgSpace(unix.SizeofInet4Pktinfo)
	if segment != 0 {
		h = (*unix.Cmsghdr)(unsafe.Add(unsafe.Pointer(c), length))
		h.Level, h.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
		h.SetLen(unix.CmsgLen(2))
		*(*uint16)(unsafe.Add(unsafe.Pointer(h), unix.CmsgLen(0))) = uint16(segment)
		length += unix.CmsgSpace(2)
	}
	s.out.messages[i].header.SetControllen(length)
	s.queued++
}

// Queued returns how many messages wait for Flush.
func (s *Socket) Queued() int { return s.queued }

// Flush sends the queue and returns how many messages the system rejected.
func (s *Socket) Flush() (refused int) {
	for i := 0; i < s.queued; {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.out.messages[i])), uintptr(s.queued-i), 0, 0, 0)
		switch errno {
		case 0:
			i += int(n)
		case unix.EINTR:
		default:
			refused++
			i++
		}
	}
	s.queued, s.vectors = 0, s.vectors[:0]
	return refused
}
