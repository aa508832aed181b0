package tftp

// What the server uses of the host's interfaces: their MTU, their addresses,
// and who is on their link.

import (
	"net"
	"net/netip"

	"github.com/pxesidecar/pxesidecar/internal/netstate"
)

// screen returns why a request is ignored, 0 if it is not: it claims to come
// from an address of ours but did not arrive on the loopback interface, or it
// was sent to a link's broadcast address. Linux reports the latter with the
// packet, other systems do not.
func screen(host *netstate.Host, r Request) Reason {
	at := host.At(r.Interface)
	onLoopback := r.Interface == 0 || at != nil && at.Flags&net.FlagLoopback != 0
	switch {
	case !onLoopback && host.Owns(r.Client.Addr()):
		return Forged
	case host.IsBroadcast(r.Local):
		return Multicast
	}
	return 0
}

// replyInterface returns the interface that replies to a client must leave by.
// It is the one that the request arrived on if the client is on its link, so
// that two links with the same addresses are kept apart. It is 0, for the
// routing table to choose, if the client is behind a router.
func replyInterface(host *netstate.Host, client netip.Addr, index int) int {
	at := host.At(index)
	if at == nil {
		return 0
	}
	for _, p := range at.Addresses {
		if !p.IsSingleIP() && p.Contains(client) {
			return index
		}
	}
	return 0
}

// mtuOf returns the MTU of an interface in bytes, 0 if it is unknown.
func mtuOf(host *netstate.Host, index int) int {
	if at := host.At(index); at != nil {
		return at.MTU
	}
	return 0
}

// usesARP reports whether the hosts on the link of an interface are looked for
// by ARP. There is none for 0, the way of the routing table.
func usesARP(host *netstate.Host, index int) bool {
	at := host.At(index)
	return at != nil && at.Flags&net.FlagBroadcast != 0 && at.Flags&net.FlagLoopback == 0
}
