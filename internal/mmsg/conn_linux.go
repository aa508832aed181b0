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

// waiter waits for a socket in Go's poller. Wake and Close may be called by any
// goroutine at any time.
type waiter struct {
	socket   Socket
	raw      syscall.RawConn
	deadline time.Time   // for reading, as it was set last
	stale    bool        // deadline may not be the socket's any more
	woken    atomic.Bool // a wait is to end
}

// newWaiter returns a waiter that owns a socket.
func newWaiter(s Socket) (*waiter, error) {
	raw, err := s.SyscallConn()
	return &waiter{socket: s, raw: raw}, err
}

// call is a system call on a descriptor, which does not wait. Arguments and
// results are where its maker has them.
type call struct {
	once  func(fd uintptr)
	ready func(fd uintptr) bool // calls, and reports whether there was something
}

// newCall returns the call that once makes. again reports after it whether it
// is to be made again when there is something.
func newCall(once func(fd uintptr), again func() bool) call {
	return call{once, func(fd uintptr) bool { once(fd); return !again() }}
}

// wait makes a call when there is something to read, or when the wait is over:
// at the deadline, for which the zero time is none, or after Wake.
func (w *waiter) wait(deadline time.Time, c call) error {
	if w.stale || !deadline.Equal(w.deadline) {
		if err := w.socket.SetReadDeadline(deadline); err != nil {
			return err
		}
		w.deadline, w.stale = deadline, false
	}
	// Wake has set a deadline of its own, which may be overwritten by now.
	if w.woken.Swap(false) {
		w.stale = true
		return w.raw.Control(c.once)
	}
	err := w.raw.Read(c.ready)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	w.stale = true
	w.woken.Store(false)
	return w.raw.Control(c.once) // the poller does not look at a socket whose deadline has passed
}

// Wake ends a wait of Receive, the current one or the next.
func (w *waiter) Wake() {
	w.woken.Store(true)
	_ = w.socket.SetReadDeadline(time.Unix(1, 0)) // fails when closed: then nobody waits
}

// Conn receives and sends the datagrams of a socket. Wake and Close may be
// called by any goroutine at any time. Everything else belongs to one.
type Conn struct {
	*waiter

	// The current system call: its arguments and results. They are here, and
	// the functions are made once, so that no call allocates.
	messages []message
	done     int
	errno    unix.Errno
	receive  call
	send     call
}

// New returns a Conn that owns a socket. Set the socket's options before.
func New(s Socket) (*Conn, error) {
	w, err := newWaiter(s)
	if err != nil {
		return nil, err
	}
	c := &Conn{waiter: w}
	again := func() bool { return c.errno == unix.EAGAIN }
	c.receive = newCall(func(fd uintptr) { c.call(unix.SYS_RECVMMSG, fd) }, again)
	c.send = newCall(func(fd uintptr) { c.call(unix.SYS_SENDMMSG, fd) }, again)
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

// call makes a system call on the messages.
func (c *Conn) call(number, fd uintptr) { c.done, c.errno = transfer(number, fd, c.messages) }

// transfer receives or sends messages, without waiting, and returns how many.
// The scheduler is not told of the call: it would start other threads for one
// that is over in microseconds.
func transfer(number, fd uintptr, messages []message) (int, unix.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(number, fd, uintptr(unsafe.Pointer(&messages[0])), uintptr(len(messages)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(n), 0
		case unix.EINTR:
			continue
		}
		return 0, errno
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
		err = c.raw.Control(c.receive.once)
	} else {
		err = c.wait(deadline, c.receive)
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
	err := c.raw.Control(c.send.once)
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
	err := c.raw.Write(c.send.ready)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil // errno is EAGAIN
	}
	return err
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

// Close closes the socket. A second call returns an error.
func (c *Conn) Close() error { return c.socket.Close() }
