package release

// The directory that ROMs are put into, and what is beside it while they are
// fetched.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/pxesidecar/pxesidecar/internal/rom"
)

// What is written must be readable by a server that runs as another user.
const (
	filePerm = 0o644
	dirPerm  = 0o755
)

// recordName is a file in the directory that says where its ROMs come from.
const recordName = ".rom-fetch.json"

// record is what was put into a directory.
type record struct {
	Source     string            `json:"source"`
	SHA256     string            `json:"sha256"`     // of the archive
	SecureBoot bool              `json:"secureBoot"` // without the EFI ROMs that are not signed
	Files      map[string]string `json:"files"`      // their digests, by name
}

// target is a directory that ROMs are put into. It is locked until close.
type target struct {
	dir     string   // the directory, absolute and without symbolic links
	name    string   // its last element
	parent  *os.Root // the directory that it is in
	lock    *os.File
	archive string // the file that ROMs are taken from
}

// openTarget locks a directory, which need not exist.
func openTarget(to string) (*target, error) {
	dir, err := filepath.Abs(to)
	if err != nil {
		return nil, err
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() || filepath.Dir(dir) == dir {
		return nil, fmt.Errorf("%s: name a directory of its own for the ROMs", dir)
	}
	t := &target{dir: dir, name: filepath.Base(dir)}
	if err := makeParents(filepath.Dir(dir)); err != nil {
		return nil, t.explain(err)
	}
	if t.parent, err = os.OpenRoot(filepath.Dir(dir)); err != nil {
		return nil, t.explain(err)
	}
	if err := t.takeLock(); err != nil {
		t.close()
		return nil, t.explain(err)
	}
	if err := t.recover(); err != nil {
		t.close()
		return nil, t.explain(err)
	}
	return t, nil
}

// close releases the directory.
func (t *target) close() {
	if t.lock != nil {
		t.lock.Close() // and with it the lock
	}
	if t.parent != nil {
		t.parent.Close()
	}
}

// makeParents makes a directory and those that it is in, so that everybody can
// read them, whatever the umask is.
func makeParents(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := makeParents(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, dirPerm); err != nil {
		return err
	}
	return os.Chmod(dir, dirPerm)
}

// What is beside the directory, with these endings.
const (
	lockEnd  = "lock"      // it stays: who removes it might remove another's lock
	partEnd  = "part"      // what has arrived of an archive
	aboutEnd = "part.json" // of which
	newEnd   = "new"       // the directory that is to be
	oldEnd   = "old"       // the one that was, where two cannot change places at once
)

// beside returns the name of what is beside the directory.
func (t *target) beside(end string) string { return t.name + "." + end }

// errBusy is the error of a directory that another process works on.
var errBusy = errors.New("another pxesidecar rom fetch is at work there")

// takeLock keeps other processes from working on the directory.
func (t *target) takeLock() (err error) {
	if t.lock, err = t.parent.OpenFile(t.beside(lockEnd), os.O_RDWR|os.O_CREATE, filePerm); err != nil {
		return err
	}
	return lockFile(t.lock)
}

// recover clears away what a process left behind that was killed. If it was
// killed while it put the new directory in the place of the old one, the old
// one is put back.
func (t *target) recover() error {
	if _, err := t.parent.Lstat(t.name); errors.Is(err, fs.ErrNotExist) {
		if err := t.parent.Rename(t.beside(oldEnd), t.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return errors.Join(t.parent.RemoveAll(t.beside(newEnd)), t.parent.RemoveAll(t.beside(oldEnd)))
}

// installed returns what was put into the directory; the zero record if it does
// not exist, or is empty. It is an error if there is anything else in it, which
// would be lost.
func (t *target) installed() (r record, err error) {
	root := os.DirFS(t.dir)
	if text, err := fs.ReadFile(root, recordName); err == nil {
		_ = json.Unmarshal(text, &r) // a damaged one knows of no files
	}
	err = fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch _, ours := r.Files[name]; {
		case name == "." && errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case !ours && name != recordName && !entry.IsDir():
			return fmt.Errorf("%s has %s, which rom fetch did not put there and would remove: name another directory with --to", t.dir, name)
		}
		return nil
	})
	return r, err
}

// intact reports whether the files are as they were put there.
func (t *target) intact(r record) bool {
	if len(r.Files) == 0 {
		return false
	}
	for name, want := range r.Files {
		got, err := digestOf(filepath.Join(t.dir, filepath.FromSlash(name)))
		if err != nil || got != want {
			return false
		}
	}
	return true
}

// install puts the ROMs of the archive, which has that digest, into the
// directory.
func (t *target) install(ctx context.Context, r Request, digest string) (err error) {
	fresh := t.beside(newEnd)
	defer func() { err = errors.Join(err, t.parent.RemoveAll(fresh)) }()
	if err := t.prepare(ctx, r, digest); err != nil {
		return err
	}
	if err := t.swap(); err != nil {
		return err
	}
	syncDir(t.parent, ".")
	return errors.Join(removed(t.parent, t.beside(partEnd)), removed(t.parent, t.beside(aboutEnd)))
}

// removed removes a file. It may be absent.
func removed(root *os.Root, name string) error {
	if err := root.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// prepare makes the directory that is to be, and checks it.
func (t *target) prepare(ctx context.Context, r Request, digest string) error {
	if err := t.parent.Mkdir(t.beside(newEnd), dirPerm); err != nil {
		return err
	}
	to, err := t.parent.OpenRoot(t.beside(newEnd))
	if err != nil {
		return err
	}
	defer to.Close()
	archive, err := os.Open(t.archive)
	if err != nil {
		return err
	}
	defer archive.Close()
	names, err := unpack(ctx, archive, to)
	if err != nil {
		return err
	}
	done := record{Source: r.Source, SHA256: digest, SecureBoot: r.SecureBoot, Files: map[string]string{}}
	for _, name := range names {
		if err := done.keep(to, name); err != nil {
			return err
		}
	}
	if err := checkROMs(to.FS(), r.SecureBoot); err != nil {
		return err
	}
	text, err := json.MarshalIndent(done, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(writeFile(to, recordName, append(text, '\n')), finishDirs(to))
}

// keep adds a file that was unpacked, or removes it if it is not wanted.
func (r record) keep(root *os.Root, name string) error {
	if r.SecureBoot {
		if out, err := isLeftOut(root.FS(), name); err != nil || out {
			return errors.Join(err, root.Remove(name))
		}
	}
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	r.Files[name], err = sumOf(f)
	return err
}

// finishDirs lets everybody read the directories, whatever the umask is,
// removes those that are empty, and writes them to the disk.
func finishDirs(root *os.Root) error {
	return fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		if inside, err := fs.ReadDir(root.FS(), name); err == nil && len(inside) == 0 {
			if err := root.Remove(name); err != nil {
				return err
			}
			return fs.SkipDir
		}
		syncDir(root, name)
		return root.Chmod(name, dirPerm)
	})
}

// syncDir writes a directory to the disk, where the system can.
func syncDir(root *os.Root, name string) {
	if d, err := root.Open(name); err == nil {
		_ = d.Sync()
		d.Close()
	}
}

// swap puts the new directory in the place of the old one: at once, where the
// system can have two names change places. Elsewhere there is a moment without
// the directory.
func (t *target) swap() error {
	fresh := t.beside(newEnd)
	if _, err := t.parent.Lstat(t.name); errors.Is(err, fs.ErrNotExist) {
		return t.parent.Rename(fresh, t.name)
	}
	err := exchange(filepath.Join(filepath.Dir(t.dir), fresh), t.dir)
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return t.replace(fresh, t.beside(oldEnd))
}

// replace moves the old directory away, and the new one to its place.
func (t *target) replace(fresh, old string) error {
	if err := t.parent.Rename(t.name, old); err != nil {
		return err
	}
	if err := t.parent.Rename(fresh, t.name); err != nil {
		return errors.Join(err, t.parent.Rename(old, t.name))
	}
	return t.parent.RemoveAll(old)
}

// explain adds the way out to an error of the file system. If the disk is full,
// what has arrived is removed: the rest of the host needs the room more.
func (t *target) explain(err error) error {
	switch {
	case isFull(err):
		for _, end := range []string{partEnd, aboutEnd} {
			_ = removed(t.parent, t.beside(end))
		}
		return fmt.Errorf("%w: make room in %s, or name another directory with --to; what was there is unchanged", err, filepath.Dir(t.dir))
	case errors.Is(err, syscall.EBUSY):
		return fmt.Errorf("%w: if %s is a mount point, name a directory in it with --to", err, t.dir)
	case errors.Is(err, errBusy):
		return fmt.Errorf("%s: %w", t.dir, err)
	case errors.Is(err, fs.ErrPermission), isReadOnly(err):
		return fmt.Errorf("%w: run it as a user who may write in %s, or name another directory with --to", err, filepath.Dir(t.dir))
	}
	return err
}

// Dir returns the directory that ROMs are fetched into if nobody names one, on
// a host with that root directory. Servers look there by themselves.
func Dir(hostRoot string) string {
	return filepath.Join(hostRoot, filepath.FromSlash(rom.FetchedDir()))
}
