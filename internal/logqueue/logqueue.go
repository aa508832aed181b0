// Package logqueue writes a log in the background, so that a program never
// waits for whoever reads its log, and outlives a reader that goes away.
package logqueue

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"
)

// The bounds of what waits to be written. The lines that are being written do
// not count, so there may be twice as much.
const (
	maxBytes = 1 << 20
	maxLines = 4096
)

// chunk is how many bytes are written at once, at most, unless a single line
// is longer: what a pipe takes without mixing it with the lines of other
// programs (POSIX, PIPE_BUF; 4096 on Linux).
const chunk = 4096

// lostMessage is the message of the line that counts lost lines.
const lostMessage = "log lines were lost, nobody read them in time"

// Errors of Queue.Write.
var (
	errFull   = errors.New("the log's queue is full")
	errClosed = errors.New("the log is closed")
)

// Queue is a log's lines on their way out. Its methods may be called from
// several goroutines.
type Queue struct {
	out     io.Writer
	handler func(io.Writer) slog.Handler
	wake    chan struct{} // holds one token while there is something to do
	done    chan struct{} // closed when everything has been written

	mu      sync.Mutex
	pending []byte // whole lines
	lines   int    // how many these are
	lost    int    // lines that had no room, or could not be written, and were not reported
	closed  bool
}

// New returns a queue of lines for out, and starts to write them. handler
// returns what makes lines of records, and writes each to w at once.
func New(out io.Writer, handler func(w io.Writer) slog.Handler) *Queue {
	q := &Queue{out: out, handler: handler, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go q.run()
	return q
}

// Logger returns a log that writes to the queue.
func (q *Queue) Logger() *slog.Logger { return slog.New(q.handler(q)) }

// Write queues one or more whole lines. It never waits: if they find no room,
// they are lost, and counted.
func (q *Queue) Write(lines []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := bytes.Count(lines, []byte{'\n'})
	switch {
	case q.closed:
		return 0, errClosed
	case q.lines+n > maxLines || len(q.pending)+len(lines) > maxBytes:
		q.lost += n
		return 0, errFull
	}
	q.pending = append(q.pending, lines...)
	q.lines += n
	q.signal()
	return len(lines), nil
}

// Close writes what is queued, but does not wait for longer than limit. It
// reports whether everything was written, or tried to.
func (q *Queue) Close(limit time.Duration) bool {
	q.mu.Lock()
	q.closed = true
	q.signal()
	q.mu.Unlock()
	select {
	case <-q.done:
		return true
	case <-time.After(limit):
		return false
	}
}

// signal wakes the writer.
func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default: // it will wake anyway
	}
}

// run writes lines until the queue is closed and empty.
func (q *Queue) run() {
	defer close(q.done)
	var batch []byte
	for range q.wake {
		var lost int
		var closed bool
		batch, lost, closed = q.take(batch[:0])
		failed := q.write(batch)
		if lost > 0 && q.write(q.report(lost)) == 0 {
			lost = 0
		}
		q.mu.Lock()
		q.lost += failed + lost
		q.mu.Unlock()
		if closed {
			return
		}
	}
}

// take returns what is queued, and how many lines were lost since it was asked
// last. The queue goes on in the room of free.
func (q *Queue) take(free []byte) (batch []byte, lost int, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	batch, lost = q.pending, q.lost
	q.pending, q.lines, q.lost = free, 0, 0
	return batch, lost, q.closed
}

// write writes lines in chunks and returns how many could not be written.
func (q *Queue) write(lines []byte) (failed int) {
	for len(lines) > 0 {
		size := chunkOf(lines)
		if n, err := q.out.Write(lines[:size]); err != nil {
			failed += bytes.Count(lines[n:size], []byte{'\n'})
		}
		lines = lines[size:]
	}
	return failed
}

// chunkOf returns the size of the whole lines that are written next.
func chunkOf(lines []byte) int {
	if len(lines) <= chunk {
		return len(lines)
	}
	if last := bytes.LastIndexByte(lines[:chunk], '\n'); last >= 0 {
		return last + 1
	}
	if end := bytes.IndexByte(lines, '\n'); end >= 0 {
		return end + 1
	}
	return len(lines)
}

// report returns the line that counts lost lines.
func (q *Queue) report(lost int) []byte {
	var line bytes.Buffer
	slog.New(q.handler(&line)).Warn(lostMessage, "lost", lost)
	return line.Bytes()
}
