package mmsg

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newTestGroup returns a group of UDP sockets on the loopback interface, and
// their addresses.
func newTestGroup(t *testing.T, count int) (*Group, []netip.AddrPort) {
	t.Helper()
	g, err := NewGroup()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	var addresses []netip.AddrPort
	for range count {
		fd, err := OpenUDP(netip.MustParseAddrPort("127.0.0.1:0"), UDPOptions{ReceiveBuffer: 1 << 20, SendBuffer: 1 << 20, Errors: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Add(fd); err != nil {
			t.Fatal(err)
		}
		name, err := unix.Getsockname(fd)
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(name.(*unix.SockaddrInet4).Port)))
	}
	return g, addresses
}

// TestGroup checks that every datagram to any of many sockets is received once,
// from the right member, however many come at once, and that a wait ends.
func TestGroup(t *testing.T) {
	const members, each = 20, 30
	g, addresses := newTestGroup(t, members)
	in, out := NewIncoming(100), NewOutgoing(BatchSize, 1000)
	if n, more, err := g.Receive(in, time.Now().Add(10*time.Millisecond)); n != 0 || more || err != nil {
		t.Fatalf("%d datagrams, more %v, %v; want none", n, more, err)
	}
	go func() {
		time.Sleep(10 * time.Millisecond)
		g.Wake()
	}()
	if n, _, err := g.Receive(in, time.Time{}); n != 0 || err != nil {
		t.Fatalf("%d datagrams, %v; want to be woken", n, err)
	}
	for round := range each {
		for to, address := range addresses {
			out.AppendCopy(fmt.Appendf(nil, "%d to %d", round, to))
			out.End(address, PacketInfo{Local: address.Addr()}, 0)
			if n, err := g.TrySend(out, (to+1)%members, 0, 1); n != 1 || err != nil {
				t.Fatalf("sent %d, %v", n, err)
			}
			out.Reset()
		}
	}
	got := map[string]bool{}
	for len(got) < members*each {
		n, more, err := g.Receive(in, time.Now().Add(time.Second))
		if n == 0 || err != nil {
			t.Fatalf("%d of %d datagrams, %v", len(got), members*each, err)
		}
		if left := members*each - len(got) - n; more && left == 0 && n < BatchSize {
			t.Errorf("more after the last one")
		}
		for i := range n {
			var round, to int
			if _, err := fmt.Sscanf(string(in.Data(i)), "%d to %d", &round, &to); err != nil || to != in.Member(i) || in.Sender(i) != addresses[(to+1)%members] {
				t.Errorf("%q from %v at member %d, %v", in.Data(i), in.Sender(i), in.Member(i), err)
			}
			got[string(in.Data(i))] = true
		}
	}
}

// TestGroupUndelivered checks that ICMP errors are reported, once each, and
// harm neither receiving nor sending.
func TestGroupUndelivered(t *testing.T) {
	g, addresses := newTestGroup(t, 2)
	other, nobody := newTestGroup(t, 1)
	other.Close() // nobody has the port
	in, out := NewIncoming(100), NewOutgoing(BatchSize, 1000)
	send := func(to netip.AddrPort) {
		t.Helper()
		out.AppendCopy([]byte("x"))
		out.End(to, PacketInfo{Local: to.Addr()}, 0)
		if n, err := g.TrySend(out, 1, 0, 1); n != 1 || err != nil {
			t.Errorf("sent %d, %v", n, err)
		}
		out.Reset()
	}
	send(nobody[0])
	send(addresses[1])
	received := 0
	for range 3 {
		n, _, err := g.Receive(in, time.Now().Add(100*time.Millisecond))
		if err != nil {
			t.Errorf("receiving: %v", err)
		}
		received += n
	}
	if received != 1 {
		t.Errorf("%d datagrams, want 1", received)
	}
	member, to, code, ok := g.Undelivered()
	if !ok || member != 1 || to != nobody[0] || code != 3 {
		t.Errorf("member %d, %v, code %d, %v; want member 1, %v, code 3", member, to, code, ok, nobody[0])
	}
	if _, _, _, ok := g.Undelivered(); ok {
		t.Error("reported twice")
	}
}
