//go:build unix

package main

import (
	"bytes"
	"context"
	"net"
	"syscall"
	"testing"
	"time"
)

// hangUp is a log that sends SIGHUP to this process while the line "ready" is
// written to it, and calls reloaded when the log says so.
type hangUp struct{ reloaded func() }

func (h hangUp) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(`msg="configuration reloaded"`)) {
		h.reloaded()
	} else if bytes.Contains(line, []byte("msg=ready")) && bytes.Contains(line, []byte("tftp=127.0.0.1")) {
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil {
			return 0, err
		}
		time.Sleep(100 * time.Millisecond) // another thread may take the signal
	}
	return len(line), nil
}

// TestHangUpWhenReady checks that SIGHUP is heard as soon as the log says
// "ready". If it were not, it would end this process.
func TestHangUpWhenReady(t *testing.T) {
	free, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.LocalAddr().String()
	free.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	reloaded := false
	log := hangUp{func() { reloaded = true; cancel() }}
	err = newApp(log, log).RunContext(ctx, []string{programName, "serve", "--no-dhcp", "--tftp", address,
		"--next-server", "192.0.2.99", "--rom", "x64=ipxe.efi"})
	if err != nil || !reloaded {
		t.Errorf("reloaded: %v, %v", reloaded, err)
	}
}
