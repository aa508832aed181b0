package tftp

// How the file that a request means is found, and which reason an error of a
// file system has.

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
)

// noFiles is a tree without files.
type noFiles struct{}

// Open finds nothing.
func (noFiles) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// errNotRegular is why something that is neither file nor directory is refused.
var errNotRegular = errors.New("not a regular file")

// findFile returns the file that a requested name means.
func findFile(fsys fs.FS, asked string, ignoreCase bool) (string, fs.FileInfo, error) {
	var first error
	for name := range candidates(asked) {
		info, err := statFile(fsys, name)
		if err == nil {
			return name, info, nil
		}
		if first == nil {
			first = err
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", nil, err
		}
		if ignoreCase {
			if name, info, err := findFolded(fsys, name); err == nil {
				return name, info, nil
			}
		}
	}
	if first == nil {
		first = errName
	}
	return "", nil, first
}

// statFile describes a file. A directory counts as no file. Anything else that
// is not regular is not opened, because that may wait for ever.
func statFile(fsys fs.FS, name string) (fs.FileInfo, error) {
	info, err := fs.Stat(fsys, name)
	switch {
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENAMETOOLONG):
		return nil, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%w: %s is a directory", fs.ErrNotExist, name)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: %s", errNotRegular, name)
	}
	return info, nil
}

// findFolded looks for a name without regard to case, element by element.
func findFolded(fsys fs.FS, name string) (string, fs.FileInfo, error) {
	found := "."
	for element := range strings.SplitSeq(name, "/") {
		entries, err := fs.ReadDir(fsys, found)
		if err != nil {
			return "", nil, err
		}
		match := ""
		for _, entry := range entries {
			if strings.EqualFold(entry.Name(), element) {
				match = entry.Name()
				break
			}
		}
		if match == "" {
			return "", nil, fs.ErrNotExist
		}
		found = strings.TrimPrefix(found+"/"+match, "./")
	}
	info, err := statFile(fsys, found)
	return found, info, err
}

// reasonOf returns the reason for an error of a file system. What a file system
// refuses by itself, without the operating system, is denied: os.Root does so
// with a symbolic link that leads out of it.
func reasonOf(err error) Reason {
	var number syscall.Errno
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return NotFound
	case errors.Is(err, fs.ErrPermission), errors.Is(err, errName), errors.Is(err, errNotRegular), errors.Is(err, fs.ErrInvalid), errors.Is(err, syscall.ELOOP):
		return Denied
	case errors.Is(err, errChanged), errors.Is(err, errNetascii), errors.As(err, &number):
		return Unreadable
	}
	var refused *fs.PathError
	if errors.As(err, &refused) {
		return Denied
	}
	return Unreadable
}
