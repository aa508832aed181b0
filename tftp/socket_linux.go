package tftp

// The UDP sockets of a goroutine on Linux: batches both ways, and windows
// handed to the kernel whole to be cut into datagrams there (UDP_SEGMENT, since
// Linux 4.18). Servers without these are limited by a system call for each
// packet.

import (
	"errors"
	"net/netip"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pxesidecar/pxesidecar/internal/mmsg"
)

const (
	receiveSize   = 1024    // bytes kept of a datagram; a request has 512 at most
	receiveBuffer = 4 << 20 // of a socket: the ACKs of a rack that powers up
	sendBuffer    = 2 << 20 // of a socket: what waits for ARP must leave room for others

	sendPieces  = 4096     // that a batch consists of
	sendCopies  = 64 << 10 // bytes of small packets and of headers in a batch
	sendBytes   = 1 << 20  // bytes after which a batch goes out
	maxSegments = 64       // datagrams in one message: the kernel's UDP_MAX_SEGMENTS, which was 64 at first
	maxDatagram = 65507    // bytes of UDP payload in one message
)

// goroutines returns how many goroutines carry transfers, and how many ports
// each has. One fills a fast network; more use further processors.
func goroutines() (count, ports int) {
	return min(max(runtime.GOMAXPROCS(0)/2, 1), 4), 1
}

// socket is the UDP sockets of a goroutine, with its batches. One goroutine may
// use it at a time, except for wake.
type socket struct {
	group    *mmsg.Group
	ports    []netip.AddrPort // that the members are bound to
	segments bool             // the kernel cuts messages into segments

	in        *mmsg.Incoming
	datagrams [mmsg.BatchSize]datagram
	received  int // datagrams that arrived last

	out    *mmsg.Outgoing
	routes [mmsg.BatchSize]*route // of the messages in out
}

// openSocket returns a socket without members.
func openSocket() (*socket, error) {
	group, err := mmsg.NewGroup()
	if err != nil {
		return nil, err
	}
	return newSocket(group), nil
}

// newSocket returns a socket whose members are those of a group.
func newSocket(group *mmsg.Group) *socket {
	return &socket{group: group, in: mmsg.NewIncoming(receiveSize), out: mmsg.NewOutgoing(sendPieces, sendCopies)}
}

// listen adds a member that is bound to an IPv4 address. Errors are of package
// os and wrap the system's.
func (s *socket) listen(addr netip.AddrPort) error {
	fd, err := mmsg.OpenUDP(addr, mmsg.UDPOptions{ReceiveBuffer: receiveBuffer, SendBuffer: sendBuffer, Errors: true})
	if err != nil {
		return err
	}
	var bound netip.AddrPort
	if bound, s.segments, err = socketState(fd); err == nil {
		err = s.group.Add(fd)
	}
	if err != nil {
		return errors.Join(err, os.NewSyscallError("close", unix.Close(fd)))
	}
	s.ports = append(s.ports, bound)
	return nil
}

// socketState returns the address a socket is bound to, and whether the kernel
// cuts messages into segments.
func socketState(fd int) (local netip.AddrPort, segments bool, err error) {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, false, os.NewSyscallError("getsockname", err)
	}
	if name, ok := name.(*unix.SockaddrInet4); ok {
		local = netip.AddrPortFrom(netip.AddrFrom4(name.Addr), uint16(name.Port))
	}
	_, unsupported := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
	return local, unsupported == nil, nil
}

// addr returns the address that the first member is bound to.
func (s *socket) addr() netip.AddrPort { return s.ports[0] }

// receive returns what has arrived, after waiting for it until the deadline or
// until wake; the zero time is no deadline. It may return early. more reports
// that there may be more at once. The result is valid until the next call.
func (s *socket) receive(deadline time.Time) (arrived []datagram, more bool, err error) {
	n, more, err := s.group.Receive(s.in, deadline)
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENETDOWN) {
		err = nil
	}
	for i := range n {
		info := s.in.PacketInfo(i)
		s.datagrams[i] = datagram{
			via:       s.in.Member(i),
			client:    s.in.Sender(i),
			local:     info.Destination,
			iface:     info.Interface,
			multicast: info.Destination != info.Local, // for a broadcast Local is the interface's own address
			data:      s.in.Data(i),
		}
	}
	s.received = n
	return s.datagrams[:n], more, err
}

