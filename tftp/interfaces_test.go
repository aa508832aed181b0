package tftp

import (
	"net"
	"net/netip"
	"testing"

	"github.com/pxesidecar/pxesidecar/internal/netstate"
)

// TestInterfaces checks which requests the interfaces rule out, and by which
// interface the others are answered.
func TestInterfaces(t *testing.T) {
	host := netstate.NewHost([]netstate.Interface{
		{Index: 1, Flags: net.FlagLoopback, Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8")}},
		{Index: 2, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.1.1/24")}},
		{Index: 3, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.2.1/25"), netip.MustParsePrefix("192.0.2.7/32")}},
	})
	for _, c := range []struct {
		name          string
		client, local string
		index         int
		reason        Reason
		forReply      int
	}{
		{"on the link", "10.0.1.9", "10.0.1.1", 2, 0, 2},
		{"behind a router", "172.16.0.9", "10.0.1.1", 2, 0, 0},
		{"another link's address", "10.0.2.9", "10.0.1.1", 2, 0, 0},
		{"unknown interface", "10.0.1.9", "10.0.1.1", 0, 0, 0},
		{"our own address on a link", "10.0.2.1", "10.0.1.1", 2, Forged, 0},
		{"our virtual address on a link", "192.0.2.7", "10.0.1.1", 2, Forged, 0},
		{"our own address on loopback", "10.0.1.1", "10.0.1.1", 1, 0, 0},
		{"to the link's broadcast address", "10.0.1.9", "10.0.1.255", 2, Multicast, 2},
		{"to that of a smaller network", "10.0.2.9", "10.0.2.127", 3, Multicast, 3},
		{"to an address that looks like one", "10.0.2.9", "10.0.2.255", 3, 0, 3},
	} {
		r := Request{Client: netip.AddrPortFrom(netip.MustParseAddr(c.client), 5000), Local: netip.MustParseAddr(c.local), Interface: c.index}
		if got := screen(host, r); got != c.reason {
			t.Errorf("%s: %v, want %v", c.name, got, c.reason)
		}
		if got := replyInterface(host, r.Client.Addr(), c.index); got != c.forReply {
			t.Errorf("%s: the reply leaves by %d, want %d", c.name, got, c.forReply)
		}
	}
}
