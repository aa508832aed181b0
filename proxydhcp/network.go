package proxydhcp

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// Which of the host's interfaces are served, and as what: worked out anew from
// the kernel's list whenever that changes.

// Interface is a place to serve: an interface of the host, and VLANs on it.
type Interface struct {
	Name       string
	VLANs      []uint16   // 802.1Q ids, served on the host's interface for the id where it has one, else as tagged frames
	TaggedOnly bool       // serve the VLANs alone, not what arrives untagged
	Server     netip.Addr // the address that clients are told; the zero Addr chooses one of the interface that hears them
}

// hostLink is one of the host's interfaces as the kernel has it.
type hostLink struct {
	name      string
	index     int
	up        bool           // and it has a carrier
	parent    int            // of a VLAN interface: the index of the one it is on
	vlan      uint16         // and its 802.1Q id
	bridge    int            // of a bridge's port: the bridge's index
	addresses []netip.Prefix // IPv4, those that clients should be told first
}

// place is what one socket on port 67 serves: the untagged frames of an
// interface, or those with some VLAN ids. Segment.VLAN is then told by each
// frame.
type place struct {
	key       placeKey
	segment   Segment
	tagged    vlanSet
	server    netip.Addr // as in Interface
	addresses []netip.Prefix
}

// placeKey tells whether two places are the same one at different times: the
// entry in Config.Interfaces, the kernel's number of the interface, and whether
// it is about tagged frames.
type placeKey struct {
	entry, index int
	trunk        bool
}

// network is the host's network as far as serving matters. It is immutable; a
// change makes a new one.
type network struct {
	places  []place
	links   []Link              // what is told of them
	byIndex map[int]*place      // the place for what the kernel received, which is untagged
	local   map[netip.Addr]bool // every IPv4 address of this host
}

// newNetwork works out what is served on a host with these interfaces.
func newNetwork(interfaces []Interface, host []hostLink) *network {
	n := &network{byIndex: map[int]*place{}, local: map[netip.Addr]bool{}}
	for _, l := range host {
		for _, p := range l.addresses {
			n.local[p.Addr()] = true
		}
	}
	// An interface that has an entry of its own is not served a second time as
	// the VLAN of another.
	named := map[int]bool{}
	for _, i := range interfaces {
		if l := linkNamed(host, i.Name); l != nil && !i.TaggedOnly {
			named[l.index] = true
		}
	}
	for entry, i := range interfaces {
		n.add(entry, i, host, named)
	}
	for i := range n.places {
		p := &n.places[i]
		if at := n.byIndex[p.key.index]; at == nil || at.key.trunk {
			n.byIndex[p.key.index] = p
		}
	}
	return n
}

// add adds the places of one entry, and their links.
func (n *network) add(entry int, i Interface, host []hostLink, named map[int]bool) {
	l := linkNamed(host, i.Name)
	if l == nil {
		n.links = append(n.links, Link{Interface: i.Name, State: LinkMissing})
		return
	}
	trunk := place{key: placeKey{entry, l.index, true}, segment: Segment{Interface: l.name}, server: i.Server, addresses: l.addresses}
	var children []*hostLink
	for _, id := range i.VLANs {
		child := linkOfVLAN(host, l.index, id)
		switch {
		case child == nil:
			trunk.tagged.add(id)
		case !named[child.index]:
			named[child.index] = true
			children = append(children, child)
			n.places = append(n.places, place{
				key: placeKey{entry, child.index, false}, segment: Segment{Interface: child.name, VLAN: id}, server: i.Server, addresses: child.addresses,
			})
		}
	}
	if !i.TaggedOnly {
		n.places = append(n.places, place{
			key: placeKey{entry, l.index, false}, segment: Segment{Interface: l.name, VLAN: l.vlan}, server: i.Server, addresses: l.addresses,
		})
	}
	if trunk.tagged != (vlanSet{}) {
		n.places = append(n.places, trunk)
	}
	if !i.TaggedOnly || trunk.tagged != (vlanSet{}) {
		n.links = append(n.links, newLink(l, l.vlan, trunk.tagged.ids(), i.Server))
	}
	for _, child := range children {
		n.links = append(n.links, newLink(child, n.vlanAt(child.index), nil, i.Server))
	}
}

