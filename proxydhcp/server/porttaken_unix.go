//go:build !windows && !linux

package server

import (
	"errors"
	"syscall"
)

// isTaken reports whether a port could not be had because another process has
// it.
func isTaken(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }
