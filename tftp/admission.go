package tftp

// Who may have a transfer: the limits on rate and number, for one client and in all.

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// rateWindow is the time over which the packets of one address are counted.
	rateWindow = time.Second

	// rateAddresses bounds the memory of a rate: with more senders than that in a window the count starts anew.
	rateAddresses = 8192

	// quiet is how long a transfer must not have heard of its client to make room for a newer one of the same client.
	quiet = time.Second
)

// A rate counts what addresses send, and forgets at every window's end.
type rate struct {
	limit  int // in a window
	counts map[netip.Addr]int
	ends   time.Duration
}

// allow counts one more and reports whether it is within the rate.
func (r *rate) allow(from netip.Addr, now time.Duration) bool {
	if r.counts == nil {
		r.counts = map[netip.Addr]int{}
	}
	if now >= r.ends || len(r.counts) >= rateAddresses {
		clear(r.counts)
		r.ends = now + rateWindow
	}
	r.counts[from]++
	return r.counts[from] <= r.limit
}

// A desk admits transfers. Its sessions are the ones being opened and running, of all sockets.
type desk struct {
	total     int
	perClient int

	mu       sync.Mutex
	sessions map[netip.AddrPort]*session
	clients  map[netip.Addr][]*session
}

// newDesk makes a desk with room for total transfers, perClient of them for one address.
func newDesk(total, perClient int) *desk {
	return &desk{total: total, perClient: perClient, sessions: map[netip.AddrPort]*session{}, clients: map[netip.Addr][]*session{}}
}

// An admission is what the desk says to a request: exactly one field is set.
type admission struct {
	admitted *session // a new transfer
	known    *session // the client's port has this one already
	full     bool     // no room
}

// admit finds a place for s, the transfer a request would become. Where the client's own transfers fill its share, the longest silent of
// them makes room: it is returned as evicted and has left the desk. Clients close without a word (the Raspberry Pi does), and a newer
// request says what the client wants now.
func (d *desk) admit(s *session, now time.Duration) (a admission, evicted *session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.sessions[s.route.client]; known != nil {
		return admission{known: known}, nil
	}
	if len(d.sessions) >= d.total {
		return admission{full: true}, nil
	}
	address := s.route.client.Addr()
	if len(d.clients[address]) >= d.perClient {
		evicted = longestSilent(d.clients[address], now)
		if evicted == nil {
			return admission{full: true}, nil
		}
		d.remove(evicted)
	}
	d.sessions[s.route.client] = s
	d.clients[address] = append(d.clients[address], s)
	return admission{admitted: s}, evicted
}

// longestSilent picks the transfer that may make room, nil when all are alive.
func longestSilent(sessions []*session, now time.Duration) *session {
	var oldest *session
	for _, s := range sessions {
		if oldest == nil || s.heard.Load() < oldest.heard.Load() {
			oldest = s
		}
	}
	if oldest == nil || now-time.Duration(oldest.heard.Load()) < quiet {
		return nil
	}
	return oldest
}

// leave frees the place of a transfer. It may have left already.
func (d *desk) leave(s *session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.remove(s)
}

// remove is leave under the lock.
func (d *desk) remove(s *session) {
	if d.sessions[s.route.client] == s {
		delete(d.sessions, s.route.client)
	}
	address := s.route.client.Addr()
	mine := d.clients[address]
	for i := range mine {
		if mine[i] == s {
			mine[i] = mine[len(mine)-1]
			mine[len(mine)-1] = nil
			mine = mine[:len(mine)-1]
			break
		}
	}
	if len(mine) == 0 {
		delete(d.clients, address)
	} else {
		d.clients[address] = mine
	}
}
