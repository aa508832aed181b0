// Package netstate reads the host's network interfaces and watches them for
// changes.
package netstate

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
)

// Interface is one of the host's network interfaces.
type Interface struct {
	Name      string
	Index     int // the kernel's number, another one when the interface is made again
	MTU       int // bytes
	Flags     net.Flags
	Parent    int            // of a VLAN interface: the index of the one it is on
	VLAN      uint16         // and its 802.1Q id
	Bridge    int            // of a bridge's port: the bridge's index
	Addresses []netip.Prefix // IPv4, in the order in which clients should be told them
}

// Up reports whether the interface is up and has a carrier.
func (i Interface) Up() bool {
	const running = net.FlagUp | net.FlagRunning
	return i.Flags&running == running
}

// String returns the name with the addresses.
func (i Interface) String() string {
	if len(i.Addresses) == 0 {
		return i.Name + " (no IPv4 address)"
	}
	texts := make([]string, len(i.Addresses))
	for n, a := range i.Addresses {
		texts[n] = a.String()
	}
	return i.Name + " (" + strings.Join(texts, ", ") + ")"
}

// Broadcast returns the directed broadcast address of an IPv4 network, the zero
// Addr if it has none.
func Broadcast(p netip.Prefix) netip.Addr {
	if !p.Addr().Is4() || p.Bits() > 30 {
		return netip.Addr{}
	}
	a := p.Addr().As4()
	last := binary.BigEndian.Uint32(a[:]) | ^uint32(0)>>p.Bits()
	binary.BigEndian.PutUint32(a[:], last)
	return netip.AddrFrom4(a)
}
