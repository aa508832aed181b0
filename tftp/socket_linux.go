package tftp

// A UDP socket on Linux: batches both ways (recvmmsg, sendmmsg), and windows handed to the kernel whole to be cut into datagrams there
// (UDP_SEGMENT, since Linux 4.18). A system call for each packet is the ceiling of servers without these.
//
// The goroutine of one with transfers waits for it outside Go's poller: for a client in lock-step the detour by the scheduler would be part of
// every round trip.

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/pxesidecar/pxesidecar/internal/poll"
)

const (
	receiveBatch  = 64      // datagrams read at once
	receiveSize   = 1024    // bytes kept of each; a request has 512 at most
	receiveBuffer = 4 << 20 // of the socket: the ACKs of a rack that powers up

	sendBatch    = 64       // messages written at once
	sendVectors  = 4096     // pieces they consist of
	sendBytes    = 1 << 20  // bytes after which a batch goes out
	sendArena    = 64 << 10 // bytes of small packets in a batch
	maxSegments  = 64       // datagrams in one message: the kernel's UDP_MAX_SEGMENTS, which was 64 at first
	maxDatagram  = 65507    // bytes of UDP payload in one message
	sendPatience = 100 * time.Millisecond
)

// A message is one struct mmsghdr.
type message struct {
	header unix.Msghdr
	length uint32
}

// A control is room for the control messages of one datagram: struct in_pktinfo, and the segment size.
type control [8]uint64

// A socket is a UDP socket with its batches. All but wake belong to one goroutine.
type socket struct {
	fd     int // -1 when closed
	poller poller
	local  netip.AddrPort
	gso    bool
	filled int // datagrams that arrived last

	in  incoming
	out outgoing
}

// A poller waits for a socket and moves its datagrams: a poll.Poller, or a poll.Parked where there are but requests, which helpers go on with.
type poller interface {
	Receive(messages unsafe.Pointer, count int, now, until time.Duration, soon bool) (int, error)
	Send(messages unsafe.Pointer, count int) (int, unix.Errno)
	Wake()
	Close()
}

// incoming is the batch that is read into.
type incoming struct {
	messages  [receiveBatch]message
	names     [receiveBatch]unix.RawSockaddrInet4
	controls  [receiveBatch]control
	vectors   [receiveBatch]unix.Iovec
	buffers   [receiveBatch][receiveSize]byte
	datagrams [receiveBatch]datagram
}

// outgoing is the batch that is being put together.
type outgoing struct {
	count    int // of messages
	messages [sendBatch]message
	names    [sendBatch]unix.RawSockaddrInet4
	controls [sendBatch]control
	routes   [sendBatch]*route
	segments [sendBatch]int // bytes of a segment, 0 for a single datagram
	vectors  []unix.Iovec
	headers  [][headerLen]byte
	arena    []byte
	bytes    int
}

