package lab

// A network namespace that belongs to one thread. What that thread opens and
// starts is inside, and the namespace ends with it.

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// errClosed is the error of calls to a closed namespace.
var errClosed = errors.New("network namespace: already closed")

// namespace is a network namespace and the thread that holds it. Programs
// started on that thread are inside. The kernel kills them when the thread ends
// (Pdeathsig refers to the thread, not to the process).
type namespace struct {
	calls chan func()
	quit  chan struct{}
	ended chan struct{}
	once  sync.Once
	// handle makes the namespace reachable by path, for `ip link ... netns
	// PATH`.
	handle *os.File
}

// newNamespace starts the thread and its namespace.
func newNamespace() (*namespace, error) {
	n := &namespace{calls: make(chan func()), quit: make(chan struct{}), ended: make(chan struct{})}
	ready := make(chan error)
	go n.hold(ready)
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	return n, nil
}

// hold runs on the namespace's thread until close. It never unlocks the thread,
// so the runtime ends it.
func (n *namespace) hold(ready chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The main thread cannot end, and represents the process in /proc.
		// While this goroutine is locked to it, another goroutine must run on
		// another thread.
		inner := make(chan error)
		go n.hold(inner)
		err := <-inner
		runtime.UnlockOSThread()
		ready <- err
		return
	}
	defer close(n.ended)
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		ready <- fmt.Errorf("unshare: %w (root is needed)", err)
		return
	}
	handle, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		ready <- err
		return
	}
	defer handle.Close()
	n.handle = handle
	ready <- nil
	for {
		select {
		case call := <-n.calls:
			call()
		case <-n.quit:
			return
		}
	}
}

// do runs f on the namespace's thread. What f opens or starts stays in the
// namespace. Goroutines that f starts do not.
func (n *namespace) do(f func() error) error {
	result := make(chan error, 1)
	select {
	case n.calls <- func() { result <- f() }:
		return <-result
	case <-n.ended:
		return errClosed
	}
}

// path returns a path of the open namespace for other programs.
func (n *namespace) path() string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.handle.Fd())
}

// close ends the thread, and with it everything that still runs in the
// namespace.
func (n *namespace) close() {
	n.once.Do(func() { close(n.quit) })
	<-n.ended
}
