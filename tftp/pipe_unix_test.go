//go:build unix

package tftp

import "syscall"

// makePipe makes something that is neither file nor directory and waits when it
// is opened.
func makePipe(path string) error { return syscall.Mkfifo(path, 0o644) }
