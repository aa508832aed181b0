package tftp

import (
	"net/netip"
	"testing"
)

func TestLinks(t *testing.T) {
	hosts := links{
		1: {mtu: 65536, loopback: true, prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8")}},
		2: {mtu: 1500, prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.1.1/24"), netip.MustParsePrefix("fe80::1/64")}},
		3: {mtu: 1500, prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.2.1/25"), netip.MustParsePrefix("192.0.2.7/32")}},
	}
	for _, c := range []struct {
		name          string
		client, local string
		index         int
		suspect       Reason
		pin           int
	}{
		{"on the wire", "10.0.1.9", "10.0.1.1", 2, 0, 2},
		{"behind a router", "172.16.0.9", "10.0.1.1", 2, 0, 0},
		{"another wire's address", "10.0.2.9", "10.0.1.1", 2, 0, 0},
		{"unknown interface", "10.0.1.9", "10.0.1.1", 0, 0, 0},
		{"ourselves over the wire", "10.0.2.1", "10.0.1.1", 2, Forged, 0},
		{"our virtual address over the wire", "192.0.2.7", "10.0.1.1", 2, Forged, 0},
		{"ourselves over loopback", "10.0.1.1", "10.0.1.1", 1, 0, 0},
		{"to the wire's broadcast address", "10.0.1.9", "10.0.1.255", 2, Multicast, 2},
		{"to a shorter wire's", "10.0.2.9", "10.0.2.127", 3, Multicast, 3},
		{"to an address that looks like one", "10.0.2.9", "10.0.2.255", 3, 0, 3},
	} {
		r := Request{Client: netip.AddrPortFrom(netip.MustParseAddr(c.client), 5000), Local: netip.MustParseAddr(c.local), Interface: c.index}
		if got := hosts.suspect(r); got != c.suspect {
			t.Errorf("%s: %v, want %v", c.name, got, c.suspect)
		}
		if got := hosts.pin(r.Client.Addr(), c.index); got != c.pin {
			t.Errorf("%s: leaves by %d, want %d", c.name, got, c.pin)
		}
	}
}
