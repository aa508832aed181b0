package bootfiles

import (
	"io/fs"
	"net/netip"
	"strings"
	"testing"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/ipxescript"
)

// newSet returns a Set of generated files, with the name of its ROM.
func newSet(romName string, files map[string]string) *Set {
	texts := map[string][]byte{}
	for name, text := range files {
		texts[name] = []byte(text)
	}
	s := &Set{tree: &tree{}, Segments: []config.SegmentFiles{{ROMs: []config.ROM{{Name: romName}}}}}
	s.addGenerated(texts)
	return s
}

// TestVersionCheck checks that a client that has just read a ROM sees a version
// check that goes on, and every other file as it is.
func TestVersionCheck(t *testing.T) {
	client, other := netip.MustParseAddr("192.0.2.50"), netip.MustParseAddr("192.0.2.51")
	hasRead := map[netip.Addr]bool{}
	files := NewFiles(newSet("undionly.kpxe", map[string]string{ipxescript.CheckName: "check", "undionly.kpxe": "rom", "other": "other"}),
		func(a netip.Addr) bool { return hasRead[a] })
	defer files.Close()
	check := func(at netip.Addr, want string) {
		t.Helper()
		text, err := fs.ReadFile(files.For(at), ipxescript.CheckName)
		got := string(text)
		if strings.Contains(got, "has just been tried") {
			got = "tried"
		}
		if err != nil || got != want {
			t.Errorf("the check is %q, %v; want %q", got, err, want)
		}
		// TFTP looks first and reads what it saw.
		if info, err := fs.Stat(files.For(at), ipxescript.CheckName); err != nil || info.Size() != int64(len(text)) {
			t.Errorf("the check is described as %v, %v; it has %d bytes", info, err, len(text))
		}
	}
	check(client, "check")
	hasRead[client] = true
	check(client, "tried")
	check(other, "check")
	if text, err := fs.ReadFile(files.For(client), "other"); err != nil || string(text) != "other" {
		t.Errorf("another file: %q, %v", text, err)
	}
	if !files.IsROM("undionly.kpxe") || files.IsROM("other") || !IsVersionCheck(ipxescript.CheckName) || IsVersionCheck("other") {
		t.Error("it does not know which file is a ROM, or the version check")
	}
}

// TestReplace checks that a reload changes what is served, and that nobody is
// shown a version check if there is none.
func TestReplace(t *testing.T) {
	client := netip.MustParseAddr("192.0.2.50")
	read := false
	files := NewFiles(newSet("old-rom", map[string]string{"a": "old"}), func(a netip.Addr) bool { return a == client && read })
	before := files.For(client)
	files.Replace(newSet("rom", map[string]string{"a": "new"}))
	defer files.Close()
	for source, want := range map[fs.FS]string{before: "old", files.For(client): "new", files: "new"} {
		if text, err := fs.ReadFile(source, "a"); err != nil || string(text) != want {
			t.Errorf("%q, %v; want %q", text, err, want)
		}
	}
	if files.IsROM("old-rom") || !files.IsROM("rom") {
		t.Error("the ROMs are those of the tree before")
	}
	if files.For(client) != files.For(netip.MustParseAddr("192.0.2.51")) {
		t.Error("two clients that see the same get different trees")
	}
	read = true
	if _, err := files.For(client).Open(ipxescript.CheckName); err == nil {
		t.Error("a version check, and there is none")
	}
}
