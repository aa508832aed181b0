//go:build unix

package bootfiles

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/pxesidecar/pxesidecar/internal/regularfile"
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
			if f, err := tr.Open(name); !errors.Is(err, regularfile.ErrIrregular) {
				t.Errorf("%s: opened %v, %v; want %v", name, f, err, regularfile.ErrIrregular)
			}
		}
	}()
	select {
	case <-looked:
	case <-time.After(10 * time.Second):
		t.Fatal("it is waited for")
	}
}

// TestPipeRace swaps a file and a named pipe all the time, while others open
// it.
func TestPipeRace(t *testing.T) {
	dir := t.TempDir()
	file, pipe, at := write(t, dir, "file", "text"), filepath.Join(dir, "pipe"), filepath.Join(dir, "at")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	var tr tree
	defer tr.Close()
	if err := tr.addDir("", dir); err != nil {
		t.Fatal(err)
	}
	tr.addFile("elsewhere", at)
	stop, swapped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(swapped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			next := filepath.Join(dir, "next")
			os.Link([]string{file, pipe}[i%2], next) // renamed over the other one
			os.Rename(next, at)
			os.Remove(next) // a rename to the same file leaves it
		}
	}()
	opened := make(chan int)
	go func() {
		files := 0
		for range 3000 {
			for _, name := range []string{"at", "elsewhere"} {
				if f, err := tr.Open(name); err == nil {
					if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
						t.Errorf("opened %v, %v", info, err)
					}
					f.Close()
					files++
				}
			}
		}
		opened <- files
	}()
	select {
	case files := <-opened:
		if files == 0 {
			t.Error("the file was never opened")
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it is waited for")
	}
	close(stop)
	<-swapped
}
