package netstate

import "net/netip"

// Host is the host's interfaces at one moment, to be found by what is known of
// them. It is immutable.
type Host struct {
	Interfaces []Interface

	byName     map[string]*Interface
	byIndex    map[int]*Interface
	byVLAN     map[vlanKey]*Interface
	addresses  map[netip.Addr]bool
	broadcasts map[netip.Addr]bool
}

// vlanKey identifies a VLAN of the interface that carries it.
type vlanKey struct {
	parent int
	id     uint16
}

// NewHost returns a host with these interfaces. Of several that have the same
// name, index or VLAN, the first is found.
func NewHost(interfaces []Interface) *Host {
	h := &Host{
		Interfaces: interfaces,
		byName:     make(map[string]*Interface, len(interfaces)), byIndex: make(map[int]*Interface, len(interfaces)),
		byVLAN: map[vlanKey]*Interface{}, addresses: map[netip.Addr]bool{}, broadcasts: map[netip.Addr]bool{},
	}
	for n := range interfaces {
		i := &interfaces[n]
		addFirst(h.byName, i.Name, i)
		addFirst(h.byIndex, i.Index, i)
		if i.VLAN != 0 {
			addFirst(h.byVLAN, vlanKey{i.Parent, i.VLAN}, i)
		}
		for _, p := range i.Addresses {
			h.addresses[p.Addr()] = true
			if b := Broadcast(p); b.IsValid() && b != p.Addr() {
				h.broadcasts[b] = true
			}
		}
	}
	return h
}

// addFirst adds an interface, unless there is one with its key.
func addFirst[K comparable](to map[K]*Interface, key K, i *Interface) {
	if _, taken := to[key]; !taken {
		to[key] = i
	}
}

// Named returns the interface of that name, nil if there is none.
func (h *Host) Named(name string) *Interface { return h.byName[name] }

// At returns the interface of that index, nil if there is none.
func (h *Host) At(index int) *Interface { return h.byIndex[index] }

// OfVLAN returns the interface for a VLAN of another interface, by its index;
// nil if there is none.
func (h *Host) OfVLAN(parent int, id uint16) *Interface { return h.byVLAN[vlanKey{parent, id}] }

// Owns reports whether an address is one of this host.
func (h *Host) Owns(a netip.Addr) bool { return h.addresses[a] }

// Addresses returns the addresses of the host's interfaces. The set is shared:
// it is not to be changed.
func (h *Host) Addresses() map[netip.Addr]bool { return h.addresses }

// IsBroadcast reports whether an address is the directed broadcast address of a
// network that an interface is in.
func (h *Host) IsBroadcast(a netip.Addr) bool { return h.broadcasts[a] }
