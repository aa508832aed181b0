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
type packetConn struct{ net.PacketConn }

type hop = net.Addr

var broadcastHop hop

func listenPacket(*net.Interface) (*packetConn, error) {
	return nil, fmt.Errorf("answering port %d is not possible on %s, only on Linux: %w", PortServer, runtime.GOOS, errors.ErrUnsupported)
}

func (c *packetConn) read([]byte) (int, hop, error)   { return 0, nil, net.ErrClosed }
func (c *packetConn) write([]byte, hop) error         { return net.ErrClosed }
func (c *packetConn) SetReadDeadline(time.Time) error { return nil }
func (c *packetConn) Close() error                    { return nil }
