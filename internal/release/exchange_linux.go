package release

import (
	"errors"

	"golang.org/x/sys/unix"
)

// exchange has two paths change places. errors.ErrUnsupported is the error of a
// file system that cannot.
func exchange(a, b string) error {
	err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return errors.ErrUnsupported
	}
	return err
}
