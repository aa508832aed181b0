package proxydhcp

import (
	"net/netip"
	"slices"
)

// What is told of the served interfaces as they come and go.

// Link is a served interface as it stands.
type Link struct {
	Interface string
	VLAN      uint16   // of the host's interface for a VLAN: its id
	Tagged    []uint16 // the VLANs that are served on it as tagged frames
	State     LinkState
	Addresses []netip.Prefix // those that clients may be told
	Index     int            // the kernel's number of the interface, another one when that is made again
}

// LinkState is whether clients are answered on an interface.
type LinkState uint8

// The states of a link.
const (
	LinkServing   LinkState = iota
	LinkNoAddress           // it has no IPv4 address that a client could be told
	LinkDown                // it is down, or without a carrier
	LinkMissing             // there is no such interface now
)

// String returns the state in words.
func (s LinkState) String() string {
	return [...]string{"serving", "no IPv4 address", "down", "missing"}[s]
}

// newLink tells of an interface that exists.
func newLink(l *hostLink, vlan uint16, tagged []uint16, server netip.Addr) Link {
	link := Link{Interface: l.name, VLAN: vlan, Tagged: tagged, Addresses: l.addresses, Index: l.index}
	if server.IsValid() {
		link.Addresses = []netip.Prefix{netip.PrefixFrom(server, server.BitLen())}
	}
	switch {
	case !l.up:
		link.State = LinkDown
	case !chooseServer(link.Addresses, netip.Addr{}).IsValid():
		link.State = LinkNoAddress
	}
	return link
}

// equal reports whether there is nothing to tell between the two.
func (l Link) equal(o Link) bool {
	return l.Index == o.Index && l.Interface == o.Interface && l.VLAN == o.VLAN && l.State == o.State &&
		slices.Equal(l.Tagged, o.Tagged) && slices.Equal(l.Addresses, o.Addresses)
}

// changedLinks returns what is new in now, after as missing what has left it.
func changedLinks(before, now []Link) []Link {
	var changed []Link
	for _, l := range before {
		stays := slices.ContainsFunc(now, func(n Link) bool { return n.Interface == l.Interface })
		if !stays && l.State != LinkMissing {
			changed = append(changed, Link{Interface: l.Interface, VLAN: l.VLAN, State: LinkMissing})
		}
	}
	for _, l := range now {
		if !slices.ContainsFunc(before, l.equal) {
			changed = append(changed, l)
		}
	}
	return changed
}
