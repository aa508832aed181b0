package server

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/internal/netstate"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// compareNetwork compares what this package's structures hold.
var compareNetwork = cmp.Options{
	cmp.AllowUnexported(scope{}, scopeKey{}),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Transformer("ids", func(s vlanSet) []uint16 { return s.ids() }),
}

func prefixList(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, s := range texts {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

// setOf is a set of VLANs.
func setOf(ids ...uint16) (s vlanSet) {
	for _, id := range ids {
		s.add(id)
	}
	return s
}

// testHost has a plain interface, a trunk with two VLAN interfaces, one of them
// a bridge's port, and a VLAN interface of another trunk with the same id.
func testHost() *netstate.Host {
	return netstate.NewHost([]netstate.Interface{
		{Name: "lo", Index: 1, Flags: net.FlagUp | net.FlagRunning, Addresses: prefixList("127.0.0.1/8")},
		{Name: "lan", Index: 2, Flags: net.FlagUp | net.FlagRunning, Addresses: prefixList("192.0.2.1/24", "203.0.113.1/32")},
		{Name: "trunk", Index: 3, Flags: net.FlagUp | net.FlagRunning, Addresses: prefixList("198.51.100.1/24")},
		{Name: "guests", Index: 4, Flags: net.FlagUp | net.FlagRunning, Parent: 3, VLAN: 20, Addresses: prefixList("10.20.0.1/16")},
		{Name: "trunk.30", Index: 5, Flags: net.FlagUp | net.FlagRunning, Parent: 3, VLAN: 30, Bridge: 6},
		{Name: "br30", Index: 6, Flags: net.FlagUp | net.FlagRunning, Addresses: prefixList("10.30.0.1/16")},
		{Name: "other", Index: 7},
		{Name: "other.40", Index: 8, Parent: 7, VLAN: 40},
	})
}

// TestNewNetwork checks what is served of a host, and what is told of it.
func TestNewNetwork(t *testing.T) {
	server := netip.MustParseAddr("192.0.2.9")
	for _, tt := range []struct {
		name   string
		in     []Interface
		scopes []scope
		links  []Link
	}{
		{
			"one interface", []Interface{{Name: "lan"}},
			[]scope{{key: scopeKey{0, 2, false}, segment: proxydhcp.Segment{Interface: "lan"}, addresses: prefixList("192.0.2.1/24", "203.0.113.1/32")}},
			[]Link{{Interface: "lan", Addresses: prefixList("192.0.2.1/24", "203.0.113.1/32"), Index: 2}},
		},
		{
			"a trunk with everything", []Interface{{Name: "trunk", VLANs: []uint16{20, 30, 40, 41}, Server: server}},
			[]scope{
				{key: scopeKey{0, 4, false}, segment: proxydhcp.Segment{Interface: "guests", VLAN: 20}, server: server, addresses: prefixList("10.20.0.1/16")},
				{key: scopeKey{0, 6, false}, segment: proxydhcp.Segment{Interface: "br30", VLAN: 30}, server: server, addresses: prefixList("10.30.0.1/16")},
				{key: scopeKey{0, 3, false}, segment: proxydhcp.Segment{Interface: "trunk"}, server: server, addresses: prefixList("198.51.100.1/24")},
				{key: scopeKey{0, 3, true}, segment: proxydhcp.Segment{Interface: "trunk"}, tagged: setOf(40, 41), server: server, addresses: prefixList("198.51.100.1/24")},
			},
			[]Link{
				{Interface: "trunk", Tagged: []uint16{40, 41}, Addresses: prefixList("192.0.2.9/32"), Index: 3},
				{Interface: "guests", VLAN: 20, Addresses: prefixList("192.0.2.9/32"), Index: 4},
				{Interface: "br30", VLAN: 30, Addresses: prefixList("192.0.2.9/32"), Index: 6},
			},
		},
		{
			"tagged only, all with interfaces", []Interface{{Name: "trunk", VLANs: []uint16{20}, TaggedOnly: true}},
			[]scope{{key: scopeKey{0, 4, false}, segment: proxydhcp.Segment{Interface: "guests", VLAN: 20}, addresses: prefixList("10.20.0.1/16")}},
			[]Link{{Interface: "guests", VLAN: 20, Addresses: prefixList("10.20.0.1/16"), Index: 4}},
		},
		{
			"tagged only, none with an interface, and down", []Interface{{Name: "other", VLANs: []uint16{20}, TaggedOnly: true}},
			[]scope{{key: scopeKey{0, 7, true}, segment: proxydhcp.Segment{Interface: "other"}, tagged: setOf(20)}},
			[]Link{{Interface: "other", Tagged: []uint16{20}, State: LinkDown, Index: 7}},
		},
		{
			"a VLAN interface by its name too", []Interface{{Name: "trunk", VLANs: []uint16{20}}, {Name: "guests"}},
			[]scope{
				{key: scopeKey{0, 3, false}, segment: proxydhcp.Segment{Interface: "trunk"}, addresses: prefixList("198.51.100.1/24")},
				{key: scopeKey{1, 4, false}, segment: proxydhcp.Segment{Interface: "guests", VLAN: 20}, addresses: prefixList("10.20.0.1/16")},
			},
			[]Link{
				{Interface: "trunk", Addresses: prefixList("198.51.100.1/24"), Index: 3},
				{Interface: "guests", VLAN: 20, Addresses: prefixList("10.20.0.1/16"), Index: 4},
			},
		},
		{
			"missing", []Interface{{Name: "eth9", VLANs: []uint16{20}}}, nil,
			[]Link{{Interface: "eth9", State: LinkMissing}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := newNetwork(tt.in, testHost())
			if diff := cmp.Diff(tt.scopes, n.scopes, compareNetwork); diff != "" {
				t.Errorf("scopes (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.links, n.links, compareNetwork); diff != "" {
				t.Errorf("links (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNetworkChange checks that a VLAN interface takes its VLAN from the trunk
// and gives it back, while every other scope stays the same one.
func TestNetworkChange(t *testing.T) {
	on := []Interface{{Name: "trunk", VLANs: []uint16{20, 40}}}
	with, without := testHost(), netstate.NewHost(slices.Delete(testHost().Interfaces, 3, 4))
	for _, tt := range []struct {
		host *netstate.Host
		want map[scopeKey][]uint16
	}{
		{with, map[scopeKey][]uint16{{0, 3, false}: nil, {0, 3, true}: {40}, {0, 4, false}: nil}},
		{without, map[scopeKey][]uint16{{0, 3, false}: nil, {0, 3, true}: {20, 40}}},
	} {
		got := map[scopeKey][]uint16{}
		for _, p := range newNetwork(on, tt.host).scopes {
			got[p.key] = p.tagged.ids()
		}
		if diff := cmp.Diff(tt.want, got, compareNetwork); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// TestArrival checks which of our addresses a client may be told, and what is
// not for us.
func TestArrival(t *testing.T) {
	n := newNetwork([]Interface{{Name: "lan"}, {Name: "trunk", VLANs: []uint16{40}, Server: netip.MustParseAddr("192.0.2.9")}}, testHost())
	lan, trunk := n.byIndex[2], n.byIndex[3]
	routed := newNetwork([]Interface{{Name: "trunk", Server: netip.MustParseAddr("192.0.2.1")}}, testHost()).byIndex[3]
	for _, tt := range []struct {
		name string
		p    *scope
		port uint16
		to   string
		want []netip.Prefix // nil for not ours
	}{
		{"broadcast", lan, proxydhcp.PortServer, "255.255.255.255", lan.addresses},
		{"to us", lan, proxydhcp.PortServer, "192.0.2.1", lan.addresses},
		{"to another interface's address", lan, proxydhcp.PortServer, "10.20.0.1", prefixList("10.20.0.1/32")},
		{"to the network", lan, proxydhcp.PortServer, "192.0.2.255", lan.addresses},
		{"to another network", lan, proxydhcp.PortServer, "198.51.100.255", nil},
		{"to somebody else", lan, proxydhcp.PortServer, "192.0.2.2", nil},
		{"to many", lan, proxydhcp.PortServer, "224.0.1.2", nil},
		{"to nobody", lan, proxydhcp.PortServer, "0.0.0.0", nil},
		{"broadcast, with a server of its own", trunk, proxydhcp.PortServer, "255.255.255.255", prefixList("192.0.2.9/32")},
		{"relayed, with a server of its own", trunk, proxydhcp.PortServer, "198.51.100.1", prefixList("192.0.2.9/32")},
		{"4011, with another host that stands for it", trunk, proxydhcp.PortProxy, "198.51.100.1", prefixList("192.0.2.9/32")},
		{"4011, with another address of this host", routed, proxydhcp.PortProxy, "198.51.100.1", routed.addresses},
		{"4011 by broadcast, with a server of its own", trunk, proxydhcp.PortProxy, "255.255.255.255", prefixList("192.0.2.9/32")},
	} {
		to, from := netip.MustParseAddr(tt.to), netip.MustParseAddrPort("192.0.2.50:68")
		a, ok := n.arrival(tt.p, tt.port, from, to)
		if ok != (tt.want != nil) || ok && !slices.Equal(a.Ours, tt.want) {
			t.Errorf("%s: %v %v, want %v", tt.name, a.Ours, ok, tt.want)
		}
		if a.From != from || a.To != to || a.Port != tt.port || a.Segment != tt.p.segment {
			t.Errorf("%s: %+v", tt.name, a)
		}
	}
}

// TestScopeOf checks which scope a request to port 4011 belongs to.
func TestScopeOf(t *testing.T) {
	n := newNetwork([]Interface{{Name: "trunk", VLANs: []uint16{20}, TaggedOnly: true, Server: netip.MustParseAddr("192.0.2.1")}}, testHost())
	for _, tt := range []struct {
		name  string
		index int
		to    string
		want  proxydhcp.Segment
		ok    bool
	}{
		{"on the VLAN's interface", 4, "10.20.0.1", proxydhcp.Segment{Interface: "guests", VLAN: 20}, true},
		{"elsewhere, at the address that is told", 2, "192.0.2.1", proxydhcp.Segment{Interface: "guests"}, true},
		{"elsewhere, at another one", 2, "203.0.113.1", proxydhcp.Segment{}, false},
		{"on the trunk without a tag", 3, "198.51.100.1", proxydhcp.Segment{}, false},
	} {
		p, ok := n.scopeOf(tt.index, netip.MustParseAddr(tt.to))
		if ok != tt.ok || p.segment != tt.want {
			t.Errorf("%s: %+v %v, want %+v", tt.name, p.segment, ok, tt.want)
		}
	}
}

// TestChangedLinks checks what is told of interfaces that come and go.
func TestChangedLinks(t *testing.T) {
	eth0 := Link{Interface: "eth0", Addresses: prefixList("192.0.2.1/24"), Index: 2}
	with := func(change func(*Link)) Link {
		l := eth0
		change(&l)
		return l
	}
	trunk, vlan := with(func(l *Link) { l.Tagged = []uint16{20} }), Link{Interface: "eth0.20", VLAN: 20, Index: 3}
	down := with(func(l *Link) { l.State = LinkDown })
	moved := with(func(l *Link) { l.Addresses = prefixList("192.0.2.2/24") })
	again := with(func(l *Link) { l.Index = 9 })
	missing := Link{Interface: "eth0", State: LinkMissing}
	for _, tt := range []struct {
		name              string
		before, now, want []Link
	}{
		{"nothing", []Link{eth0}, []Link{eth0}, nil},
		{"down", []Link{eth0}, []Link{down}, []Link{down}},
		{"another address", []Link{eth0}, []Link{moved}, []Link{moved}},
		{"gone", []Link{eth0}, []Link{missing}, []Link{missing}},
		{"made again", []Link{eth0}, []Link{again}, []Link{again}},
		{"a VLAN's interface appears", []Link{trunk}, []Link{eth0, vlan}, []Link{eth0, vlan}},
		{"and goes", []Link{eth0, vlan}, []Link{trunk}, []Link{{Interface: "eth0.20", VLAN: 20, State: LinkMissing}, trunk}},
		{"and the trunk goes with it", []Link{eth0, vlan}, []Link{missing}, []Link{{Interface: "eth0.20", VLAN: 20, State: LinkMissing}, missing}},
	} {
		if diff := cmp.Diff(tt.want, changedLinks(tt.before, tt.now), compareNetwork); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestLinkState checks what is said of an interface's state.
func TestLinkState(t *testing.T) {
	for _, tt := range []struct {
		up        bool
		addresses []netip.Prefix
		server    string
		want      string
	}{
		{true, prefixList("192.0.2.1/24"), "", "serving"},
		{true, prefixList("169.254.1.1/16"), "", "serving"},
		{true, nil, "", "no IPv4 address"},
		{true, prefixList("127.0.0.1/8"), "", "no IPv4 address"},
		{true, nil, "192.0.2.1", "serving"},
		{false, prefixList("192.0.2.1/24"), "", "down"},
	} {
		server, _ := netip.ParseAddr(tt.server)
		var flags net.Flags
		if tt.up {
			flags = net.FlagUp | net.FlagRunning
		}
		if got := newLink(&netstate.Interface{Flags: flags, Addresses: tt.addresses}, 0, nil, server).State.String(); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}

// TestNetworkGrowsLinearly checks that to serve eight times the interfaces, and
// to compare them with what was served before, takes about eight times as long,
// not sixty-four times.
func TestNetworkGrowsLinearly(t *testing.T) {
	few, many := timeOfNetwork(500), timeOfNetwork(4000)
	if many > 24*few {
		t.Errorf("500 interfaces take %v, 4000 take %v", few, many)
	}
}

// timeOfNetwork returns the least of several times that it takes to work out
// what is served on so many interfaces, and what has changed.
func timeOfNetwork(count int) time.Duration {
	var served []Interface
	var host []netstate.Interface
	for i := range count {
		name := fmt.Sprint("e", i)
		served = append(served, Interface{Name: name, VLANs: []uint16{1, 2}})
		host = append(host, netstate.Interface{Name: name, Index: i + 1, Flags: net.FlagUp | net.FlagRunning})
		host = append(host, netstate.Interface{Name: name + ".1", Index: count + i + 1, Parent: i + 1, VLAN: 1, Flags: net.FlagUp | net.FlagRunning})
	}
	least := time.Hour
	for range 5 {
		began := time.Now()
		n := newNetwork(served, netstate.NewHost(host))
		changedLinks(n.links, newNetwork(served, netstate.NewHost(host)).links)
		least = min(least, time.Since(began))
	}
	return least
}
