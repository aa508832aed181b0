package sockets

// Several interfaces in one process: which server address an answer names, and
// by which interface it leaves.

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/server"
)

// offer returns the expected answer to a broadcast.
func offer(server, file string) []answer {
	return []answer{{Server: addr(server), File: file, Type: dhcpv4.MessageTypeOffer, From: addrPort(server + ":67"), To: addrPort("255.255.255.255:68")}}
}

// acknowledgment returns the expected answer on port 4011.
func acknowledgment(server, file, to string) []answer {
	return []answer{{Server: addr(server), File: file, Type: dhcpv4.MessageTypeAck, From: addrPort(server + ":4011"), To: addrPort(to)}}
}

// TestSegments serves two of a host's three interfaces. Two of them have the
// same network with the same client, so that only the interface distinguishes
// them.
func TestSegments(t *testing.T) {
	n := newNetwork(t)
	host := n.host("host")
	wires := map[string]*wire{}
	for name, address := range map[string]string{"e0": "192.0.2.1/24", "e1": "192.0.2.2/24", "e2": "192.0.2.3/24"} {
		client := n.host("client-" + name)
		host.connect(name, client, "e0")
		host.ip("addr add " + address + " dev " + name)
		client.ip("link set e0 address 52:54:00:00:00:01")
		wires[name] = client.onWire("e0")
	}
	// The clients are raw sockets here, and do not answer ARP.
	for name := range wires {
		host.ip("neigh add 192.0.2.50 lladdr 52:54:00:00:00:01 dev " + name)
	}
	hostMAC := map[string][]byte{}
	for name := range wires {
		hostMAC[name] = host.mac(name)
	}
	v := start(t, host, setup{
		Interfaces: []server.Interface{{Name: "e0"}, {Name: "e1"}},
		Files:      []fileOf{{proxydhcp.Match{Interfaces: []string{"e1"}}, "one"}, {proxydhcp.Match{}, "other"}},
	})
	expect := func(what string, m *dhcpv4.DHCPv4, on string, want []answer) {
		t.Helper()
		for name, w := range wires {
			wait, wanted := 300*time.Millisecond, []answer(nil)
			if name == on {
				wait, wanted = limit, want
			}
			if diff := cmp.Diff(wanted, w.answers(m.TransactionID, wait), comparers); diff != "" {
				t.Errorf("%s, heard on %s (-want +got):\n%s", what, name, diff)
			}
		}
	}
	ask := func(on, from, to string, m *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
		t.Helper()
		wires[on].send(hostMAC[on], packet(from, to, m.ToBytes()))
		return m
	}
	for _, c := range []struct{ on, server, file string }{{"e0", "192.0.2.1", "other"}, {"e1", "192.0.2.2", "one"}} {
		m := request(t, dhcpv4.MessageTypeDiscover)
		wires[c.on].send(ethernetAll, broadcast(m))
		expect("DISCOVER on "+c.on, m, c.on, offer(c.server, c.file))
		client := dhcpv4.WithClientIP([]byte{192, 0, 2, 50})
		m = ask(c.on, "192.0.2.50:4011", c.server+":4011", request(t, dhcpv4.MessageTypeRequest, client))
		expect("4011 on "+c.on, m, c.on, acknowledgment(c.server, c.file, "192.0.2.50:4011"))
		m = ask(c.on, "192.0.2.50:68", "192.0.2.3:4011", request(t, dhcpv4.MessageTypeRequest, client))
		expect("4011 on "+c.on+", at another interface's address", m, c.on, acknowledgment("192.0.2.3", c.file, "192.0.2.50:68"))
		m = ask(c.on, "0.0.0.0:68", "255.255.255.255:4011", request(t, dhcpv4.MessageTypeRequest))
		expect("4011 by broadcast on "+c.on, m, c.on, []answer{{Server: addr(c.server), File: c.file, Type: dhcpv4.MessageTypeAck,
			From: addrPort(c.server + ":4011"), To: addrPort("255.255.255.255:68")}})
	}
	m := request(t, dhcpv4.MessageTypeDiscover)
	wires["e2"].send(ethernetAll, broadcast(m))
	expect("DISCOVER where nothing is served", m, "", nil)
	drain(v)
	m = ask("e2", "192.0.2.50:4011", "192.0.2.1:4011", request(t, dhcpv4.MessageTypeRequest))
	expect("4011 where nothing is served", m, "", nil)
	e := v.await("request", func(e event) bool { return e.Kind == "request" })
	want := event{Kind: "request", Port: 4011, From: "192.0.2.50:4011", To: "192.0.2.1", Server: "invalid IP", Reason: "arrived where nothing is served"}
	if diff := cmp.Diff(want, e, comparers); diff != "" {
		t.Errorf("4011 where nothing is served (-want +got):\n%s", diff)
	}
}

