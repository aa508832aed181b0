package main

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/windows"
)

// TestPortTakenOnWindows checks that the error which Windows gives for a port
// in use is known as one.
func TestPortTakenOnWindows(t *testing.T) {
	var taken *portTakenError
	if err := advise(&os.SyscallError{Syscall: "bind", Err: windows.WSAEADDRINUSE}, "udp", 0); !errors.As(err, &taken) {
		t.Errorf("%v", err)
	}
}
