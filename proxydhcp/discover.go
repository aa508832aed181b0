package proxydhcp

import (
	"encoding/binary"
	"encoding/hex"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// discoverXID is the transaction of the messages that Discover makes.
var discoverXID = [4]byte{'p', 'x', 'e', 's'}

// Discover returns the DISCOVER that a client with these facts would send: its
// firmware, or its iPXE. Read back it gives the same facts, but for the
// interface and the VLAN, which a message does not carry.
func (c Client) Discover() []byte {
	h := dhcp4.Header{Op: dhcp4.BootRequest, Hardware: c.Hardware, XID: discoverXID, GIAddr: c.Segment.Relay}
	b := h.Append(nil)
	b = dhcp4.AppendOption(b, dhcp4.OptionDHCPMessageType, uint8(dhcp4.MessageTypeDiscover))
	b = dhcp4.AppendOption(b, dhcp4.OptionMaximumDHCPMessageSize, 5, 192)
	b = dhcp4.AppendOption(b, dhcp4.OptionClientSystemArchitectureType, binary.BigEndian.AppendUint16(nil, uint16(c.Arch))...)
	b = dhcp4.AppendOption(b, dhcp4.OptionClassIdentifier, []byte(c.VendorClass)...)
	b = dhcp4.AppendOption(b, dhcp4.OptionUserClassInformation, []byte(c.UserClass)...)
	if c.UUID != (UUID{}) {
		b = dhcp4.AppendOption(b, dhcp4.OptionClientMachineIdentifier, append([]byte{0}, c.UUID[:]...)...)
	}
	b = dhcp4.AppendOption(b, dhcp4.OptionEtherboot, c.IPXE.encapsulate()...)
	b = dhcp4.AppendOption(b, dhcp4.OptionRelayAgentInformation, relayInfo(c.Segment)...)
	return append(b, uint8(dhcp4.OptionEnd))
}

// relayInfo returns the option 82 of a relay that names the circuit.
func relayInfo(s Segment) []byte {
	if s.Circuit == "" {
		return nil
	}
	id := []byte(s.Circuit)
	if digits, ok := strings.CutPrefix(s.Circuit, "0x"); ok {
		if raw, err := hex.DecodeString(digits); err == nil {
			id = raw
		}
	}
	return append([]byte{dhcp4.AgentCircuitID, byte(len(id))}, id...)
}

// encapsulate returns the option 175 of an iPXE, nil for a client that is none.
func (x IPXE) encapsulate() []byte {
	if !x.Present {
		return nil
	}
	var b []byte
	if x.NIC != (PCIID{}) {
		b = append(b, subBusID, 5, busPCI)
		b = binary.BigEndian.AppendUint16(b, x.NIC.Vendor)
		b = binary.BigEndian.AppendUint16(b, x.NIC.Device)
	}
	for f := range x.Features.All() {
		b = append(b, byte(f), 1, 1)
	}
	if x.HasVersion {
		b = append(b, subVersion, 3, x.Version[0], x.Version[1], x.Version[2])
	}
	return b
}
