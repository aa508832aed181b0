package server

// Where a datagram arrived and from where one is sent. FreeBSD takes a source
// address, but no interface: a broadcast goes where its network is.

import (
	"encoding/binary"
	"net"
	"net/netip"

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
// address; zero leaves the choice to the system.
func controlMessage(from netip.Addr, _ int) []byte {
	if !from.Is4() {
		return nil
	}
	// The C type cmsghdr is a length that includes the header, a level and a
	// type.
	b := make([]byte, unix.CmsgSpace(4))
	binary.NativeEndian.PutUint32(b, uint32(unix.CmsgLen(4)))
	binary.NativeEndian.PutUint32(b[4:], unix.IPPROTO_IP)
	binary.NativeEndian.PutUint32(b[8:], unix.IP_SENDSRCADDR)
	a := from.As4()
	copy(b[unix.CmsgLen(0):], a[:])
	return b
}

// linkBroadcast returns the address that reaches everybody on our link.
func linkBroadcast(ours []netip.Prefix) netip.Addr {
	for _, p := range ours {
		if last := netstate.Broadcast(p); last.IsValid() {
			return last
		}
	}
	return proxydhcp.Broadcast
}
