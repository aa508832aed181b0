package proxydhcp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Match is what a rule demands of a client. Every demand that is set must hold;
// the zero Match matches every client.
type Match struct {
	Platforms   []Platform     // the client's platform is one of these
	Archs       []Arch         // its architecture type is one of these
	Firmware    Firmware       // the kind of firmware that asks
	IPXE        *IPXEMatch     // the client is an iPXE, of this kind
	VendorClass string         // option 60 begins with this
	MACs        []MACPrefix    // the client's MAC address begins with one of these
	NotMACs     []MACPrefix    // and with none of these
	UUIDs       []UUID         // the machine's UUID is one of these
	NICs        []PCIID        // the card that an iPXE names is one of these
	Interfaces  []string       // the request arrived on one of these
	VLANs       []uint16       // in one of these VLANs, 0 for untagged
	Relays      []netip.Prefix // from a relay with an address in one of these networks
	Circuits    []string       // from one of these circuits of a relay
}

// IPXEMatch is what a rule demands of an iPXE. The zero IPXEMatch matches every
// iPXE.
type IPXEMatch struct {
	Version   VersionRange // of its version; an iPXE that tells none does not meet a demand
	Features  Features     // it has all of these; one that lists no features is assumed to have them
	Lacks     Features     // it lacks at least one of these; one that lists no features does not
	UserClass string       // one of its user classes, a ROM's own marker; "" demands none
}

// demand is a kind of demand of a Match, as the reason why the match fails.
type demand uint8

// The demands, in the order in which they are checked; matches means that all
// hold.
const (
	matches      demand = iota
	wantsUntried        // a client that the rule's ROM has not failed to help
	wantsPlatform
	wantsArch
	wantsFirmware
	wantsMAC
	wantsOtherMAC
	wantsInterface
	wantsVLAN
	wantsRelay
	wantsCircuit
	wantsVendorClass
	wantsUUID
	wantsNIC
	wantsIPXE
	wantsVersion
	wantsFeatures
	wantsLack
	wantsUserClass
)

// mismatch returns the first demand that c does not meet. lenient waives the
// demands on the kind of iPXE.
func (m *Match) mismatch(c *Client, lenient bool) demand {
	switch {
	case len(m.Platforms) > 0 && !slices.Contains(m.Platforms, c.Platform()):
		return wantsPlatform
	case len(m.Archs) > 0 && !slices.Contains(m.Archs, c.Arch):
		return wantsArch
	case !m.firmwareHolds(c):
		return wantsFirmware
	case len(m.MACs) > 0 && !beginsWithOne(m.MACs, c.Hardware):
		return wantsMAC
	case beginsWithOne(m.NotMACs, c.Hardware):
		return wantsOtherMAC
	}
	if d := m.segmentMismatch(c.Segment); d != matches {
		return d
	}
	switch {
	case !strings.HasPrefix(c.VendorClass, m.VendorClass):
		return wantsVendorClass
	case len(m.UUIDs) > 0 && !slices.Contains(m.UUIDs, c.UUID):
		return wantsUUID
	case len(m.NICs) > 0 && !slices.Contains(m.NICs, c.IPXE.NIC):
		return wantsNIC
	case m.IPXE == nil:
		return matches
	case !c.IPXE.Present:
		return wantsIPXE
	case lenient:
		return matches
	}
	return m.IPXE.mismatch(c)
}

// segmentMismatch returns the first demand on where the client is that does not
// hold.
func (m *Match) segmentMismatch(s Segment) demand {
	inside := func(n netip.Prefix) bool { return s.Relay.IsValid() && n.Contains(s.Relay) }
	switch {
	case len(m.Interfaces) > 0 && !slices.Contains(m.Interfaces, s.Interface):
		return wantsInterface
	case len(m.VLANs) > 0 && !slices.Contains(m.VLANs, s.VLAN):
		return wantsVLAN
	case len(m.Relays) > 0 && !slices.ContainsFunc(m.Relays, inside):
		return wantsRelay
	case len(m.Circuits) > 0 && !slices.Contains(m.Circuits, s.Circuit):
		return wantsCircuit
	}
	return matches
}

// Segment returns one of the segments that the match covers.
func (m *Match) Segment() Segment {
	var s Segment
	if len(m.Interfaces) > 0 {
		s.Interface = m.Interfaces[0]
	}
	if len(m.VLANs) > 0 {
		s.VLAN = m.VLANs[0]
	}
	if len(m.Relays) > 0 {
		s.Relay = m.Relays[0].Addr()
	}
	if len(m.Circuits) > 0 {
		s.Circuit = m.Circuits[0]
	}
	return s
}

func (m *Match) firmwareHolds(c *Client) bool {
	switch m.Firmware {
	case AnyClient:
		return true
	case NoIPXE:
		return !c.IPXE.Present
	case BIOSFirmware, UEFIFirmware, HTTPBootFirmware, RaspberryPi, UBootFirmware:
	}
	return c.firmware() == m.Firmware
}

