package e2e

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

// TestTFTPOnTwoAddresses asks a daemon at its second address. The answer must
// come from there.
func TestTFTPOnTwoAddresses(t *testing.T) {
	t.Parallel()
	r := plainSidecar(t)
	second := r.lab.LAN.Address(9)
	if err := r.daemon.Host.IP("addr", "add", netip.PrefixFrom(second, 24).String(), "dev", "eth0"); err != nil {
		t.Fatal(err)
	}
	reader, err := r.lab.NewHost("reader")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Join(r.lab.LAN, r.lab.LAN.Address(200)); err != nil {
		t.Fatal(err)
	}
	into := filepath.Join(t.TempDir(), "read")
	curl := tftpClients()[2]
	if _, err := reader.Run(deadline(t, stepLimit), curl.command(second.String(), "undionly.kpxe", into)); err != nil {
		t.Fatalf("%v\n%s", err, r.daemon.Output)
	}
	want := must(os.ReadFile(filepath.Join(r.daemon.Root, "undionly.kpxe")))
	if got := must(os.ReadFile(into)); !bytes.Equal(got, want) {
		t.Errorf("%d bytes that differ from the file's %d", len(got), len(want))
	}
	r.sound(t)
}
