package poll

import (
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pair is a socket with a poller, and the other end.
func pair(t *testing.T) (p *Poller, near, far int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = New(fds[0]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close()
		unix.Close(fds[0])
		unix.Close(fds[1])
	})
	return p, fds[0], fds[1]
}

// wait waits and returns how long that took.
func wait(t *testing.T, p *Poller, until time.Duration) time.Duration {
	t.Helper()
	return bounded(t, func() error { return p.wait(0, until) })
}

// bounded returns how long a wait took; it fails where that returns an error, or the test's own patience ends.
func bounded(t *testing.T, wait func() error) time.Duration {
	t.Helper()
	began := time.Now()
	done := make(chan error, 1)
	go func() { done <- wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the wait does not end")
	}
	return time.Since(began)
}

func TestSocketEndsWait(t *testing.T) {
	p, near, far := pair(t)
	for range 3 {
		if _, err := unix.Write(far, []byte("x")); err != nil {
			t.Fatal(err)
		}
		wait(t, p, Never)
		if _, err := unix.Read(near, make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWakeEndsOneWait(t *testing.T) {
	p, _, _ := pair(t)
	p.Wake()
	p.Wake()
	wait(t, p, Never)
	const pause = 20 * time.Millisecond
	if took := wait(t, p, pause); took < pause {
		t.Errorf("the next wait ended after %s", took)
	}
	go func() {
		time.Sleep(time.Millisecond)
		p.Wake()
	}()
	wait(t, p, Never)
}

func TestAlarm(t *testing.T) {
	p, _, _ := pair(t)
	const early, late = 20 * time.Millisecond, time.Hour
	for range 3 {
		if took := wait(t, p, early); took < early {
			t.Errorf("ended after %s", took)
		}
	}
	// An alarm that was set for later is moved ahead, and one set for earlier ends a longer wait.
	p.Wake()
	wait(t, p, late)
	if took := wait(t, p, early); took < early {
		t.Errorf("moved ahead, it went off after %s", took)
	}
	p.Wake()
	wait(t, p, early)
	wait(t, p, late)
	// What is due already does not wait.
	if err := p.wait(2, 1); err != nil {
		t.Fatal(err)
	}
}

// The times are differences on the caller's clock: where that began does not matter.
func TestClock(t *testing.T) {
	p, _, _ := pair(t)
	const pause = 20 * time.Millisecond
	began := time.Now()
	if err := p.wait(time.Hour, time.Hour+pause); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < pause || took > time.Minute {
		t.Errorf("waited %s", took)
	}
}

func TestClosed(t *testing.T) {
	p, _, _ := pair(t)
	p.Close()
	p.Close()
	p.Wake() // not into a descriptor that is somebody else's by now
}

// message is a struct mmsghdr for a byte.
type message struct {
	header unix.Msghdr
	length uint32
}

// newMessage points a message at its byte.
func newMessage() *message {
	m := &message{}
	m.header.Iov = &unix.Iovec{Base: new(byte)}
	m.header.Iov.SetLen(1)
	m.header.SetIovlen(1)
	return m
}

// receiveOne receives a datagram that is said to come soon, and returns whether it came and how long that took.
func receiveOne(t *testing.T, p *Poller, until time.Duration) (came bool, took time.Duration) {
	t.Helper()
	began := time.Now()
	n, err := p.Receive(unsafe.Pointer(newMessage()), 1, 0, until, true)
	if err != nil {
		t.Fatal(err)
	}
	if n := taken.Load(); n != 0 {
		t.Errorf("%d seats are still taken", n)
	}
	return n == 1, time.Since(began)
}

// What is about to come is waited for in the call that reads, but not for long.
func TestReceiveSoon(t *testing.T) {
	p, _, far := pair(t)
	seats.Store(1)
	for range 3 {
		go func() {
			time.Sleep(time.Millisecond / 2)
			unix.Write(far, []byte("x"))
		}()
		for came := false; !came; {
			came, _ = receiveOne(t, p, Never)
		}
	}
	// The system counts in ticks, so it may be shorter.
	if came, took := receiveOne(t, p, time.Hour); came || took > time.Minute {
		t.Errorf("came: %t, after %s of nothing", came, took)
	}
	// What is due before that must not be late.
	const early = time.Millisecond
	if came, took := receiveOne(t, p, early); came || took < early {
		t.Errorf("came: %t, after %s of %s", came, took, early)
	}
	// Where all seats are taken it is a wait like any other.
	seats.Store(0)
	if came, took := receiveOne(t, p, 10*brief); came || took < 10*brief {
		t.Errorf("came: %t, after %s of %s", came, took, 10*brief)
	}
}

// One of Go's processors is left for others.
func TestSeats(t *testing.T) {
	pair(t)
	if want := int32(runtime.GOMAXPROCS(0)) - 1; seats.Load() != want {
		t.Errorf("%d seats, want %d", seats.Load(), want)
	}
	seats.Store(2)
	defer taken.Store(0)
	if got := []bool{sit(), sit(), sit()}; !slices.Equal(got, []bool{true, true, false}) || taken.Load() != 2 {
		t.Errorf("taken: %t, %d in all", got, taken.Load())
	}
}

// A socket without room is waited for once, for as long as it says.
func TestSendToFullSocket(t *testing.T) {
	p, near, _ := pair(t)
	const patience = 50 * time.Millisecond
	timeout := unix.NsecToTimeval(int64(patience))
	if err := unix.SetsockoptTimeval(near, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout); err != nil {
		t.Fatal(err)
	}
	for sent := 0; ; sent++ {
		began := time.Now()
		n, errno := p.Send(unsafe.Pointer(newMessage()), 1)
		if errno == 0 && n == 1 && sent < 1<<20 {
			continue
		}
		if took := time.Since(began); errno != unix.EAGAIN || took < patience || took > time.Minute || sent == 0 {
			t.Errorf("after %d datagrams: %d more, %v, in %s", sent, n, errno, took)
		}
		return
	}
}
