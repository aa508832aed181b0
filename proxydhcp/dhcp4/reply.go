package dhcp4

import (
	"fmt"
	"net/netip"
)

// Reply is everything that a ProxyDHCP server can say. What it must never say
// (an address, a lease, a router) it has no field for.
type Reply struct {
	Type        MessageType // MessageTypeOffer or MessageTypeAck
	Hardware    HardwareAddr
	XID         [4]byte
	Flags       uint16
	CIAddr      netip.Addr
	GIAddr      netip.Addr
	Server      netip.Addr // option 54: where our port 4011 answers
	NextServer  netip.Addr // siaddr
	File        string
	VendorClass string // option 60
	VendorInfo  []byte // option 43
	Etherboot   []byte // option 175
	MachineID   []byte // option 97, echoed
	ClientID    []byte // option 61, echoed (RFC 6842)
	RelayInfo   []byte // option 82, echoed (RFC 3046, section 2.2)
	Minimal     bool   // without options 97 and 61 and the sname field, whatever the request has
	MaxSize     int    // the largest message that the client takes, in bytes (see MaxReplySize)
}

// Limits of the two places for a boot file name, in bytes without the final
// NUL.
const (
	MaxFileField  = 127
	MaxFileOption = 254
)

// Sizes of a DHCP message, in bytes of UDP payload.
const (
	minReply     = 300              // BOOTP's fixed size; old relays and ROMs drop shorter messages
	defaultReply = 576 - ipUDPBytes // RFC 2131, section 2: every client takes it
	maxReply     = 1500 - ipUDPBytes
	ipUDPBytes   = ipHeaderLen + UDPHeaderLen // option 57 counts them in
)

// MaxReplySize returns how many bytes of UDP payload the sender of m takes.
// Option 57 counts the IP and UDP headers in, and says 576 at least (RFC 2132,
// section 9.10).
func MaxReplySize(m *Message) int {
	v := m.Option(OptionMaximumDHCPMessageSize)
	if len(v) != 2 {
		return defaultReply
	}
	said := int(v[0])<<8 | int(v[1])
	return min(max(said-ipUDPBytes, defaultReply), maxReply)
}

// Append appends the reply's wire format to b: the header of RFC 2131, section
// 2; then the options in an order that strict and sloppy parsers both read; the
// END option, which edk2 insists on; and zeros up to 300 bytes. The boot file
// name goes into the file field, which every client reads. Only a longer one
// goes into option 67, which then ends in NUL and is the last but for option
// 82. A name or a reply that does not fit is an error: nothing is cut short.
func (r *Reply) Append(b []byte) ([]byte, error) {
	if len(r.VendorInfo) > 255 {
		return nil, fmt.Errorf("boot menu: %d bytes long, and DHCP carries at most 255", len(r.VendorInfo))
	}
	if len(r.File) > MaxFileOption {
		return nil, fmt.Errorf("boot file name %q: %d bytes long, and DHCP carries at most %d", r.File, len(r.File), MaxFileOption)
	}
	h := Header{Op: BootReply, Hardware: r.Hardware, XID: r.XID, Flags: r.Flags, CIAddr: r.CIAddr, SIAddr: r.NextServer, GIAddr: r.GIAddr}
	if len(r.File) <= MaxFileField {
		h.File = r.File
	}
	start := len(b)
	b = h.Append(b)
	if !r.Minimal {
		r.NextServer.AppendTo(b[start+offSName : start+offSName : start+offFile]) // in place: an address is shorter than the field
	}
	b = r.appendOptions(b)
	if size := len(b) - start; size > r.MaxSize {
		return nil, fmt.Errorf("the reply has %d bytes and the client takes %d: shorten the boot file name %q", size, r.MaxSize, r.File)
	}
	return appendZeros(b, max(minReply-(len(b)-start), 0)), nil
}

// appendOptions appends the options, END last.
func (r *Reply) appendOptions(b []byte) []byte {
	b = append(b, uint8(OptionDHCPMessageType), 1, uint8(r.Type))
	b = append(b, uint8(OptionServerIdentifier), 4)
	b = AppendAddr(b, r.Server)
	b = appendText(b, OptionClassIdentifier, r.VendorClass)
	if !r.Minimal {
		b = AppendOption(b, OptionClientMachineIdentifier, r.MachineID...)
	}
	b = AppendOption(b, OptionVendorSpecificInformation, r.VendorInfo...)
	b = AppendOption(b, OptionEtherboot, r.Etherboot...)
	if !r.Minimal {
		b = AppendOption(b, OptionClientIdentifier, r.ClientID...)
	}
	if len(r.File) > MaxFileField {
		b = append(b, uint8(OptionBootfileName), uint8(len(r.File)+1))
		b = append(append(b, r.File...), 0)
	}
	b = AppendOption(b, OptionRelayAgentInformation, r.RelayInfo...)
	return append(b, uint8(OptionEnd))
}

// appendText appends an option that holds text of at most 255 bytes, and
// nothing for an empty one.
func appendText(b []byte, code OptionCode, text string) []byte {
	if text == "" {
		return b
	}
	b = append(b, uint8(code), uint8(len(text)))
	return append(b, text...)
}
