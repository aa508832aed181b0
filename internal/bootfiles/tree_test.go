package bootfiles

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestLayers checks which layer serves a name, and that every layer is a proper
// file system.
func TestLayers(t *testing.T) {
	user, single, distro := t.TempDir(), t.TempDir(), t.TempDir()
	write(t, user, "both", "user")
	write(t, user, "sub/deep", "deep")
	write(t, distro, "both", "distro")
	write(t, distro, "boot.ipxe", "distro")
	write(t, distro, "only", "distro")
	file := write(t, single, "x.efi", "single")

	var tr tree
	defer tr.Close()
	if err := tr.addDir("", user); err != nil {
		t.Fatal(err)
	}
	tr.addFile("rom.efi", file)
	tr.addGenerated(map[string][]byte{"boot.ipxe": []byte("made")})
	for _, mount := range []string{"", "vlan20"} {
		if err := tr.addDir(mount, distro); err != nil {
			t.Fatal(err)
		}
	}
	if !tr.has("vlan20", distro) || tr.has("vlan20", user) {
		t.Error("it does not know what is where")
	}

	for _, tt := range []struct{ name, text, source string }{
		{"both", "user", user + "/both"},
		{"sub/deep", "deep", user + "/sub/deep"},
		{"rom.efi", "single", file},
		{"boot.ipxe", "made", "generated"},
		{"only", "distro", distro + "/only"},
		{"vlan20/both", "distro", distro + "/both"},
	} {
		got, err := fs.ReadFile(&tr, tt.name)
		if err != nil || string(got) != tt.text {
			t.Errorf("%s: %q, %v; want %q", tt.name, got, err, tt.text)
		}
		if got := tr.Source(tt.name); got != tt.source {
			t.Errorf("source of %s: %q, want %q", tt.name, got, tt.source)
		}
	}
	if _, err := tr.Open("x.efi"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the single file under its own name: %v, want not found", err)
	}
}

// TestNoWayOut checks that a link out of the directory is refused, and not
// served from a lower layer either.
func TestNoWayOut(t *testing.T) {
	outside := write(t, t.TempDir(), "secret", "secret")
	dir, below := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	write(t, below, "link", "below")
	var tr tree
	defer tr.Close()
	for _, d := range []string{dir, below} {
		if err := tr.addDir("", d); err != nil {
			t.Fatal(err)
		}
	}
	if f, err := tr.Open("link"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link out of the directory: %v, %v; want a refusal", f, err)
	}
}

// TestAddDirErrors checks what a person reads of a directory that cannot be
// served.
func TestAddDirErrors(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "file", "")
	for _, tt := range []struct{ dir, want string }{
		{filepath.Join(dir, "absent"), "directory " + dir + "/absent: no such file or directory"},
		{file, "directory " + file + ": not a directory"},
	} {
		var tr tree
		err := tr.addDir("", tt.dir)
		if err == nil || err.Error() != tt.want {
			t.Errorf("addDir(%s): %v, want %s", tt.dir, err, tt.want)
		}
		tr.Close()
	}
}
