package poll

import (
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// brief is the longest that a thread waits without telling Go's scheduler. The system counts it in ticks, of which it is but one or a few, so it may
// be shorter: that timer costs next to nothing, other than the precise ones.
const brief = 4 * time.Millisecond

// A thread that waits so keeps one of Go's processors (GOMAXPROCS) from all others. seats is how many may be kept at once, which is all but one;
// taken is how many are.
var seats, taken atomic.Int32

// A Poller waits for one socket, with the thread of the goroutine that calls it, and moves its datagrams. Wake and Close may be called by any
// goroutine, and more than once; all else belongs to one.
type Poller struct {
	socket int
	polled [3]unix.PollFd // the socket, event, timer
	event  int            // an eventfd that ends a wait
	timer  int            // a timerfd that does
	alarm  time.Duration  // when timer goes off at the latest, or Never

	woken  atomic.Bool // by Wake, for a wait that has not ended for it
	asleep atomic.Bool // in wait, about to or just no longer: then it takes the event to wake it

	mu     sync.Mutex // Wake against Close
	closed bool
}

// New returns a poller for the descriptor of a socket, which stays the caller's and should block; its SO_RCVTIMEO is set. An error is the system's.
func New(socket int) (*Poller, error) {
	seats.Store(int32(runtime.GOMAXPROCS(0)) - 1)
	p := &Poller{socket: socket, event: -1, timer: -1, alarm: Never}
	patience := unix.NsecToTimeval(brief.Nanoseconds())
	err := os.NewSyscallError("setsockopt SO_RCVTIMEO", unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience))
	if err != nil {
		return nil, err
	}
	if p.event, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	if p.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		p.Close()
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	for i, fd := range []int{socket, p.event, p.timer} {
		p.polled[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	}
	return p, nil
}

// wait returns when the socket can be read or has an error, when Wake was called since the last wait, at until, and sometimes for nothing.
//
// The alarm is a timer of its own, because it seldom changes: a timeout of the call would have the processor's timer programmed for every packet,
// which in a virtual machine costs as much as the packet.
func (p *Poller) wait(now, until time.Duration) error {
	if err := p.arm(now, until); err != nil {
		return err
	}
	for i := range p.polled {
		p.polled[i].Revents = 0
	}
	p.asleep.Store(true)
	defer p.asleep.Store(false)
	if p.woken.Swap(false) {
		return nil
	}
	if _, err := unix.Ppoll(p.polled[:], nil, nil); err != nil && !errors.Is(err, unix.EINTR) {
		return os.NewSyscallError("ppoll", err)
	}
	var count [8]byte
	if p.polled[1].Revents != 0 {
		unix.Read(p.event, count[:]) // there is nothing to fail
		p.woken.Store(false)
	}
	if p.polled[2].Revents != 0 {
		unix.Read(p.timer, count[:]) // as above
		p.alarm = Never
	}
	return nil
}

// Receive reads up to count datagrams, into an array of struct mmsghdr (recvmmsg), and returns how many, perhaps none. Before, it waits for them from
// now to until, if that is later than now. These are times on a clock of the caller's, which must run like the system's monotonic one; until may be
// Never. soon says that more are about to come, as where a client has just been answered: then it may wait in the call that reads, where Wake does
// not reach it, for four milliseconds at most.
func (p *Poller) Receive(messages unsafe.Pointer, count int, now, until time.Duration, soon bool) (int, error) {
	var flags uintptr = unix.MSG_DONTWAIT
	seated := false
	switch {
	case until <= now || p.woken.Swap(false):
	case soon && until-now > brief && sit():
		seated = true
		flags = unix.MSG_WAITFORONE
	default:
		if err := p.wait(now, until); err != nil {
			return 0, err
		}
	}
	n, errno := receive(p.socket, messages, count, flags)
	if seated {
		taken.Add(-1)
	}
	return n, failure(errno)
}

// sit takes a seat, if one is free.
func sit() bool {
	if taken.Add(1) <= seats.Load() {
		return true
	}
	taken.Add(-1)
	return false
}

// Send writes count datagrams from an array of struct mmsghdr (sendmmsg) and returns how many were taken, at least one. Where there is no room for
// any it waits, for as long as the socket's SO_SNDTIMEO says; EAGAIN is what comes then.
func (p *Poller) Send(messages unsafe.Pointer, count int) (int, unix.Errno) {
	return send(p.socket, messages, count)
}

// arm sees to it that the alarm goes off by until. One that is set for an earlier time stays.
func (p *Poller) arm(now, until time.Duration) error {
	if until >= p.alarm {
		return nil
	}
	p.alarm = until
	setting := unix.ItimerSpec{Value: unix.NsecToTimespec(max(int64(until-now), 1))}
	return os.NewSyscallError("timerfd_settime", unix.TimerfdSettime(p.timer, 0, &setting, nil))
}

// Wake ends a wait, the current one or the next; Receive says when that is a little late. After Close it does nothing.
func (p *Poller) Wake() {
	if p.woken.Swap(true) || !p.asleep.Load() {
		return // it is about to look
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		var one [8]byte
		binary.NativeEndian.PutUint64(one[:], 1)
		unix.Write(p.event, one[:]) // fails only when it is set already
	}
}

// Close frees what the poller holds, but not the socket. Nobody may wait then.
func (p *Poller) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	for _, fd := range []int{p.event, p.timer} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}
