package bootfiles

import (
	"io/fs"
	"sync/atomic"

	"github.com/pxesidecar/pxesidecar/internal/ipxescript"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Files are the boot files as they are served now: the Set of the configuration
// in force, which a reload replaces under the servers, and what differs from
// one client to another (view.go).
type Files struct {
	current   atomic.Pointer[Set]
	responder *proxydhcp.Responder
	machines  *proxydhcp.Machines
}

// NewFiles returns the boot files of a Set. What a client sees of them depends
// on what the responder decides for it, and on what is remembered of it.
func NewFiles(s *Set, responder *proxydhcp.Responder, machines *proxydhcp.Machines) *Files {
	f := &Files{responder: responder, machines: machines}
	f.current.Store(s)
	return f
}

// Replace puts another Set in place of the current one, and closes that.
// Transfers from it go on, because they have their files open.
func (f *Files) Replace(s *Set) error { return f.current.Swap(s).Close() }

// Close closes the current Set.
func (f *Files) Close() error { return f.current.Load().Close() }

// Open opens a file of the current tree (io/fs.FS), as everybody sees it.
func (f *Files) Open(name string) (fs.File, error) {
	return view{tree: f.current.Load().tree}.Open(name)
}

// Stat describes a file of the current tree (io/fs.StatFS), as everybody sees
// it.
func (f *Files) Stat(name string) (fs.FileInfo, error) {
	return view{tree: f.current.Load().tree}.Stat(name)
}

// IsROM reports whether a name is that of a boot ROM.
func (f *Files) IsROM(name string) bool { return f.current.Load().hasROM(name) }

// IsSecondStage reports whether a name is that of a file which a ROM loads.
func (f *Files) IsSecondStage(name string) bool { return f.current.Load().isSecondStage(name) }

// IsVersionCheck reports whether a name is that of the version check.
func IsVersionCheck(name string) bool { return name == ipxescript.CheckName }
