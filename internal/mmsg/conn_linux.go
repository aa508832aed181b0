package mmsg

import (
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SendTimeout is how long sending waits for a socket that has no room. The
// socket's buffer paces us to a slow wire, but nobody waits for a dead one.
const SendTimeout = 100 * time.Millisecond

// Socket is a socket in Go's poller: an *os.File made of a non-blocking
// descriptor, or a connection of packages net and mdlayher/packet.
type Socket interface {
	syscall.Conn
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	Close() error
}

// Conn receives and sends the datagrams of a socket. Wake and Close may be
// called by any goroutine at any time. Everything else belongs to one.
type Conn struct {
	socket   Socket
	raw      syscall.RawConn
	deadline time.Time   // for reading, as it was set last
	stale    bool        // deadline may not be the socket's any more
	woken    atomic.Bool // a wait is to end

	// The current system call: its arguments and results. They are here, and
	// the functions are made once, so that no call allocates.
	messages []message
	done     int
	errno    unix.Errno
	receive  func(fd uintptr) bool
	poll     func(fd uintptr)
	send     func(fd uintptr) bool
	trySend  func(fd uintptr)
}

// New returns a Conn that owns a socket. Set the socket's options before.
func New(s Socket) (*Conn, error) {
	raw, err := s.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &Conn{socket: s, raw: raw}
	c.poll = func(fd uintptr) { c.call(unix.SYS_RECVMMSG, fd) }
	c.trySend = func(fd uintptr) { c.call(unix.SYS_SENDMMSG, fd) }
	c.receive = func(fd uintptr) bool { c.poll(fd); return c.errno != unix.EAGAIN }
	c.send = func(fd uintptr) bool { c.trySend(fd); return c.errno != unix.EAGAIN }
	return c, nil
}

// NewFD returns a Conn that owns a non-blocking descriptor, which it closes if
// it fails.
func NewFD(fd int) (*Conn, error) {
	file := os.NewFile(uintptr(fd), "socket")
	c, err := New(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return c, nil
}

// call makes a system call, which does not wait. The scheduler is not told of
// it: it would start other threads for a call that is over in microseconds.
func (c *Conn) call(number, fd uintptr) {
	for {
		n, _, errno := unix.RawSyscall6(number, fd, uintptr(unsafe.Pointer(&c.messages[0])), uintptr(len(c.messages)), unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			n = 0
		}
		c.done, c.errno = int(n), errno
		return
	}
}

// Receive reads datagrams into a batch, in place of those it held, and returns
// how many came. It waits for them until the deadline; the zero time is none.
// It does not wait when the last datagrams filled the batch, because more are
// likely to be there. It may return early, with nothing. Errors are those of
// the socket, and of recvmmsg as an [os.SyscallError].
func (c *Conn) Receive(in *Incoming, deadline time.Time) (int, error) {
	full := in.count == BatchSize
	in.reset()
	c.messages = in.messages[:]
	var err error
	if full {
		err = c.raw.Control(c.poll)
	} else {
		err = c.wait(deadline)
	}
	if err != nil {
		return 0, err
	}
	if c.errno != 0 && c.errno != unix.EAGAIN {
		return 0, os.NewSyscallError("recvmmsg", c.errno)
	}
	in.count = c.done
	return in.count, nil
}

// wait receives when there is something, or when the wait is over.
func (c *Conn) wait(deadline time.Time) error {
	if c.stale || !deadline.Equal(c.deadline) {
		if err := c.socket.SetReadDeadline(deadline); err != nil {
			return err
		}
		c.deadline, c.stale = deadline, false
	}
	// Wake has set a deadline of its own, which may be overwritten by now.
	if c.woken.Swap(false) {
		c.stale = true
		return c.raw.Control(c.poll)
	}
	err := c.raw.Read(c.receive)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	c.stale = true
	c.woken.Store(false)
	return c.raw.Control(c.poll) // the poller does not look at a socket whose deadline has passed
}

// Send sends the messages of a batch from the first-th on and returns how many
// of them the system took. It may be fewer than all: call it again for the
// rest. If the system takes none, Send returns the reason as an
// [os.SyscallError]. That is EAGAIN when the socket had no room for
// SendTimeout, and another error when the message first cannot be sent.
func (c *Conn) Send(out *Outgoing, first int) (int, error) {
	return c.sendMessages(out.messages[first:out.count], true)
}

// TrySend is Send, but does not wait: it returns EAGAIN at once when the socket
// has no room.
func (c *Conn) TrySend(out *Outgoing, first int) (int, error) {
	return c.sendMessages(out.messages[first:out.count], false)
}

func (c *Conn) sendMessages(messages []message, wait bool) (int, error) {
	c.messages = messages
	err := c.raw.Control(c.trySend)
	if err == nil && c.errno == unix.EAGAIN && wait {
		err = c.sendWhenWritable()
	}
	if err == nil && c.errno != 0 {
		err = os.NewSyscallError("sendmmsg", c.errno)
	}
	if err != nil {
		return 0, err
	}
	return c.done, nil
}

// sendWhenWritable waits until the socket has room, and sends.
func (c *Conn) sendWhenWritable() error {
	if err := c.socket.SetWriteDeadline(time.Now().Add(SendTimeout)); err != nil {
		return err
	}
	err := c.raw.Write(c.send)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil // errno is EAGAIN
	}
	return err
}

// SendSegments sends the i-th message of a batch again, each of its segments as
// a datagram of its own. It is for a message that Send could not send because
// its way has no segmentation offload, or an MTU below the segment. A datagram
// that cannot be sent is dropped.
func (c *Conn) SendSegments(out *Outgoing, i int) {
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
		_, _ = c.sendMessages(out.single[:], true)
		vectors = vectors[n:]
	}
}

// Held returns how many bytes of what was sent the system still holds, in its
// own measure, which is that of the send buffer (SIOCOUTQ, udp(7)): for a slow
// wire, or for an address that is being looked up.
func (c *Conn) Held() (int, error) {
	var held int
	var err error
	controlled := c.raw.Control(func(fd uintptr) { held, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	return held, errors.Join(controlled, os.NewSyscallError("ioctl SIOCOUTQ", err))
}

// Wake ends a wait of Receive, the current one or the next.
func (c *Conn) Wake() {
	c.woken.Store(true)
	_ = c.socket.SetReadDeadline(time.Unix(1, 0)) // fails when closed: then nobody waits
}

// Close closes the socket. A second call returns an error.
func (c *Conn) Close() error { return c.socket.Close() }
