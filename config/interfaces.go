package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/pxesidecar/pxesidecar/internal/netstate"
)

// Where clients are answered.

// isCandidate reports whether the interface can be meant where none is named:
// it is up, it broadcasts, and it has an address that clients can be told.
func isCandidate(i netstate.Interface) bool {
	const want = net.FlagUp | net.FlagBroadcast
	return i.Flags&want == want && i.Flags&(net.FlagLoopback|net.FlagPointToPoint) == 0 &&
		slices.ContainsFunc(i.Addresses, func(p netip.Prefix) bool { return !p.Addr().IsLinkLocalUnicast() })
}

// ChooseInterfaces returns the interfaces to serve: those that are named, or
// the only candidate there is. An error lists what there is to choose from. A
// host without a list is one that nothing is served on; none are chosen then.
func ChooseInterfaces(named []string, host []netstate.Interface) ([]netstate.Interface, error) {
	return chooseInterfaces(named, host, nil)
}

// chooseInterfaces is ChooseInterfaces where clients may be told other addresses
// than those of the interfaces.
func chooseInterfaces(named []string, host []netstate.Interface, told servers) ([]netstate.Interface, error) {
	if host == nil {
		return nil, nil
	}
	if len(named) > 0 {
		return namedInterfaces(named, host, told)
	}
	var candidates []netstate.Interface
	for _, i := range host {
		if isCandidate(i) {
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
func namedInterfaces(named []string, host []netstate.Interface, told servers) ([]netstate.Interface, error) {
	var chosen []netstate.Interface
	p := &problems{}
	for _, name := range parseAll(p, "interface", named, func(s string) (string, error) { return s, nil }) {
		at := slices.IndexFunc(host, func(i netstate.Interface) bool { return i.Name == name })
		switch {
		case at < 0:
			p.add("interface", name, fmt.Errorf("no such interface; there is %s", listInterfaces(host)))
		case slices.ContainsFunc(chosen, func(i netstate.Interface) bool { return i.Name == name }):
		case host[at].Flags&net.FlagLoopback != 0:
			p.add("interface", name, errors.New("a loopback interface, which no machine boots from"))
		case len(host[at].Addresses) == 0 && !told.of(name).IsValid():
			p.add("interface", name, fmt.Errorf("it has no IPv4 address that clients could be told; give it one: ip address add 192.0.2.1/24 dev %s, or name one of this host with --server", name))
		default:
			chosen = append(chosen, host[at])
		}
	}
	return chosen, p.err()
}

// servers are what clients are told is our address, by the interface on which
// they are heard; "" is for those that have none of their own.
type servers map[string]netip.Addr

// of returns what the clients of an interface are told; the zero Addr for an
// address of the interface itself.
func (s servers) of(name string) netip.Addr {
	if a, ok := s[name]; ok {
		return a
	}
	return s[""]
}

// parseServers reads what clients are told, IP or INTERFACE=IP.
func parseServers(s Settings, p reporter) servers {
	told := servers{}
	parseAll(p, "server", s.Servers, func(text string) (struct{}, error) {
		name, address, named := strings.Cut(text, "=")
		if !named {
			name, address = "", text
		}
		if named && name == "" {
			return struct{}{}, errors.New("the interface before the = is missing; want IP or INTERFACE=IP")
		}
		a, err := parseHost(address)
		if _, twice := told[name]; twice && err == nil {
			err = errors.New("there is another address for the same clients")
		}
		told[name] = a
		return struct{}{}, err
	})
	return told
}

// check looks for interfaces that are not served.
func (s servers) check(chosen []netstate.Interface, p reporter) {
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if name != "" && chosen != nil && !slices.ContainsFunc(chosen, func(i netstate.Interface) bool { return i.Name == name }) {
			p.add("server", name+"="+s[name].String(), fmt.Errorf("%s is no interface that is served; there is %s", name, listInterfaces(chosen)))
		}
	}
}

// warnings tells of addresses that are not this host's.
func (s servers) warnings(h Host) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if a := s[name]; h.Interfaces != nil && isForeign(a, h) {
			list = append(list, fmt.Sprintf("clients are told that this host is at %s, which is no address of its own: "+
				"what is sent there to UDP 4011 and 69, and TCP of --http, must be forwarded here; --tftp-single-port helps with that", a))
		}
	}
	return list
}

// listInterfaces lists interfaces for people.
func listInterfaces(list []netstate.Interface) string {
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
