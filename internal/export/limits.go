package export

// What a DHCP server can match and answer, compared with pxesidecar.

import (
	"fmt"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// criterion is a property of a client that a rule can match, besides those that
// every server supports: kind of client, architecture and MAC address.
type criterion uint8

// The criteria.
const (
	byVersion criterion = iota
	byFeatures
	byLackingFeatures
	byUserClass
	byVendorClass
	byUUID
	byNIC
	byInterface
	byVLAN
	byRelay
	byCircuit
)

// numCriteria is how many criteria there are.
const numCriteria = int(byCircuit) + 1

// precision is how exactly a server matches a criterion.
type precision uint8

// The degrees of precision.
const (
	unsupported  precision = iota // it cannot match this
	exact                         // it matches as pxesidecar does
	overmatches                   // it also takes some clients that do not meet a requirement
	undermatches                  // it does not take some clients that meet a requirement
)

// support is how a server matches one criterion.
type support struct {
	precision precision
	reason    string // why it is not exact
}

// limits are what a server can match and answer.
type limits struct {
	criteria    [numCriteria]support
	canFill     func(placeholder string, kind clientKinds) bool // reports whether the server can replace a placeholder of a boot file name
	canGiveNone func(step) bool                                 // reports whether it can give the clients of a step no boot file
}

// requirement is what a match requires of one criterion.
type requirement struct {
	criterion criterion
	text      string
}

// requirementsOf returns what a match requires.
func requirementsOf(m proxydhcp.Match) []requirement {
	var list []requirement
	add := func(set bool, c criterion, format string, args ...any) {
		if set {
			list = append(list, requirement{c, fmt.Sprintf(format, args...)})
		}
	}
	if x := m.IPXE; x != nil {
		add(!x.Version.IsZero(), byVersion, "version %s", x.Version)
		add(x.Features != 0, byFeatures, "with %s", x.Features)
		add(x.Lacks != 0, byLackingFeatures, "without %s", x.Lacks)
		add(x.UserClass != "", byUserClass, "user class %q", x.UserClass)
	}
	add(m.VendorClass != "", byVendorClass, "vendor class %q", m.VendorClass)
	add(len(m.UUIDs) > 0, byUUID, "UUID %s", join(m.UUIDs))
	add(len(m.NICs) > 0, byNIC, "network card %s", join(m.NICs))
	add(len(m.Interfaces) > 0, byInterface, "on interface %s", strings.Join(m.Interfaces, ", "))
	add(len(m.VLANs) > 0, byVLAN, "VLAN %s", strings.Trim(fmt.Sprint(m.VLANs), "[]"))
	add(len(m.Relays) > 0, byRelay, "relayed from %s", join(m.Relays))
	add(len(m.Circuits) > 0, byCircuit, "on circuit %s", strings.Join(m.Circuits, ", "))
	return list
}

// join returns the values as a list in a comment.
func join[T fmt.Stringer](values []T) string { return strings.Join(render(values, T.String), ", ") }

// ofBuild reports whether a criterion is about an iPXE's build. A client whose
// upgrade failed gets the script from proxydhcp without meeting those.
func (c criterion) ofBuild() bool {
	return c == byVersion || c == byFeatures || c == byLackingFeatures || c == byUserClass
}

// waive removes the requirement on an iPXE's build from a match.
func (c criterion) waive(m *proxydhcp.Match) {
	x := *m.IPXE
	switch c {
	case byVersion:
		x.Version = proxydhcp.VersionRange{}
	case byFeatures:
		x.Features = 0
	case byLackingFeatures:
		x.Lacks = 0
	case byUserClass:
		x.UserClass = ""
	case byVendorClass, byUUID, byNIC, byInterface, byVLAN, byRelay, byCircuit: // not of the build
	}
	m.IPXE = &x
}

// fillsOnlyFixed is canFill of a server that supports only fixed names. It can
// replace the architecture, because each has a step of its own; and for iPXE,
// placeholders that iPXE has settings for.
func fillsOnlyFixed(placeholder string, kind clientKinds) bool {
	_, ok := ipxeSettings[placeholder]
	return placeholder == "arch" || ok && kind == iPXEs
}

// ipxeSettings are the iPXE settings with the values of placeholders.
var ipxeSettings = map[string]string{
	"mac":        "${netX/mac}",
	"mac-hyphen": "${netX/mac:hexhyp}",
	"mac-plain":  "${netX/mac:hexraw}",
	"uuid":       "${uuid}",
}

// always is canGiveNone of a server that can give any clients no boot file.
func always(step) bool { return true }

// The criteria that no server supports.
var (
	noInterface = support{reason: "interfaces and VLANs are those of the host that runs pxesidecar; put the answer into the declaration of that network instead"}
	noCircuit   = support{reason: "circuits of relays are not exported"}
)

// byExpressions is what a server matches that has expressions over any option.
var byExpressions = [numCriteria]support{
	byVersion:         {precision: exact},
	byFeatures:        {precision: exact},
	byLackingFeatures: {precision: exact},
	byUserClass:       {precision: exact},
	byVendorClass:     {precision: exact},
	byUUID:            {precision: exact},
	byNIC:             {precision: exact},
	byInterface:       noInterface,
	byVLAN:            noInterface,
	byRelay:           {precision: exact},
	byCircuit:         noCircuit,
}
