//go:build !windows && !freebsd

package server

import (
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Where a dhcp4.Datagram arrived and from where one is sent: IP_PKTINFO, or what the
// system has in its scope.

// controls reads the control messages of one socket.
type controls struct{ message ipv4.ControlMessage }

// ask asks the system for the messages that read reads.
func (c *controls) ask(conn *net.UDPConn) error {
	return ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
}

// read returns to which address a dhcp4.Datagram was sent, and the index of the
// interface that received it; zeros where that is not told.
func (c *controls) read(oob []byte) (to netip.Addr, index int) {
	c.message.IfIndex = 0
	if len(oob) == 0 || c.message.Parse(oob) != nil {
		return netip.Addr{}, 0
	}
	to, _ = netip.AddrFromSlice(c.message.Dst)
	return to, c.message.IfIndex
}

// controlMessage has a dhcp4.Datagram sent from an address and by an interface, each
// where it is not zero.
func controlMessage(from netip.Addr, index int) []byte {
	return (&ipv4.ControlMessage{Src: from.AsSlice(), IfIndex: index}).Marshal()
}

// linkBroadcast is the address that reaches everybody on the link of ours.
func linkBroadcast([]netip.Prefix) netip.Addr { return proxydhcp.Broadcast }
