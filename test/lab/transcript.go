package lab

// The output of a program, line by line, with the time of each line.

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Line is one line of output and when it was complete.
type Line struct {
	At   time.Time
	Text string
}

// Transcript collects a program's output. It is an io.Writer for any number of
// goroutines.
type Transcript struct {
	mu      sync.Mutex
	partial []byte
	lines   []Line
	changed chan struct{}
	// onLine is called with every new line. It may be nil.
	onLine func(Line)
}

// newTranscript makes an empty transcript that calls onLine for every line.
func newTranscript(onLine func(Line)) *Transcript {
	return &Transcript{changed: make(chan struct{}), onLine: onLine}
}

// Write adds output.
func (t *Transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	var fresh []Line
	t.partial = append(t.partial, p...)
	for {
		end := bytes.IndexByte(t.partial, '\n')
		if end < 0 {
			break
		}
		text := strings.TrimRight(string(t.partial[:end]), "\r")
		t.partial = append([]byte(nil), t.partial[end+1:]...)
		fresh = append(fresh, Line{At: time.Now(), Text: text})
	}
	t.lines = append(t.lines, fresh...)
	close(t.changed)
	t.changed = make(chan struct{})
	t.mu.Unlock()
	if t.onLine != nil {
		for _, line := range fresh {
			t.onLine(line)
		}
	}
	return len(p), nil
}

// Lines returns the lines that were written so far, including an unfinished
// last line.
func (t *Transcript) Lines() []Line {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := append([]Line(nil), t.lines...)
	if len(t.partial) > 0 {
		lines = append(lines, Line{At: time.Now(), Text: string(t.partial)})
	}
	return lines
}

// String returns everything written so far.
func (t *Transcript) String() string {
	var b strings.Builder
	for _, line := range t.Lines() {
		b.WriteString(line.Text)
		b.WriteByte('\n')
	}
	return b.String()
}

// Matching returns the lines that contain every one of the words.
func (t *Transcript) Matching(words ...string) []string {
	var found []string
	for _, line := range t.Lines() {
		if containsAll(line.Text, words) {
			found = append(found, line.Text)
		}
	}
	return found
}

// Await waits until one line contains every one of the words, or the context
// ends.
func (t *Transcript) Await(ctx context.Context, words ...string) (string, error) {
	for {
		t.mu.Lock()
		changed := t.changed
		t.mu.Unlock()
		if found := t.Matching(words...); len(found) > 0 {
			return found[0], nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", fmt.Errorf("waiting for a line with %q: %w", words, context.Cause(ctx))
		}
	}
}

// containsAll reports whether text contains every word.
func containsAll(text string, words []string) bool {
	for _, word := range words {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}
