package tftp

// The goroutines that do what may block on a disk.
//
// A disk that does not answer, such as a network file system whose server is
// gone, holds a worker for as long as it likes. Such a worker is replaced, and
// no other one is lent to the same file, or to a directory that holds several:
// its jobs wait apart, so that files of healthy directories go on.

import (
	"context"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// workerCount is the number of workers. More would not make a disk faster;
	// fewer would let one slow folder delay all others.
	workerCount = 8

	// maxWorkers is how many there are with those that hang.
	maxWorkers = 64

	// maxHungInDirectory is how many workers may hang in the files of a
	// directory before nobody else is sent there.
	maxHungInDirectory = 4

	// hangTime is how long a job may take before its worker is replaced, and
	// stallTime how long before that is reported: a sleeping disk takes ten
	// seconds to start.
	hangTime  = time.Second
	stallTime = 15 * time.Second
)

// job is something that may block on a disk.
type job struct {
	file string // that it is about
	run  func()
}

// task is a job that a worker is running.
type task struct {
	file  string
	began time.Time
	hangs bool
}

// workers run jobs in the order given, a few at a time. Callers bound the
// number of waiting jobs: there is one for each transfer that opens its file or
// waits for a chunk.
type workers struct {
	stalled func(Stall) // is called when a disk does not answer

	mu       sync.Mutex
	work     *sync.Cond
	jobs     []job
	apart    []job // those whose files hang
	tasks    map[*task]bool
	count    int  // of workers
	hanging  int  // of these
	reported bool // that they hang
	ended    bool

	queued atomic.Int32 // len(jobs), to be read without the lock
}

// newWorkers starts the workers.
func newWorkers(stalled func(Stall)) *workers {
	w := &workers{stalled: stalled, tasks: map[*task]bool{}, count: workerCount}
	w.work = sync.NewCond(&w.mu)
	for range workerCount {
		go w.run()
	}
	return w
}

// do has a worker run a job that is about a file. After end it does nothing.
func (w *workers) do(file string, run func()) {
	w.mu.Lock()
	if !w.ended {
		w.jobs = append(w.jobs, job{file, run})
		w.queued.Add(1)
	}
	w.mu.Unlock()
	w.work.Signal()
}

// busy reports whether jobs wait for a worker.
func (w *workers) busy() bool { return w.queued.Load() > 0 }

// run is one worker. It ends when the others are enough without it.
func (w *workers) run() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.ended && w.count-w.hanging <= workerCount {
		j, ok := w.next()
		if !ok {
			w.work.Wait()
			continue
		}
		t := &task{file: j.file, began: time.Now()}
		w.tasks[t] = true
		w.mu.Unlock()
		j.run()
		w.mu.Lock()
		w.finished(t)
	}
	w.count--
}

// next takes the first job that can be run. It puts those before it aside whose
// files hang.
func (w *workers) next() (job, bool) {
	for len(w.jobs) > 0 {
		j := w.jobs[0]
		w.jobs[0] = job{}
		w.jobs = w.jobs[1:]
		w.queued.Add(-1)
		if !w.hangs(j.file) {
			return j, true
		}
		w.apart = append(w.apart, j)
	}
	return job{}, false
}

// hangs reports whether a worker that is sent to a file would probably hang.
func (w *workers) hangs(file string) bool {
	if w.hanging == 0 {
		return false
	}
	inDirectory := 0
	for t := range w.tasks {
		switch {
		case !t.hangs:
		case t.file == file:
			return true
		case path.Dir(t.file) == path.Dir(file):
			inDirectory++
		}
	}
	return inDirectory >= maxHungInDirectory
}

// finished forgets a task. If it hung, those that were put aside are tried.
func (w *workers) finished(t *task) {
	delete(w.tasks, t)
	if !t.hangs {
		return
	}
	w.hanging--
	w.reported = w.reported && w.hanging > 0
	w.queued.Add(int32(len(w.apart)))
	w.jobs = slices.Concat(w.apart, w.jobs)
	w.apart = nil
	w.work.Broadcast()
}

// watch replaces workers that hang, and reports them, until ctx ends.
func (w *workers) watch(ctx context.Context) {
	ticker := time.NewTicker(hangTime)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			if s, ok := w.replace(now); ok {
				w.stalled(s)
			}
		}
	}
}

// replace starts a worker for each that has begun to hang. It returns what is
// to be reported: the job that has taken longest, once for all that hang at a
// time.
func (w *workers) replace(now time.Time) (s Stall, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for t := range w.tasks {
		took := now.Sub(t.began)
		if took > s.For {
			s = Stall{File: t.file, For: took}
		}
		if t.hangs || took < hangTime {
			continue
		}
		t.hangs = true
		w.hanging++
		if w.count < maxWorkers {
			w.count++
			go w.run()
		}
	}
	ok = s.For >= stallTime && !w.reported
	w.reported = w.reported || ok
	return s, ok
}

// end stops the workers after the jobs they are running. It does not wait for
// them: a job may hang in a file system.
func (w *workers) end() {
	w.mu.Lock()
	w.ended = true
	w.jobs, w.apart = nil, nil
	w.mu.Unlock()
	w.work.Broadcast()
}
