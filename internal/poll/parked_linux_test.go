package poll

import (
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestParked checks what ends a wait in Go's poller, and that nothing else does.
func TestParked(t *testing.T) {
	_, near, far := pair(t)
	p, err := NewParked(near)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const pause = 20 * time.Millisecond
	receive := func(until time.Duration) (count int, took time.Duration) {
		t.Helper()
		took = bounded(t, func() (err error) {
			count, err = p.Receive(unsafe.Pointer(newMessage()), 1, 0, until, true)
			return err
		})
		return count, took
	}
	say := func(texts ...string) {
		for _, text := range texts {
			if _, err := unix.Write(far, []byte(text)); err != nil {
				t.Error(err)
			}
		}
	}
	soon := func(what func()) {
		go func() {
			time.Sleep(time.Millisecond)
			what()
		}()
	}

	// What arrives before, during, and with others.
	say("x")
	if n, _ := receive(Never); n != 1 {
		t.Errorf("%d datagrams, want the one that is there", n)
	}
	soon(func() { say("x", "y") })
	for i := range 2 {
		if n, _ := receive(Never); n != 1 {
			t.Errorf("%d datagrams, want number %d", n, i)
		}
	}
	// The end of its time; none where there is no time.
	if n, took := receive(pause); n != 0 || took < pause {
		t.Errorf("%d datagrams of none, after %s of %s", n, took, pause)
	}
	if n, _ := receive(0); n != 0 {
		t.Errorf("%d datagrams of none", n)
	}
	// A wake before and during, and no second wait for it.
	p.Wake()
	p.Wake()
	receive(Never)
	if _, took := receive(pause); took < pause {
		t.Errorf("the wait after a wake ended after %s", took)
	}
	soon(p.Wake)
	receive(Never)
	// Sending still works, and nobody is woken after the end.
	if n, errno := p.Send(unsafe.Pointer(newMessage()), 1); n != 1 || errno != 0 {
		t.Errorf("sent %d, %v", n, errno)
	}
	p.Close()
	p.Wake()
}
