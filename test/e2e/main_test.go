// Package e2e boots real firmware beside real DHCP servers and pxesidecar. Each
// file name says what the file proves; test/README.md has the table.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// stock, interrupted and pace are set by TestMain before the first test and do
// not change afterwards.
var (
	stock       *lab.Stock
	interrupted context.Context
	// pace is how many times longer everything may take here than on a fast
	// machine.
	pace float64
)

// guestSlots bounds the number of guests that run at once, whatever the number
// of parallel tests: an emulated machine uses a whole core.
var guestSlots = make(chan struct{}, 2)

// parallelTests is how many tests run at once unless -parallel is given. Most
// of them wait for a slot or for a timer.
const parallelTests = "8"

// The limits of waits on a fast machine that is busy. deadline extends them on
// slower ones.
const (
	// bootLimit bounds the time until a machine reaches its boot script,
	// emulation and a busy machine included.
	bootLimit = 4 * time.Minute
	// fetchLimit bounds downloads.
	fetchLimit = 5 * time.Minute
	// stepLimit bounds everything that needs no firmware.
	stepLimit = 30 * time.Second
)

// TestMain prepares the stock. An interrupt ends every wait, so that all labs
// are closed in order.
func TestMain(m *testing.M) {
	os.Exit(prepareAndRun(m))
}

// prepareAndRun is TestMain with deferred steps.
func prepareAndRun(m *testing.M) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	interrupted = ctx
	err := flag.Set("test.parallel", parallelTests)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	stock, err = lab.OpenStock(ctx, func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) })
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer stock.Close()
	if pace, err = stock.Pace(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// deadline returns a context that ends after the limit, at an interrupt, and
// with the test. The limit is that of a fast machine.
func deadline(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	limit = stretched(limit)
	ctx, cancel := context.WithTimeoutCause(interrupted, limit, fmt.Errorf("not within %s", limit))
	t.Cleanup(cancel)
	return ctx
}

// stretched returns the time on this machine that corresponds to d on a fast
// one.
func stretched(d time.Duration) time.Duration { return time.Duration(float64(d) * pace) }

// newLab makes a lab for a test. If the test fails, its timeline is logged. If
// PXESIDECAR_LAB_KEEP names a folder, the files and captures of failed tests
// are copied there.
func newLab(t *testing.T) *lab.Lab {
	t.Helper()
	return newLabAs(t, lab.Options{})
}

// newLabAs is newLab with options. The stock is always the run's own.
func newLabAs(t *testing.T, o lab.Options) *lab.Lab {
	t.Helper()
	o.Stock = stock
	l, err := lab.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			var b strings.Builder
			l.Timeline(&b)
			t.Logf("timeline:\n%s", b.String())
			keep(t, l)
		}
		if err := l.Close(); err != nil {
			t.Errorf("closing the lab: %v", err)
		}
	})
	return l
}

// keep copies a lab's files and capture to the folder for failed tests.
func keep(t *testing.T, l *lab.Lab) {
	home := os.Getenv("PXESIDECAR_LAB_KEEP")
	if home == "" {
		return
	}
	dir := filepath.Join(home, strings.ReplaceAll(t.Name(), "/", "_")+"-"+l.ID)
	if err := os.CopyFS(dir, os.DirFS(l.Dir)); err != nil {
		t.Logf("copying files: %v", err)
	}
	if err := l.Capture.WritePcap(filepath.Join(dir, "lan.pcap")); err != nil {
		t.Log(err)
	}
}

// takeSlot waits until one more guest may run. release frees the slot. After an
// interrupt it does not wait.
func takeSlot() (release func()) {
	select {
	case guestSlots <- struct{}{}:
		return func() { <-guestSlots }
	case <-interrupted.Done():
		return func() {}
	}
}

// everySlot is held while a test collects all slots, so that two tests cannot
// wait for each other.
var everySlot sync.Mutex

// takeEverySlot waits until no other guest runs. release frees all slots.
func takeEverySlot() (release func()) {
	everySlot.Lock()
	defer everySlot.Unlock()
	var releases []func()
	for range cap(guestSlots) {
		releases = append(releases, takeSlot())
	}
	return func() {
		for _, release := range releases {
			release()
		}
	}
}

// must returns the value, and panics on an error that cannot occur on a machine
// that runs these tests.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
