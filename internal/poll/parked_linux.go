package poll

import (
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Parked is a Poller's counterpart for a socket whose datagrams are given to
// other goroutines. It waits in Go's poller after all: the thread that this wakes
// runs those goroutines, too. Wake and Close may be called by any goroutine, and
// more than once; all else belongs to one.
type Parked struct {
	socket int
	file   *os.File // of a descriptor of its own
	raw    syscall.RawConn
	woken  atomic.Bool // a wait is to end
}

// NewParked returns what waits for the descriptor of a socket, which stays the
// caller's; the socket does not block from then on. An error is the system's.
func NewParked(socket int) (*Parked, error) {
	if err := unix.SetNonblock(socket, true); err != nil {
		return nil, os.NewSyscallError("fcntl O_NONBLOCK", err)
	}
	fd, err := unix.FcntlInt(uintptr(socket), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err)
	}
	p := &Parked{socket: socket, file: os.NewFile(uintptr(fd), "socket")}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, err
	}
	return p, nil
}

// Receive is like that of a Poller, but never late.
func (p *Parked) Receive(messages unsafe.Pointer, count int, now, until time.Duration, _ bool) (int, error) {
	var deadline time.Time
	if until != Never {
		deadline = time.Now().Add(until - now)
	}
	if err := p.file.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	wait := until > now && !p.woken.Swap(false) // asked now that Wake's deadline may be lost
	var n int
	errno := unix.EAGAIN
	err := p.raw.Read(func(fd uintptr) bool {
		n, errno = receive(int(fd), messages, count, unix.MSG_DONTWAIT)
		return !wait || errno != unix.EAGAIN
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p.woken.Store(false)
		err = nil
	}
	return n, errors.Join(err, failure(errno))
}

// Send is like that of a Poller, but does not wait.
func (p *Parked) Send(messages unsafe.Pointer, count int) (int, unix.Errno) {
	return send(p.socket, messages, count)
}

// Wake ends a wait, the current one or the next. After Close it does nothing.
func (p *Parked) Wake() {
	p.woken.Store(true)
	p.file.SetReadDeadline(time.Unix(1, 0)) // fails after Close
}

// Close frees what was made for waiting, but not the socket.
func (p *Parked) Close() { p.file.Close() }
