package e2e

// TFTP requests and files that several tests share.

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// firstBlock requests a file. It returns the socket, the address that answered,
// and the first packet.
func firstBlock(t *testing.T, r trial, c *lab.Client, file string) (*net.UDPConn, netip.AddrPort, []byte) {
	t.Helper()
	conn, err := c.Socket(netip.AddrPortFrom(netip.IPv4Unspecified(), 0))
	if err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 2048)
	for range 10 {
		if _, err := conn.WriteToUDPAddrPort(lab.ReadRequest(file), r.daemon.At(69)); err != nil {
			t.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(time.Second))
		n, from, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil || n < 4 {
			continue
		}
		return conn, from, buffer[:n]
	}
	t.Fatalf("no answer to a read request\n%s", r.daemon.Output)
	return nil, netip.AddrPort{}, nil
}

// content makes a file of random bytes and returns its hash.
func content(t *testing.T, path string, size int64) [32]byte {
	t.Helper()
	var seed [32]byte
	copy(seed[:], strings.Repeat("tftp", 8))
	var b bytes.Buffer
	if _, err := io.CopyN(&b, rand.NewChaCha8(seed), size); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b.Bytes())
}
