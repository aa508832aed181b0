// Package live is the boot files as they are served now: the tree of the
// configuration in force, which a reload replaces under the servers, and the
// version check that ends when a machine has tried its replacement.
package live

import (
	"io/fs"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pxesidecar/pxesidecar/internal/script"
	"github.com/pxesidecar/pxesidecar/internal/tree"
)

// grace is how long a replaced tree stays open for those who were about to open
// a file in it.
const grace = time.Minute

// Files serves the boot files of the configuration in force.
type Files struct {
	current atomic.Pointer[served]

	mu    sync.Mutex
	tried map[netip.Addr]time.Time // who read a ROM to the end, and when
}

// served is one configuration's boot files.
type served struct {
	tree *tree.Tree
	roms map[string]bool // the names of its ROMs
}

// New returns the boot files of a tree, with the names of its ROMs.
func New(t *tree.Tree, roms []string) *Files {
	f := &Files{tried: map[netip.Addr]time.Time{}}
	f.Replace(t, roms)
	return f
}

// Replace puts another tree in place of the current one, which is closed a
// little later.
func (f *Files) Replace(t *tree.Tree, roms []string) {
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

// Stat describes a file of the current tree (io/fs.StatFS), as everybody sees it.
func (f *Files) Stat(name string) (fs.FileInfo, error) { return f.current.Load().tree.Stat(name) }

// For returns the files as the client at an address sees them. The result is
// comparable, and equal for clients that see the same.
func (f *Files) For(client netip.Addr, now time.Time) fs.FS {
	t := f.current.Load().tree
	f.mu.Lock()
	defer f.mu.Unlock()
	if at, ok := f.tried[client]; ok && now.Sub(at) < memory {
		return afterUpgrade{t}
	}
	return t
}

// Bounds of what is remembered of clients: a machine that runs the ROM asks
// again within seconds.
const (
	memory     = 10 * time.Minute
	maxClients = 4096
)

// Read notes that the client at an address has read a file to its end. One that
// has read a ROM gets another version check, once: if the ROM had been what is
// wanted, the check would not be looked at.
func (f *Files) Read(client netip.Addr, name string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case name == script.CheckName:
		delete(f.tried, client)
	case f.current.Load().roms[name]:
		if len(f.tried) >= maxClients {
			f.forget(now)
		}
		f.tried[client] = now
	}
}

// forget makes room: for all that is old, or, where nothing is, for anybody.
func (f *Files) forget(now time.Time) {
	for client, at := range f.tried {
		if now.Sub(at) >= memory {
			delete(f.tried, client)
		}
	}
	for client := range f.tried {
		if len(f.tried) < maxClients {
			return
		}
		delete(f.tried, client)
	}
}

// afterUpgrade is the tree as a machine sees it that has just read a ROM: where
// it has a version check, there is one that goes on.
type afterUpgrade struct{ tree *tree.Tree }

// Open opens a file (io/fs.FS).
func (t afterUpgrade) Open(name string) (fs.File, error) {
	if !t.replaces(name) {
		return t.tree.Open(name)
	}
	return tree.Generated(name, script.Tried()), nil
}

// Stat describes a file (io/fs.StatFS).
func (t afterUpgrade) Stat(name string) (fs.FileInfo, error) {
	if !t.replaces(name) {
		return t.tree.Stat(name)
	}
	return tree.Generated(name, script.Tried()).Stat()
}

// replaces reports whether a name is that of the tree's version check.
func (t afterUpgrade) replaces(name string) bool {
	if name != script.CheckName {
		return false
	}
	_, err := t.tree.Stat(name)
	return err == nil
}
