//go:build !windows && !freebsd && !linux

package server

// The control messages here say where a datagram arrived, and from where one is
// to be sent: IP_PKTINFO, or what the system has in its place.

import (
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// controls reads the control messages of one socket.
type controls struct{ message ipv4.ControlMessage }

// ask asks the system for the messages that read reads.
func (c *controls) ask(conn *net.UDPConn) error {
	return ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
}

// read returns the address to which a datagram was sent, and the index of the
// interface that received it; zeros if the system did not say.
func (c *controls) read(oob []byte) (to netip.Addr, index int) {
	c.message.IfIndex = 0
	if len(oob) == 0 || c.message.Parse(oob) != nil {
		return netip.Addr{}, 0
	}
	to, _ = netip.AddrFromSlice(c.message.Dst)
	return to, c.message.IfIndex
}

// controlMessage returns the message by which a datagram is sent from an
// address and by an interface; zeros leave the choice to the system.
func controlMessage(from netip.Addr, index int) []byte {
	return (&ipv4.ControlMessage{Src: from.AsSlice(), IfIndex: index}).Marshal()
}

// linkBroadcast returns the address that reaches everybody on our link.
func linkBroadcast([]netip.Prefix) netip.Addr { return proxydhcp.Broadcast }