// openSocket opens a socket on an IPv4 address: for requests alone, or for transfers, too. Errors are of package os and wrap the system's.
func openSocket(addr netip.AddrPort, requests bool) (*socket, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &socket{fd: fd}
	if err := s.prepare(addr, requests); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// prepare sets options, binds, and lays out the batches.
func (s *socket) prepare(addr netip.AddrPort, requests bool) error {
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer); err != nil {
		// Not privileged: as much as the system allows.
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer); err != nil {
			return os.NewSyscallError("setsockopt SO_RCVBUF", err)
		}
	}
	if err := unix.SetsockoptInt(s.fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1); err != nil {
		return os.NewSyscallError("setsockopt IP_PKTINFO", err)
	}
	// Let routers fragment: Linux would set DF, and nobody listens for the ICMP answer.
	if err := unix.SetsockoptInt(s.fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT); err != nil {
		return os.NewSyscallError("setsockopt IP_MTU_DISCOVER", err)
	}
	// Writing waits for the socket's own buffer, which paces us to a slow wire; it must not wait for a dead one.
	patience := unix.NsecToTimeval(int64(sendPatience))
	if err := unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &patience); err != nil {
		return os.NewSyscallError("setsockopt SO_SNDTIMEO", err)
	}
	if err := unix.Bind(s.fd, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	name, err := unix.Getsockname(s.fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	if name, ok := name.(*unix.SockaddrInet4); ok {
		s.local = netip.AddrPortFrom(netip.AddrFrom4(name.Addr), uint16(name.Port))
	}
	_, err = unix.GetsockoptInt(s.fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
	s.gso = err == nil
	s.layOut()
	waiting, err := newPoller(s.fd, requests)
	if err != nil {
		return err
	}
	s.poller = waiting
	return nil
}

// newPoller returns what waits for a socket.
func newPoller(fd int, requests bool) (poller, error) {
	if requests {
		return poll.NewParked(fd)
	}
	return poll.New(fd)
}

// layOut points the batches' parts at each other.
func (s *socket) layOut() {
	in, out := &s.in, &s.out
	for i := range in.messages {
		in.vectors[i].Base = &in.buffers[i][0]
		in.vectors[i].SetLen(receiveSize)
		h := &in.messages[i].header
		h.Name = (*byte)(unsafe.Pointer(&in.names[i]))
		h.Iov = &in.vectors[i]
		h.SetIovlen(1)
		h.Control = (*byte)(unsafe.Pointer(&in.controls[i]))
	}
	in.reset(len(in.messages))
	for i := range out.messages {
		h := &out.messages[i].header
		h.Name = (*byte)(unsafe.Pointer(&out.names[i]))
		h.Namelen = unix.SizeofSockaddrInet4
		h.Control = (*byte)(unsafe.Pointer(&out.controls[i]))
	}
	out.vectors = make([]unix.Iovec, 0, sendVectors)
	out.headers = make([][headerLen]byte, 0, sendVectors)
	out.arena = make([]byte, 0, sendArena)
}

// addr returns the address the socket is bound to.
func (s *socket) addr() netip.AddrPort { return s.local }

// receive returns what has arrived, after waiting for it from now to until (which may be never) or until wake; it may come back early. soon says
// that clients are about to be heard: then a wake may be some milliseconds late. more tells that there may be more at once. The result is valid
// until the next call.
func (s *socket) receive(now, until time.Duration, soon bool) (arrived []datagram, more bool, err error) {
	in := &s.in
	in.reset(s.filled)
	n, err := s.poller.Receive(unsafe.Pointer(&in.messages), receiveBatch, now, until, soon)
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENETDOWN) {
		err = nil
	}
	for i := range n {
		in.decode(i)
	}
	s.filled = n
	return in.datagrams[:n], n == receiveBatch, err
}

// reset makes room again for the addresses and control messages of the first count messages, which the kernel has set to what it wrote there.
func (in *incoming) reset(count int) {
	for i := range count {
		h := &in.messages[i].header
		h.Namelen = unix.SizeofSockaddrInet4
		h.SetControllen(int(unsafe.Sizeof(control{})))
	}
}

// decode makes a datagram of the i-th message.
func (in *incoming) decode(i int) {
	m, name := &in.messages[i], &in.names[i]
	port := *(*[2]byte)(unsafe.Pointer(&name.Port))
	d := &in.datagrams[i]
	*d = datagram{
		client: netip.AddrPortFrom(netip.AddrFrom4(name.Addr), binary.BigEndian.Uint16(port[:])),
		data:   in.buffers[i][:min(m.length, receiveSize)],
	}
	if uintptr(m.header.Controllen) < uintptr(unix.CmsgLen(unix.SizeofInet4Pktinfo)) {
		return
	}
	c := (*unix.Cmsghdr)(unsafe.Pointer(&in.controls[i]))
	if c.Level != unix.IPPROTO_IP || c.Type != unix.IP_PKTINFO {
		return
	}
	info := (*unix.Inet4Pktinfo)(unsafe.Add(unsafe.Pointer(c), unix.CmsgLen(0)))
	d.iface = int(info.Ifindex)
	d.local = netip.AddrFrom4(info.Addr)
	d.multicast = info.Addr != info.Spec_dst // for a broadcast Spec_dst is the interface's own address
}

// wake ends a wait, the current one or the next. Any goroutine may call it, also after close.
func (s *socket) wake() { s.poller.Wake() }

// close closes the socket. It may be called twice.
func (s *socket) close() {
	if s.poller != nil {
		s.poller.Close()
	}
	if s.fd >= 0 {
		unix.Close(s.fd)
		s.fd = -1
	}
}

// packet puts a small packet into the batch.
func (s *socket) packet(r *route, p []byte) {
	o := &s.out
	if o.full(1, len(p)) {
		s.flush()
	}
	at := len(o.arena)
	o.arena = append(o.arena, p...)
	o.piece(&o.arena[at], len(p))
	o.seal(r, 1, 0)
}

// blocks puts DATA packets into the batch: as few messages as the kernel cuts up, or one for each. Where a single client waits, the first block
// goes ahead, to wake it while the kernel still copies the others.
func (s *socket) blocks(r *route, first int64, count, blockSize int, data [][]byte) {
	o := &s.out
	group := 1
	if s.gso && !r.plain {
		group = max(min(maxSegments, maxDatagram/(blockSize+headerLen)), 1)
	}
	var cursor []byte
	ahead := s.filled == 1 // so one client waits
	for count > 0 {
		n := min(group, count)
		if ahead {
			n, ahead = 1, false
		}
		if o.full(n*2+len(data), n*blockSize) {
			s.flush()
		}
		start := len(o.vectors)
		for i := range n {
			at := len(o.headers)
			o.headers = o.headers[:at+1]
			putDataHeader(&o.headers[at], first+int64(i))
			o.piece(&o.headers[at][0], headerLen)
			cursor, data = o.fill(blockSize, cursor, data)
		}
		segment := 0
		if n > 1 {
			segment = blockSize + headerLen
		}
		o.seal(r, len(o.vectors)-start, segment)
		first += int64(n)
		count -= n
	}
}

// full reports whether so much more does not fit.
func (o *outgoing) full(vectors, bytes int) bool {
	return o.count == sendBatch || len(o.vectors)+vectors > cap(o.vectors) || o.count > 0 && o.bytes+bytes > sendBytes || len(o.arena)+maxRequestLen > cap(o.arena)
}

// piece adds bytes to the message being put together.
func (o *outgoing) piece(base *byte, n int) {
	at := len(o.vectors)
	o.vectors = o.vectors[:at+1]
	o.vectors[at].Base = base
	o.vectors[at].SetLen(n)
	o.bytes += n
}

// fill adds one block, or what is left of data, and returns the rest.
func (o *outgoing) fill(n int, cursor []byte, data [][]byte) ([]byte, [][]byte) {
	for n > 0 {
		if len(cursor) == 0 {
			if len(data) == 0 {
				break
			}
			cursor, data = data[0], data[1:]
			continue
		}
		take := min(n, len(cursor))
		o.piece(&cursor[0], take)
		cursor = cursor[take:]
		n -= take
	}
	return cursor, data
}

// seal ends a message of the last n pieces.
func (o *outgoing) seal(r *route, n, segment int) {
	i := o.count
	o.count++
	h := &o.messages[i].header
	h.Iov = &o.vectors[len(o.vectors)-n]
	h.SetIovlen(n)
	name := &o.names[i]
	name.Family = unix.AF_INET
	name.Addr = r.client.Addr().As4()
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&name.Port))[:], r.client.Port())
	o.routes[i] = r
	o.segments[i] = segment
	h.SetControllen(o.controls[i].set(r, segment))
}

