package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Where clients are answered.

// Interface is one of the host's interfaces, as far as serving on it matters.
type Interface struct {
	Name      string
	Flags     net.Flags
	Addresses []netip.Prefix // IPv4
}

// HostInterfaces lists the interfaces of this host.
func HostInterfaces() ([]Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("listing the interfaces: %w", err)
	}
	var list []Interface
	for _, ifi := range all {
		addresses, err := proxydhcp.Addresses(ifi.Name)
		if err != nil {
			continue // it went away meanwhile
		}
		list = append(list, Interface{ifi.Name, ifi.Flags, addresses})
	}
	return list, nil
}

// String shows the interface with its addresses.
func (i Interface) String() string {
	if len(i.Addresses) == 0 {
		return i.Name + " (no IPv4 address)"
	}
	texts := make([]string, len(i.Addresses))
	for n, a := range i.Addresses {
		texts[n] = a.String()
	}
	return i.Name + " (" + strings.Join(texts, ", ") + ")"
}

// isCandidate reports whether the interface can be meant where none is named:
// it is up, it broadcasts, and it has an address that clients can be told.
func (i Interface) isCandidate() bool {
	const want = net.FlagUp | net.FlagBroadcast
	return i.Flags&want == want && i.Flags&(net.FlagLoopback|net.FlagPointToPoint) == 0 &&
		slices.ContainsFunc(i.Addresses, func(p netip.Prefix) bool { return !p.Addr().IsLinkLocalUnicast() })
}

// ChooseInterfaces returns the interfaces to serve: those that are named, or
// the only candidate there is. An error lists what there is to choose from. A
// host without a list is one that nothing is served on; none are chosen then.
func ChooseInterfaces(named []string, host []Interface) ([]Interface, error) {
	if host == nil {
		return nil, nil
	}
	if len(named) > 0 {
		return namedInterfaces(named, host)
	}
	var candidates []Interface
	for _, i := range host {
		if i.isCandidate() {
			candidates = append(candidates, i)
		}
	}
	switch len(candidates) {
	case 1:
		return candidates, nil
	case 0:
		return nil, fmt.Errorf("no interface to serve: none is up with an IPv4 address; there is %s", listInterfaces(host))
	}
	return nil, fmt.Errorf("several interfaces could be served; choose with --interface: %s", listInterfaces(candidates))
}

// namedInterfaces finds each named interface once.
func namedInterfaces(named []string, host []Interface) ([]Interface, error) {
	var chosen []Interface
	p := &problems{}
	for _, name := range parseAll(p, "interface", named, func(s string) (string, error) { return s, nil }) {
		at := slices.IndexFunc(host, func(i Interface) bool { return i.Name == name })
		switch {
		case at < 0:
			p.add("interface", name, fmt.Errorf("no such interface; there is %s", listInterfaces(host)))
		case slices.ContainsFunc(chosen, func(i Interface) bool { return i.Name == name }):
		case host[at].Flags&net.FlagLoopback != 0:
			p.add("interface", name, errors.New("a loopback interface, which no machine boots from"))
		case len(host[at].Addresses) == 0:
			p.add("interface", name, fmt.Errorf("it has no IPv4 address that clients could be told; give it one: ip address add 192.0.2.1/24 dev %s", name))
		default:
			chosen = append(chosen, host[at])
		}
	}
	return chosen, p.err()
}

// listInterfaces lists interfaces for people.
func listInterfaces(list []Interface) string {
	var texts []string
	for _, i := range list {
		if i.Flags&net.FlagLoopback == 0 {
			texts = append(texts, i.String())
		}
	}
	if len(texts) == 0 {
		return "only the loopback interface"
	}
	return strings.Join(texts, ", ")
}
