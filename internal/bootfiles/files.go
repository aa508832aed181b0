package bootfiles

import (
	"io/fs"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pxesidecar/pxesidecar/internal/ipxescript"
)

// grace is how long a replaced tree stays open for those who were about to open
// a file in it.
const grace = time.Minute

// Files are the boot files as they are served now: the tree of the
// configuration in force, which a reload replaces under the servers, and the
// version check, which differs for a machine that has just read a ROM.
type Files struct {
	current    atomic.Pointer[served]
	hasReadROM func(netip.Addr) bool
}

// served is one configuration's boot files.
type served struct {
	tree *Tree
	roms map[string]bool // the names of its ROMs
}

// NewFiles returns the boot files of a tree, with the names of its ROMs.
// hasReadROM reports whether the client at an address has just read a ROM.
func NewFiles(t *Tree, roms []string, hasReadROM func(netip.Addr) bool) *Files {
	f := &Files{hasReadROM: hasReadROM}
	f.Replace(t, roms)
	return f
}

// Replace puts another tree in place of the current one, which is closed a
// little later.
func (f *Files) Replace(t *Tree, roms []string) {
	next := &served{tree: t, roms: map[string]bool{}}
	for _, name := range roms {
		next.roms[name] = true
	}
	if last := f.current.Swap(next); last != nil {
		time.AfterFunc(grace, func() { last.tree.Close() })
	}
}

// Close closes the current tree.
func (f *Files) Close() error { return f.current.Load().tree.Close() }

// Open opens a file of the current tree (io/fs.FS), as everybody sees it.
func (f *Files) Open(name string) (fs.File, error) { return f.current.Load().tree.Open(name) }

// Stat describes a file of the current tree (io/fs.StatFS), as everybody sees
// it.
func (f *Files) Stat(name string) (fs.FileInfo, error) { return f.current.Load().tree.Stat(name) }

// For returns the files as the client at an address sees them. The result is
// comparable, and equal for clients that see the same. A client that has just
// read a ROM gets another version check: if the ROM had been the wanted one,
// the check would not be asked for.
func (f *Files) For(client netip.Addr) fs.FS {
	t := f.current.Load().tree
	if f.hasReadROM(client) {
		return afterUpgrade{t}
	}
	return t
}

// IsROM reports whether a name is that of a boot ROM.
func (f *Files) IsROM(name string) bool { return f.current.Load().roms[name] }

// IsVersionCheck reports whether a name is that of the version check.
func IsVersionCheck(name string) bool { return name == ipxescript.CheckName }

// afterUpgrade is the tree as a machine sees it that has just read a ROM: the
// version check, if there is one, goes on.
type afterUpgrade struct{ tree *Tree }

// Open opens a file (io/fs.FS).
func (t afterUpgrade) Open(name string) (fs.File, error) {
	if !t.replaces(name) {
		return t.tree.Open(name)
	}
	return openGenerated(name, ipxescript.Tried()), nil
}

// Stat describes a file (io/fs.StatFS).
func (t afterUpgrade) Stat(name string) (fs.FileInfo, error) {
	if !t.replaces(name) {
		return t.tree.Stat(name)
	}
	return openGenerated(name, ipxescript.Tried()).Stat()
}

// replaces reports whether a name is that of the tree's version check.
func (t afterUpgrade) replaces(name string) bool {
	if !IsVersionCheck(name) {
		return false
	}
	_, err := t.tree.Stat(name)
	return err == nil
}