// TestForwarded gives clients the address of another host, which forwards to
// us. Answers must name that address only, and a forwarded request must be
// answered from where it arrived, so that the other host recognizes the answer.
func TestForwarded(t *testing.T) {
	host, client := cable(t)
	host.ip("addr add 192.0.2.1/24 dev e0")
	host.ip("addr add 192.0.2.2/24 dev e0")
	client.ip("link set e0 address 52:54:00:00:00:01")
	host.ip("neigh add 192.0.2.50 lladdr 52:54:00:00:00:01 dev e0")
	w := client.onWire("e0")
	start(t, host, setup{Interfaces: []server.Interface{{Name: "e0", Server: addr("203.0.113.9")}}, Files: []fileOf{{File: "any"}}})
	m := request(t, dhcpv4.MessageTypeDiscover)
	w.send(ethernetAll, broadcast(m))
	if diff := cmp.Diff(offer("203.0.113.9", "any"), w.answers(m.TransactionID, limit), comparers); diff != "" {
		t.Errorf("DISCOVER (-want +got):\n%s", diff)
	}
	for _, at := range []string{"192.0.2.1:4011", "192.0.2.2:4011"} {
		m := request(t, dhcpv4.MessageTypeRequest, dhcpv4.WithClientIP([]byte{192, 0, 2, 50}))
		w.send(host.mac("e0"), packet("192.0.2.50:4011", at, m.ToBytes()))
		want := acknowledgment("203.0.113.9", "any", "192.0.2.50:4011")
		want[0].From = addrPort(at)
		if diff := cmp.Diff(want, w.answers(m.TransactionID, limit), comparers); diff != "" {
			t.Errorf("%s (-want +got):\n%s", at, diff)
		}
	}
}

// TestAddressElsewhere serves a VLAN on a trunk that has no address. Its
// clients get the address of another interface.
func TestAddressElsewhere(t *testing.T) {
	host, client := cable(t)
	host.ip("addr add 192.0.2.1/32 dev lo")
	w := client.onWire("e0")
	start(t, host, setup{Interfaces: []server.Interface{{Name: "e0", VLANs: []uint16{20}, TaggedOnly: true, Server: addr("192.0.2.1")}}, Files: []fileOf{{File: "any"}}})
	m := request(t, dhcpv4.MessageTypeDiscover)
	w.send(ethernetAll, broadcast(m), tag{unix.ETH_P_8021Q, 20})
	want := offer("192.0.2.1", "any")
	want[0].Tags = []tag{{unix.ETH_P_8021Q, 20}}
	if diff := cmp.Diff(want, w.answers(m.TransactionID, limit), comparers); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestRouted sends requests through a router. Those to us must be answered to
// where they came from; those that we only route must not be answered.
func TestRouted(t *testing.T) {
	n := newNetwork(t)
	host, router, client := n.host("host"), n.host("router"), n.host("client")
	host.connect("e0", router, "e0")
	router.connect("e1", client, "e0")
	host.ip("addr add 192.0.2.1/24 dev e0")
	host.ip("addr add 203.0.113.1/32 dev lo")
	router.ip("addr add 192.0.2.254/24 dev e0")
	router.ip("addr add 198.51.100.254/24 dev e1")
	client.ip("addr add 198.51.100.50/24 dev e0")
	client.ip("route add default via 198.51.100.254")
	host.ip("route add 198.51.100.0/24 via 192.0.2.254")
	router.ip("route add 203.0.113.1 via 192.0.2.1")
	router.ip("route add 198.18.0.0/24 via 192.0.2.1")
	router.sysctl("net/ipv4/ip_forward", "1")
	host.sysctl("net/ipv4/ip_forward", "1")
	v := start(t, host, setup{Interfaces: []server.Interface{{Name: "e0"}}, Files: []fileOf{{File: "any"}}})
	w := client.onWire("e0")
	gateway := router.mac("e1")
	for _, c := range []struct {
		name, from, to string
		m              *dhcpv4.DHCPv4
		want           []answer
	}{
		{"4011", "198.51.100.50:4011", "192.0.2.1:4011", request(t, dhcpv4.MessageTypeRequest), acknowledgment("192.0.2.1", "any", "198.51.100.50:4011")},
		{"4011 at an address without an interface", "198.51.100.50:4011", "203.0.113.1:4011", request(t, dhcpv4.MessageTypeRequest), acknowledgment("203.0.113.1", "any", "198.51.100.50:4011")},
		{"relayed", "198.51.100.50:67", "192.0.2.1:67", relayed(t, "198.51.100.50"), relayedOffer("192.0.2.1", "any", "198.51.100.50")},
		{"relayed to an address without an interface", "198.51.100.50:67", "203.0.113.1:67", relayed(t, "198.51.100.50"), relayedOffer("203.0.113.1", "any", "198.51.100.50")},
		{"relayed to a host behind us", "198.51.100.50:67", "198.18.0.7:67", relayed(t, "198.51.100.50"), nil},
	} {
		w.send(gateway, packet(c.from, c.to, c.m.ToBytes()))
		wait := limit
		if c.want == nil {
			wait = 500 * time.Millisecond
		}
		if diff := cmp.Diff(c.want, w.answers(c.m.TransactionID, wait), comparers); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	drain(v)
	if last := v.all[len(v.all)-1]; last.To != "198.18.0.7" || last.Reason != "arrived where nothing is served" {
		t.Errorf("the routed request ended as %+v", last)
	}
}

// relayed returns a DISCOVER as a relay sends it.
func relayed(t *testing.T, relay string) *dhcpv4.DHCPv4 {
	return request(t, dhcpv4.MessageTypeDiscover, dhcpv4.WithGatewayIP(addr(relay).AsSlice()))
}

// relayedOffer returns the expected answer to a relay.
func relayedOffer(server, file, relay string) []answer {
	return []answer{{Server: addr(server), File: file, Type: dhcpv4.MessageTypeOffer, From: addrPort(server + ":67"), To: addrPort(relay + ":67")}}
}