func beginsWithOne(prefixes []MACPrefix, a HardwareAddr) bool {
	return slices.ContainsFunc(prefixes, func(p MACPrefix) bool { return p.Matches(a) })
}

// isPersonal reports whether the match names single machines.
func (m *Match) isPersonal() bool { return len(m.MACs) > 0 || len(m.UUIDs) > 0 }

// mismatch returns the first demand on an iPXE that c does not meet.
func (m *IPXEMatch) mismatch(c *Client) demand {
	switch {
	case !m.Version.IsZero() && !(c.IPXE.HasVersion && m.Version.Contains(c.IPXE.Version)):
		return wantsVersion
	case c.IPXE.HasFeatures && !c.IPXE.Features.Has(m.Features):
		return wantsFeatures
	case m.Lacks != 0 && (!c.IPXE.HasFeatures || c.IPXE.Features.Has(m.Lacks)):
		return wantsLack
	case m.UserClass != "" && !c.HasUserClass(m.UserClass):
		return wantsUserClass
	}
	return matches
}

// Unmet is a demand on an iPXE that a client does not meet. The zero value
// means that it meets all.
type Unmet struct {
	Version bool   // the demand is that on the version
	Text    string // what the client lacks, for people
}

// String returns the text for people.
func (u Unmet) String() string { return u.Text }

// Unmet returns the first demand on an iPXE that c does not meet.
func (m *IPXEMatch) Unmet(c Client) Unmet {
	switch d := m.mismatch(&c); d {
	case wantsVersion:
		if !c.IPXE.HasVersion {
			return Unmet{true, fmt.Sprintf("iPXE reports no version, wanted %s", m.Version)}
		}
		return Unmet{true, fmt.Sprintf("iPXE reports version %s, wanted %s", c.IPXE.Version, m.Version)}
	case wantsFeatures:
		return Unmet{Text: "iPXE lacks " + m.Features.Without(c.IPXE.Features).String()}
	case wantsLack:
		return Unmet{Text: "iPXE has " + m.Lacks.String()}
	case wantsUserClass:
		return Unmet{Text: fmt.Sprintf("iPXE's user class is %q, wanted %q", c.UserClass, m.UserClass)}
	case matches, wantsUntried, wantsPlatform, wantsArch, wantsFirmware, wantsMAC, wantsOtherMAC, wantsInterface, wantsVLAN,
		wantsRelay, wantsCircuit, wantsVendorClass, wantsUUID, wantsNIC, wantsIPXE:
	}
	return Unmet{}
}

// explain says why c does not meet a demand of the match.
func (m *Match) explain(d demand, c Client) string {
	switch d {
	case matches:
		return ""
	case wantsUntried:
		return "the client loaded the ROM, and it did not help"
	case wantsPlatform:
		return fmt.Sprintf("architecture is %s, wanted %s", c.Platform(), oneOf(m.Platforms))
	case wantsArch:
		return fmt.Sprintf("architecture is %s, wanted %s", c.Arch, oneOf(m.Archs))
	case wantsFirmware:
		return fmt.Sprintf("client is %s, wanted %s", c, m.Firmware)
	case wantsMAC:
		return fmt.Sprintf("MAC address %s begins with none of %s", c.Hardware, oneOf(m.MACs))
	case wantsOtherMAC:
		return fmt.Sprintf("MAC address %s is excepted", c.Hardware)
	case wantsInterface:
		return fmt.Sprintf("interface is %s, wanted %s", c.Segment.Interface, strings.Join(m.Interfaces, ", "))
	case wantsVLAN:
		return fmt.Sprintf("VLAN is %d, wanted %s", c.Segment.VLAN, strings.Trim(fmt.Sprint(m.VLANs), "[]"))
	case wantsRelay:
		if !c.Segment.Relay.IsValid() {
			return "not relayed"
		}
		return fmt.Sprintf("relay is %s, wanted %s", c.Segment.Relay, oneOf(m.Relays))
	case wantsCircuit:
		return fmt.Sprintf("circuit is %q, wanted %s", c.Segment.Circuit, strings.Join(m.Circuits, ", "))
	case wantsVendorClass:
		return fmt.Sprintf("vendor class is %q, wanted %q", c.VendorClass, m.VendorClass)
	case wantsUUID:
		return fmt.Sprintf("UUID is %s, wanted %s", c.UUID, oneOf(m.UUIDs))
	case wantsNIC:
		return fmt.Sprintf("network card is %s, wanted %s", c.IPXE.NIC, oneOf(m.NICs))
	case wantsIPXE:
		return "client is not an iPXE"
	case wantsVersion, wantsFeatures, wantsLack, wantsUserClass:
		return m.IPXE.Unmet(c).Text
	}
	return ""
}

// oneOf joins the values of a demand for people.
func oneOf[T fmt.Stringer](values []T) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = v.String()
	}
	return strings.Join(texts, ", ")
}
