package lab

// What runs left behind that were killed: every temporary folder has an owner, and folders of dead ones are removed.

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

const (
	// tempPattern is how all temporary folders are named.
	tempPattern = "pxesidecar-lab-"
	// ownerFile is in each of them, locked by the process that the folder belongs to for as long as that lives.
	ownerFile = ".owner"
)

// tempDir makes a temporary folder that belongs to this process, readable for programs that run as somebody else.
// remove takes it away.
func tempDir(name string) (dir string, remove func() error, err error) {
	if dir, err = os.MkdirTemp("", tempPattern+name+"-"); err != nil {
		return "", nil, err
	}
	// Only a locked file gets the name that is looked for, so nobody ever finds a folder's owner dead before its life.
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

// sweep removes the temporary folders whose owners are gone. What it can not remove stays.
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
