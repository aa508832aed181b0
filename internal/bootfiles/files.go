package bootfiles

import (
	"io/fs"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pxesidecar/pxesidecar/internal/ipxescript"
)

// grace is how long a replaced Set stays open for those who were about to open
// a file in it.
const grace = time.Minute

// Files are the boot files as they are served now: the Set of the configuration
// in force, which a reload replaces under the servers, and the version check,
// which differs for a machine that has just read a ROM.
type Files struct {
	current    atomic.Pointer[Set]
	hasReadROM func(netip.Addr) bool
}

// NewFiles returns the boot files of a Set. hasReadROM reports whether the
// client at an address has just read a ROM.
func NewFiles(s *Set, hasReadROM func(netip.Addr) bool) *Files {
	f := &Files{hasReadROM: hasReadROM}
	f.current.Store(s)
	return f
}

// Replace puts another Set in place of the current one, which is closed a
// little later.
func (f *Files) Replace(s *Set) {
	last := f.current.Swap(s)
	time.AfterFunc(grace, func() { last.Close() })
}

// Close closes the current Set.
func (f *Files) Close() error { return f.current.Load().Close() }

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
func (f *Files) IsROM(name string) bool { return f.current.Load().hasROM(name) }

// IsVersionCheck reports whether a name is that of the version check.
func IsVersionCheck(name string) bool { return name == ipxescript.CheckName }

// afterUpgrade is the tree for a machine that has just read a ROM: its version
// check, if there is one, lets the boot go on.
type afterUpgrade struct{ tree *tree }

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
