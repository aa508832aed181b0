package export

import (
	"fmt"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// What a DHCP server can look at, and what becomes of a rule that looks at
// more.

// aspect is something of a client that a rule can look at, beside what every
// server sees: kind, architecture and MAC address.
type aspect uint8

// The aspects.
const (
	ofVersion aspect = iota
	ofFeatures
	ofLack
	ofUserClass
	ofVendorClass
	ofUUID
	ofNIC
	ofInterface
	ofVLAN
	ofRelay
	ofCircuit
	aspects
)

// sight is how well a server sees an aspect.
type sight uint8

// The kinds of sight.
const (
	blind     sight = iota // it cannot look at this
	exact                  // as pxesidecar does
	overtakes              // it takes some clients for having it that do not
	overlooks              // it takes some clients for not having it that do
)

// limits are what a server can look at and say.
type limits struct {
	sight    [aspects]sight
	why      [aspects]string                            // what is in the way, where the sight is not exact
	fills    func(placeholder string, to audience) bool // it can put this fact into a name
	silences func(step) bool                            // it can be told to say nothing
}

// demand is one aspect that a match looks at.
type demand struct {
	aspect aspect
	words  string
}

// ofKind reports whether the aspect is one of an iPXE's build, which the
// settled clients of proxydhcp need not have to get the script.
func (a aspect) ofKind() bool {
	return a == ofVersion || a == ofFeatures || a == ofLack || a == ofUserClass
}

// demandsOf lists the aspects that a match looks at.
func demandsOf(m proxydhcp.Match) []demand {
	var list []demand
	add := func(set bool, a aspect, format string, args ...any) {
		if set {
			list = append(list, demand{a, fmt.Sprintf(format, args...)})
		}
	}
	if x := m.IPXE; x != nil {
		add(!x.Version.IsZero(), ofVersion, "version %s", x.Version)
		add(x.Features != 0, ofFeatures, "with %s", x.Features)
		add(x.Lacks != 0, ofLack, "without %s", x.Lacks)
		add(x.UserClass != "", ofUserClass, "user class %q", x.UserClass)
	}
	add(m.VendorClass != "", ofVendorClass, "vendor class %q", m.VendorClass)
	add(len(m.UUIDs) > 0, ofUUID, "machine %s", join(m.UUIDs))
	add(len(m.NICs) > 0, ofNIC, "network card %s", join(m.NICs))
	add(len(m.Interfaces) > 0, ofInterface, "arriving on %s", strings.Join(m.Interfaces, ", "))
	add(len(m.VLANs) > 0, ofVLAN, "VLAN %s", strings.Trim(fmt.Sprint(m.VLANs), "[]"))
	add(len(m.Relays) > 0, ofRelay, "relayed from %s", join(m.Relays))
	add(len(m.Circuits) > 0, ofCircuit, "on circuit %s", strings.Join(m.Circuits, ", "))
	return list
}

// join lists values for people.
func join[T fmt.Stringer](values []T) string { return strings.Join(texts(values, T.String), ", ") }

// waive removes a demand on an iPXE's build from a match.
func waive(m *proxydhcp.Match, a aspect) {
	x := *m.IPXE
	switch a {
	case ofVersion:
		x.Version = proxydhcp.VersionRange{}
	case ofFeatures:
		x.Features = 0
	case ofLack:
		x.Lacks = 0
	case ofUserClass:
		x.UserClass = ""
	}
	m.IPXE = &x
}

// judge decides what becomes of a rule for one kind of clients. A script's rule
// is widened where the server does not see what makes an iPXE good enough,
// because a script ends the boot. Any other rule is left out where it would
// take too many: a ROM for an iPXE that does not need it is a loop. For the
// same reason an iPXE gets no ROM from a rule behind one that was left out and
// might have taken it.
func (p *plan) judge(r proxydhcp.Rule, s *step) {
	s.match = r.Match
	s.match.Platforms, s.match.Archs, s.match.Firmware = nil, nil, proxydhcp.AnyClient
	script := r.Outcome.Kind == proxydhcp.BootScript && s.to == iPXEs
	for _, d := range demandsOf(s.match) {
		why := p.target.limits.why[d.aspect]
		switch sight := p.target.limits.sight[d.aspect]; {
		case sight == exact:
		case sight == overlooks:
			s.note("NOTE %s: %s. Some of these are not recognised and get what the rules below say.", d.words, why)
		case script && d.aspect.ofKind() && sight == overtakes:
			s.widened = true
			s.note("NOTE %s: %s. In doubt the iPXE gets the script rather than a ROM again.", d.words, why)
		case script && d.aspect.ofKind():
			s.widened = true
			waive(&s.match, d.aspect)
			s.note("NOTE %s: %s. It is taken as met, so that an iPXE gets the script rather than a ROM again.", d.words, why)
		default:
			s.notes = nil
			s.leaveOut(fmt.Sprintf("LEFT OUT, %s: %s. These machines get what the rules below say.", d.words, why))
			return
		}
	}
	if loads := r.Outcome.Kind == proxydhcp.BootROM || r.Outcome.Kind == proxydhcp.BootFile; !loads || s.to != iPXEs {
		return
	}
	if rule, found := p.unsafe(r); found {
		s.leaveOut(fmt.Sprintf("LEFT OUT for iPXE: rule %q above would have taken some of these, and they might load this again and again.", rule))
	}
}

// note adds a remark.
func (s *step) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// staticFills is what a server that only knows fixed names can put into one:
// the architecture, for which there is a step each; and to iPXE, which expands
// settings itself, its own words for the fact.
func staticFills(placeholder string, to audience) bool {
	_, ok := ipxeSettings[placeholder]
	return placeholder == "arch" || ok && to == iPXEs
}

// ipxeSettings are iPXE's own words for placeholders.
var ipxeSettings = map[string]string{
	"mac":        "${netX/mac}",
	"mac-hyphen": "${netX/mac:hexhyp}",
	"mac-plain":  "${netX/mac:hexraw}",
	"uuid":       "${uuid}",
}

// always is a server that can be told to say nothing to anybody.
func always(step) bool { return true }

// elsewhere is why a DHCP server does not see the place where pxesidecar hears
// a client.
const elsewhere = "interfaces and VLANs are those of the host that runs pxesidecar; put the answer into the declaration of that network instead"
