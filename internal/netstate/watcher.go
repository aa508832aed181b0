package netstate

import (
	"context"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
)

// Changes of the host's network come in bursts, and one look serves for a whole
// burst. A look at a host with many interfaces takes long: between two of them
// is restFactor times as long, so that they take a small part of a processor
// however often the network changes. What failed is tried again.
const (
	settleTime = 50 * time.Millisecond
	restFactor = 4
	retryTime  = time.Second
)

// Watcher knows the host's interfaces as they are now. It looks in the
// background, so nobody who asks it waits for the kernel. Its methods may be
// called from several goroutines.
type Watcher struct {
	read  func() ([]Interface, error)
	watch func(ctx context.Context, changed func()) error

	current atomic.Pointer[Host]

	mu       sync.Mutex
	watching []chan struct{}
}

// NewWatcher returns a Watcher that has looked once. Run keeps it up to date.
func NewWatcher() (*Watcher, error) { return newWatcher(Read, watch) }

// Fixed returns a Watcher of interfaces that stay as they are.
func Fixed(interfaces []Interface) *Watcher {
	w, _ := newWatcher(func() ([]Interface, error) { return interfaces, nil }, func(ctx context.Context, _ func()) error {
		<-ctx.Done()
		return nil
	})
	return w
}

// newWatcher returns a Watcher that looks and watches by these functions.
func newWatcher(read func() ([]Interface, error), watch func(context.Context, func()) error) (*Watcher, error) {
	w := &Watcher{read: read, watch: watch}
	_, err := w.look()
	return w, err
}

// Host returns the interfaces as they were at the last look.
func (w *Watcher) Host() *Host { return w.current.Load() }

// Changes returns a channel that gets a value when the interfaces have changed
// since the last one was taken from it.
func (w *Watcher) Changes() <-chan struct{} {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watching = append(w.watching, c)
	return c
}

// Run looks whenever something has changed, until ctx ends. It calls failed for
// each error, and goes on.
func (w *Watcher) Run(ctx context.Context, failed func(error)) {
	changed := make(chan struct{}, 1)
	var signals sync.WaitGroup
	signals.Go(func() { w.signal(ctx, changed, failed) })
	defer signals.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		pause(ctx, settleTime)
		took, err := w.look()
		if err != nil {
			failed(err)
			took = retryTime / restFactor
			notify(changed)
		}
		pause(ctx, restFactor*took)
	}
}

// signal signals each change until ctx ends.
func (w *Watcher) signal(ctx context.Context, changed chan<- struct{}, failed func(error)) {
	for ctx.Err() == nil {
		if err := w.watch(ctx, func() { notify(changed) }); err != nil {
			failed(err)
			pause(ctx, retryTime)
		}
	}
}

// look reads the interfaces, tells those who wait for changes if they are
// others than before, and returns how long it took.
func (w *Watcher) look() (took time.Duration, err error) {
	began := time.Now()
	interfaces, err := w.read()
	took = time.Since(began)
	if err != nil {
		return took, err
	}
	if last := w.current.Load(); last != nil && reflect.DeepEqual(last.Interfaces, interfaces) {
		return took, nil
	}
	w.current.Store(NewHost(interfaces))
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.watching {
		notify(c)
	}
	return took, nil
}

// notify puts a value into a channel that has room for one.
func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// pause waits for a while, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
