//go:build unix

package bootfiles

import (
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestPipe checks that nobody waits for a named pipe.
func TestPipe(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	var tr tree
	defer tr.Close()
	if err := tr.addDir("", dir); err != nil {
		t.Fatal(err)
	}
	tr.addFile("elsewhere", pipe)
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		for _, name := range []string{"pipe", "elsewhere"} {
			info, err := fs.Stat(&tr, name)
			if err != nil || info.Mode().Type() != fs.ModeNamedPipe {
				t.Errorf("%s: %v, %v", name, info, err)
			}
			if f, err := tr.Open(name); !errors.Is(err, errIrregular) {
				t.Errorf("%s: opened %v, %v; want %v", name, f, err, errIrregular)
			}
		}
	}()
	select {
	case <-looked:
	case <-time.After(10 * time.Second):
		t.Fatal("it is waited for")
	}
}
