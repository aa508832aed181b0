package sockets

// Clients behind ISC's dhcrelay.

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/server"
	"github.com/pxesidecar/pxesidecar/test/lab"
)

// startRelay runs dhcrelay on a host, from e1 towards a server behind e0.
func startRelay(t *testing.T, n *node, server string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	stock, err := lab.OpenStock(ctx, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	defer stock.Close()
	dir, _, err := stock.Package(ctx, lab.Bookworm, "isc-dhcp-relay")
	if err != nil {
		t.Fatal(err)
	}
	relay, err := n.Start(lab.Command{Path: filepath.Join(dir, "usr/sbin/dhcrelay"),
		Args: []string{"-4", "-d", "-a", "-pf", filepath.Join(t.TempDir(), "pid"), "-iu", "e0", "-id", "e1", server}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("dhcrelay wrote:\n%s", relay.Output)
		}
	})
	for end := time.Now().Add(limit); n.packetSockets() < 2; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("dhcrelay does not listen")
		}
	}
}

// TestRelay sends a request through a relay, with different routes from the
// server back to the relay.
func TestRelay(t *testing.T) {
	for _, c := range []struct {
		name  string
		route func(host *node) // the route to the relay's address on the client's link
	}{
		{"through the router it came from", func(host *node) { host.ip("route add default via 192.0.2.254") }},
		{"no route", func(*node) {}},
		{"through another interface", func(host *node) {
			host.connect("e5", host.network.host("other"), "e0")
			host.ip("addr add 192.168.5.1/24 dev e5")
			host.ip("route add 198.51.100.0/24 dev e5")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNetwork(t)
			host, router, relay, client := n.host("host"), n.host("router"), n.host("relay"), n.host("client")
			host.connect("e0", router, "e0")
			router.connect("e1", relay, "e0")
			relay.connect("e1", client, "e0")
			host.ip("addr add 192.0.2.1/24 dev e0")
			router.ip("addr add 192.0.2.254/24 dev e0")
			router.ip("addr add 203.0.113.254/24 dev e1")
			relay.ip("addr add 203.0.113.1/24 dev e0")
			relay.ip("addr add 198.51.100.254/24 dev e1")
			relay.ip("route add default via 203.0.113.254")
			router.ip("route add 198.51.100.0/24 via 203.0.113.1")
			for _, n := range []*node{router, relay} {
				n.sysctl("net/ipv4/ip_forward", "1")
			}
			c.route(host)
			v := start(t, host, setup{
				Interfaces: []server.Interface{{Name: "e0"}}, Relayed: true,
				Files: []fileOf{{proxydhcp.Match{Relays: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}, "relayed"}, {proxydhcp.Match{}, "other"}},
			})
			icmp := router.onWire("e0")
			startRelay(t, relay, "192.0.2.1")
			w := client.onWire("e0")
			m := request(t, dhcpv4.MessageTypeDiscover)
			w.send(ethernetAll, broadcast(m))
			want := []answer{{Server: addr("192.0.2.1"), File: "relayed", Type: dhcpv4.MessageTypeOffer, From: addrPort("198.51.100.254:67"), To: addrPort("255.255.255.255:68")}}
			if diff := cmp.Diff(want, w.answers(m.TransactionID, limit), comparers); diff != "" {
				t.Errorf("(-want +got):\n%s\nthe server reported %+v", diff, v.all)
			}
			if n := icmp.unreachables(); n != 0 {
				t.Errorf("the router got %d errors that the port is closed", n)
			}
		})
	}
}

// unreachables counts the ICMP messages "port unreachable" among the frames
// that have arrived.
func (w *wire) unreachables() (count int) {
	w.t.Helper()
	for quiet := 0; quiet < 10; {
		f := w.next()
		if f == nil {
			quiet++
		} else if len(f) > 36 && f[12] == 8 && f[13] == 0 && f[14+9] == unix.IPPROTO_ICMP && f[34] == 3 && f[35] == 3 {
			count++
		}
	}
	return count
}

// TestPortHeld checks that a relayed request causes an ICMP error if the port
// is not held, which shows that TestRelay can fail. It also checks that a held
// port leaves a running DHCP server alone, and that the port is released.
func TestPortHeld(t *testing.T) {
	host, relay := cable(t)
	host.ip("addr add 192.0.2.1/24 dev e0")
	relay.ip("addr add 192.0.2.2/24 dev e0")
	to := host.mac("e0")
	on := []server.Interface{{Name: "e0"}}
	for _, c := range []struct{ held, dhcpd bool }{{false, false}, {true, false}, {true, true}, {false, true}} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			taken := 0
			if c.dhcpd {
				fd := host.listen(67)
				defer unix.Close(fd)
				defer func() {
					buffer := make([]byte, 2048)
					for {
						if _, _, err := unix.Recvfrom(fd, buffer, unix.MSG_DONTWAIT); err != nil {
							break
						}
						taken++
					}
					if taken != 1 {
						t.Errorf("the DHCP server got %d of 1 requests", taken)
					}
				}()
			}
			v := start(t, host, setup{Interfaces: on, Relayed: c.held, Files: []fileOf{{File: "any"}}})
			defer v.stdin.Close()
			w := relay.onWire("e0")
			m := relayed(t, "192.0.2.2")
			w.send(to, packet("192.0.2.2:67", "192.0.2.1:67", m.ToBytes()))
			if diff := cmp.Diff(relayedOffer("192.0.2.1", "any", "192.0.2.2"), w.answers(m.TransactionID, limit), comparers); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			w2 := relay.onWire("e0")
			m = relayed(t, "192.0.2.2")
			if !c.dhcpd {
				w2.send(to, packet("192.0.2.2:67", "192.0.2.1:67", m.ToBytes()))
				want := 1
				if c.held {
					want = 0
				}
				if n := w2.unreachables(); n != want {
					t.Errorf("%d errors that the port is closed, want %d", n, want)
				}
			}
		})
	}
	unix.Close(host.listen(67))
}
