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

// errNoCandidate is why no interface can be chosen: there is none now.
var errNoCandidate = errors.New("no interface to serve: none is up with an IPv4 address")

// ChooseInterface returns the interface that is served if none is named: the
// only one of the host that is up, broadcasts, and has an address that clients
// can be told. If there are several or none, the error lists them.
func ChooseInterface(host []netstate.Interface) (netstate.Interface, error) {
	var candidates []netstate.Interface
	for _, i := range host {
		if isCandidate(i) {
			candidates = append(candidates, i)
		}
	}
	switch len(candidates) {
	case 1:
		return candidates[0], nil
	case 0:
		return netstate.Interface{}, fmt.Errorf("%w; there is %s", errNoCandidate, listInterfaces(host))
	}
	return netstate.Interface{}, fmt.Errorf("several interfaces could be served; choose with --interface: %s", listInterfaces(candidates))
}

// isCandidate reports whether an interface can be meant if none is named.
func isCandidate(i netstate.Interface) bool {
	const want = net.FlagUp | net.FlagBroadcast
	return i.Flags&want == want && i.Flags&(net.FlagLoopback|net.FlagPointToPoint) == 0 &&
		slices.ContainsFunc(i.Addresses, func(p netip.Prefix) bool { return !p.Addr().IsLinkLocalUnicast() })
}

// interfaces returns the interfaces to serve: those that are named, or the only
// candidate. It returns none if DHCP is off or the host has no list.
func (p *parser) interfaces(told servers) []netstate.Interface {
	if p.settings.NoDHCP || p.host == nil {
		return nil
	}
	var chosen []netstate.Interface
	if len(p.settings.Interfaces) > 0 {
		chosen = p.namedInterfaces(told)
	} else if i, err := ChooseInterface(p.host); errors.Is(err, errNoCandidate) {
		p.lacks = append(p.lacks, err)
	} else if err != nil {
		p.Note(err)
	} else {
		chosen = append(chosen, i)
	}
	for _, name := range slices.Sorted(maps.Keys(told)) {
		if name != "" && chosen != nil && !slices.ContainsFunc(chosen, func(i netstate.Interface) bool { return i.Name == name }) {
			p.Add("server", name+"="+told[name].String(), fmt.Errorf("%s is no interface that is served; there is %s", name, listInterfaces(chosen)))
		}
	}
	return chosen
}

// namedInterfaces returns each named interface once. One that the host does not
// have, or that has no address, is served as soon as it is there.
func (p *parser) namedInterfaces(told servers) []netstate.Interface {
	var chosen []netstate.Interface
	for _, name := range parseAll(p.Problems, "interface", p.settings.Interfaces, func(s string) (string, error) { return s, nil }) {
		at := slices.IndexFunc(p.host, func(i netstate.Interface) bool { return i.Name == name })
		switch {
		case slices.ContainsFunc(chosen, func(i netstate.Interface) bool { return i.Name == name }):
		case at < 0:
			p.lack(name, fmt.Errorf("no such interface; there is %s", listInterfaces(p.host)))
			chosen = append(chosen, netstate.Interface{Name: name})
		case p.host[at].Flags&net.FlagLoopback != 0:
			p.Add("interface", name, errors.New("a loopback interface, which no machine boots from"))
		case len(p.host[at].Addresses) == 0 && !told.of(name).IsValid():
			p.lack(name, fmt.Errorf("it has no IPv4 address that clients could be told; give it one: ip address add 192.0.2.1/24 dev %s, or name one of this host with --server", name))
			chosen = append(chosen, p.host[at])
		default:
			chosen = append(chosen, p.host[at])
		}
	}
	return chosen
}

// lack adds why a named interface cannot be served now.
func (p *parser) lack(name string, err error) {
	p.lacks = append(p.lacks, fmt.Errorf("%s %q: %w", p.settings.place("", "interface"), name, err))
}

// servers are the addresses that clients are told as ours, by the interface on
// which they are heard. "" is for the other interfaces.
type servers map[string]netip.Addr

// of returns what the clients of an interface are told, the zero Addr for an
// address of the interface itself.
func (s servers) of(name string) netip.Addr {
	if a, ok := s[name]; ok {
		return a
	}
	return s[""]
}

// servers parses what clients are told, IP or INTERFACE=IP.
func (p *parser) servers() servers {
	told := servers{}
	parseAll(p.Problems, "server", p.settings.Servers, func(text string) (struct{}, error) {
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

// foreignServers returns a warning for each address that clients are told and
// that is not this host's.
func (p *parser) foreignServers(told servers) []string {
	var warnings []string
	for _, name := range slices.Sorted(maps.Keys(told)) {
		if a := told[name]; p.host != nil && p.isForeign(a) {
			warnings = append(warnings, fmt.Sprintf("clients are told that this host is at %s, which is no address of its own: "+
				"what is sent there to UDP 4011 and 69, and TCP 8067 or what --http says, must be forwarded here; --tftp-single-port helps with that", a))
		}
	}
	return warnings
}

// isForeign reports whether an address is another host's.
func (p *parser) isForeign(a netip.Addr) bool {
	if !a.IsValid() {
		return false
	}
	for _, i := range p.host {
		if slices.ContainsFunc(i.Addresses, func(own netip.Prefix) bool { return own.Addr() == a }) {
			return false
		}
	}
	return true
}

// listInterfaces lists interfaces for people.
func listInterfaces(list []netstate.Interface) string {
	list = slices.DeleteFunc(slices.Clone(list), func(i netstate.Interface) bool { return i.Flags&net.FlagLoopback != 0 })
	if len(list) == 0 {
		return "only the loopback interface"
	}
	return joined(list)
}
