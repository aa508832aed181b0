package lab

// Files that killed processes left: every temporary folder has an owner, and
// folders whose owner has ended are removed.

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

const (
	// tempPattern is the start of the names of all temporary folders.
	tempPattern = "pxesidecar-lab-"
	// ownerFile is in each of them, locked by the process that the folder
	// belongs to as long as that runs.
	ownerFile = ".owner"
)

// tempDir makes a temporary folder that belongs to this process. Programs of
// other users can read it. remove removes it.
func tempDir(name string) (dir string, remove func() error, err error) {
	if dir, err = os.MkdirTemp("", tempPattern+name+"-"); err != nil {
		return "", nil, err
	}
	// The file is locked before it gets the name that sweep looks for, so that
	// sweep never takes a new folder for a leftover.
	fresh := filepath.Join(dir, ownerFile+".new")
	lock, err := os.OpenFile(fresh, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	err = errors.Join(syscall.Flock(int(lock.Fd()), syscall.LOCK_EX), os.Rename(fresh, filepath.Join(dir, ownerFile)), os.Chmod(dir, 0o755))
	remove = func() error { return errors.Join(os.RemoveAll(dir), lock.Close()) }
	if err != nil {
		return "", nil, errors.Join(err, remove())
	}
	return dir, remove, nil
}

// sweep removes the temporary folders whose owners have ended. It ignores
// errors.
func sweep() {
	owners, _ := filepath.Glob(filepath.Join(os.TempDir(), tempPattern+"*", ownerFile))
	for _, path := range owners {
		lock, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			os.RemoveAll(filepath.Dir(path))
		}
		lock.Close()
	}
}
