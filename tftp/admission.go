package tftp

// Who may have a transfer: the limits on rate and number, for one client and
// for all.

import (
	"iter"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// rateWindow is the time over which the packets of one address are counted.
	rateWindow = time.Second

	// rateAddresses bounds the memory of a rate: when more addresses than that
	// send in a window, counting starts again.
	rateAddresses = 8192

	// maxUnknownRate is how many packets that belong to no transfer are answered
	// in a window, for one address. A client needs one, to learn that its
	// transfer is over.
	maxUnknownRate = 3

	// quiet is how long a transfer's client must not have been heard for the
	// transfer to make room for a newer one, if it has acknowledged something.
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
	unproven []*session    // those admitted, oldest first; some have ended or are proven by now
	active   time.Duration // until then no transfer is silent enough to make room
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
// transfers fill its share, or all transfers the table, the one that is worth
// least makes room. Clients stop without notice (the Raspberry Pi does), and a
// newer request says what the client wants now.
func (a *admission) admit(s *session, now time.Duration) (verdict, *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if current := a.sessions[s.route.client]; current != nil {
		return repeated, current
	}
	address := s.route.client.Addr()
	var evicted *session
	switch {
	case len(a.clients[address]) >= a.perClient:
		evicted = leastOfClient(a.clients[address], now)
	case len(a.sessions) >= a.total:
		evicted = a.leastWorth(now)
	default:
		a.add(s)
		return admitted, nil
	}
	if evicted == nil {
		return full, nil
	}
	a.remove(evicted)
	a.add(s)
	return admitted, evicted
}

// add counts a transfer, as one that has proved nothing yet. The list of these
// is at most twice as long as there are transfers.
func (a *admission) add(s *session) {
	address := s.route.client.Addr()
	a.sessions[s.route.client] = s
	a.clients[address] = append(a.clients[address], s)
	if len(a.unproven) >= 2*a.total {
		a.unproven = slices.DeleteFunc(a.unproven, func(s *session) bool { return !a.counts(s) || s.stage.Load() == stageProven })
	}
	a.unproven = append(a.unproven, s)
}

// leastWorth returns the transfer that makes room when the table is full: the
// oldest one whose client has acknowledged nothing, because anybody can send
// requests in the name of others; else the one silent for longest. It returns
// nil if there is neither. A file that is being opened occupies a worker, and
// dropping the transfer would not free it.
func (a *admission) leastWorth(now time.Duration) *session {
	for len(a.unproven) > 0 {
		oldest := a.unproven[0]
		if a.counts(oldest) && oldest.stage.Load() == stageOpening {
			break
		}
		a.unproven = a.unproven[1:]
		if a.counts(oldest) && oldest.stage.Load() == stageOffered {
			return oldest
		}
	}
	if now < a.active { // a flood must not have all of them looked at each time
		return nil
	}
	oldest := longestSilent(maps.Values(a.sessions))
	if !oldest.silent(now) {
		a.active = time.Duration(oldest.heard.Load()) + quiet
		return nil
	}
	return oldest
}

// leastOfClient returns the one of a client's transfers that makes room when
// they fill its share, nil if all are active. It chooses as for the whole
// table, but leaves each the time to answer: the machines behind a router that
// translates addresses are one client.
func leastOfClient(transfers []*session, now time.Duration) *session {
	offered := func(yield func(*session) bool) {
		for _, s := range transfers {
			if s.stage.Load() == stageOffered && !yield(s) {
				return
			}
		}
	}
	for _, some := range []iter.Seq[*session]{offered, slices.Values(transfers)} {
		if oldest := longestSilent(some); oldest != nil && oldest.silent(now) {
			return oldest
		}
	}
	return nil
}

// counts reports whether a transfer is one of those admitted.
func (a *admission) counts(s *session) bool { return a.sessions[s.route.client] == s }

// longestSilent returns the transfer whose client was heard before all others.
func longestSilent(sessions iter.Seq[*session]) *session {
	var oldest *session
	for s := range sessions {
		if oldest == nil || s.heard.Load() < oldest.heard.Load() {
			oldest = s
		}
	}
	return oldest
}

// silent reports whether a transfer may make room for another one.
func (s *session) silent(now time.Duration) bool {
	least := quiet
	if s.stage.Load() == stageOffered {
		least = firstRTO // who wants the file answers before it is repeated
	}
	return now-time.Duration(s.heard.Load()) >= least
}

// of returns the transfer of a client, nil if it has none.
func (a *admission) of(client netip.AddrPort) *session {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sessions[client]
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
