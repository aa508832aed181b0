//go:build !unix

package tftp

import "os"

// makePipe makes what is refused like the pipe of other systems.
func makePipe(path string) error { return os.Symlink(path, path) }
