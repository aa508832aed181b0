package main

import (
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/netstate"
)

// attached are the networks that the served interfaces are in now.
type attached struct {
	dhcp     config.DHCP // which interfaces those are
	networks atomic.Pointer[[]netip.Prefix]
}

// follow takes the networks over from the host's interfaces.
func (a *attached) follow(host *netstate.Host) {
	var networks []netip.Prefix
	add := func(i *netstate.Interface) {
		if i != nil {
			networks = append(networks, i.Addresses...)
		}
	}
	for _, served := range a.dhcp.Interfaces {
		i := host.Named(served.Name)
		if i == nil {
			continue
		}
		add(i)
		for _, id := range a.dhcp.VLANs {
			add(host.OfVLAN(i.Index, id))
		}
	}
	a.networks.Store(&networks)
}

// has reports whether an address is in one of the networks.
func (a *attached) has(client netip.Addr) bool {
	return slices.ContainsFunc(*a.networks.Load(), func(n netip.Prefix) bool { return n.Contains(client) })
}
