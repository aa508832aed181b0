package server

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/pxesidecar/pxesidecar/internal/netstate"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Interface is an interface of the host to serve, with VLANs on it.
type Interface struct {
	Name       string
	VLANs      []uint16   // 802.1Q ids, served on the host's interface for the id if there is one, else as tagged frames
	TaggedOnly bool       // serve the VLANs alone, not what arrives untagged
	Server     netip.Addr // the address that clients are told; the zero Addr chooses one of the interface on which they are heard
}

// scope is a part of the network that one socket on port 67 serves: the
// untagged frames of an interface, or those with some VLAN ids. Each tagged
// frame then sets Segment.VLAN.
type scope struct {
	key       scopeKey
	segment   proxydhcp.Segment
	tagged    vlanSet
	server    netip.Addr // as in Interface
	addresses []netip.Prefix
}

// scopeKey identifies a scope at different times: the entry in
// Config.Interfaces, the kernel's number of the interface, and whether it is
// the tagged frames.
type scopeKey struct {
	entry, index int
	trunk        bool
}

// network is the host's network as far as serving matters. A new one is made
// whenever the kernel's list of interfaces changes. It is immutable.
type network struct {
	scopes  []scope
	links   []Link         // the same as people see it
	byIndex map[int]*scope // the scope of what the kernel received, which is untagged
	host    *netstate.Host
}

// newNetwork works out what is served on a host with these interfaces.
func newNetwork(interfaces []Interface, host *netstate.Host) *network {
	n := &network{byIndex: map[int]*scope{}, host: host}
	// An interface that has an entry of its own is not served a second time as
	// the VLAN of another.
	named := map[int]bool{}
	for _, i := range interfaces {
		if h := host.Named(i.Name); h != nil && !i.TaggedOnly {
			named[h.Index] = true
		}
	}
	for entry, i := range interfaces {
		n.add(entry, i, host, named)
	}
	for i := range n.scopes {
		sc := &n.scopes[i]
		if at := n.byIndex[sc.key.index]; at == nil || at.key.trunk {
			n.byIndex[sc.key.index] = sc
		}
	}
	return n
}

// add adds the scopes of one entry, and their links.
func (n *network) add(entry int, i Interface, host *netstate.Host, named map[int]bool) {
	h := host.Named(i.Name)
	if h == nil {
		n.links = append(n.links, Link{Interface: i.Name, State: LinkMissing})
		return
	}
	trunk := scope{key: scopeKey{entry, h.Index, true}, segment: proxydhcp.Segment{Interface: h.Name}, server: i.Server, addresses: h.Addresses}
	var children []Link
	for _, id := range i.VLANs {
		child := interfaceOfVLAN(host, h.Index, id)
		switch {
		case child == nil:
			trunk.tagged.add(id)
		case !named[child.Index]:
			named[child.Index] = true
			children = append(children, newLink(child, id, nil, i.Server))
			n.scopes = append(n.scopes, scope{
				key: scopeKey{entry, child.Index, false}, segment: proxydhcp.Segment{Interface: child.Name, VLAN: id}, server: i.Server, addresses: child.Addresses,
			})
		}
	}
	if !i.TaggedOnly {
		n.scopes = append(n.scopes, scope{
			key: scopeKey{entry, h.Index, false}, segment: proxydhcp.Segment{Interface: h.Name, VLAN: h.VLAN}, server: i.Server, addresses: h.Addresses,
		})
	}
	if trunk.tagged != (vlanSet{}) {
		n.scopes = append(n.scopes, trunk)
	}
	if !i.TaggedOnly || trunk.tagged != (vlanSet{}) {
		n.links = append(n.links, newLink(h, h.VLAN, trunk.tagged.ids(), i.Server))
	}
	n.links = append(n.links, children...)
}

// interfaceOfVLAN returns the interface that carries a VLAN of another one, nil
// if the host has none. A VLAN interface that is a port of a bridge hands
// everything to the bridge, which is then the one to serve.
func interfaceOfVLAN(host *netstate.Host, parent int, id uint16) *netstate.Interface {
	h := host.OfVLAN(parent, id)
	if h == nil || h.Bridge == 0 {
		return h
	}
	return host.At(h.Bridge)
}

// bridgeOf returns the bridge that an interface is a port of, nil if it is of
// none, or does not exist.
func bridgeOf(host *netstate.Host, h *netstate.Interface) *netstate.Interface {
	if h == nil || h.Bridge == 0 {
		return nil
	}
	return host.At(h.Bridge)
}

