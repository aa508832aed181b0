package bootfiles

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// TestDirectoryClosed checks that a closed directory holds nothing open, and
// that a request that was about to open a file there still gets it.
func TestDirectoryClosed(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "file", "text")
	d, err := openDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	held, err := d.Open("file")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(held); err != nil || string(text) != "text" {
		t.Errorf("a transfer reads %q, %v", text, err)
	}
	held.Close()
	if text, err := fs.ReadFile(d, "file"); err != nil || string(text) != "text" {
		t.Errorf("a late request reads %q, %v", text, err)
	}
	if left := openIn(t, dir); left != 0 {
		t.Errorf("%d descriptors are left", left)
	}
}

// TestReplaceClosesAtOnce checks that reloads leave no descriptors behind.
func TestReplaceClosesAtOnce(t *testing.T) {
	dir := t.TempDir()
	set := func() *Set {
		s := &Set{tree: &tree{}}
		if err := s.addDir("", dir); err != nil {
			t.Fatal(err)
		}
		return s
	}
	f := NewFiles(set(), nil, nil)
	before := openIn(t, dir)
	for range 20 {
		if err := f.Replace(set()); err != nil {
			t.Fatal(err)
		}
	}
	if after := openIn(t, dir); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// openIn returns how many descriptors this process has of a directory and what
// is in it.
func openIn(t *testing.T, dir string) (count int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if at, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(at, dir) {
			count++
		}
	}
	return count
}
