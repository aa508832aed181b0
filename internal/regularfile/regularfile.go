// Package regularfile opens files for reading without waiting for anybody. A
// named pipe would wait for somebody to write to it, and a device may have no
// end.
package regularfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// ErrIrregular is why a device, a socket or a named pipe is refused.
var ErrIrregular = errors.New("not a regular file")

// Open opens a file or a directory by its path.
func Open(path string) (*os.File, error) {
	return OpenBy(path, os.Stat, os.OpenFile)
}

// OpenBy opens a file or a directory by functions that work as os.Stat and
// os.OpenFile do. What has the name is looked at before it is opened, so that
// no device notices, and after that again, because it may have been replaced
// meanwhile.
//
// It waits for nobody but the owner of a lease on the file, who has to give it
// up, such as a file server whose client writes to it (fcntl(2)).
func OpenBy(name string, stat func(string) (fs.FileInfo, error), open func(string, int, fs.FileMode) (*os.File, error)) (*os.File, error) {
	info, err := stat(name)
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		err = &fs.PathError{Op: "open", Path: pathError.Path, Err: pathError.Err} // what the caller asked for
	}
	if err == nil {
		err = refuseIrregular(name, info)
	}
	if err != nil {
		return nil, err
	}
	f, err := open(name, os.O_RDONLY|nonblocking, 0)
	if errors.Is(err, syscall.EAGAIN) {
		f, err = open(name, os.O_RDONLY, 0)
	}
	if err != nil {
		return nil, err
	}
	if info, err = f.Stat(); err == nil {
		err = refuseIrregular(name, info)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// refuseIrregular returns an error for what is neither a file nor a directory.
func refuseIrregular(name string, info fs.FileInfo) error {
	if info.Mode().IsRegular() || info.IsDir() {
		return nil
	}
	return &fs.PathError{Op: "open", Path: name, Err: ErrIrregular}
}
