package bootfiles

import (
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/pxesidecar/pxesidecar/internal/regularfile"
)

// followTime is how long a directory is taken for the one that has its path.
const followTime = time.Second

// directory is a directory of this host as a read-only file system. No symbolic
// link leads out of it, and what is neither a file nor a directory is refused.
//
// It is held open, so that it stays the same one while its path is renamed. A
// moment after another directory has taken the path, that is served. Once
// closed it holds nothing, and what is still asked for is opened by the path.
type directory struct {
	path string

	mu      sync.Mutex
	root    *os.Root    // nil if it is closed
	self    fs.FileInfo // of root
	checked time.Time   // when the path was looked at
}

// openDirectory opens a directory. The error is about it alone, without its
// path.
func openDirectory(path string) (*directory, error) {
	root, self, err := openRoot(path)
	if err != nil {
		return nil, cause(err)
	}
	d := &directory{path: path, root: root, self: self, checked: time.Now()}
	if _, err := fs.ReadDir(root.FS(), "."); err != nil {
		return nil, errors.Join(cause(err), root.Close())
	}
	return d, nil
}

// openRoot opens the directory that has a path now, and describes it.
func openRoot(path string) (*os.Root, fs.FileInfo, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, nil, err
	}
	self, err := root.Stat(".")
	if err != nil {
		return nil, nil, errors.Join(err, root.Close())
	}
	return root, self, nil
}

// Open opens a file or a directory (io/fs.FS).
func (d *directory) Open(name string) (fs.File, error) {
	return inRoot(d, func(root *os.Root) (fs.File, error) {
		stat := func(name string) (fs.FileInfo, error) { return fs.Stat(root.FS(), name) }
		f, err := regularfile.OpenBy(name, stat, root.OpenFile)
		if err != nil {
			return nil, err
		}
		return f, nil
	})
}

// Stat describes a file (io/fs.StatFS).
func (d *directory) Stat(name string) (fs.FileInfo, error) {
	return inRoot(d, func(root *os.Root) (fs.FileInfo, error) { return fs.Stat(root.FS(), name) })
}

// Close closes the directory. What is being opened in it is not disturbed.
func (d *directory) Close() error {
	d.mu.Lock()
	root := d.root
	d.root = nil
	d.mu.Unlock()
	if root == nil {
		return nil
	}
	return root.Close()
}

// inRoot returns what do returns for the directory. do does nothing but open or
// look, which a root that is closed meanwhile finishes. It is called again if
// the root was closed before.
func inRoot[T any](d *directory, do func(*os.Root) (T, error)) (T, error) {
	for {
		root, done, err := d.borrow()
		if err != nil {
			var none T
			return none, err
		}
		got, err := do(root)
		done()
		if !errors.Is(err, fs.ErrClosed) {
			return got, err
		}
	}
}

// borrow returns the root to use now, and a function to call after that.
func (d *directory) borrow() (root *os.Root, done func(), err error) {
	d.mu.Lock()
	root, due := d.root, time.Since(d.checked) > followTime
	if due {
		d.checked = time.Now() // the others go on with what is known
	}
	d.mu.Unlock()
	if root == nil {
		if root, err = os.OpenRoot(d.path); err != nil {
			return nil, nil, err
		}
		return root, func() { root.Close() }, nil
	}
	if due && d.follow() {
		return d.borrow()
	}
	return root, func() {}, nil
}

// follow opens the directory that has the path now if that is another one, and
// reports whether it is. As long as none has it, the last one is served.
func (d *directory) follow() bool {
	now, err := os.Stat(d.path) // without the lock: it may take long
	if err != nil || os.SameFile(now, d.identity()) {
		return false
	}
	root, self, err := openRoot(d.path)
	if err != nil {
		return false
	}
	d.mu.Lock()
	last := d.root
	if last != nil {
		d.root, d.self = root, self
	}
	d.mu.Unlock()
	if last == nil { // it was closed meanwhile
		last = root
	}
	last.Close() // was only read
	return true
}

// identity describes the directory that is open.
func (d *directory) identity() fs.FileInfo {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.self
}
