package bootfiles

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// expire has the next use of a directory look at the path.
func (d *directory) expire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.checked = time.Now().Add(-2 * followTime)
}

// TestDirectoryFollows checks that a directory that takes the path of another
// is served, and the last one as long as none does.
func TestDirectoryFollows(t *testing.T) {
	parent := t.TempDir()
	at := filepath.Join(parent, "pxe")
	write(t, parent, "pxe/version", "old")
	write(t, parent, "next/version", "new")
	d, err := openDirectory(at)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	reads := func(want string) {
		t.Helper()
		d.expire()
		if text, err := fs.ReadFile(d, "version"); err != nil || string(text) != want {
			t.Errorf("%q, %v; want %q", text, err, want)
		}
		if info, err := fs.Stat(d, "version"); err != nil || info.Size() != int64(len(want)) {
			t.Errorf("%v, %v", info, err)
		}
	}
	reads("old")
	held, err := d.Open("version")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	rename := func(from, to string) {
		t.Helper()
		if err := os.Rename(filepath.Join(parent, from), filepath.Join(parent, to)); err != nil {
			t.Fatal(err)
		}
	}
	rename("pxe", "last")
	reads("old")
	rename("next", "pxe")
	reads("new")
	if text, err := io.ReadAll(held); err != nil || string(text) != "old" {
		t.Errorf("a transfer of the old file reads %q, %v", text, err)
	}
	// What the new one holds is no way out either.
	if err := os.Symlink("../last/version", filepath.Join(at, "link")); err != nil {
		t.Fatal(err)
	}
	if f, err := d.Open("link"); err == nil {
		f.Close()
		t.Error("a link out of the directory that took the path was followed")
	}
}
