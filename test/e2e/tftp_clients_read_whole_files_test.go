package e2e

// Files by TFTP through real clients, at the sizes where servers fail.

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// tftpClient is a real client: its command to copy a remote file into a local
// one, and the block size that it then uses.
type tftpClient struct {
	name    string
	block   int
	command func(server, file, into string) lab.Command
}

// tftpClients returns the clients.
func tftpClients() []tftpClient {
	return []tftpClient{
		{"tftp-hpa", 512, func(server, file, into string) lab.Command {
			return lab.Command{Path: "tftp", Args: []string{"-m", "binary", server, "-c", "get", file, into}}
		}},
		{"atftp", 1468, func(server, file, into string) lab.Command {
			return lab.Command{Path: "atftp", Args: []string{"--option", "blksize 1468", "--get", "-r", file, "-l", into, server}}
		}},
		{"curl", 1468, func(server, file, into string) lab.Command {
			return lab.Command{Path: "curl", Args: []string{"--silent", "--show-error", "--fail", "--tftp-blksize", "1468", "-o", into, "tftp://" + server + "/" + file}}
		}},
		{"busybox", 1468, func(server, file, into string) lab.Command {
			return lab.Command{Path: "busybox", Args: []string{"tftp", "-b", "1468", "-g", "-r", file, "-l", into, server}}
		}},
	}
}

// TestTFTPClients reads files with real clients, and compares their hashes.
func TestTFTPClients(t *testing.T) {
	t.Parallel()
	r := plainSidecar(t)
	r.lab.Capture.Pause()
	for i, client := range tftpClients() {
		reader, err := r.lab.NewHost(client.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := reader.Join(r.lab.LAN, r.lab.LAN.Address(200+i)); err != nil {
			t.Fatal(err)
		}
		sizes := []int64{0, 1, int64(client.block) - 1, int64(client.block), 100 * int64(client.block), 1_000_003, 65_536*int64(client.block) + 1}
		if client.name == "curl" {
			// It rejects an option "tsize" of 0, from any server.
			sizes = sizes[1:]
		}
		for _, size := range sizes {
			t.Run(fmt.Sprintf("%s reads %d bytes", client.name, size), func(t *testing.T) {
				readByHash(t, r, reader, client, size)
			})
		}
	}
	r.sound(t)
}

// readByHash has a client read a file and compares its hash.
func readByHash(t *testing.T, r trial, reader *lab.Host, client tftpClient, size int64) {
	t.Helper()
	file := fmt.Sprintf("file-%d", size)
	want := content(t, filepath.Join(r.daemon.Root, file), size)
	into := filepath.Join(t.TempDir(), "read")
	p, err := reader.Run(deadline(t, 2*time.Minute), client.command(r.daemon.Address.String(), file, into))
	if err != nil {
		t.Fatalf("%v\n%s", err, r.daemon.Output)
	}
	got, err := os.ReadFile(into)
	if err != nil {
		t.Fatalf("%v\n%s", err, p.Output)
	}
	if sum := sha256.Sum256(got); sum != want {
		t.Errorf("%d bytes with hash %x, want %d with %x\n%s", len(got), sum, size, want, p.Output)
	}
	if took := p.Ran(); size > 10<<20 {
		t.Logf("%.0f MB/s", float64(size)/1e6/took.Seconds())
	}
}
