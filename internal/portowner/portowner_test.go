package portowner

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
)

// TestFindNamesThisProcess checks the owner of a UDP port of this process, and
// that a port in no use has none.
func TestFindNamesThisProcess(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(conn.LocalAddr().(*net.UDPAddr).Port)
	want := fmt.Sprintf("(process %d)", os.Getpid())
	if got, ok := Find("udp", port); !ok || got.Program == "" || !strings.HasSuffix(got.String(), want) {
		t.Errorf("owner of our port: %v, %v, want one that ends in %q", got, ok, want)
	}
	if got, ok := Find("tcp", port); ok {
		t.Errorf("owner of the same TCP port: %v, want none", got)
	}
	conn.Close()
	if got, ok := Find("udp", port); ok {
		t.Errorf("owner of an unused port: %v, want none", got)
	}
}