// The codes of ICMP errors (RFC 792, destination unreachable).
const (
	codeHostUnreachable = 1
	codePortUnreachable = 3
)

// undelivered returns a client that a packet has not reached, and by which port
// it was sent. closed says that the client does not have its port; otherwise
// there is no such host. It returns false when there is no other.
func (s *socket) undelivered() (client netip.AddrPort, via int, closed, ok bool) {
	for {
		member, client, code, ok := s.group.Undelivered()
		if !ok || code == codeHostUnreachable || code == codePortUnreachable {
			return client, member, code == codePortUnreachable, ok
		}
	}
}

// wake ends a wait, the current one or the next. Any goroutine may call it,
// also after close.
func (s *socket) wake() { s.group.Wake() }

// close closes the members. It may be called twice.
func (s *socket) close() { _ = s.group.Close() }

// packet puts a small packet into the batch.
func (s *socket) packet(r *route, p []byte) {
	if !s.out.HasRoom(1, len(p)) {
		s.flush()
	}
	s.out.AppendCopy(p)
	s.end(r, 0)
}

// blocks puts DATA packets into the batch: as few messages as the kernel cuts
// up, or one for each. When a single client waits, the first block goes ahead,
// to wake the client while the kernel still copies the others.
func (s *socket) blocks(r *route, first int64, count, blockSize int, data [][]byte) {
	group := 1
	if s.segments && !r.plain {
		group = max(min(maxSegments, maxDatagram/(blockSize+headerLen)), 1)
	}
	ahead := s.received == 1 // so one client waits
	rest := pieces{data: data}
	for count > 0 {
		n := min(group, count)
		if ahead {
			n, ahead = 1, false
		}
		if !s.out.HasRoom(n*2+len(data), n*headerLen) || s.out.Len() > 0 && s.out.Bytes()+n*blockSize > sendBytes {
			s.flush()
		}
		for i := range n {
			var header [headerLen]byte
			putDataHeader(&header, first+int64(i))
			s.out.AppendCopy(header[:])
			rest.appendBlock(s.out, blockSize)
		}
		segment := 0
		if n > 1 {
			segment = blockSize + headerLen
		}
		s.end(r, segment)
		first += int64(n)
		count -= n
	}
}

// pieces are what is left of a file's bytes: the start of data is in current.
type pieces struct {
	current []byte
	data    [][]byte
}

// appendBlock adds the next n bytes to a message, or as many as are left.
func (p *pieces) appendBlock(out *mmsg.Outgoing, n int) {
	for n > 0 {
		if len(p.current) == 0 {
			if len(p.data) == 0 {
				return
			}
			p.current, p.data = p.data[0], p.data[1:]
			continue
		}
		take := min(n, len(p.current))
		out.Append(p.current[:take])
		p.current = p.current[take:]
		n -= take
	}
}

// end ends the current message.
func (s *socket) end(r *route, segment int) {
	s.routes[s.out.Len()] = r
	s.out.End(r.client, mmsg.PacketInfo{Interface: r.iface, Local: r.local}, segment)
}

// flush writes the batch. What the system does not take is lost, as datagrams
// may be, and the transfers' timers have it sent again. It does not wait for a
// member whose buffer is full: the others would have to wait, too.
func (s *socket) flush() {
	for i := 0; i < s.out.Len(); {
		member, end := s.routes[i].via, i+1
		for end < s.out.Len() && s.routes[end].via == member {
			end++
		}
		i += s.send(member, i, end)
	}
	clear(s.routes[:s.out.Len()])
	s.out.Reset()
}

// send sends the messages of a member from the first-th up to the end-th, and
// returns how many are done with.
func (s *socket) send(member, first, end int) int {
	n, err := s.group.TrySend(s.out, member, first, end)
	switch {
	case err == nil:
		return n
	case errors.Is(err, unix.EAGAIN):
		return end - first
	case s.out.Segment(first) != 0 && !errors.Is(err, unix.ENOBUFS): // which says that the wire is full
		s.routes[first].plain = true // its later messages have one segment each
		s.group.SendSegments(s.out, member, first)
	}
	return 1
}
