package eventlog

import (
	"container/list"
	"log/slog"
	"time"
)

// The budgets. Lines that are written and lines that are left out are counted
// so that their sum is the number of events.
const (
	linesPerSecond = 20.0 // of a kind, in the long run
	machineBurst   = 50.0 // of a machine, at once
	machineLines   = 10.0 // of a machine, a second
	maxSources     = 1024
	maxCauses      = 64
	silence        = time.Second      // after which what was folded is written
	longestFolding = 10 * time.Second // after which it is written although it goes on
	settleEach     = 250 * time.Millisecond
)

// written is a line that is to be written.
type written struct {
	line
	times      int           // how many events it stands for
	within     time.Duration // from the first to the last of them
	suppressed int           // events of its kind before it that no line stands for
}

// level returns the level of the line. A line that counts others has theirs.
func (w *written) level() slog.Level {
	if w.kind == linesLeftOut {
		return w.of.row().level
	}
	return w.kind.row().level
}

// attrs returns the attributes of the line, and what it stands for.
func (w *written) attrs() []slog.Attr {
	a := attrs(w.line.attrs())
	if w.kind == linesLeftOut {
		a.text("of", w.of.row().message)
	}
	if w.times > 1 {
		a = append(a, slog.Int("times", w.times), slog.Duration("within", w.within.Round(time.Millisecond)))
	}
	a.number("suppressed", w.suppressed)
	return a
}

// limiter decides which lines are written. It has no clock and no lock.
type limiter struct {
	budgets  [kindsEnd]budget
	machines sources
	failures sources // of our own
	leftOut  int     // events that no line stands for, of all kinds, not reported yet
}

// budget is that of a kind.
type budget struct {
	bucket
	suppressed int       // events that no line stands for, not reported yet
	at         time.Time // of the last of them
}

// bucket holds tokens; each line takes one.
type bucket struct {
	tokens float64
	filled time.Time // zero if it has never been used, and is full
}

// fill adds the tokens of the time that has passed.
func (b *bucket) fill(burst, rate float64, now time.Time) {
	if b.filled.IsZero() {
		b.tokens = burst
	} else {
		b.tokens = min(burst, b.tokens+rate*now.Sub(b.filled).Seconds())
	}
	b.filled = now
}

// sources are those of which something was logged lately. The one that has been
// silent for the longest time makes room.
type sources struct {
	max     int
	byKey   map[source]*list.Element
	recency list.List // of *track, the most recent one in front
	folded  int       // tracks that fold
}

// track is what was logged last of one source.
type track struct {
	key    source
	bucket bucket
	last   line      // of the source
	at     time.Time // when that was
	times  int       // events that are folded, and not written yet
	since  time.Time // the first of these
}

// newLimiter returns a limiter with full budgets.
func newLimiter() *limiter {
	return &limiter{
		machines: sources{max: maxSources, byKey: map[source]*list.Element{}},
		failures: sources{max: maxCauses, byKey: map[source]*list.Element{}},
	}
}

// add takes an event and appends the lines to out that are to be written.
func (m *limiter) add(out []written, l *line, now time.Time) []written {
	row := l.kind.row()
	all := &m.machines
	if row.fold == causes {
		all = &m.failures
	}
	key := l.source()
	t := all.find(key)
	if t != nil && now.Sub(t.at) < silence && l.repeats(&t.last) {
		all.fold(t, l, now)
		if now.Sub(t.since) >= longestFolding {
			out = m.flush(out, all, t, now)
		}
		return out
	}
	if t != nil {
		out = m.flush(out, all, t, now)
	}
	if row.fold != names && !m.admit(l.kind, t, now) {
		m.suppress(l.kind, 1, now)
		return out
	}
	if t == nil {
		t, out = m.insert(out, all, key, now)
		t.bucket.fill(machineBurst, machineLines, now)
		if row.fold == repeats {
			t.bucket.tokens--
		}
	}
	if row.fold == names {
		all.fold(t, l, now)
		return out
	}
	t.last, t.at = *l, now
	return append(out, written{line: *l, times: 1, suppressed: m.reported(l.kind)})
}

