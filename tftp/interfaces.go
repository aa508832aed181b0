package tftp

// What the server uses of the host's interfaces: their MTU, their addresses,
// and who is on their link.

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pxesidecar/pxesidecar/internal/netstate"
)

// interfacesLife is how long the interfaces are used before they are read
// again: a burst of requests needs one reading, and a new address is known
// soon.
const interfacesLife = time.Second

// interfaces are the host's interfaces by index.
type interfaces map[int]netstate.Interface

// interfaceCache reads the interfaces from time to time. It asks the kernel, so
// it is for workers.
type interfaceCache struct {
	read func() ([]netstate.Interface, error)

	mu      sync.Mutex
	current interfaces
	taken   time.Time
}

// get returns the interfaces as they were at most interfacesLife ago. When they
// cannot be read, it returns those read before.
func (c *interfaceCache) get() interfaces {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil && time.Since(c.taken) < interfacesLife {
		return c.current
	}
	if all, err := c.read(); err == nil {
		c.current = make(interfaces, len(all))
		for _, i := range all {
			c.current[i.Index] = i
		}
	}
	c.taken = time.Now()
	return c.current
}

// screen returns why a request is ignored, 0 if it is not: it claims to come
// from an address of ours but did not arrive on the loopback interface, or it
// was sent to a link's broadcast address. Linux reports the latter with the
// packet, other systems do not.
func (all interfaces) screen(r Request) Reason {
	outside := r.Interface != 0 && all[r.Interface].Flags&net.FlagLoopback == 0
	for _, i := range all {
		for _, p := range i.Addresses {
			switch {
			case outside && p.Addr() == r.Client.Addr():
				return Forged
			case r.Local.IsValid() && p.Addr() != r.Local && netstate.Broadcast(p) == r.Local:
				return Multicast
			}
		}
	}
	return 0
}

// forReply returns the interface that replies to a client must leave by. It is
// the one that the request arrived on if the client is on its link, so that two
// links with the same addresses are kept apart. It is 0, for the routing table
// to choose, if the client is behind a router.
func (all interfaces) forReply(client netip.Addr, index int) int {
	for _, p := range all[index].Addresses {
		if !p.IsSingleIP() && p.Contains(client) {
			return index
		}
	}
	return 0
}

// usesARP reports whether the hosts on the link of an interface are looked for
// by ARP. There is none for 0, the way of the routing table.
func (all interfaces) usesARP(index int) bool {
	return all[index].Flags&net.FlagBroadcast != 0 && all[index].Flags&net.FlagLoopback == 0
}
