package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pxesidecar/pxesidecar/internal/netstate"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// Config says where a Server listens, and who answers.
type Config struct {
	Interfaces []Interface // where clients are answered
	ProxyOnly  bool        // listen on port 4011 alone
	Relayed    bool        // DHCP relays send requests here: keep them from being told that the port is closed
	Responder  *proxydhcp.Responder
	Events     Events

	// Host knows the host's interfaces. Whoever sets it runs it; if it is nil,
	// the server has one of its own.
	Host *netstate.Watcher
}

// Server answers on port 67 of each scope and on port 4011.
type Server struct {
	config  Config
	ownHost bool            // Config.Host was not set
	changes <-chan struct{} // of Config.Host
	network atomic.Pointer[network]
	port67  port67
	proxy   *udpConn // port 4011
}

// Reception is how requests to port 67 are received.
type Reception uint8

// The kinds of reception.
const (
	ByPacketSocket Reception = iota // beside whoever else listens there
	ByUDPSocket                     // the port is ours alone
	NotAtAll                        // port 4011 alone
)

// Listen opens every socket, so that port 4011 is there before the first OFFER
// sends a client to it. On an error none stays open. A named interface that
// does not exist is served when it does. An address in use wraps
// syscall.EADDRINUSE, a missing privilege os.ErrPermission.
func Listen(c Config) (_ *Server, err error) {
	s := &Server{config: c}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.config.Host == nil {
		if s.config.Host, err = netstate.NewWatcher(); err != nil {
			return nil, err
		}
		s.ownHost = true
	}
	s.changes = s.config.Host.Changes()
	host := s.config.Host.Host()
	if err := check(c.Interfaces, host); err != nil {
		return nil, err
	}
	n := newNetwork(c.Interfaces, host)
	s.network.Store(n)
	if s.proxy, err = listenUDP(proxydhcp.PortProxy); err != nil {
		return nil, err
	}
	if c.ProxyOnly {
		return s, nil
	}
	return s, s.port67.open(s, n)
}

// Close closes the sockets. Serve must have returned.
func (s *Server) Close() error {
	err := s.port67.close()
	if s.proxy != nil {
		err = errors.Join(err, s.proxy.close())
	}
	return err
}

// Links returns the served interfaces as they are now.
func (s *Server) Links() []Link { return s.network.Load().links }

// Reception returns how requests to port 67 are received. If they are not,
// although they should be, the error says why.
func (s *Server) Reception() (Reception, error) {
	if s.config.ProxyOnly {
		return NotAtAll, nil
	}
	return s.port67.reception()
}

// Serve answers until ctx ends, and returns nil then.
func (s *Server) Serve(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.serveUDP(ctx, s.proxy, proxydhcp.PortProxy) })
	g.Go(func() error { return s.follow(ctx) })
	if !s.config.ProxyOnly {
		g.Go(func() error { return s.port67.serve(ctx, s) })
	}
	err := g.Wait()
	return errors.Join(err, s.port67.close())
}

// answer answers one datagram to port 67 or 4011 and appends the reply to buf.
// The caller sends the result's Reply.
func (s *Server) answer(n *network, sc *scope, port uint16, d dhcp4.Datagram, buf []byte, now time.Time) proxydhcp.Result {
	a, ok := n.arrival(sc, port, d.From, d.To.Addr())
	if !ok {
		return proxydhcp.Result{Arrival: a, Reason: proxydhcp.NotServed}
	}
	return s.config.Responder.Respond(buf, d.Payload, a, now)
}

// overhear looks at another server's answer to a client.
func (s *Server) overhear(a proxydhcp.Arrival, payload []byte, now time.Time) {
	report(s.config.Events.Heard, Heard{a, payload})
	if s.config.Events.Conflict == nil {
		return
	}
	for _, c := range s.config.Responder.Heard(a, payload, now) {
		s.config.Events.Conflict(c)
	}
}

// errorPause keeps a socket that fails at every call from using up the
// processor.
const errorPause = 100 * time.Millisecond

// goOn reports a reading error, and returns whether reading goes on after it.
func (s *Server) goOn(ctx context.Context, interfaceName string, err error) bool {
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return false
	}
	report(s.config.Events.Error, Error{interfaceName, fmt.Errorf("reading: %w", err)})
	pause(ctx, errorPause)
	return ctx.Err() == nil
}

// pause waits for a while, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
