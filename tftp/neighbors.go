package tftp

// Which hosts on a link are answered: a packet to an address that ARP has not
// found occupies the kernel's table of neighbors for three seconds, and when
// that is full nobody new can be reached.

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// maxUnresolved is how many requests of hosts on a link that the kernel
	// does not know are answered in a window. A client has looked for us by ARP
	// before it asks, so the kernel knows it. The table holds a thousand.
	maxUnresolved = 100

	// resolvedLife is how long a host that the kernel knew is not looked up
	// again.
	resolvedLife = time.Second
)

// neighbors limits the answers to hosts on a link that the kernel does not
// know.
type neighbors struct {
	resolved func(index int, host netip.Addr) (bool, error)

	mu         sync.Mutex
	known      map[netip.Addr]bool
	ends       time.Duration // when known is forgotten
	unresolved rate          // of all together
}

// newNeighbors returns neighbors that ask resolved.
func newNeighbors(resolved func(index int, host netip.Addr) (bool, error)) *neighbors {
	return &neighbors{resolved: resolved, known: map[netip.Addr]bool{}, unresolved: rate{limit: maxUnresolved}}
}

// allow reports whether a host on the link of an interface is answered. It asks
// the kernel, so it is for workers. Where that does not say, all are.
func (n *neighbors) allow(index int, host netip.Addr, now time.Duration) bool {
	if n.isKnown(host, now) {
		return true
	}
	resolved, err := n.resolved(index, host)
	n.mu.Lock()
	defer n.mu.Unlock()
	if resolved || err != nil {
		n.known[host] = true
		return true
	}
	return n.unresolved.allow(netip.Addr{}, now)
}

// isKnown reports whether the kernel knew a host a moment ago.
func (n *neighbors) isKnown(host netip.Addr, now time.Duration) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now >= n.ends || len(n.known) >= rateAddresses {
		clear(n.known)
		n.ends = now + resolvedLife
	}
	return n.known[host]
}