// check returns an error if what is configured cannot be served at all. An
// interface that does not exist is served when it does.
func check(interfaces []Interface, host *netstate.Host) error {
	seen := map[[2]any]bool{}
	claim := func(name string, id uint16) error {
		key := [2]any{name, id}
		if seen[key] {
			return fmt.Errorf("interface %s: named twice", name)
		}
		seen[key] = true
		return nil
	}
	for _, i := range interfaces {
		h := host.Named(i.Name)
		if i.TaggedOnly && len(i.VLANs) == 0 {
			return fmt.Errorf("interface %s: tagged frames only, and no VLAN", i.Name)
		}
		if !i.TaggedOnly {
			if err := claim(i.Name, 0); err != nil {
				return err
			}
			if b := bridgeOf(host, h); b != nil {
				return fmt.Errorf("interface %s: it is a port of the bridge %s, which takes all that arrives; serve %s", i.Name, b.Name, b.Name)
			}
		}
		for _, id := range i.VLANs {
			if !validVLAN(id) {
				return fmt.Errorf("interface %s: VLAN %d: ids are 1 to 4094", i.Name, id)
			}
			if err := claim(i.Name, id); err != nil {
				return fmt.Errorf("%w, VLAN %d", err, id)
			}
		}
	}
	return nil
}

// isOnLink reports whether a sender is on the link of the scope: it has an
// address there, or none yet.
func (sc *scope) isOnLink(from netip.Addr) bool {
	return from.IsUnspecified() || slices.ContainsFunc(sc.addresses, func(o netip.Prefix) bool { return o.Masked().Contains(from) })
}

// arrival describes how a packet reached a scope: where it was sent, and which
// of our addresses its sender may be told. It returns false for a packet to
// another host, such as one that this host routes.
func (n *network) arrival(sc *scope, port uint16, from netip.AddrPort, to netip.Addr) (proxydhcp.Arrival, bool) {
	a := proxydhcp.Arrival{Port: port, From: from, To: to, Segment: sc.segment, OnLink: sc.isOnLink(from.Addr()), Ours: sc.addresses, Host: n.host.Addresses()}
	switch {
	case n.host.Owns(to):
		// Asked at an address, we answer from it, even if it is another
		// interface's: the request was routed.
		if !slices.ContainsFunc(sc.addresses, func(o netip.Prefix) bool { return o.Addr() == to }) {
			a.Ours = []netip.Prefix{netip.PrefixFrom(to, to.BitLen())}
		}
	case to == proxydhcp.Broadcast:
	case !slices.ContainsFunc(sc.addresses, func(o netip.Prefix) bool { return to == netstate.Broadcast(o) }):
		return a, false
	}
	// An address that is not this host's stands for it (behind NAT, say), even
	// if the request came through that.
	if sc.server.IsValid() && (port != proxydhcp.PortProxy || !n.host.Owns(to) || !n.host.Owns(sc.server)) {
		a.Ours = []netip.Prefix{netip.PrefixFrom(sc.server, sc.server.BitLen())}
	}
	return a, true
}

// scopeOf returns the scope that answers a request which the kernel received on
// an interface: the interface's own, else, without its VLAN, one whose clients
// are told that address, which they may reach by any way. It returns false if
// nothing is served there.
func (n *network) scopeOf(index int, to netip.Addr) (scope, bool) {
	if sc := n.byIndex[index]; sc != nil {
		return *sc, true
	}
	for _, sc := range n.scopes {
		if sc.server.IsValid() && sc.server == to {
			sc.segment.VLAN = 0
			return sc, true
		}
	}
	return scope{}, false
}

// onLink reports whether a host is on the link of the scope.
func (sc *scope) onLink(host netip.Addr) bool {
	return slices.ContainsFunc(sc.addresses, func(o netip.Prefix) bool { return o.Bits() < 32 && o.Contains(host) })
}

// vlanSet is a set of 802.1Q ids.
type vlanSet [128]uint32

// validVLAN reports whether an id can name a VLAN: 0 means no VLAN, and 4095 is
// reserved (IEEE 802.1Q, table 9-2).
func validVLAN(id uint16) bool { return 1 <= id && id <= 4094 }

func (s *vlanSet) add(id uint16) { s[id/32] |= 1 << (id % 32) }

// ids lists the set.
func (s *vlanSet) ids() []uint16 {
	var list []uint16
	for id := range uint16(32 * len(s)) {
		if s[id/32]&(1<<(id%32)) != 0 {
			list = append(list, id)
		}
	}
	return list
}
