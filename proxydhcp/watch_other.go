//go:build !linux

package proxydhcp

import (
	"context"
	"fmt"
	"net"
	"time"
)

// The host's interfaces elsewhere than on Linux: looked at every second.

// watchHost calls changed when the host's interfaces or addresses may have
// changed, and once at its beginning, until ctx ends.
func watchHost(ctx context.Context, changed func()) error {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		changed()
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
	}
}

// readHost lists the host's interfaces. What belongs to a VLAN or a bridge is
// not told.
func readHost() ([]hostLink, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("listing the interfaces: %w", err)
	}
	host := make([]hostLink, 0, len(all))
	for _, ifi := range all {
		const running = net.FlagUp | net.FlagRunning
		addresses, err := prefixes(&ifi)
		if err != nil {
			continue // it went away meanwhile
		}
		host = append(host, hostLink{name: ifi.Name, index: ifi.Index, up: ifi.Flags&running == running, addresses: addresses})
	}
	return host, nil
}
