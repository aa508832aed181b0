package main

import (
	"errors"

	"golang.org/x/sys/windows"
)

// portLister is the command that shows which process has a port.
const portLister = "netstat -abn"

// isPortTaken reports whether a socket could not be opened because another one
// has its port. Go's EADDRINUSE is a number of its own on Windows, which no
// socket returns.
func isPortTaken(err error) bool { return errors.Is(err, windows.WSAEADDRINUSE) }
