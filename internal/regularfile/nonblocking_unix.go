//go:build !windows

package regularfile

import "syscall"

// nonblocking opens a named pipe without waiting for somebody to write to it,
// and changes nothing for a file (POSIX, open).
const nonblocking = syscall.O_NONBLOCK