// vlanAt returns the VLAN as which an interface is served.
func (n *network) vlanAt(index int) uint16 {
	at := slices.IndexFunc(n.places, func(p place) bool { return p.key.index == index && !p.key.trunk })
	return n.places[at].segment.VLAN
}

// linkNamed returns the interface of that name, nil where there is none.
func linkNamed(host []hostLink, name string) *hostLink {
	return linkWhere(host, func(l *hostLink) bool { return l.name == name })
}

// linkOfVLAN returns the interface that carries a VLAN of another one, nil
// where the host has none. A VLAN interface that is a port of a bridge hands
// everything to the bridge, which is then the one to serve.
func linkOfVLAN(host []hostLink, parent int, id uint16) *hostLink {
	l := linkWhere(host, func(l *hostLink) bool { return l.parent == parent && l.vlan == id })
	if l == nil || l.bridge == 0 {
		return l
	}
	return linkWhere(host, func(b *hostLink) bool { return b.index == l.bridge })
}

func linkWhere(host []hostLink, is func(*hostLink) bool) *hostLink {
	for i := range host {
		if is(&host[i]) {
			return &host[i]
		}
	}
	return nil
}

// check says why what is configured cannot be served at all.
func check(interfaces []Interface, host []hostLink) error {
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
		l := linkNamed(host, i.Name)
		if l == nil {
			return fmt.Errorf("interface %s: no such network interface", i.Name)
		}
		if i.TaggedOnly && len(i.VLANs) == 0 {
			return fmt.Errorf("interface %s: tagged frames only, and no VLAN", i.Name)
		}
		if !i.TaggedOnly {
			if err := claim(i.Name, 0); err != nil {
				return err
			}
			if b := linkWhere(host, func(b *hostLink) bool { return b.index == l.bridge }); l.bridge != 0 && b != nil {
				return fmt.Errorf("interface %s: it is a port of the bridge %s, which takes all that arrives; serve %s", i.Name, b.name, b.name)
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

// arrival says how a packet reached a place: where it was sent, and which of
// our addresses its sender may be told. It returns false for a packet that is
// for another host, such as one that this host routes.
func (n *network) arrival(p *place, port uint16, from netip.AddrPort, to netip.Addr) (Arrival, bool) {
	a := Arrival{Port: port, From: from, To: to, Segment: p.segment, Ours: p.addresses}
	switch {
	case n.local[to]:
		// Asked at an address, we answer from it, also where it is another
		// interface's: the request was routed.
		if !slices.ContainsFunc(p.addresses, func(o netip.Prefix) bool { return o.Addr() == to }) {
			a.Ours = []netip.Prefix{netip.PrefixFrom(to, to.BitLen())}
		}
	case to == broadcastAddr:
	case !slices.ContainsFunc(p.addresses, func(o netip.Prefix) bool { return to == lastAddr(o) }):
		return a, false
	}
	// An address that is not this host's stands for it (behind NAT, say), also
	// where the request came through that.
	if p.server.IsValid() && (port != PortProxy || !n.local[to] || !n.local[p.server]) {
		a.Ours = []netip.Prefix{netip.PrefixFrom(p.server, p.server.BitLen())}
	}
	return a, true
}

// placeOf returns the place that answers a request which the kernel received on
// an interface: the interface's own, else, without its VLAN, one whose clients
// are told that address, which they may reach by any way. It returns false
// where nothing is served.
func (n *network) placeOf(index int, to netip.Addr) (place, bool) {
	if p := n.byIndex[index]; p != nil {
		return *p, true
	}
	for _, p := range n.places {
		if p.server.IsValid() && p.server == to {
			p.segment.VLAN = 0
			return p, true
		}
	}
	return place{}, false
}

// onLink reports whether a host is a neighbour at the place.
func (p *place) onLink(host netip.Addr) bool {
	return slices.ContainsFunc(p.addresses, func(o netip.Prefix) bool { return o.Bits() < 32 && o.Contains(host) })
}

// lastAddr is a network's directed broadcast; the zero Addr where it has none.
func lastAddr(p netip.Prefix) netip.Addr {
	if p.Bits() > 30 {
		return netip.Addr{}
	}
	a := p.Addr().As4()
	last := binary.BigEndian.Uint32(a[:]) | (1<<(32-p.Bits()) - 1)
	binary.BigEndian.PutUint32(a[:], last)
	return netip.AddrFrom4(a)
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
