//go:build !linux

package server

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// port67 is port 67 on systems other than Linux: an ordinary UDP socket, which
// we can only have if no DHCP server runs on this host.
type port67 struct {
	conn  *udpConn // nil if another process has the port
	taken error
}

// open listens on port 67 if it is free.
func (p *port67) open(s *Server, _ *network) (err error) {
	for _, i := range s.config.Interfaces {
		if len(i.VLANs) > 0 {
			return fmt.Errorf("interface %s: on %s, VLANs are not found by their ids: name the interface of each VLAN: %w", i.Name, runtime.GOOS, errors.ErrUnsupported)
		}
	}
	p.conn, err = listenUDP(proxydhcp.PortServer)
	if isTaken(err) {
		p.taken, err = err, nil
	}
	return err
}

// close closes the socket. It may be called again.
func (p *port67) close() error {
	if p.conn == nil {
		return nil
	}
	conn := p.conn
	p.conn = nil
	return conn.close()
}

// reception returns how requests are received.
func (p *port67) reception() (Reception, error) {
	if p.conn == nil {
		return NotAtAll, p.taken
	}
	return ByUDPSocket, nil
}

// serve answers on port 67 until ctx ends.
func (p *port67) serve(ctx context.Context, s *Server) error {
	if p.conn == nil {
		return nil
	}
	return s.serveUDP(ctx, p.conn, proxydhcp.PortServer)
}

// adapt has nothing to open: one socket hears every interface.
func (p *port67) adapt(*Server, *network) []Error { return nil }
