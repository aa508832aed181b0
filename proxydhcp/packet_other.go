//go:build !linux

package proxydhcp

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"
)

// Port 67 elsewhere than on Linux: there are no packet sockets.

// packetConn is never opened here.
type packetConn struct{}

type hop struct{}

var broadcastHop hop

func listenPacket(*net.Interface) (*packetConn, error) {
	return nil, fmt.Errorf("answering port %d is not possible on %s, only on Linux: %w", PortServer, runtime.GOOS, errors.ErrUnsupported)
}

func (c *packetConn) receive() (int, error)           { return 0, net.ErrClosed }
func (c *packetConn) packet(int) ([]byte, hop)        { return nil, hop{} }
func (c *packetConn) send(hop, datagram) error        { return net.ErrClosed }
func (c *packetConn) flush() error                    { return net.ErrClosed }
func (c *packetConn) SetReadDeadline(time.Time) error { return nil }
func (c *packetConn) Close() error                    { return nil }
