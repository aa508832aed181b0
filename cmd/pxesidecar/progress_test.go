package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestProgressLines checks what is written where there is no terminal.
func TestProgressLines(t *testing.T) {
	var got bytes.Buffer
	p := newProgress(&got)
	const total = 12 << 20
	for _, done := range []int64{0, total / 20, total / 10, total/10 + 1, total / 2, total} {
		p.update(done, total)
		p.update(done, -1)
	}
	p.note("trying again")
	p.end()
	want := " 10 % of 12.0 MiB\n 50 % of 12.0 MiB\n100 % of 12.0 MiB\ntrying again\n"
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestProgressBar checks that the bar fits its line, is not drawn too often,
// and is left as it is.
func TestProgressBar(t *testing.T) {
	const total = 12 << 20
	for width, want := range map[int]string{
		80: "\r[####################....................]  50 % of 12.0 MiB\x1b[K\r[########################################] 100 % of 12.0 MiB\x1b[K\n",
		30: "\r[####.....]  50 % of 12.0 MiB\x1b[K\r[#########] 100 % of 12.0 MiB\x1b[K\n",
		10: "\r 50 % of 1\x1b[K\r100 % of 1\x1b[K\n",
	} {
		var got bytes.Buffer
		p := newProgress(&got)
		p.width = width
		p.update(total/2, total)
		p.update(total/2+1, total) // too early
		p.update(total, total)
		p.end()
		p.end()
		if diff := cmp.Diff(want, got.String()); diff != "" {
			t.Errorf("width %d (-want +got):\n%s", width, diff)
		}
	}
	var got bytes.Buffer
	p := newProgress(&got)
	p.width, p.started, p.first = 80, time.Now().Add(-2*time.Second), 1<<20
	p.update(3<<20, -1)
	if want := "\r3.0 MiB, 1.0 MiB/s\x1b[K"; got.String() != want {
		t.Errorf("without a size %q, want %q", got.String(), want)
	}
	if strings.Contains(got.String(), "[#") {
		t.Error("a bar of a size that is not known")
	}
}