// isWaiting reports whether lines may be due later.
func (m *limiter) isWaiting() bool {
	return m.machines.folded > 0 || m.failures.folded > 0 || m.leftOut > 0
}

// tick appends the lines of sources that have been silent, and those that count
// what no line has stood for.
func (m *limiter) tick(out []written, now time.Time) []written {
	return m.settle(out, now, func(last, since time.Time) bool {
		return now.Sub(last) >= silence || now.Sub(since) >= longestFolding
	})
}

// end appends everything that is left.
func (m *limiter) end(out []written, now time.Time) []written {
	return m.settle(out, now, func(time.Time, time.Time) bool { return true })
}

// settle appends the lines of what is due, by the times of its last and its
// first event.
func (m *limiter) settle(out []written, now time.Time, due func(last, since time.Time) bool) []written {
	for _, all := range []*sources{&m.machines, &m.failures} {
		for e := all.recency.Back(); e != nil && all.folded > 0; e = e.Prev() {
			if t := e.Value.(*track); t.times > 0 && due(t.at, t.since) {
				out = m.flush(out, all, t, now)
			}
		}
	}
	for k := range kindsEnd {
		b := &m.budgets[k]
		if b.suppressed > 0 && due(b.at, b.at) {
			out = append(out, written{line: line{kind: linesLeftOut, of: k}, times: 1, suppressed: m.reported(k)})
		}
	}
	return out
}

// flush appends the line of what a source has folded.
func (m *limiter) flush(out []written, all *sources, t *track, now time.Time) []written {
	if t.times == 0 {
		return out
	}
	times := t.times
	t.times = 0
	all.folded--
	if !m.admit(t.last.kind, t, now) {
		m.suppress(t.last.kind, times, now)
		return out
	}
	return append(out, written{line: t.last, times: times, within: t.at.Sub(t.since), suppressed: m.reported(t.last.kind)})
}

// admit reports whether a line of a kind may be written, and takes it from the
// budgets. t may be nil, for a source that is new.
func (m *limiter) admit(k kind, t *track, now time.Time) bool {
	row := k.row()
	if row.fold == causes {
		return true
	}
	burst := row.burst
	if burst == 0 {
		burst = usualBurst
	}
	b := &m.budgets[k].bucket
	b.fill(burst, linesPerSecond, now)
	if b.tokens < 1 {
		return false
	}
	if t != nil {
		t.bucket.fill(machineBurst, machineLines, now)
		if t.bucket.tokens < 1 {
			return false
		}
		t.bucket.tokens--
	}
	b.tokens--
	return true
}

// suppress counts events that no line stands for.
func (m *limiter) suppress(k kind, events int, now time.Time) {
	m.leftOut += events
	m.budgets[k].suppressed += events
	m.budgets[k].at = now
}

// reported returns how many events of a kind no line has stood for since it was
// asked last.
func (m *limiter) reported(k kind) int {
	n := m.budgets[k].suppressed
	m.leftOut -= n
	m.budgets[k].suppressed = 0
	return n
}

// insert makes a track for a source. Another one may make room for it.
func (m *limiter) insert(out []written, all *sources, key source, now time.Time) (*track, []written) {
	if all.recency.Len() >= all.max {
		oldest := all.recency.Back()
		t := oldest.Value.(*track)
		out = m.flush(out, all, t, now)
		delete(all.byKey, t.key)
		*t = track{key: key}
		all.recency.MoveToFront(oldest)
		all.byKey[key] = oldest
		return t, out
	}
	t := &track{key: key}
	all.byKey[key] = all.recency.PushFront(t)
	return t, out
}

// find returns the track of a source, nil if there is none.
func (s *sources) find(key source) *track {
	e := s.byKey[key]
	if e == nil {
		return nil
	}
	s.recency.MoveToFront(e)
	return e.Value.(*track)
}

// fold counts an event of a source without a line.
func (s *sources) fold(t *track, l *line, now time.Time) {
	if t.times == 0 {
		t.since = now
		s.folded++
	}
	t.times++
	t.last, t.at = *l, now
}
