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

// stock, interrupted and pace are set by TestMain before the first test and never again.
var (
	stock       *lab.Stock
	interrupted context.Context
	// pace is how many times longer than on a good machine everything may take here.
	pace float64
)

// guestSlots bounds how many guests run at once, whatever the number of parallel tests: an emulated machine fills a core.
var guestSlots = make(chan struct{}, 2)

// parallelTests is how many tests run at once where -parallel says nothing: most wait for a slot, or for a timer.
const parallelTests = "8"

// What bounds the waits on a good machine that is busy; deadline stretches it for slower ones.
const (
	// bootLimit bounds one machine's way to its boot script, emulation and a busy machine included.
	bootLimit = 4 * time.Minute
	// fetchLimit bounds what may have to be downloaded first.
	fetchLimit = 5 * time.Minute
	// stepLimit bounds everything that needs no firmware.
	stepLimit = 30 * time.Second
)

// TestMain prepares the stock. An interrupt ends every wait, so that all labs are taken down in order.
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

// deadline is a context that ends after a while, at an interrupt, and with the test. The limit is a good machine's.
func deadline(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	limit = stretched(limit)
	ctx, cancel := context.WithTimeoutCause(interrupted, limit, fmt.Errorf("not within %s", limit))
	t.Cleanup(cancel)
	return ctx
}

// stretched is a good machine's time on this one.
func stretched(d time.Duration) time.Duration { return time.Duration(float64(d) * pace) }

// newLab makes a lab for a test. When the test fails, its timeline is logged, and with PXESIDECAR_LAB_KEEP set to a
// folder its files and captures are kept there.
func newLab(t *testing.T) *lab.Lab {
	t.Helper()
	return newLabAs(t, lab.Options{})
}

// newLabAs is newLab with options, but for the stock.
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
			t.Errorf("taking the lab down: %v", err)
		}
	})
	return l
}

// keep copies a lab's files and capture to where a person can look at them.
func keep(t *testing.T, l *lab.Lab) {
	home := os.Getenv("PXESIDECAR_LAB_KEEP")
	if home == "" {
		return
	}
	dir := filepath.Join(home, strings.ReplaceAll(t.Name(), "/", "_")+"-"+l.ID)
	if err := os.CopyFS(dir, os.DirFS(l.Dir)); err != nil {
		t.Logf("keeping files: %v", err)
	}
	if err := l.Capture.WritePcap(filepath.Join(dir, "lan.pcap")); err != nil {
		t.Log(err)
	}
}

// takeSlot waits until one more guest may run; release lets the next one in. After an interrupt nobody waits.
func takeSlot() (release func()) {
	select {
	case guestSlots <- struct{}{}:
		return func() { <-guestSlots }
	case <-interrupted.Done():
		return func() {}
	}
}

// everySlot is held by the one who waits for all slots, so that no two wait for each other's.
var everySlot sync.Mutex

// takeEverySlot waits until no other guest runs; release lets them in again.
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

// must is for what can not fail on a machine that runs tests at all.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
