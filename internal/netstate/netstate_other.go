//go:build !linux

package netstate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// watch calls changed when the host's interfaces or addresses may have changed,
// and once at its beginning, until ctx ends. Here that is every second.
func watch(ctx context.Context, changed func()) error {
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

// Read lists the host's interfaces. It does not know of VLANs and bridges here.
func Read() ([]Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("listing the interfaces: %w", err)
	}
	interfaces := make([]Interface, 0, len(all))
	for _, ifi := range all {
		addresses, err := ifi.Addrs()
		if err != nil {
			continue // it went away meanwhile
		}
		i := Interface{Name: ifi.Name, Index: ifi.Index, MTU: ifi.MTU, Flags: ifi.Flags}
		for _, a := range addresses {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
				i.Addresses = append(i.Addresses, p)
			}
		}
		interfaces = append(interfaces, i)
	}
	return interfaces, nil
}

// Resolved says that it is not known here who is on a link.
func Resolved(int, netip.Addr) (bool, error) { return false, errors.ErrUnsupported }
