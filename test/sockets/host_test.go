package sockets

// Hosts: network namespaces of test/lab, connected by cables.

import (
	"net"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// network is the lab of one test. It ends with the test.
type network struct {
	t   *testing.T
	lab *lab.Lab
}

// newNetwork makes a network without hosts.
func newNetwork(t *testing.T) *network {
	t.Helper()
	l, err := lab.NewBare()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return &network{t, l}
}

// node is a host of a network.
type node struct {
	*lab.Host
	network *network
}

// host adds a host without interfaces. It accepts packets from any source
// address, whatever this machine's default is.
func (n *network) host(name string) *node {
	n.t.Helper()
	added, err := n.lab.NewHost(name)
	if err != nil {
		n.t.Fatal(err)
	}
	h := &node{added, n}
	h.sysctl("net/ipv4/conf/all/rp_filter", "0")
	h.sysctl("net/ipv4/conf/default/rp_filter", "0")
	return h
}

// cable makes a host and a client in a network of their own, joined by a cable
// with an interface e0 at each end.
func cable(t *testing.T) (host, client *node) {
	t.Helper()
	n := newNetwork(t)
	host, client = n.host("host"), n.host("client")
	host.connect("e0", client, "e0")
	return host, client
}

// connect joins two hosts by a cable with an interface in each.
func (n *node) connect(iface string, peer *node, peerIface string) {
	n.network.t.Helper()
	if err := n.Connect(iface, peer.Host, peerIface); err != nil {
		n.network.t.Fatal(err)
	}
}

// ip runs the ip command. Spaces separate its arguments.
func (n *node) ip(line string) {
	n.network.t.Helper()
	if err := n.tryIP(line); err != nil {
		n.network.t.Fatal(err)
	}
}

// tryIP is ip, but returns the error.
func (n *node) tryIP(line string) error { return n.IP(strings.Fields(line)...) }

// batch runs many commands of ip, one a line.
func (n *node) batch(lines string) {
	n.network.t.Helper()
	file, err := n.network.lab.Write("batch", lines)
	if err == nil {
		err = n.IP("-batch", file)
	}
	if err != nil {
		n.network.t.Fatal(err)
	}
}

// sysctl sets a kernel variable, named by its path below /proc/sys.
func (n *node) sysctl(name, value string) {
	n.network.t.Helper()
	if err := n.Sysctl(name, value); err != nil {
		n.network.t.Fatal(err)
	}
}

// do runs f inside the host's network: sockets that f opens stay there.
func (n *node) do(f func() error) {
	n.network.t.Helper()
	if err := n.Do(f); err != nil {
		n.network.t.Fatal(err)
	}
}

// mac returns the hardware address of an interface.
func (n *node) mac(iface string) net.HardwareAddr {
	n.network.t.Helper()
	text, err := n.MAC(iface)
	if err != nil {
		n.network.t.Fatal(err)
	}
	mac, err := net.ParseMAC(text)
	if err != nil {
		n.network.t.Fatal(err)
	}
	return mac
}

// packetSockets counts the host's packet sockets.
func (n *node) packetSockets() int {
	n.network.t.Helper()
	sockets, err := n.Sockets()
	if err != nil {
		n.network.t.Fatal(err)
	}
	return sockets.Packet
}

// listen binds a UDP port without sharing it, as DHCP servers do.
func (n *node) listen(port int) (fd int) {
	n.network.t.Helper()
	n.do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrInet4{Port: port})
	})
	return fd
}
