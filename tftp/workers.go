package tftp

// The goroutines that do what may block on a disk.

import (
	"sync"
	"sync/atomic"
)

// workerCount is the number of workers. More would not make a disk faster;
// fewer would let one slow folder delay all others.
const workerCount = 8

// workers run jobs in the order given, a few at a time. Callers bound the
// number of waiting jobs: there is one for each transfer that opens its file or
// waits for a chunk.
type workers struct {
	mu    sync.Mutex
	work  *sync.Cond
	jobs  []func()
	ended bool

	queued atomic.Int32 // len(jobs), to be read without the lock
}

// newWorkers starts the workers.
func newWorkers() *workers {
	w := &workers{}
	w.work = sync.NewCond(&w.mu)
	for range workerCount {
		go w.run()
	}
	return w
}

// do has a worker run a job. After end it does nothing.
func (w *workers) do(job func()) {
	w.mu.Lock()
	if !w.ended {
		w.jobs = append(w.jobs, job)
		w.queued.Add(1)
	}
	w.mu.Unlock()
	w.work.Signal()
}

// busy reports whether jobs wait for a worker.
func (w *workers) busy() bool { return w.queued.Load() > 0 }

// run is one worker.
func (w *workers) run() {
	for {
		w.mu.Lock()
		for len(w.jobs) == 0 && !w.ended {
			w.work.Wait()
		}
		if w.ended {
			w.mu.Unlock()
			return
		}
		job := w.jobs[0]
		w.jobs[0] = nil
		w.jobs = w.jobs[1:]
		w.queued.Add(-1)
		w.mu.Unlock()
		job()
	}
}

// end stops the workers after the jobs they are running. It does not wait for
// them: a job may hang in a file system.
func (w *workers) end() {
	w.mu.Lock()
	w.ended = true
	w.jobs = nil
	w.mu.Unlock()
	w.work.Broadcast()
}
