package live

import (
	"io/fs"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pxesidecar/pxesidecar/internal/script"
	"github.com/pxesidecar/pxesidecar/internal/tree"
)

func newTree(files map[string]string) *tree.Tree {
	t := &tree.Tree{}
	texts := map[string][]byte{}
	for name, text := range files {
		texts[name] = []byte(text)
	}
	t.AddGenerated(texts)
	return t
}

// TestVersionCheck plays the boots of a BIOS machine that is upgraded by
// script, whose ROM helps or does not: it gets the check, the ROM, and then a
// check that goes on; and all of it again at its next boot.
func TestVersionCheck(t *testing.T) {
	files := New(newTree(map[string]string{script.CheckName: "check", "undionly.kpxe": "rom", "other": "other"}), []string{"undionly.kpxe"})
	defer files.Close()
	now := time.Unix(1e9, 0)
	client, other := netip.MustParseAddr("192.0.2.50"), netip.MustParseAddr("192.0.2.51")
	check := func(at netip.Addr, want string) {
		t.Helper()
		text, err := fs.ReadFile(files.For(at, now), script.CheckName)
		got := string(text)
		if strings.Contains(got, "has just been tried") {
			got = "tried"
		}
		if err != nil || got != want {
			t.Errorf("the check is %q, %v; want %q", got, err, want)
		}
		// TFTP looks first and reads what it saw.
		if info, err := fs.Stat(files.For(at, now), script.CheckName); err != nil || info.Size() != int64(len(text)) {
			t.Errorf("the check is described as %v, %v; it has %d bytes", info, err, len(text))
		}
	}
	for range 2 {
		check(client, "check")
		files.Read(client, script.CheckName, now)
		files.Read(client, "other", now)
		check(client, "check")
		files.Read(client, "undionly.kpxe", now)
		check(client, "tried")
		check(other, "check")
		if text, err := fs.ReadFile(files.For(client, now), "other"); err != nil || string(text) != "other" {
			t.Errorf("another file: %q, %v", text, err)
		}
		files.Read(client, script.CheckName, now)
	}
	files.Read(client, "undionly.kpxe", now)
	now = now.Add(memory)
	check(client, "check")
}

// TestBounded checks that clients cannot fill the memory.
func TestBounded(t *testing.T) {
	files := New(newTree(nil), []string{"rom"})
	defer files.Close()
	for i := range 3 * maxClients {
		files.Read(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), "rom", time.Unix(int64(i), 0))
	}
	if len(files.tried) > maxClients {
		t.Errorf("%d clients are remembered", len(files.tried))
	}
}

// TestReplace checks that a reload changes what is served, and that nobody is
// shown a version check where there is none.
func TestReplace(t *testing.T) {
	files := New(newTree(map[string]string{"a": "old"}), []string{"rom"})
	client, now := netip.MustParseAddr("192.0.2.50"), time.Unix(1e9, 0)
	before := files.For(client, now)
	files.Replace(newTree(map[string]string{"a": "new"}), []string{"rom"})
	defer files.Close()
	for source, want := range map[fs.FS]string{before: "old", files.For(client, now): "new", files: "new"} {
		if text, err := fs.ReadFile(source, "a"); err != nil || string(text) != want {
			t.Errorf("%q, %v; want %q", text, err, want)
		}
	}
	if files.For(client, now) != files.For(netip.MustParseAddr("192.0.2.51"), now) {
		t.Error("two clients that see the same are not told the same")
	}
	files.Read(client, "rom", now)
	if _, err := files.For(client, now).Open(script.CheckName); err == nil {
		t.Error("a version check where there is none")
	}
}
