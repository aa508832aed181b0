package logqueue

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// text makes lines of text without the time of day.
func text(w io.Writer) slog.Handler {
	return slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
}

// reader is who reads a log, or does not.
type reader struct {
	mu     sync.Mutex
	gone   bool
	writes []string
}

// Write takes what is written, if the reader has not gone away. It waits for
// the reader.
func (r *reader) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return 0, syscall.EPIPE
	}
	r.writes = append(r.writes, string(p))
	return len(p), nil
}

// lines returns the lines that were read.
func (r *reader) lines() []string {
	return strings.Split(strings.TrimSuffix(strings.Join(r.writes, ""), "\n"), "\n")
}

// TestOrder checks that everything is written, in order, in whole lines and in
// writes that a pipe does not divide.
func TestOrder(t *testing.T) {
	var out reader
	q := New(&out, text)
	var want []string
	for i := range 1000 {
		long := strings.Repeat("x", i%200)
		q.Logger().Info("line", "number", i, "text", long)
		want = append(want, "level=INFO msg=line number="+strconv.Itoa(i)+" text="+strings.Trim(strconv.Quote(long), `"`))
		if long == "" {
			want[i] = strings.TrimSuffix(want[i], "text=") + `text=""`
		}
	}
	q.Logger().Info(strings.Repeat("y", 2*chunk))
	want = append(want, "level=INFO msg="+strings.Repeat("y", 2*chunk))
	if !q.Close(time.Minute) {
		t.Error("it was not written")
	}
	if diff := cmp.Diff(want, out.lines()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, w := range out.writes[:len(out.writes)-1] {
		if len(w) > chunk || !strings.HasSuffix(w, "\n") {
			t.Errorf("a write of %d bytes ends in %q", len(w), w[len(w)-1:])
		}
	}
	if _, err := q.Write([]byte("late\n")); err != errClosed {
		t.Errorf("after the end: %v", err)
	}
}

// TestNobodyReads checks that nobody waits for a reader, that what is kept is
// bounded, and that each line is either read or counted when the reader comes
// back.
func TestNobodyReads(t *testing.T) {
	for _, size := range []int{10, 1000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out reader
				q := New(&out, text)
				out.mu.Lock() // synctest would not wait for it in a bubble, so no time passes below
				const total = 10_000
				message := strings.Repeat("x", size)
				for range total {
					q.Logger().Info(message)
				}
				q.mu.Lock()
				if q.lines > maxLines || len(q.pending) > maxBytes || q.lost == 0 {
					t.Errorf("%d lines, %d bytes wait, %d are lost", q.lines, len(q.pending), q.lost)
				}
				q.mu.Unlock()
				out.mu.Unlock()
				synctest.Wait()
				q.Logger().Info("back")
				q.Close(time.Second)
				checkCount(t, out.lines(), total+1)
				if last := out.lines()[len(out.lines())-1]; last != "level=INFO msg=back" {
					t.Errorf("the last line is %q", last)
				}
			})
		})
	}
}

// checkCount checks that lines and lost lines are as many as were logged.
func checkCount(t *testing.T, lines []string, want int) {
	t.Helper()
	lost := regexp.MustCompile(`^level=WARN msg="` + lostMessage + `" lost=(\d+)$`)
	got, reports := 0, 0
	for _, l := range lines {
		if m := lost.FindStringSubmatch(l); m != nil {
			n, _ := strconv.Atoi(m[1])
			got += n
			reports++
		} else {
			got++
		}
	}
	if got != want || reports == 0 {
		t.Errorf("%d lines were read or counted in %d reports, want %d", got, reports, want)
	}
}

// TestReaderGone checks that lines that cannot be written are counted, and that
// the number is said if it is possible again.
func TestReaderGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &reader{gone: true}
		q := New(out, text)
		for range 3 {
			q.Logger().Info("lost")
			synctest.Wait()
		}
		out.gone = false
		q.Logger().Info("read")
		q.Close(time.Second)
		want := []string{"level=INFO msg=read", `level=WARN msg="` + lostMessage + `" lost=3`}
		if diff := cmp.Diff(want, out.lines()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// blocked is a reader that reads nothing until it is told to.
type blocked chan struct{}

// Write waits.
func (b blocked) Write(p []byte) (int, error) { <-b; return len(p), nil }

// TestCloseIsBounded checks that the end waits for a reader, but not for ever.
func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := make(blocked)
		q := New(b, text)
		q.Logger().Info("a line")
		start := time.Now()
		if q.Close(time.Second) {
			t.Error("it was written")
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("it took %v", took)
		}
		close(b)
	})
}

// TestConcurrent has many goroutines log.
func TestConcurrent(t *testing.T) {
	var out bytes.Buffer
	q := New(&out, text)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			for range 100 {
				q.Logger().Info("line")
			}
		})
	}
	all.Wait()
	q.Close(time.Minute)
	if n := strings.Count(out.String(), "level=INFO msg=line\n"); n != 1000 {
		t.Errorf("%d lines", n)
	}
}

// BenchmarkWrite measures what a line costs whoever logs it. The writer's part
// runs beside it.
func BenchmarkWrite(b *testing.B) {
	q := New(io.Discard, text)
	defer q.Close(time.Minute)
	log := q.Logger()
	b.ReportAllocs()
	for b.Loop() {
		log.LogAttrs(context.Background(), slog.LevelInfo, "offered",
			slog.String("interface", "eth0"), slog.String("mac", "52:54:00:12:34:56"), slog.String("arch", "x64-uefi"),
			slog.String("client", "iPXE 2.0.0"), slog.String("rule", "script"), slog.String("file", "http://192.0.2.2/boot.ipxe"))
	}
}
