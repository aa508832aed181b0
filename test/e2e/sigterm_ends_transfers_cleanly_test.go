package e2e

import (
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestSIGTERM ends a daemon in the middle of a transfer. It must end within a
// second, and send the client an ERROR.
func TestSIGTERM(t *testing.T) {
	t.Parallel()
	r := plainSidecar(t)
	if err := os.WriteFile(filepath.Join(r.daemon.Root, "large.bin"), make([]byte, 10<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, r, "reading")
	if err := c.IP("addr", "add", netip.PrefixFrom(r.lab.LAN.Address(201), 24).String(), "dev", "eth0"); err != nil {
		t.Fatal(err)
	}
	conn, _, first := firstBlock(t, r, c, "large.bin")
	defer conn.Close()
	if binary.BigEndian.Uint16(first) != 3 {
		t.Fatalf("the transfer began with % x", first[:4])
	}
	signalled := time.Now()
	if err := r.daemon.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := r.daemon.Wait(deadline(t, stepLimit)); err != nil {
		t.Errorf("exit: %v\n%s", err, r.daemon.Output)
	}
	if took := time.Since(signalled); took > time.Second {
		t.Errorf("it took %s to end, want less than a second", took)
	}
	buffer := make([]byte, 2048)
	conn.SetReadDeadline(time.Now().Add(time.Second))
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			t.Fatalf("the client got no ERROR: %v", err)
		}
		if binary.BigEndian.Uint16(buffer) == 5 {
			t.Logf("the client got the ERROR %q", buffer[4:n])
			return
		}
	}
}
