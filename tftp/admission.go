package tftp

// Who may have a transfer: the limits on rate and number, for one client and
// for all.

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// rateWindow is the time over which the packets of one address are counted.
	rateWindow = time.Second

	// rateAddresses bounds the memory of a rate: when more addresses than that
	// send in a window, counting starts again.
	rateAddresses = 8192

	// quiet is how long a transfer's client must not have been heard for the
	// transfer to make room for a newer one of the same client.
	quiet = time.Second
)

// rate counts what addresses send, and starts again with each window. A
// golang.org/x/time/rate.Limiter for each address would take its own
// allocation, and still need this table and its bound around it.
type rate struct {
	limit  int // in a window
	counts map[netip.Addr]int
	ends   time.Duration
}

// allow counts one more packet and reports whether it is within the limit.
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

// admission bounds the number of transfers. Its sessions are those whose file
// is being opened and those that run, of all sockets.
type admission struct {
	total     int
	perClient int

	mu       sync.Mutex
	sessions map[netip.AddrPort]*session
	clients  map[netip.Addr][]*session
}

// newAdmission admits total transfers at a time, perClient of them for one
// address.
func newAdmission(total, perClient int) *admission {
	return &admission{total: total, perClient: perClient, sessions: map[netip.AddrPort]*session{}, clients: map[netip.Addr][]*session{}}
}

// verdict is what admission decides about a request.
type verdict uint8

const (
	admitted verdict = iota // it becomes a transfer
	repeated                // the client's port has a transfer already
	full                    // there is no room
)

// admit decides about s, the transfer that a request would become. With
// repeated it also returns the transfer that the client has. With admitted it
// may return one to be dropped, which is not counted any more: when a client's
// transfers fill its share, the one silent for longest makes room. Clients stop
// without notice (the Raspberry Pi does), and a newer request says what the
// client wants now.
func (a *admission) admit(s *session, now time.Duration) (verdict, *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if current := a.sessions[s.route.client]; current != nil {
		return repeated, current
	}
	if len(a.sessions) >= a.total {
		return full, nil
	}
	address := s.route.client.Addr()
	var evicted *session
	if len(a.clients[address]) >= a.perClient {
		evicted = longestSilent(a.clients[address], now)
		if evicted == nil {
			return full, nil
		}
		a.remove(evicted)
	}
	a.sessions[s.route.client] = s
	a.clients[address] = append(a.clients[address], s)
	return admitted, evicted
}

// longestSilent returns the transfer that may make room, nil if all are active.
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

// leave stops counting a transfer, unless that has been done.
func (a *admission) leave(s *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.remove(s)
}

// remove is leave under the lock.
func (a *admission) remove(s *session) {
	if a.sessions[s.route.client] == s {
		delete(a.sessions, s.route.client)
	}
	address := s.route.client.Addr()
	mine := a.clients[address]
	for i := range mine {
		if mine[i] == s {
			mine[i] = mine[len(mine)-1]
			mine[len(mine)-1] = nil
			mine = mine[:len(mine)-1]
			break
		}
	}
	if len(mine) == 0 {
		delete(a.clients, address)
	} else {
		a.clients[address] = mine
	}
}
