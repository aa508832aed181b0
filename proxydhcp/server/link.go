package server

import (
	"net/netip"
	"slices"

	"github.com/pxesidecar/pxesidecar/internal/netstate"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Link is the state of a served interface.
type Link struct {
	Interface string
	VLAN      uint16   // of the host's interface for a VLAN: its id
	Tagged    []uint16 // the VLANs that are served on it as tagged frames
	State     LinkState
	Addresses []netip.Prefix // those that clients may be told
	Index     int            // the kernel's number of the interface, another one when the interface is made again
}

// LinkState says whether clients are answered on an interface, and if not, why.
type LinkState uint8

// The states of a link.
const (
	LinkServing   LinkState = iota
	LinkNoAddress           // it has no IPv4 address that a client could be told
	LinkDown                // it is down, or without a carrier
	LinkMissing             // there is no such interface now
)

// linkStateNames are the names that logs show.
var linkStateNames = [...]string{
	LinkServing: "serving", LinkNoAddress: "no IPv4 address", LinkDown: "down", LinkMissing: "missing",
}

// String returns the name that logs show.
func (s LinkState) String() string { return linkStateNames[s] }

// newLink describes an existing interface.
func newLink(i *netstate.Interface, vlan uint16, tagged []uint16, server netip.Addr) Link {
	link := Link{Interface: i.Name, VLAN: vlan, Tagged: tagged, Addresses: i.Addresses, Index: i.Index}
	if server.IsValid() {
		link.Addresses = []netip.Prefix{netip.PrefixFrom(server, server.BitLen())}
	}
	switch {
	case !i.Up():
		link.State = LinkDown
	case !proxydhcp.ChooseServer(link.Addresses, netip.Addr{}).IsValid():
		link.State = LinkNoAddress
	}
	return link
}

// equal reports whether two states are the same to a reader.
func (l Link) equal(o Link) bool {
	return l.Index == o.Index && l.Interface == o.Interface && l.VLAN == o.VLAN && l.State == o.State &&
		slices.Equal(l.Tagged, o.Tagged) && slices.Equal(l.Addresses, o.Addresses)
}

// changedLinks returns the links of now that are new or changed, after those
// that are gone, which are missing.
func changedLinks(before, now []Link) []Link {
	var changed []Link
	known, stays := map[string][]Link{}, map[string]bool{}
	for _, l := range before {
		known[l.Interface] = append(known[l.Interface], l)
	}
	for _, l := range now {
		stays[l.Interface] = true
	}
	for _, l := range before {
		if !stays[l.Interface] && l.State != LinkMissing {
			changed = append(changed, Link{Interface: l.Interface, VLAN: l.VLAN, State: LinkMissing})
		}
	}
	for _, l := range now {
		if !slices.ContainsFunc(known[l.Interface], l.equal) {
			changed = append(changed, l)
		}
	}
	return changed
}
