package tftp

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// disk is jobs of workers, some of which hang until it answers.
type disk struct {
	workers *workers
	answer  chan struct{}
	started atomic.Int32 // of those that hang
	done    atomic.Int32

	mu     sync.Mutex
	stalls []Stall
}

// withDisk runs a test with workers and a disk, on a clock of its own.
func withDisk(t *testing.T, test func(t *testing.T, d *disk)) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{answer: make(chan struct{})}
		d.workers = newWorkers(d.stalled)
		ctx, cancel := context.WithCancel(t.Context())
		watching := make(chan struct{})
		go func() { defer close(watching); d.workers.watch(ctx) }()
		test(t, d)
		cancel()
		<-watching
		d.workers.end()
	})
}

// stalled notes what is reported.
func (d *disk) stalled(s Stall) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stalls = append(d.stalls, s)
}

// reported returns what was reported.
func (d *disk) reported() []Stall {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.stalls)
}

// hang gives the workers a job that takes until the disk answers.
func (d *disk) hang(file string) {
	answer := d.answer
	d.workers.do(file, func() { d.started.Add(1); <-answer; d.done.Add(1) })
}

// takes returns how long a healthy job waits for its turn, at most ten seconds.
func (d *disk) takes(file string) time.Duration {
	began, ran := time.Now(), make(chan struct{})
	d.workers.do(file, func() { close(ran) })
	select {
	case <-ran:
	case <-time.After(10 * time.Second):
	}
	return time.Since(began)
}

// TestHungWorkersAreReplaced checks that a disk that does not answer takes from
// the others no more than a moment, whoever asks for what on it, and that all
// is done once it answers.
func TestHungWorkersAreReplaced(t *testing.T) {
	for _, tt := range []struct {
		name string
		file func(i int) string
		most int32 // that may hang
	}{
		{"one file", func(int) string { return "nfs/a" }, workerCount},
		{"one directory", func(i int) string { return fmt.Sprintf("nfs/%d", i) }, workerCount + maxHungInDirectory},
		{"twelve directories", func(i int) string { return fmt.Sprintf("nfs%d/%d", i%12, i) }, maxWorkers - workerCount},
	} {
		t.Run(tt.name, func(t *testing.T) {
			withDisk(t, func(t *testing.T, d *disk) {
				const asked = 1000
				for i := range asked {
					d.hang(tt.file(i))
				}
				time.Sleep(20 * time.Second)
				if n := d.started.Load(); n > tt.most {
					t.Errorf("%d workers hang, want %d at most", n, tt.most)
				}
				if took := d.takes("local/rom"); took > hangTime {
					t.Errorf("a healthy file waited %v", took)
				}
				close(d.answer)
				time.Sleep(time.Second)
				if n := d.done.Load(); n != asked {
					t.Errorf("%d of %d jobs are done after the disk answers", n, asked)
				}
				d.workers.mu.Lock()
				defer d.workers.mu.Unlock()
				if w := d.workers; w.count != workerCount || w.hanging != 0 || len(w.tasks) != 0 || w.busy() {
					t.Errorf("afterwards: %d workers, %d hang, %d tasks", w.count, w.hanging, len(w.tasks))
				}
			})
		})
	}
}

// TestStallIsReported checks that a disk that does not answer is reported once,
// with a file and how long, and again if it happens again; a slow one is not.
func TestStallIsReported(t *testing.T) {
	withDisk(t, func(t *testing.T, d *disk) {
		d.workers.do("slow", func() { time.Sleep(stallTime / 2) })
		time.Sleep(time.Minute)
		if stalls := d.reported(); len(stalls) != 0 {
			t.Errorf("a slow disk is reported: %v", stalls)
		}
		for range 2 {
			d.hang("nfs/first")
			time.Sleep(2 * hangTime)
			d.hang("nfs/second")
			time.Sleep(time.Hour)
			close(d.answer)
			time.Sleep(time.Second)
			d.answer = make(chan struct{})
		}
		stalls := d.reported()
		if len(stalls) != 2 || slices.ContainsFunc(stalls, func(s Stall) bool {
			return s.File != "nfs/first" || s.For < stallTime || s.For > stallTime+2*hangTime
		}) {
			t.Errorf("reported %v", stalls)
		}
	})
}

// TestEndDoesNotWait checks that the end waits for no disk.
func TestEndDoesNotWait(t *testing.T) {
	withDisk(t, func(t *testing.T, d *disk) {
		for range 2 * workerCount {
			d.hang("nfs/a")
		}
		synctest.Wait()
		began := time.Now()
		d.workers.end()
		if took := time.Since(began); took != 0 {
			t.Errorf("it waited %v", took)
		}
		close(d.answer)
		synctest.Wait()
		if n := d.done.Load(); n > workerCount {
			t.Errorf("%d jobs were done, those that waited too", n)
		}
	})
}
