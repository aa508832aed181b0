package release

import (
	"errors"

	"golang.org/x/sys/unix"
)

// exchange has two paths change places. errors.ErrUnsupported is the error of a
// file system that cannot.
func exchange(a, b string) error {
	err := unix.RenamexNp(a, b, unix.RENAME_SWAP)
	if errors.Is(err, unix.ENOTSUP) {
		return errors.ErrUnsupported
	}
	return err
}
