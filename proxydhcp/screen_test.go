package proxydhcp

// Who is answered at all, and how often.

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// TestScreen checks where no answer goes.
func TestScreen(t *testing.T) {
	policy := shapePolicy()
	policy.Relays = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	networks := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8")}
	relayed := func(relay string) ([]byte, Arrival) {
		in := discover(ArchX64)
		copy(in[offGIAddr:], netip.MustParseAddr(relay).AsSlice())
		a := onServerPort()
		a.Host = map[netip.Addr]bool{netip.MustParseAddr("10.9.9.9"): true}
		return in, a
	}
	proxy := func(from string) ([]byte, Arrival) {
		in := discover(ArchX64)
		in[dhcp4.HeaderLen+2] = uint8(dhcp4.MessageTypeRequest)
		return in, onProxyPort(from)
	}
	for _, tt := range []struct {
		make func(string) ([]byte, Arrival)
		from string
		want Reason
	}{
		{relayed, "10.2.0.1", Answerable},
		{relayed, "203.0.113.1", Answerable},
		{relayed, "192.0.2.77", Answerable}, // on our link
		{relayed, "198.51.100.1", ForeignRelay},
		{relayed, "8.8.8.8", ForeignRelay},
		{relayed, "127.0.0.1", NotARelay},
		{relayed, "224.0.0.1", NotARelay},
		{relayed, "239.255.255.255", NotARelay},
		{relayed, "0.1.2.3", NotARelay},
		{relayed, "240.0.0.1", NotARelay},
		{relayed, "255.255.255.255", NotARelay},
		{relayed, "192.0.2.10", NotARelay}, // ours, there
		{relayed, "10.9.9.9", NotARelay},   // ours, elsewhere
		{proxy, "10.2.0.50:4011", Answerable},
		{proxy, "10.2.0.50:68", Answerable},
		{proxy, "10.2.0.1:67", Answerable},
		{proxy, "10.2.0.50:50000", Answerable}, // behind NAT
		{proxy, "192.0.2.50:4011", Answerable},
		{proxy, "0.0.0.0:68", Answerable},
		{proxy, "10.2.0.50:7", ReflectorPort},
		{proxy, "10.2.0.50:19", ReflectorPort},
		{proxy, "10.2.0.50:53", ReflectorPort},
		{proxy, "10.2.0.50:0", ReflectorPort},
		{proxy, "8.8.8.8:4011", ForeignSource},
	} {
		in, a := tt.make(tt.from)
		res := NewResponder(ResponderConfig{Policy: policy, Allow: within(networks)}).Respond(nil, in, a, testTime)
		if res.Reason != tt.want || (res.Reply != nil) != (tt.want == Answerable) {
			t.Errorf("%s: %s, %d bytes; want %s", tt.from, res.Reason, len(res.Reply), tt.want)
		}
	}

	group := discover(ArchX64)
	group[offCHAddr] |= 1
	if res := NewResponder(ResponderConfig{Policy: policy, Allow: within(networks)}).Respond(nil, group, onServerPort(), testTime); res.Reason != GroupAddress {
		t.Errorf("a group's address: %s", res.Reason)
	}
}

// TestForeignMachine checks that a machine that was heard to boot is answered
// on port 4011 wherever its address is.
func TestForeignMachine(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	s := &site{t: t, now: testTime, r: NewResponder(ResponderConfig{Policy: shapePolicy(), Allow: within(networks)})}
	m := machineAt{mac: testMAC, ip: netip.MustParseAddr("198.51.100.50"), gi: netip.MustParseAddr("10.2.0.1")}
	if got := s.asksProxy(m).Reason; got != ForeignSource {
		t.Errorf("before it was heard: %s", got)
	}
	s.discovers(m)
	s.takes(m)
	if got := s.asksProxy(m).Reason; got != Answerable {
		t.Errorf("after its DHCP: %s", got)
	}
}

// TestRates checks that a rack that powers up is answered, that nobody is
// answered without end, and that others are answered meanwhile.
func TestRates(t *testing.T) {
	for _, tt := range []struct {
		name        string
		send        func(s *site, i int, relay string) Result
		rate, burst int
	}{
		{"relay", func(s *site, i int, relay string) Result {
			m := forged(i, 0)
			m.gi = netip.MustParseAddr(relay)
			return s.discovers(m)
		}, relayRate, relayBurst},
		{"source", func(s *site, i int, source string) Result {
			m := forged(i, 0)
			m.ip = netip.MustParseAddr(source)
			return s.asksProxy(m)
		}, sourceRate, sourceBurst},
	} {
		s := &site{t: t, now: testTime, r: NewResponder(ResponderConfig{Policy: shapePolicy()})}
		answered := func(n int) (count int) {
			for i := range n {
				if tt.send(s, i, "10.2.0.1").Reply != nil {
					count++
				}
			}
			return count
		}
		if got := answered(1000); got != 1000 {
			t.Errorf("%s: %d of a rack's 1000 machines are answered", tt.name, got)
		}
		if got := 1000 + answered(2*tt.burst); got != tt.burst {
			t.Errorf("%s: %d answers at once, want %d", tt.name, got, tt.burst)
		}
		if res := tt.send(s, 0, "10.2.0.1"); res.Reason != TooFast {
			t.Errorf("%s: %s", tt.name, res.Reason)
		}
		if tt.send(s, 0, "10.3.0.1").Reply == nil {
			t.Errorf("%s: another one is not answered", tt.name)
		}
		s.now = s.now.Add(time.Second)
		if got := answered(2 * tt.burst); got != tt.rate {
			t.Errorf("%s: %d answers a second later, want %d", tt.name, got, tt.rate)
		}
	}
}

// within returns whether addresses are in one of the networks.
func within(networks []netip.Prefix) func(netip.Addr) bool {
	return func(a netip.Addr) bool {
		return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
	}
}
