package mmsg

import (
	"errors"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// edgeTriggered is EPOLLET, which package unix has as a negative number on some
// systems.
const edgeTriggered = 1 << 31

// Group is many sockets that one goroutine serves: it waits for all of them
// together, and the datagrams of several share a batch. Wake may be called by
// any goroutine at any time. Everything else belongs to one.
type Group struct {
	*waiter
	members []int  // descriptors
	unread  []int  // the members that may have datagrams
	queued  []bool // those in unread
	failed  []int  // the members that may have errors

	events [BatchSize]unix.EpollEvent
	count  int // of events
	errno  unix.Errno
	poll   call
}

// NewGroup returns an empty group.
func NewGroup() (*Group, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // for Go's poller
		return nil, errors.Join(os.NewSyscallError("fcntl", err), unix.Close(fd))
	}
	file := os.NewFile(uintptr(fd), "sockets")
	w, err := newWaiter(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	g := &Group{waiter: w}
	g.poll = newCall(g.look, func() bool { return g.errno == 0 && g.count == 0 })
	return g, nil
}

// Add adds a non-blocking socket, which the group owns from now on. The members
// are numbered from 0 as they are added.
func (g *Group) Add(fd int) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN | edgeTriggered, Fd: int32(len(g.members))}
	var err error
	controlled := g.raw.Control(func(poll uintptr) { err = unix.EpollCtl(int(poll), unix.EPOLL_CTL_ADD, fd, &event) })
	if err := errors.Join(controlled, os.NewSyscallError("epoll_ctl", err)); err != nil {
		return err
	}
	g.members = append(g.members, fd)
	g.queued = append(g.queued, false)
	return nil
}

// look asks which members have something new.
func (g *Group) look(fd uintptr) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(&g.events[0])), uintptr(len(g.events)), 0, 0, 0)
	if errno == unix.EINTR {
		errno = 0
	}
	if errno != 0 || int(n) > len(g.events) {
		n = 0
	}
	g.count, g.errno = int(n), errno
}

// Receive reads datagrams into a batch, in place of those it held, and returns
// how many came; Member says from which socket each is. It waits for them until
// the deadline; the zero time is none. It does not wait while there may be more
// from before, which more reports. It may return early, with nothing.
func (g *Group) Receive(in *Incoming, deadline time.Time) (n int, more bool, err error) {
	in.reset()
	if len(g.unread) > 0 {
		err = g.raw.Control(g.poll.once)
	} else {
		err = g.wait(deadline, g.poll)
	}
	if err == nil && g.errno != 0 {
		err = os.NewSyscallError("epoll_pwait", g.errno)
	}
	if err != nil {
		return 0, false, err
	}
	for _, e := range g.events[:g.count] {
		member := int(e.Fd)
		if e.Events&unix.EPOLLERR != 0 {
			g.failed = append(g.failed, member)
		}
		if !g.queued[member] {
			g.queued[member] = true
			g.unread = append(g.unread, member)
		}
	}
	g.count = 0
	return g.read(in)
}

// read reads from the members that may have datagrams, the longest waiting
// first, until the batch is full.
func (g *Group) read(in *Incoming) (n int, more bool, err error) {
	done := 0
	for _, member := range g.unread {
		room := in.messages[in.count:]
		if len(room) == 0 {
			break
		}
		got, errno := transfer(unix.SYS_RECVMMSG, uintptr(g.members[member]), room)
		for i := range got {
			in.members[in.count+i] = member
		}
		in.count += got
		if got == len(room) {
			break // it may have more
		}
		if isOfEarlier(errno) {
			break // the next call reads on
		}
		g.queued[member] = false
		done++
		if errno != 0 && errno != unix.EAGAIN {
			err = os.NewSyscallError("recvmmsg", errno)
			break
		}
	}
	g.unread = g.unread[:copy(g.unread, g.unread[done:])]
	return in.count, len(g.unread) > 0, err
}

