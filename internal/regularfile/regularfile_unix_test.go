//go:build unix

package regularfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestOpen checks what is opened: files and directories, nothing else.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if text, err := io.ReadAll(f); err != nil || string(text) != "text" {
		t.Errorf("read %q, %v", text, err)
	}
	for path, want := range map[string]error{dir: nil, filepath.Join(dir, "absent"): fs.ErrNotExist, os.DevNull: ErrIrregular, "/dev/zero": ErrIrregular} {
		if f, err := Open(path); !errors.Is(err, want) {
			t.Errorf("%s: %v, %v; want %v", path, f, err, want)
		}
	}
}

// TestReplacedByPipe checks that nobody waits for a named pipe that takes the
// place of a file between the look at it and the opening.
func TestReplacedByPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	opened := make(chan error, 1)
	go func() {
		asFile := func(string) (fs.FileInfo, error) { return os.Stat(filepath.Dir(pipe)) } // as it was
		_, err := OpenBy(pipe, asFile, os.OpenFile)
		opened <- err
	}()
	select {
	case err := <-opened:
		if !errors.Is(err, ErrIrregular) {
			t.Errorf("%v, want %v", err, ErrIrregular)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it is waited for")
	}
}
