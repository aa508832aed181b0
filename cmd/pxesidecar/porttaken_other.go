//go:build !windows

package main

import (
	"errors"
	"syscall"
)

// portLister is the command that shows which process has a port.
const portLister = "ss -lnp"

// isPortTaken reports whether a socket could not be opened because another one
// has its port.
func isPortTaken(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }
