package proxydhcp

// The table of machines: how a record is found, and which one makes room for a
// new one.

import (
	"crypto/sha256"
	"hash/maphash"
	"iter"
	"net/netip"
	"slices"
	"time"
	"unique"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

const (
	// maxMachines bounds the table: at most 384 bytes a machine.
	maxMachines = 65536

	// maxUnproven bounds how many of them have not read a file yet: those that
	// are about to, and those that somebody makes up.
	maxUnproven = maxMachines / 4

	// maxDomains bounds how many parts of the network have a share of their own
	// in the table. The rest have one together.
	maxDomains = 256

	// maxHolders bounds how many machines can have taken the same address.
	maxHolders = 16

	// leaseFresh is how long a machine is assumed to have an address after it
	// took it, although another one takes the same.
	leaseFresh = 5 * time.Minute

	// maxClass bounds how much of a vendor class or a user class is remembered,
	// in bytes.
	maxClass = 64
)

// identity is what a machine says of itself in each of its requests. One
// hardware address is not one machine: an adapter for USB boots many. A machine
// on InfiniBand has none in the header, and names itself in option 61 (RFC
// 4390, section 2.1).
type identity struct {
	station HardwareAddr // if its length is 0, Bytes is a digest of option 61
	uuid    UUID         // zero if it says none
}

// stationOf reads an identity without its UUID, which servers do not repeat.
func stationOf(m *dhcp4.Message) HardwareAddr {
	if n := int(m.Hardware.Len); n > 0 && n <= len(m.Hardware.Bytes) {
		station := m.Hardware
		clear(station.Bytes[n:])
		return station
	}
	station := HardwareAddr{Type: m.Hardware.Type}
	if v := m.Option(dhcp4.OptionClientIdentifier); len(v) > 0 {
		sum := sha256.Sum256(v)
		copy(station.Bytes[:], sum[:])
	}
	return station
}

// known reports whether an identity distinguishes its machine from others.
func (id *identity) known() bool {
	return id.station.Len > 0 || id.station.Bytes != [16]byte{} || id.uuid != (UUID{})
}

// interned is a value that many machines share, so that it is kept once. The
// zero interned is the zero value.
type interned[T comparable] struct{ handle unique.Handle[T] }

// get returns the value.
func (i interned[T]) get() (v T) {
	if i.handle != (unique.Handle[T]{}) {
		v = i.handle.Value()
	}
	return v
}

// set replaces the value. It costs little if the new value is the same.
func (i *interned[T]) set(v T) {
	var zero T
	switch {
	case v == zero:
		i.handle = unique.Handle[T]{}
	case i.get() != v:
		i.handle = unique.Make(v)
	}
}

// instant is a time as records keep it: the nanoseconds since the epoch of the
// table. 0 is never.
type instant int64

// since returns the time from t to i.
func (i instant) since(t instant) time.Duration { return time.Duration(i - t) }

// at returns a time as an instant. The table must be locked.
func (m *Machines) at(now time.Time) instant {
	if m.epoch.IsZero() {
		m.epoch = now.Add(-24 * time.Hour) // so that no request comes at 0
	}
	return instant(now.Sub(m.epoch))
}

// domain is a part of the network that has a share of the table: what arrives
// on an interface, in a VLAN, from a relay. The records of each list are in the
// order in which their machines were last heard.
type domain struct {
	key      Segment // without the circuit
	unproven lru
	proven   lru
}

// lru is a list of records, the most recently heard in front.
type lru struct {
	front, back *machine
	len         int
}

// push adds a record in front.
func (l *lru) push(k *machine) {
	k.newer, k.older = nil, l.front
	if l.front != nil {
		l.front.newer = k
	} else {
		l.back = k
	}
	l.front = k
	l.len++
}

// remove takes a record out.
func (l *lru) remove(k *machine) {
	if k.newer != nil {
		k.newer.older = k.older
	} else {
		l.front = k.older
	}
	if k.older != nil {
		k.older.newer = k.newer
	} else {
		l.back = k.newer
	}
	k.newer, k.older = nil, nil
	l.len--
}

// list returns the list of its domain that a record is in.
func (m *Machines) list(k *machine) *lru {
	if k.proven {
		return &m.domains[k.domain].proven
	}
	return &m.domains[k.domain].unproven
}

// index finds records by a key of theirs. Records with the same key, or the
// same hash by accident, are in one chain, the newest in front.
type index[K comparable] struct {
	seed  maphash.Seed
	heads []*machine
	len   int
	key   func(*machine) K
	next  func(*machine) **machine
}

// newIndex returns an empty index by a key, whose chains use a field.
func newIndex[K comparable](key func(*machine) K, next func(*machine) **machine) index[K] {
	return index[K]{seed: maphash.MakeSeed(), heads: make([]*machine, 16), key: key, next: next}
}

// head returns where the chain of a key begins.
func (x *index[K]) head(key K) **machine {
	return &x.heads[maphash.Comparable(x.seed, key)&uint64(len(x.heads)-1)]
}

// all returns the records with a key, the newest first.
func (x *index[K]) all(key K) iter.Seq[*machine] {
	return func(yield func(*machine) bool) {
		for k := *x.head(key); k != nil; {
			next := *x.next(k) // k may leave the chain
			if x.key(k) == key && !yield(k) {
				return
			}
			k = next
		}
	}
}

// add adds a record.
func (x *index[K]) add(k *machine) {
	if x.len++; 2*x.len > len(x.heads) { // short chains: each step is a cache miss
		x.grow()
	}
	head := x.head(x.key(k))
	*x.next(k), *head = *head, k
}

// grow doubles the number of chains.
func (x *index[K]) grow() {
	old := x.heads
	x.heads = make([]*machine, 2*len(old))
	for _, k := range old {
		var chain []*machine
		for ; k != nil; k = *x.next(k) {
			chain = append(chain, k)
		}
		for _, k := range slices.Backward(chain) { // in the same order
			head := x.head(x.key(k))
			*x.next(k), *head = *head, k
		}
	}
}

// remove takes a record out, if it is there.
func (x *index[K]) remove(k *machine) {
	for at := x.head(x.key(k)); *at != nil; at = x.next(*at) {
		if *at == k {
			*at, *x.next(k) = *x.next(k), nil
			x.len--
			return
		}
	}
}

// find returns the record of a machine in a segment, nil if there is none. A
// machine whose firmware and whose iPXE do not both say a UUID is one machine.
func (m *Machines) find(id identity, s *Segment) *machine {
	// Nearly always it is the machine that was heard last.
	if k := m.last; k != nil && k.station == id.station && k.uuid == id.uuid && k.segment.get() == *s {
		return k
	}
	var alike *machine
	for k := range m.byStation.all(id.station) {
		switch {
		case !k.mayBe(id) || k.segment.get() != *s:
		case k.uuid == id.uuid:
			return k
		case alike == nil || k.heard > alike.heard:
			alike = k
		}
	}
	return alike
}

// findRouted is find for a request that may be routed, past the relay and out
// of the VLAN: the record is that of the machine which took the address; else
// the one in the segment in which the request arrives; else the one that was
// heard last. onLink says that the address is one of that segment, so that the
// request was not routed: there the segment counts before the address.
func (m *Machines) findRouted(id identity, ip netip.Addr, s *Segment, onLink bool) (found *machine) {
	rank := func(k *machine) int {
		switch {
		case onLink && k.segment.get() == *s:
			return 3
		case k.has(ip):
			return 2
		case k.segment.get() == *s:
			return 1
		}
		return 0
	}
	best := 0
	for k := range m.byStation.all(id.station) {
		if !k.mayBe(id) {
			continue
		}
		if r := rank(k); found == nil || r > best || r == best && k.heard > found.heard {
			found, best = k, r
		}
	}
	return found
}

// mayBe reports whether a record of the same station is that of the machine.
func (k *machine) mayBe(id identity) bool {
	return k.uuid == id.uuid || k.uuid == (UUID{}) || id.uuid == (UUID{})
}

// insert adds a record of a machine in a segment. If the table is full, another
// one makes room.
func (m *Machines) insert(id identity, s Segment) *machine {
	k := m.room()
	m.count++
	if l := m.last; l != nil { // it is often of the same kind, in the same segment
		k.kind, k.segment = l.kind, l.segment
	}
	k.station, k.uuid = id.station, id.uuid
	k.segment.set(s)
	k.domain = m.domainOf(s)
	m.list(k).push(k)
	m.unproven++
	if id.known() {
		m.byStation.add(k)
	}
	return k
}

// room returns an empty record: a new one, or in place of another.
func (m *Machines) room() *machine {
	if m.count < maxMachines && m.unproven < maxUnproven {
		return &machine{}
	}
	k := m.victim()
	m.forget(k)
	*k = machine{}
	return k
}

// victim returns the record that makes room. Whoever can send a frame can make
// up machines, but only in a part of the network where it is, and none that
// reads a file to its end. So a machine that has not done that comes first, in
// the part of the network that has the most of them, and there the one that was
// quiet for the longest time.
func (m *Machines) victim() *machine {
	var unproven, proven *lru
	for _, d := range m.domains {
		switch {
		case d == nil:
			continue
		case unproven == nil:
			unproven, proven = &d.unproven, &d.proven
			continue
		}
		if d.unproven.len > unproven.len {
			unproven = &d.unproven
		}
		if d.proven.len > proven.len {
			proven = &d.proven
		}
	}
	if unproven.len > 0 {
		return unproven.back
	}
	return proven.back
}

// domainOf returns the index of a segment's domain. When there is no room for
// another one, it is the first, of what has no segment.
func (m *Machines) domainOf(s Segment) uint8 {
	s.Circuit = ""
	free := len(m.domains)
	for i, d := range m.domains {
		switch {
		case d == nil:
			free = i
		case d.key == s:
			return uint8(i)
		}
	}
	if free == maxDomains {
		return 0
	}
	if free == len(m.domains) {
		m.domains = append(m.domains, nil)
	}
	m.domains[free] = &domain{key: s}
	return uint8(free)
}

// forget takes a record out of the table.
func (m *Machines) forget(k *machine) {
	m.loading.leave(k)
	m.release(k)
	m.byStation.remove(k)
	m.list(k).remove(k)
	if !k.proven {
		m.unproven--
	}
	if m.last == k {
		m.last = nil
	}
	if d := m.domains[k.domain]; k.domain > 0 && d.unproven.len+d.proven.len == 0 {
		m.domains[k.domain] = nil
	}
	m.count--
}

// touch notes that a machine is heard.
func (m *Machines) touch(k *machine) {
	m.last = k
	if l := m.list(k); l.front != k {
		l.remove(k)
		l.push(k)
	}
}

// prove notes that a machine has read a file to its end.
func (m *Machines) prove(k *machine) {
	if !k.proven {
		m.list(k).remove(k)
		k.proven = true
		m.list(k).push(k)
		m.unproven--
	}
}

// has reports whether the machine has an address.
func (k *machine) has(ip netip.Addr) bool { return ip.IsValid() && k.ip == ip.As16() }

// address returns the machine's address, the zero Addr if none is known.
func (k *machine) address() netip.Addr {
	if k.ip == ([16]byte{}) {
		return netip.Addr{}
	}
	return netip.AddrFrom16(k.ip).Unmap()
}

// holders returns the machines that took an address, the last first.
func (m *Machines) holders(ip netip.Addr) iter.Seq[*machine] {
	if !ip.IsValid() {
		return func(func(*machine) bool) {}
	}
	return m.byIP.all(ip.As16())
}

// owner returns the machine that has an address, nil if nobody or more than one
// is known to have it. A machine that was heard in several segments is one.
func (m *Machines) owner(ip netip.Addr) (owner *machine) {
	for k := range m.holders(ip) {
		switch {
		case owner == nil:
			owner = k
		case k.station != owner.station:
			return nil
		}
	}
	return owner
}

// take notes that a machine takes an address. It takes it away from nobody who
// took it lately: anybody can say that it takes an address. What is known of
// the address alone becomes part of the machine's record.
func (m *Machines) take(k *machine, ip netip.Addr, now instant) {
	k.taken = now
	if k.has(ip) {
		return
	}
	m.release(k)
	others, quietest := 0, (*machine)(nil)
	for h := range m.holders(ip) {
		switch {
		case h.anonymous:
			k.read = h.read
			if notes := h.start.notes; notes != nil {
				k.start.note().scripted = notes.scripted
			}
			m.forget(h)
		case h.station != k.station && now.since(h.taken) >= leaseFresh:
			m.release(h)
		default:
			others++
			if !h.proven && (quietest == nil || h.taken < quietest.taken) {
				quietest = h
			}
		}
	}
	if others >= maxHolders {
		if quietest == nil {
			return
		}
		m.release(quietest)
	}
	k.ip = ip.As16()
	m.byIP.add(k)
}

// release notes that a machine has no address.
func (m *Machines) release(k *machine) {
	if k.ip != ([16]byte{}) {
		m.byIP.remove(k)
		k.ip = [16]byte{}
	}
}
