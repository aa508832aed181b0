//go:build !windows

package release

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestPermissions checks that a server that runs as another user can read what
// was fetched, whatever the umask and the archive say.
func TestPermissions(t *testing.T) {
	s := newServer(t, archive(t, 0))
	base := t.TempDir()
	defer syscall.Umask(syscall.Umask(0o077))
	fetch(t, s.request(filepath.Join(base, "lib", "pxesidecar", "ipxe")))
	err := fs.WalkDir(os.DirFS(base), "lib", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) == "."+lockEnd {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(filePerm)
		if entry.IsDir() {
			want = fs.ModeDir | dirPerm
		}
		if info.Mode() != want {
			t.Errorf("%s: %v, want %v", name, info.Mode(), want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