// set writes the control messages and returns their length.
func (c *control) set(r *route, segment int) int {
	*c = control{}
	h := (*unix.Cmsghdr)(unsafe.Pointer(c))
	h.Level, h.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
	h.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
	info := (*unix.Inet4Pktinfo)(unsafe.Add(unsafe.Pointer(c), unix.CmsgLen(0)))
	info.Ifindex = int32(r.iface)
	info.Spec_dst = r.local.As4()
	length := unix.CmsgSpace(unix.SizeofInet4Pktinfo)
	if segment == 0 {
		return length
	}
	h = (*unix.Cmsghdr)(unsafe.Add(unsafe.Pointer(c), length))
	h.Level, h.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	*(*uint16)(unsafe.Add(unsafe.Pointer(h), unix.CmsgLen(0))) = uint16(segment)
	return length + unix.CmsgSpace(2)
}

// flush writes the batch. What the system does not take is lost, as datagrams may be; the transfers' timers see to it. Where the wire takes
// nothing, the rest of the batch is lost with it, or each message would be waited for.
func (s *socket) flush() {
	o := &s.out
	for i := 0; i < o.count; {
		n, errno := s.poller.Send(unsafe.Pointer(&o.messages[i]), o.count-i)
		switch {
		case errno == 0:
			i += n
		case errno == unix.EAGAIN:
			i = o.count
		default:
			if o.segments[i] != 0 {
				s.singly(i)
			}
			i++
		}
	}
	clear(o.vectors) // lets go of the files
	clear(o.routes[:o.count])
	o.count, o.bytes = 0, 0
	o.vectors, o.headers, o.arena = o.vectors[:0], o.headers[:0], o.arena[:0]
}

// singly writes the i-th message as single datagrams, because it was not taken whole: the way to this client has no segmentation offload, or an
// MTU below the segment. Its later ones go singly from the start.
func (s *socket) singly(i int) {
	o := &s.out
	o.routes[i].plain = true
	h := &o.messages[i].header
	vectors := unsafe.Slice(h.Iov, h.Iovlen)
	h.SetControllen(o.controls[i].set(o.routes[i], 0))
	for len(vectors) > 0 {
		n, length := 0, 0
		for n < len(vectors) && length < o.segments[i] {
			length += int(vectors[n].Len)
			n++
		}
		h.Iov = &vectors[0]
		h.SetIovlen(n)
		s.poller.Send(unsafe.Pointer(&o.messages[i]), 1)
		vectors = vectors[n:]
	}
}
