//go:build !unix

package tftp

import "os"

// makePipe makes something that is refused like a pipe.
func makePipe(path string) error { return os.Symlink(path, path) }
