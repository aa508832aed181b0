//go:build unix

package main

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pxesidecar/pxesidecar/internal/regularfile"
)

// TestReadConfig checks that nothing that has the name of a configuration file
// is waited for, or read without end.
func TestReadConfig(t *testing.T) {
	dir := t.TempDir()
	pipe, large, plain := filepath.Join(dir, "pipe"), filepath.Join(dir, "large.toml"), filepath.Join(dir, "plain.toml")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	writeFile(t, large, strings.Repeat("#", maxConfigSize+1))
	writeFile(t, plain, strings.Repeat("#", maxConfigSize))
	read := make(chan struct{})
	go func() {
		defer close(read)
		for path, want := range map[string]error{
			plain: nil, pipe: regularfile.ErrIrregular, "/dev/zero": regularfile.ErrIrregular, filepath.Join(dir, "absent"): fs.ErrNotExist,
		} {
			if text, err := readConfig(path); !errors.Is(err, want) || err == nil && len(text) != maxConfigSize {
				t.Errorf("%s: %d bytes, %v; want %v", path, len(text), err, want)
			}
		}
		if _, err := readConfig(large); err == nil || !strings.Contains(err.Error(), large+" is larger than 1024 KiB") {
			t.Errorf("too large: %v", err)
		}
		if _, err := readConfig(dir); err == nil {
			t.Error("a directory is read")
		}
	}()
	select {
	case <-read:
	case <-time.After(10 * time.Second):
		t.Fatal("it is waited for")
	}
}