// eachSegment calls send with each segment of the i-th message as a message of
// its own.
func (out *Outgoing) eachSegment(i int, send func([]message)) {
	m := out.messages[i]
	vectors := unsafe.Slice(m.header.Iov, m.header.Iovlen)
	m.header.SetControllen(packetInfoSpace)
	for len(vectors) > 0 {
		n, length := 0, 0
		for n < len(vectors) && length < out.segments[i] {
			length += int(vectors[n].Len)
			n++
		}
		m.header.Iov = &vectors[0]
		m.header.SetIovlen(n)
		out.single[0] = m
		send(out.single[:])
		vectors = vectors[n:]
	}
}

// isOfEarlier reports whether an error says what has become of an earlier
// datagram. The system returns it once, from whatever call comes next.
func isOfEarlier(errno unix.Errno) bool {
	switch errno {
	case unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN, unix.ENOPROTOOPT, unix.EPROTO, unix.EOPNOTSUPP, unix.EMSGSIZE, unix.ENONET:
		return true
	}
	return false
}

// TrySend sends the messages of a batch from the first-th on, up to the end-th,
// from a member, and returns how many of them the system took. It does not
// wait: without room the error is EAGAIN.
func (g *Group) TrySend(out *Outgoing, member, first, end int) (int, error) {
	n, errno := transfer(unix.SYS_SENDMMSG, uintptr(g.members[member]), out.messages[first:end])
	if isOfEarlier(errno) {
		n, errno = transfer(unix.SYS_SENDMMSG, uintptr(g.members[member]), out.messages[first:end])
	}
	if errno != 0 {
		return 0, os.NewSyscallError("sendmmsg", errno)
	}
	return n, nil
}

// SendSegments sends the i-th message of a batch again from a member, each of
// its segments as a datagram of its own. It is for a message that TrySend could
// not send because its way has no segmentation offload, or an MTU below the
// segment. A datagram that cannot be sent is dropped.
func (g *Group) SendSegments(out *Outgoing, member, i int) {
	out.eachSegment(i, func(one []message) { _, _ = transfer(unix.SYS_SENDMMSG, uintptr(g.members[member]), one) })
}

// Undelivered returns a datagram of which an ICMP error says that it did not
// arrive: from which member, where it was sent, and the error's code (RFC 792,
// destination unreachable). It returns false when there is no other. The
// sockets need UDPOptions.Errors.
func (g *Group) Undelivered() (member int, to netip.AddrPort, code uint8, ok bool) {
	for len(g.failed) > 0 {
		member = g.failed[0]
		to, code, err := readError(g.members[member])
		if err == nil && to.IsValid() {
			return member, to, code, true
		}
		if err != nil { // EAGAIN: it has no other
			g.failed = g.failed[1:]
		}
	}
	g.failed = nil
	return 0, netip.AddrPort{}, 0, false
}

// icmpUnreachable is the ICMP type "destination unreachable" (RFC 792).
const icmpUnreachable = 3

// readError reads one error of a socket. If it is none that an ICMP message
// brought, the address is the zero AddrPort.
func readError(fd int) (to netip.AddrPort, code uint8, err error) {
	var oob [256]byte
	_, n, _, from, err := unix.Recvmsg(fd, nil, oob[:], unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
	if err != nil {
		return to, 0, err
	}
	client, ok := from.(*unix.SockaddrInet4)
	messages, parseErr := unix.ParseSocketControlMessage(oob[:n])
	if !ok || parseErr != nil {
		return to, 0, nil
	}
	for _, m := range messages {
		if m.Header.Level != unix.IPPROTO_IP || m.Header.Type != unix.IP_RECVERR || len(m.Data) < int(unsafe.Sizeof(extendedError{})) {
			continue
		}
		e := (*extendedError)(unsafe.Pointer(&m.Data[0]))
		if e.origin == unix.SO_EE_ORIGIN_ICMP && e.kind == icmpUnreachable {
			return netip.AddrPortFrom(netip.AddrFrom4(client.Addr), uint16(client.Port)), e.code, nil
		}
	}
	return to, 0, nil
}

// extendedError is struct sock_extended_err, without what follows.
type extendedError struct {
	errno              uint32
	origin, kind, code uint8
	_                  uint8
	_, _               uint32
}

// Close closes the members. It must not be called while another call, except
// for Wake, is running.
func (g *Group) Close() error {
	err := g.socket.Close()
	for _, fd := range g.members {
		err = errors.Join(err, os.NewSyscallError("close", unix.Close(fd)))
	}
	g.members = nil
	return err
}
