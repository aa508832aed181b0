package lab

// The timeline: everything that happened to the machines, in order, one line
// each.

import (
	"fmt"
	"io"
	"sort"
	"strings"
	"time"
)

// Event is one line of the timeline.
type Event struct {
	At time.Time
	// Who is what the event is about: a guest, or a program.
	Who string
	// What is what happened.
	What string

	start time.Time
}

// note adds an event.
func (l *Lab) note(at time.Time, who, format string, args ...any) {
	e := Event{At: at, Who: who, What: fmt.Sprintf(format, args...), start: l.started}
	l.mu.Lock()
	l.events = append(l.events, e)
	live := l.live
	l.mu.Unlock()
	if live != nil {
		live(e)
	}
}

// noteLine adds a program's line of output to the timeline if it is a warning
// or an error.
func (l *Lab) noteLine(p *Program, line Line) {
	for _, level := range []string{"level=WARN", "level=ERROR"} {
		if at := strings.Index(line.Text, level); at >= 0 {
			l.note(line.At, p.Name, "%s", strings.TrimPrefix(line.Text[at:], "level="))
		}
	}
}

// String returns the event as a line. Its time counts from the lab's start.
func (e Event) String() string {
	return fmt.Sprintf("%7.2fs  %-14s %s", e.At.Sub(e.start).Seconds(), e.Who, e.What)
}

// Timeline writes all events so far in the order of their times.
func (l *Lab) Timeline(w io.Writer) {
	l.mu.Lock()
	events := append([]Event(nil), l.events...)
	l.mu.Unlock()
	sort.SliceStable(events, func(i, j int) bool { return events[i].At.Before(events[j].At) })
	for _, e := range events {
		fmt.Fprintln(w, e)
	}
}
