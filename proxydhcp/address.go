package proxydhcp

import "net/netip"

// ChooseServer returns which of our addresses a client is told, out of those of
// the interface on which it was heard: the one it wrote to; else the one whose
// network has an address that the request names (its relay's or its own); else
// the first that others can route to; else a link-local one. The zero Addr
// means that there is none. An address of a /32 is a shared one that may move
// to another host, and comes after the others.
func ChooseServer(ours []netip.Prefix, to netip.Addr, near ...netip.Addr) netip.Addr {
	for _, p := range ours {
		if p.Addr() == to {
			return to
		}
	}
	for _, n := range near {
		for _, p := range ours {
			if n.IsValid() && !n.IsUnspecified() && p.Bits() < 32 && p.Contains(n) {
				return p.Addr()
			}
		}
	}
	var best netip.Addr
	bestRank := 0
	for _, p := range ours {
		if rank := rankServer(p); rank > bestRank {
			best, bestRank = p.Addr(), rank
		}
	}
	return best
}

// rankServer orders the addresses of an interface. No client can be told one of
// rank 0.
func rankServer(p netip.Prefix) int {
	a := p.Addr()
	switch {
	case !a.Is4() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback():
		return 0
	case a.IsLinkLocalUnicast():
		return 1
	case p.Bits() == 32:
		return 2
	}
	return 3
}
