package attack

// Requests in the names of addresses that nobody has: the kernel holds each
// answer for the three seconds in which ARP finds nobody.

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// TestProxyPort checks that port 4011 answers an honest machine at the first
// try, whoever asks beside it.
func TestProxyPort(t *testing.T) {
	for _, rate := range []int{250, 2500} {
		t.Run(fmt.Sprintf("%d a second", rate), func(t *testing.T) {
			s := newScene(t)
			conn := s.socket(portProxy)
			stop := flood(rate, func(i int) {
				mac := net.HardwareAddr{2, 1, 0, byte(i >> 16), byte(i >> 8), byte(i)}
				s.forge(netip.AddrPortFrom(stranger(i), portProxy), portProxy, s.request(mac, stranger(i)))
			})
			time.Sleep(time.Second)
			answered, asked := 0, 0
			for end := time.Now().Add(4 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
				asked++
				if s.ask(conn) {
					answered++
				}
			}
			if sent := stop(); sent < rate*4 {
				t.Fatalf("%d requests in the flood, which is too slow", sent)
			}
			if answered != asked {
				t.Errorf("%d of %d answered at the first try", answered, asked)
			}
		})
	}
}

// TestProxyPortBurst checks that none of a thousand requests at once is lost.
func TestProxyPortBurst(t *testing.T) {
	s := newScene(t)
	if !s.ask(s.socket(portProxy)) { // ARP is done
		t.Fatal("not even one is answered")
	}
	s.received(100 * time.Millisecond)
	requests := make([][]byte, 1000)
	for i := range requests {
		requests[i] = s.request(net.HardwareAddr{2, 2, 0, 0, byte(i >> 8), byte(i)}, honestAddress)
	}
	for _, r := range requests {
		s.forge(netip.AddrPortFrom(honestAddress, portProxy), portProxy, r)
	}
	answered := map[string]bool{}
	for _, d := range s.received(time.Second) {
		if d.From.Port() == portProxy {
			answered[string(d.Payload[4:8])] = true
		}
	}
	if len(answered) != len(requests) {
		t.Errorf("%d of %d answered", len(answered), len(requests))
	}
}

// TestFilesBesideForgedRequests checks that an honest machine reads its file
// within a second, whoever asks for files beside it.
func TestFilesBesideForgedRequests(t *testing.T) {
	for _, rate := range []int{100, 1000} {
		t.Run(fmt.Sprintf("%d a second", rate), func(t *testing.T) {
			s := newScene(t)
			stop := flood(rate, func(i int) {
				s.forge(netip.AddrPortFrom(stranger(i), 2000), portTFTP, lab.ReadRequest(fileName, "blksize", "1432"))
			})
			time.Sleep(2 * time.Second)
			for range 5 {
				if took, err := s.fetch(20 * time.Second); err != nil || took > time.Second {
					t.Errorf("an honest client needs %v: %v", took, err)
				}
				time.Sleep(200 * time.Millisecond)
			}
			if sent := stop(); sent < rate*2 {
				t.Fatalf("%d requests in the flood, which is too slow", sent)
			}
		})
	}
}

// TestVanishedMachines checks that machines that vanish in the middle of their
// downloads do not hold up the next one.
func TestVanishedMachines(t *testing.T) {
	s := newScene(t)
	const machines = 100
	for i := range machines {
		must(t, s.peer.IP("addr", "add", stranger(i).String()+"/32", "dev", "e0"))
		conn, err := s.peer.UDP(netip.AddrPortFrom(stranger(i), 2000))
		must(t, err)
		defer conn.Close()
		_, err = conn.WriteToUDPAddrPort(lab.ReadRequest(fileName, "blksize", "1432", "windowsize", "64"), netip.AddrPortFrom(serverAddress, portTFTP))
		must(t, err)
		must(t, conn.SetReadDeadline(time.Now().Add(2*time.Second)))
		_, from, err := conn.ReadFromUDPAddrPort(make([]byte, 2048))
		must(t, err)
		_, err = conn.WriteToUDPAddrPort(acknowledgment(0), from)
		must(t, err)
	}
	for i := range machines {
		must(t, s.peer.IP("addr", "del", stranger(i).String()+"/32", "dev", "e0"))
	}
	must(t, s.server.IP("neigh", "flush", "dev", "e0"))
	time.Sleep(500 * time.Millisecond) // the windows are repeated
	for range 3 {
		if took, err := s.fetch(20 * time.Second); err != nil || took > time.Second {
			t.Errorf("the next machine needs %v: %v", took, err)
		}
		time.Sleep(time.Second)
	}
}

// TestNoPort checks that a request from port 0, which cannot be answered, is no
// failure of ours.
func TestNoPort(t *testing.T) {
	s := newScene(t)
	nobody := netip.AddrPortFrom(honestAddress, 0)
	s.forge(nobody, portProxy, s.request(s.mac, honestAddress))
	s.forge(nobody, portTFTP, lab.ReadRequest(fileName))
	if !s.ask(s.socket(portProxy)) {
		t.Error("an honest client is not answered")
	}
	if text := s.program.Output.String(); strings.Contains(text, "level=ERROR") {
		t.Errorf("the log has an error:\n%s", text)
	}
}
