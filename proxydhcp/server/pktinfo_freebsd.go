package server

// Where a datagram arrived and from where one is sent. FreeBSD takes a
// source address, but no interface: a broadcast goes where its network is.

import (
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"github.com/pxesidecar/pxesidecar/internal/netstate"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// controls reads the control messages of one socket.
type controls struct{ message ipv4.ControlMessage }

// ask asks the system for the messages that read reads, and to send what goes
// to a network's own broadcast address to 255.255.255.255 on that network's
// interface, ip(4).
func (c *controls) ask(conn *net.UDPConn) error {
	if err := ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true); err != nil {
		return err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	if err := raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_ONESBCAST, 1) }); err != nil {
		return err
	}
	return set
}

// read returns to which address a datagram was sent, and the index of the
// interface that received it; zeros where that is not told.
func (c *controls) read(oob []byte) (to netip.Addr, index int) {
	c.message.IfIndex = 0
	if len(oob) == 0 || c.message.Parse(oob) != nil {
		return netip.Addr{}, 0
	}
	to, _ = netip.AddrFromSlice(c.message.Dst)
	return to, c.message.IfIndex
}

// controlMessage has a datagram sent from an address, where that is not
// zero.
func controlMessage(from netip.Addr, _ int) []byte {
	if !from.Is4() {
		return nil
	}
	b := make([]byte, unix.CmsgSpace(4))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = unix.IPPROTO_IP, unix.IP_SENDSRCADDR
	h.SetLen(unix.CmsgLen(4))
	a := from.As4()
	copy(b[unix.CmsgLen(0):], a[:])
	return b
}

// linkBroadcast is the address that reaches everybody on the link of ours.
func linkBroadcast(ours []netip.Prefix) netip.Addr {
	for _, p := range ours {
		if last := netstate.Broadcast(p); last.IsValid() {
			return last
		}
	}
	return proxydhcp.Broadcast
}
