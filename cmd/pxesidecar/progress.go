package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// progress shows how far a download has come: as a bar on a terminal, elsewhere
// as a line now and then.
type progress struct {
	w        io.Writer
	width    int // of the bar's line; 0 if this is no terminal
	started  time.Time
	first    int64     // had arrived before
	next     time.Time // when to show the next state
	drawn    bool      // the bar is on the screen
	reported int64     // the tenths that lines were written of
}

// barWidth is the longest bar, in characters.
const barWidth = 40

// newProgress returns a progress that is shown on w.
func newProgress(w io.Writer) *progress {
	p := &progress{w: w}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.width, _, _ = term.GetSize(int(f.Fd()))
	}
	return p
}

// update shows that so many bytes of total have arrived. total is less than 0
// if it is not known.
func (p *progress) update(done, total int64) {
	now := time.Now()
	if p.started.IsZero() {
		p.started, p.first = now, done
	}
	if p.width == 0 {
		p.line(done, total)
		return
	}
	if now.Before(p.next) && done != total {
		return
	}
	p.next, p.drawn = now.Add(100*time.Millisecond), true
	text := state(done, total)
	if seconds := now.Sub(p.started).Seconds(); seconds > 0.5 {
		text += fmt.Sprintf(", %.1f MiB/s", float64(done-p.first)/(1<<20)/seconds)
	}
	if room := min(barWidth, p.width-len(text)-4); total > 0 && room > 0 {
		full := int(int64(room) * min(done, total) / total)
		text = "[" + strings.Repeat("#", full) + strings.Repeat(".", room-full) + "] " + text
	}
	fmt.Fprintf(p.w, "\r%s\x1b[K", text[:min(len(text), p.width)])
}

// line writes a line for each tenth that has arrived.
func (p *progress) line(done, total int64) {
	if total <= 0 {
		return
	}
	if tenth := 10 * done / total; tenth > p.reported {
		p.reported = tenth
		fmt.Fprintln(p.w, state(done, total))
	}
}

// state returns how much has arrived.
func state(done, total int64) string {
	const mebi = 1 << 20
	if total <= 0 {
		return fmt.Sprintf("%.1f MiB", float64(done)/mebi)
	}
	return fmt.Sprintf("%3d %% of %.1f MiB", 100*done/total, float64(total)/mebi)
}

// note writes a line.
func (p *progress) note(text string) {
	p.end()
	fmt.Fprintln(p.w, text)
}

// end leaves the bar as it is.
func (p *progress) end() {
	if p.drawn {
		fmt.Fprintln(p.w)
	}
	p.drawn = false
}
