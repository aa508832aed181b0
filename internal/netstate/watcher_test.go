package netstate

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// kernel is what a Watcher asks, without a kernel. It is of the test's
// goroutine, but for what is atomic.
type kernel struct {
	list    atomic.Pointer[[]Interface]
	looks   atomic.Int32
	err     atomic.Pointer[error] // of the next look
	slow    atomic.Int64          // how long a look takes, a time.Duration
	changed chan struct{}         // a change that the kernel reports
}

// newKernel returns one with an interface.
func newKernel() *kernel {
	k := &kernel{changed: make(chan struct{})}
	k.list.Store(&[]Interface{{Name: "eth0", Index: 2}})
	return k
}

func (k *kernel) read() ([]Interface, error) {
	k.looks.Add(1)
	time.Sleep(time.Duration(k.slow.Load()))
	if err := k.err.Swap(nil); err != nil {
		return nil, *err
	}
	return *k.list.Load(), nil
}

func (k *kernel) watch(ctx context.Context, changed func()) error {
	for {
		changed()
		select {
		case <-ctx.Done():
			return nil
		case <-k.changed:
		}
	}
}

// run starts a Watcher of the kernel, and returns it and the errors that it has
// reported.
func (k *kernel) run(t *testing.T) (*Watcher, *atomic.Int32) {
	t.Helper()
	w, err := newWatcher(k.read, k.watch)
	if err != nil {
		t.Fatal(err)
	}
	failed := new(atomic.Int32)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx, func(error) { failed.Add(1) })
	}()
	t.Cleanup(func() { cancel(); <-done })
	return w, failed
}

// TestWatcher checks that a change is seen, and that those who wait for changes
// hear of it once; a look that finds nothing new is no change.
func TestWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKernel()
		w, _ := k.run(t)
		changes := w.Changes()
		heard := func() bool {
			time.Sleep(time.Second)
			select {
			case <-changes:
				return true
			default:
				return false
			}
		}
		k.changed <- struct{}{}
		if heard() {
			t.Error("a look that found nothing new is a change")
		}
		k.list.Store(&[]Interface{{Name: "eth0", Index: 2}, {Name: "eth1", Index: 3}})
		k.changed <- struct{}{}
		if !heard() || w.Host().Named("eth1") == nil {
			t.Errorf("a new interface was not seen: %v", w.Host().Interfaces)
		}
		if heard() {
			t.Error("a change was told twice")
		}
	})
}

// TestWatcherDoesNotWait checks that whoever asks for the interfaces does not
// wait for a look that takes long.
func TestWatcherDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKernel()
		w, _ := k.run(t)
		time.Sleep(time.Second)
		k.slow.Store(int64(time.Hour))
		k.changed <- struct{}{}
		time.Sleep(time.Second) // the look has begun
		began := time.Now()
		if w.Host().Named("eth0") == nil || time.Since(began) != 0 {
			t.Errorf("it took %v", time.Since(began))
		}
		time.Sleep(2 * time.Hour)
	})
}

// TestWatcherRests checks that looks take a small part of the time, however
// often the network changes and however long they take.
func TestWatcherRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKernel()
		k.slow.Store(int64(100 * time.Millisecond))
		_, _ = k.run(t)
		time.Sleep(time.Second)
		before := k.looks.Load()
		for range 1000 {
			k.changed <- struct{}{}
			time.Sleep(10 * time.Millisecond)
		}
		if looks := k.looks.Load() - before; looks < 10 || looks > 20 {
			t.Errorf("%d looks of 100 ms in 10 s; want a fifth of the time at most", looks)
		}
	})
}

// TestWatcherFails checks that a look that fails is reported, and repeated
// although nothing changes.
func TestWatcherFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKernel()
		w, failed := k.run(t)
		time.Sleep(time.Second)
		err := errors.New("no buffer space")
		k.err.Store(&err)
		k.list.Store(&[]Interface{{Name: "eth1", Index: 3}})
		k.changed <- struct{}{}
		time.Sleep(100 * time.Millisecond)
		if failed.Load() != 1 || w.Host().Named("eth0") == nil {
			t.Errorf("%d errors, %v", failed.Load(), w.Host().Interfaces)
		}
		time.Sleep(5 * time.Second)
		if failed.Load() != 1 || w.Host().Named("eth1") == nil {
			t.Errorf("afterwards: %d errors, %v", failed.Load(), w.Host().Interfaces)
		}
	})
}

// TestHost checks how interfaces and addresses are found.
func TestHost(t *testing.T) {
	prefix := netip.MustParsePrefix
	h := NewHost([]Interface{
		{Name: "eth0", Index: 2, Addresses: []netip.Prefix{prefix("192.0.2.1/24"), prefix("198.51.100.255/24")}},
		{Name: "guests", Index: 3, Parent: 2, VLAN: 20},
		{Name: "eth0", Index: 4},
	})
	name := func(i *Interface) string {
		if i == nil {
			return "none"
		}
		return i.Name
	}
	for what, got := range map[string]string{
		"2": name(h.At(2)), "9": name(h.At(9)), "eth0": h.Named("eth0").Addresses[0].String(), "eth9": name(h.Named("eth9")),
		"20 on 2": name(h.OfVLAN(2, 20)), "20 on 3": name(h.OfVLAN(3, 20)), "0 on 0": name(h.OfVLAN(0, 0)),
	} {
		want := map[string]string{"2": "eth0", "eth0": "192.0.2.1/24", "20 on 2": "guests"}[what]
		if want == "" {
			want = "none"
		}
		if got != want {
			t.Errorf("%s is %s, want %s", what, got, want)
		}
	}
	var own, broadcasts []string
	for _, text := range strings.Fields("192.0.2.1 192.0.2.2 192.0.2.255 198.51.100.255 203.0.113.255") {
		a := netip.MustParseAddr(text)
		if h.Owns(a) {
			own = append(own, text)
		}
		if h.IsBroadcast(a) {
			broadcasts = append(broadcasts, text)
		}
	}
	if !slices.Equal(own, []string{"192.0.2.1", "198.51.100.255"}) || !slices.Equal(broadcasts, []string{"192.0.2.255"}) {
		t.Errorf("own %v, broadcasts %v", own, broadcasts)
	}
}
