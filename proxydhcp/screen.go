package proxydhcp

// Who is answered at all. Each answer goes where the request says, so a forged
// request has us send to whom its sender likes: not much, for a request is as
// long as its answer, but from our address, and without end.

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// relayRate and relayBurst bound the answers that one relay gets: a rack
	// that powers up sends a thousand requests in a second, and repeats them.
	relayRate  = 2000
	relayBurst = 4000

	// sourceRate and sourceBurst bound the answers of port 4011 to one address,
	// behind which NAT may have a whole rack.
	sourceRate  = 200
	sourceBurst = 2000

	// rateBuckets is how many addresses have a rate of their own. More of them
	// share.
	rateBuckets = 4096

	// firstUserPort is the first port that is not a system port (RFC 6335).
	// Services that answer whatever they are sent (echo, chargen, DNS) are
	// below.
	firstUserPort = 1024
)

// screen returns why a request that would be answered is not, because of where
// its answer would go.
func (r *Responder) screen(q *Request, now time.Time) Reason {
	m, a := &q.Message, &q.Arrival
	switch {
	case isGroup(m.Hardware):
		return GroupAddress
	case isRelayed(m) && !mayRelay(m.GIAddr, a):
		return NotARelay
	case isRelayed(m) && !r.serves(m.GIAddr, a):
		return ForeignRelay
	case a.Port == PortProxy && isSystemPort(a.From.Port()):
		return ReflectorPort
	case a.Port == PortProxy && !r.serves(a.From.Addr(), a) && !r.machines.HasBooted(a.From.Addr(), now):
		return ForeignSource
	case isRelayed(m) && !r.relays.allow(m.GIAddr, now), a.Port == PortProxy && !r.sources.allow(a.From.Addr(), now):
		return TooFast
	}
	return Answerable
}

// isGroup reports whether a hardware address is that of a group, which sends
// nothing (IEEE 802, section 8.2.2).
func isGroup(a HardwareAddr) bool {
	mac, ok := a.MAC()
	return ok && mac[0]&1 != 0
}

// isSystemPort reports whether a port is one from which no client asks port
// 4011. edk2 asks from 4011, iPXE and other ROMs from 68, and relays from 67.
func isSystemPort(port uint16) bool {
	return port < firstUserPort && port != PortServer && port != PortClient
}

// mayRelay reports whether an address can be that of a relay: a host's, and not
// ours.
func mayRelay(relay netip.Addr, a *Arrival) bool {
	first := relay.As4()[0]
	return first != 0 && first < 240 && !relay.IsLoopback() && !relay.IsMulticast() && !isOurs(a.Ours, relay) && !a.Host[relay]
}

// serves reports whether an address is in a network that is served: one of
// ours, one that was configured, or one whose relays the policy names. A client
// that has no address yet is.
func (r *Responder) serves(client netip.Addr, a *Arrival) bool {
	holds := func(p netip.Prefix) bool { return p.Contains(client) }
	return r.allow == nil || client.IsUnspecified() || r.allow(client) ||
		slices.ContainsFunc(a.Ours, holds) || slices.ContainsFunc(r.policy.Load().Relays, holds)
}

// rates bounds how often each of many addresses is answered, in a fixed memory:
// a bucket of tokens for each, found by a hash that nobody can foresee, so that
// two share one by accident only. The zero rates allows nothing.
type rates struct {
	seed     maphash.Seed
	interval time.Duration // in which a token comes back
	most     time.Duration // the interval times the size of a bucket

	mu    sync.Mutex
	epoch time.Time
	full  [rateBuckets]time.Duration // when the bucket is full again, since the epoch
}

// newRates returns buckets of a number of tokens, of which some come back in a
// second.
func newRates(perSecond, burst int) *rates {
	interval := time.Second / time.Duration(perSecond)
	return &rates{seed: maphash.MakeSeed(), interval: interval, most: interval * time.Duration(burst)}
}

// allow takes a token of an address, and reports whether there was one.
func (r *rates) allow(from netip.Addr, now time.Time) bool {
	full := &r.full[maphash.Comparable(r.seed, from)%rateBuckets]
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.epoch.IsZero() {
		r.epoch = now
	}
	at := now.Sub(r.epoch)
	if *full-at > r.most { // the time went back
		*full = at
	}
	next := max(*full, at) + r.interval
	if next-at > r.most {
		return false
	}
	*full = next
	return true
}
