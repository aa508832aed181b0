package tftp

// The helper goroutines that do what may block on a disk.

import (
	"sync"
	"sync/atomic"
)

// crewSize is the number of helpers. More would not make a disk faster; fewer would let one slow directory hold up all others.
const crewSize = 8

// A crew runs jobs in the order given, a few at a time. The number of jobs waiting is bounded by who gives them: one for each transfer that
// opens or waits for a chunk.
type crew struct {
	mu    sync.Mutex
	work  *sync.Cond
	jobs  []func()
	ended bool

	queued atomic.Int32 // len(jobs), to be read without the lock
}

// newCrew starts the helpers.
func newCrew() *crew {
	c := &crew{}
	c.work = sync.NewCond(&c.mu)
	for range crewSize {
		go c.run()
	}
	return c
}

// do hands over a job. After end it does nothing.
func (c *crew) do(job func()) {
	c.mu.Lock()
	if !c.ended {
		c.jobs = append(c.jobs, job)
		c.queued.Add(1)
	}
	c.mu.Unlock()
	c.work.Signal()
}

// busy reports whether jobs are waiting for a helper.
func (c *crew) busy() bool { return c.queued.Load() > 0 }

// run is one helper.
func (c *crew) run() {
	for {
		c.mu.Lock()
		for len(c.jobs) == 0 && !c.ended {
			c.work.Wait()
		}
		if c.ended {
			c.mu.Unlock()
			return
		}
		job := c.jobs[0]
		c.jobs[0] = nil
		c.jobs = c.jobs[1:]
		c.queued.Add(-1)
		c.mu.Unlock()
		job()
	}
}

// end lets the helpers finish the job they are at and go. It does not wait for them: one may hang in a file system.
func (c *crew) end() {
	c.mu.Lock()
	c.ended = true
	c.jobs = nil
	c.mu.Unlock()
	c.work.Broadcast()
}
