package attack

// Requests in the names of others, which are then acknowledged by whoever made
// them, without seeing what is sent.

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// victim returns an address that never spoke, and that the server can reach.
func (s *scene) victim(n int) netip.Addr {
	s.t.Helper()
	must(s.t, s.server.IP("neigh", "replace", stranger(n).String(), "lladdr", s.mac.String(), "dev", "e0"))
	return stranger(n)
}

// TestForgedRequest checks what a single forged request has sent to an address
// that does not answer, and to one that has no such port.
func TestForgedRequest(t *testing.T) {
	s := newScene(t)
	for _, c := range []struct {
		name    string
		address netip.Addr
		packets int
	}{
		{"silent", s.victim(0), 3},
		{"closed port", honestAddress, 1},
	} {
		for _, options := range [][]string{nil, {"blksize", "1428", "windowsize", "64"}} {
			s.forge(netip.AddrPortFrom(c.address, 2000), portTFTP, lab.ReadRequest(fileName, options...))
			packets := 0
			for _, d := range s.received(3 * time.Second) {
				if d.To == netip.AddrPortFrom(c.address, 2000) {
					packets++
				}
			}
			if packets != c.packets {
				t.Errorf("%s, options %q: %d packets, want %d", c.name, options, packets, c.packets)
			}
		}
	}
}

// TestFullTable checks that honest clients are served while forged requests
// and acknowledgments fill the table of transfers again and again.
func TestFullTable(t *testing.T) {
	s := newScene(t, "--tftp-max-transfers", "64", "--tftp-single-port")
	addresses := make([]netip.Addr, 250)
	for i := range addresses {
		addresses[i] = s.victim(i)
	}
	stop := flood(75, func(i int) {
		victim := netip.AddrPortFrom(addresses[i%len(addresses)], uint16(2000+i))
		s.forge(victim, portTFTP, lab.ReadRequest(fileName, "blksize", "1428"))
		s.forge(victim, portTFTP, acknowledgment(0)) // with a single port there is none to guess
	})
	time.Sleep(2 * time.Second)
	for range 10 {
		if took, err := s.fetch(20 * time.Second); err != nil || took > time.Second {
			t.Errorf("an honest client needs %v: %v", took, err)
		}
		time.Sleep(300 * time.Millisecond)
	}
	if sent := stop(); sent < 75*5 {
		t.Fatalf("%d requests in the flood, which is too slow", sent)
	}
}
