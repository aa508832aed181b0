package poll

import (
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Poller waits for one socket. Wait belongs to one goroutine; Wake and Close may be called by any, and more than once.
type Poller struct {
	polled [3]unix.PollFd // the socket, event, timer
	event  int            // an eventfd that ends a wait
	timer  int            // a timerfd that does
	alarm  time.Duration  // when timer goes off at the latest, or Never

	mu     sync.Mutex // Wake against Close
	closed bool
}

// New returns a poller for the descriptor of a socket, which stays the caller's. An error is the system's.
func New(socket int) (*Poller, error) {
	p := &Poller{event: -1, timer: -1, alarm: Never}
	var err error
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

// Wait returns when the socket can be read or has an error, when Wake was called since the last Wait, at until, and sometimes for nothing. now and
// until are times on a clock of the caller's, which must run like the system's monotonic one; until may be Never.
//
// The alarm is a timer of its own, because it seldom changes: a timeout of the call would have the processor's timer programmed for every packet,
// which in a virtual machine costs as much as the packet.
func (p *Poller) Wait(now, until time.Duration) error {
	if err := p.arm(now, until); err != nil {
		return err
	}
	for i := range p.polled {
		p.polled[i].Revents = 0
	}
	if _, err := unix.Ppoll(p.polled[:], nil, nil); err != nil && !errors.Is(err, unix.EINTR) {
		return os.NewSyscallError("ppoll", err)
	}
	var count [8]byte
	if p.polled[1].Revents != 0 {
		unix.Read(p.event, count[:]) // there is nothing to fail
	}
	if p.polled[2].Revents != 0 {
		unix.Read(p.timer, count[:]) // as above
		p.alarm = Never
	}
	return nil
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

// Wake ends a wait, the current one or the next. After Close it does nothing.
func (p *Poller) Wake() {
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
