package tftp

// A UDP socket on Linux: batches both ways, and windows handed to the kernel
// whole to be cut into datagrams there (UDP_SEGMENT, since Linux 4.18). Servers
// without these are limited by a system call for each packet.

import (
	"errors"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pxesidecar/pxesidecar/internal/mmsg"
)

const (
	receiveSize   = 1024    // bytes kept of a datagram; a request has 512 at most
	receiveBuffer = 4 << 20 // of the socket: the ACKs of a rack that powers up

	sendPieces  = 4096     // that a batch consists of
	sendCopies  = 64 << 10 // bytes of small packets and of headers in a batch
	sendBytes   = 1 << 20  // bytes after which a batch goes out
	maxSegments = 64       // datagrams in one message: the kernel's UDP_MAX_SEGMENTS, which was 64 at first
	maxDatagram = 65507    // bytes of UDP payload in one message
)

// socket is a UDP socket with its batches. One goroutine may use it at a time,
// except for wake.
type socket struct {
	conn     *mmsg.Conn
	local    netip.AddrPort
	segments bool // the kernel cuts messages into segments

	in        *mmsg.Incoming
	datagrams [mmsg.BatchSize]datagram
	received  int // datagrams that arrived last

	out    *mmsg.Outgoing
	routes [mmsg.BatchSize]*route // of the messages in out
}

// openSocket opens a socket on an IPv4 address. Errors are of package os and
// wrap the system's.
func openSocket(addr netip.AddrPort) (*socket, error) {
	fd, err := mmsg.OpenUDP(addr, mmsg.UDPOptions{ReceiveBuffer: receiveBuffer})
	if err != nil {
		return nil, err
	}
	conn, err := mmsg.NewFD(fd)
	if err != nil {
		return nil, err
	}
	s := newSocket(conn)
	s.local, s.segments, err = socketState(fd)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return s, nil
}

// newSocket returns a socket that uses a connection.
func newSocket(conn *mmsg.Conn) *socket {
	return &socket{conn: conn, in: mmsg.NewIncoming(receiveSize), out: mmsg.NewOutgoing(sendPieces, sendCopies)}
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

// addr returns the address the socket is bound to.
func (s *socket) addr() netip.AddrPort { return s.local }

// receive returns what has arrived, after waiting for it until the deadline or
// until wake; the zero time is no deadline. It may return early. more reports
// that there may be more at once. The result is valid until the next call.
func (s *socket) receive(deadline time.Time) (arrived []datagram, more bool, err error) {
	n, err := s.conn.Receive(s.in, deadline)
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENETDOWN) {
		err = nil
	}
	for i := range n {
		info := s.in.PacketInfo(i)
		s.datagrams[i] = datagram{
			client:    s.in.Sender(i),
			local:     info.Destination,
			iface:     info.Interface,
			multicast: info.Destination != info.Local, // for a broadcast Local is the interface's own address
			data:      s.in.Data(i),
		}
	}
	s.received = n
	return s.datagrams[:n], n == mmsg.BatchSize, err
}

// wake ends a wait, the current one or the next. Any goroutine may call it,
// also after close.
func (s *socket) wake() { s.conn.Wake() }

// close closes the socket. It may be called twice.
func (s *socket) close() { _ = s.conn.Close() }

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
// may be, and the transfers' timers have it sent again. When a wire takes
// nothing, the rest of the batch is dropped: otherwise each message would have
// to wait for it.
func (s *socket) flush() {
	for i := 0; i < s.out.Len(); {
		n, err := s.conn.Send(s.out, i)
		switch {
		case err == nil:
			i += n
		case errors.Is(err, unix.EAGAIN):
			i = s.out.Len()
		default:
			if s.out.Segment(i) != 0 {
				s.routes[i].plain = true // its later messages have one segment each
				s.conn.SendSegments(s.out, i)
			}
			i++
		}
	}
	clear(s.routes[:s.out.Len()])
	s.out.Reset()
}
