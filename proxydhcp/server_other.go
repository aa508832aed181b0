//go:build !linux

package proxydhcp

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

// Port 67 elsewhere than on Linux: an ordinary UDP socket, which is only ours
// where no DHCP server runs on this host.

// server is the socket on port 67, nil where another process has the port.
type server struct {
	conn  *udpConn
	taken error
}

// open listens on port 67 if it is free.
func (p *server) open(s *Server, _ *network) (err error) {
	for _, i := range s.config.Interfaces {
		if len(i.VLANs) > 0 {
			return fmt.Errorf("interface %s: on %s, VLANs are not found by their ids: name the interface of each VLAN: %w", i.Name, runtime.GOOS, errors.ErrUnsupported)
		}
	}
	p.conn, err = listenUDP(PortServer)
	if isTaken(err) {
		p.taken, err = err, nil
	}
	return err
}

// close closes the socket. It may be called again.
func (p *server) close() error {
	if p.conn == nil {
		return nil
	}
	conn := p.conn.conn
	p.conn = nil
	return conn.Close()
}

func (p *server) reception() (Reception, error) {
	if p.conn == nil {
		return NotAtAll, p.taken
	}
	return ByUDPSocket, nil
}

// serve answers on port 67 until ctx ends.
func (p *server) serve(ctx context.Context, s *Server) error {
	if p.conn == nil {
		return nil
	}
	return s.serveUDP(ctx, p.conn, PortServer)
}

// adapt has nothing to open: one socket hears every interface.
func (p *server) adapt(*Server, *network) []failure { return nil }
