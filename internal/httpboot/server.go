package httpboot

// The server around the handler: no client can hold a connection for ever, and
// none can take all of them.

import (
	"container/list"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"
)

// The limits of what clients can take. A transfer as such has no time limit: a
// large image over a slow link may take hours.
const (
	requestLimit = time.Minute      // until a request has arrived, its body included
	headerLimit  = 10 * time.Second // until its header has
	idleLimit    = time.Minute      // between two requests
	stallLimit   = 2 * time.Minute  // in which a client takes nothing of what is sent to it

	maxConnections         = 4096 // as many as TFTP has transfers
	maxConnectionsOfClient = 128  // a network behind one address has many machines
)

// newConnections returns connections within limits, where so many descriptors
// can be open at once. A connection takes two of them, for itself and for its
// file. Half of all are left to TFTP and DHCP, which share them.
func newConnections(descriptors uint64) *connections {
	most := int(min(max(descriptors/4, 1), maxConnections))
	return &connections{max: most, maxOfClient: min(max(most/4, 1), maxConnectionsOfClient)}
}

// NewServer returns a server with these limits. Its connections are those of a
// listener of Listen.
func NewServer(handler http.Handler) *http.Server {
	c := newConnections(descriptorLimit())
	return &http.Server{
		Handler:           handler,
		ReadTimeout:       requestLimit,
		ReadHeaderTimeout: headerLimit,
		IdleTimeout:       idleLimit,
		MaxHeaderBytes:    16 << 10,
		ConnState:         c.changed,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
}

// Listen listens on an address. A connection whose client stalls ends.
func Listen(addr netip.AddrPort) (net.Listener, error) {
	l, err := net.Listen("tcp4", addr.String())
	if err != nil {
		return nil, err
	}
	return listener{l}, nil
}

// listener is a listener whose connections end if their clients stall.
type listener struct{ net.Listener }

// Accept returns the next connection (net.Listener).
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return conn{c, stallLimit}, nil
}

// conn is a connection that ends if its client takes nothing for some time.
type conn struct {
	net.Conn
	stall time.Duration
}

// Write writes all of b, as long as it makes progress.
func (c conn) Write(b []byte) (sent int, err error) {
	for sent < len(b) {
		if err := c.SetWriteDeadline(time.Now().Add(c.stall)); err != nil {
			return sent, err
		}
		n, err := c.Conn.Write(b[sent:])
		sent += n
		if err != nil && (n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return sent, err
		}
	}
	return sent, nil
}

// connections are the open connections. If there are too many, the one that has
// waited longest for a request is closed; if none waits, the new one is.
type connections struct {
	max, maxOfClient int

	mu      sync.Mutex
	open    map[net.Conn]*connection
	count   map[netip.Addr]int
	waiting list.List // of *connection, the longest in front
}

// connection is an open connection.
type connection struct {
	net.Conn
	client  netip.Addr
	waiting *list.Element // nil while a request is served
}

// changed is called when the state of a connection changes
// (http.Server.ConnState).
func (c *connections) changed(of net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state == http.StateNew {
		c.add(&connection{Conn: of, client: addressIn(of.RemoteAddr().String())})
		return
	}
	k, ok := c.open[of]
	if !ok {
		return // it was dropped
	}
	switch state {
	case http.StateNew, http.StateActive:
		c.stopWaiting(k)
	case http.StateIdle:
		k.waiting = c.waiting.PushBack(k)
	case http.StateClosed, http.StateHijacked:
		c.remove(k)
	}
}

// add adds a new connection, and drops one if there are too many.
func (c *connections) add(k *connection) {
	crowded := c.count[k.client] >= c.maxOfClient
	if crowded || len(c.open) >= c.max {
		longest := c.longestWaiting(func(other *connection) bool { return !crowded || other.client == k.client })
		if longest == nil {
			k.drop()
			return
		}
		c.remove(longest)
		longest.drop()
	}
	if c.open == nil {
		c.open, c.count = map[net.Conn]*connection{}, map[netip.Addr]int{}
	}
	c.open[k.Conn] = k
	c.count[k.client]++
	k.waiting = c.waiting.PushBack(k)
}

// longestWaiting returns the connection that has waited longest for a request,
// of those that may go, nil if none of them waits.
func (c *connections) longestWaiting(mayGo func(*connection) bool) *connection {
	for e := c.waiting.Front(); e != nil; e = e.Next() {
		if k := e.Value.(*connection); mayGo(k) {
			return k
		}
	}
	return nil
}

// stopWaiting notes that a connection does not wait for a request.
func (c *connections) stopWaiting(k *connection) {
	if k.waiting != nil {
		c.waiting.Remove(k.waiting)
		k.waiting = nil
	}
}

// remove forgets a connection.
func (c *connections) remove(k *connection) {
	c.stopWaiting(k)
	delete(c.open, k.Conn)
	if c.count[k.client]--; c.count[k.client] == 0 {
		delete(c.count, k.client)
	}
}

// drop closes the connection at once: TLS would wait to say good-bye.
func (k *connection) drop() {
	if t, ok := k.Conn.(*tls.Conn); ok {
		t.NetConn().Close()
		return
	}
	k.Close()
}
