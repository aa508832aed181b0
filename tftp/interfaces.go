package tftp

// What the server knows of the host's interfaces: their MTU, their addresses, and what is on their wire.

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"time"
)

// linksLife is how long a look at the interfaces counts: a storm of requests is one look, a new address is known soon.
const linksLife = time.Second

// A link is one interface.
type link struct {
	mtu      int
	loopback bool
	prefixes []netip.Prefix // each with the interface's own address
}

// links are the host's interfaces by index.
type links map[int]link

// A linkCache looks at the interfaces now and then. It asks the kernel, so it is for helper goroutines.
type linkCache struct {
	read func() (links, error) // readLinks; tests have their own

	mu    sync.Mutex
	links links
	taken time.Time
}

// get returns the interfaces as they were at most linksLife ago. When the system does not tell, it returns what was known.
func (c *linkCache) get() links {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.links != nil && time.Since(c.taken) < linksLife {
		return c.links
	}
	if fresh, err := c.read(); err == nil {
		c.links = fresh
	}
	c.taken = time.Now()
	return c.links
}

// readLinks asks the system.
func readLinks() (links, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	found := make(links, len(interfaces))
	for _, i := range interfaces {
		l := link{mtu: i.MTU, loopback: i.Flags&net.FlagLoopback != 0}
		addrs, err := i.Addrs()
		if err != nil {
			continue // it went away since
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				l.prefixes = append(l.prefixes, p)
			}
		}
		found[i.Index] = l
	}
	return found, nil
}

// suspect returns why a request is to be ignored in the light of the interfaces, 0 when it is not: it claims one of our addresses without
// having come over the loopback interface, or went to a wire's broadcast address (Linux tells that with the packet, others do not).
func (ls links) suspect(r Request) Reason {
	outside := r.Interface != 0 && !ls[r.Interface].loopback
	for _, l := range ls {
		for _, p := range l.prefixes {
			switch {
			case outside && p.Addr() == r.Client.Addr():
				return Forged
			case r.Local.IsValid() && p.Addr() != r.Local && broadcast(p) == r.Local:
				return Multicast
			}
		}
	}
	return 0
}

// broadcast returns the broadcast address of an IPv4 prefix, the zero Addr where there is none.
func broadcast(p netip.Prefix) netip.Addr {
	if !p.Addr().Is4() || p.Bits() > 30 {
		return netip.Addr{}
	}
	a := p.Addr().As4()
	last := binary.BigEndian.Uint32(a[:]) | ^uint32(0)>>p.Bits()
	binary.BigEndian.PutUint32(a[:], last)
	return netip.AddrFrom4(a)
}

// pin returns the interface that replies to a client must leave by: the one it asked on when it is on that wire, so that two wires with
// the same addresses are kept apart; 0, meaning the routing table, when it is behind a router.
func (ls links) pin(client netip.Addr, index int) int {
	for _, p := range ls[index].prefixes {
		if !p.IsSingleIP() && p.Contains(client) {
			return index
		}
	}
	return 0
}
