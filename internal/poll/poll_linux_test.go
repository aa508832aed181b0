package poll

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair is a socket with a poller, and the other end.
func pair(t *testing.T) (p *Poller, near, far int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
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

// wait waits and returns how long that took; it fails where the test's own patience ends.
func wait(t *testing.T, p *Poller, until time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	done := make(chan error, 1)
	go func() { done <- p.Wait(0, until) }()
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
	if err := p.Wait(2, 1); err != nil {
		t.Fatal(err)
	}
}

// The times are differences on the caller's clock: where that began does not matter.
func TestClock(t *testing.T) {
	p, _, _ := pair(t)
	const pause = 20 * time.Millisecond
	began := time.Now()
	if err := p.Wait(time.Hour, time.Hour+pause); err != nil {
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
