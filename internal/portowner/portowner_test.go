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
	if got := Find("udp", port); !strings.HasSuffix(got, want) {
		t.Errorf("owner of our port: %q, want it to end in %q", got, want)
	}
	if got := Find("tcp", port); got != "" {
		t.Errorf("owner of the same TCP port: %q, want none", got)
	}
	conn.Close()
	if got := Find("udp", port); got != "" {
		t.Errorf("owner of an unused port: %q, want none", got)
	}
}
