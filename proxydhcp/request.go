package proxydhcp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// The ports of the protocol.
const (
	PortServer = 67   // DHCP servers and relays (RFC 2131, section 4.1)
	PortClient = 68   // DHCP clients
	PortProxy  = 4011 // the second stage of a PXE boot (PXE 2.1, section 2.2.5)
)

// Arrival is how a request reached us: all that its bytes do not say.
type Arrival struct {
	Port    uint16         // the port it was sent to, PortServer or PortProxy
	From    netip.AddrPort // its IP source
	To      netip.Addr     // its IP destination
	Segment Segment
	OnLink  bool                // From is an address of that segment, or none, so that no router is in between
	Ours    []netip.Prefix      // our addresses on the interface it arrived on
	Host    map[netip.Addr]bool // every address of this host, as far as they are known
	Server  netip.Addr          // the address of ours that the client is told; Respond chooses it
}

// Request is a request, read once: the message, how it arrived, who asks, and
// which item of a boot menu the client asks for.
type Request struct {
	Message  dhcp4.Message
	Type     dhcp4.MessageType
	Arrival  Arrival
	Client   Client // its Hardware, UUID and Segment alone if the request is not to be answered
	Item     ItemRequest
	AsksItem bool // Item is set: the request answers a boot menu
}

// MayBoot is the first look at a datagram, before anything is decoded. It
// returns false for what is certainly not the request of a booting client, and
// true in doubt: it never drops what ReadRequest would accept. On a busy
// segment it drops nearly everything. uBoot counts U-Boot as a booting client.
func MayBoot(b []byte, uBoot bool) bool {
	if len(b) < dhcp4.HeaderLen || b[0] != dhcp4.BootRequest || [4]byte(b[dhcp4.CookieOffset:dhcp4.HeaderLen]) != dhcp4.MagicCookie {
		return false
	}
	for opts := b[dhcp4.HeaderLen:]; len(opts) > 0; {
		code := dhcp4.OptionCode(opts[0])
		switch code {
		case dhcp4.OptionPad:
			opts = opts[1:]
			continue
		case dhcp4.OptionEnd:
			return false
		}
		if len(opts) < 2 || len(opts) < 2+int(opts[1]) {
			return false
		}
		value := opts[2 : 2+int(opts[1])]
		switch code {
		case dhcp4.OptionClassIdentifier:
			// A value cut short may go on in a second option 60 (RFC 3396).
			begins := func(class string) bool {
				return bytes.HasPrefix(value, []byte(class)) || strings.HasPrefix(class, string(value))
			}
			return begins(pxeClient) || begins(httpClient) || uBoot && begins(uBootClass)
		case dhcp4.OptionOptionOverload:
			return true
		}
		opts = opts[2+int(opts[1]):]
	}
	return false
}

// ReadRequest reads a request, or says why it is not one that a proxy answers.
// U-Boot counts as a booting client only if the options say so.
func ReadRequest(message dhcp4.Message, a Arrival, o ReplyOptions) (Request, Reason) {
	q := Request{Message: message, Type: message.Type(), Arrival: a, Client: Client{Hardware: message.Hardware, UUID: readUUID(&message), Segment: a.Segment}}
	m := &q.Message
	if isRelayed(m) {
		q.Client.Segment.Relay, q.Client.Segment.Circuit = readRelay(m)
	}
	if q.Type != dhcp4.MessageTypeDiscover {
		q.Item, q.AsksItem = readItemRequest(m)
	}
	if reason := q.checkType(); reason != Answerable {
		return q, reason
	}
	vendorClass := m.Option(dhcp4.OptionClassIdentifier)
	uBoot := isUBoot(vendorClass)
	if !isPXEOrHTTP(vendorClass) && !(o.UBoot && uBoot) {
		return q, NotBooting
	}
	if m.Has(dhcp4.OptionWindowsBINL) {
		return q, WindowsSecondStage
	}
	arch, ok := readArch(m.Option(dhcp4.OptionClientSystemArchitectureType), string(vendorClass))
	if !ok && uBoot {
		arch, ok = noArch, true
	}
	if !ok {
		return q, NoArchitecture
	}
	q.Client = q.Client.read(m, arch, string(vendorClass))
	return q, Answerable
}

// checkType checks the header and the message type. Port 67 answers a DISCOVER;
// port 4011 the REQUEST that follows a proxy's OFFER (PXE 2.1, section 2.2.5),
// which names either no server or the one that offered; and both answer the
// REQUEST or INFORM that asks for an item of a boot menu.
func (q *Request) checkType() Reason {
	m, port := &q.Message, q.Arrival.Port
	switch {
	case m.Op != dhcp4.BootRequest:
		return NotARequest
	case !m.Has(dhcp4.OptionDHCPMessageType):
		return NoMessageType
	case port == PortServer && q.Type == dhcp4.MessageTypeDiscover:
		return Answerable
	case q.Type != dhcp4.MessageTypeRequest && !(q.AsksItem && q.Type == dhcp4.MessageTypeInform):
		return OtherMessageType
	case port == PortServer && !q.AsksItem:
		return OtherServer
	case m.Has(dhcp4.OptionServerIdentifier) && m.Addr(dhcp4.OptionServerIdentifier) != q.Arrival.Server:
		return OtherServer
	}
	return Answerable
}

// read returns the client with the rest of its facts.
func (c Client) read(m *dhcp4.Message, arch Arch, vendorClass string) Client {
	c.Arch, c.VendorClass = arch, vendorClass
	c.UserClass = readUserClass(m.Option(dhcp4.OptionUserClassInformation))
	c.IPXE = readIPXE(m)
	if strings.HasPrefix(vendorClass, httpClient) {
		c.Transport = HTTP
	}
	c.IPXE.Present = c.IPXE.Present || strings.Contains(c.UserClass, "iPXE")
	return c
}

// readUUID reads option 97, zero if it is absent or of another type (RFC 4578,
// section 2.3).
func readUUID(m *dhcp4.Message) (id UUID) {
	if v := m.Option(dhcp4.OptionClientMachineIdentifier); len(v) == 1+len(id) && v[0] == 0 {
		id = UUID(v[1:])
	}
	return id
}

// readArch returns the first architecture of option 93's list (RFC 4578,
// section 2.1) that the registry knows, or the first if it knows none. If the
// option is missing or cut short, it is the decimal number that option 60
// carries after "Arch:".
func readArch(list []byte, vendorClass string) (Arch, bool) {
	if len(list) >= 2 && len(list)%2 == 0 {
		first := Arch(binary.BigEndian.Uint16(list))
		for ; len(list) > 0; list = list[2:] {
			a := Arch(binary.BigEndian.Uint16(list))
			if _, known := a.row(); known {
				return a, true
			}
		}
		return first, true
	}
	_, rest, ok := strings.Cut(vendorClass, ":Arch:")
	if !ok || len(rest) < 5 {
		return 0, false
	}
	n, err := strconv.ParseUint(rest[:5], 10, 16)
	return Arch(n), err == nil
}

// isRelayed reports whether a relay forwarded the message.
func isRelayed(m *dhcp4.Message) bool { return m.GIAddr.Is4() && !m.GIAddr.IsUnspecified() }

// readRelay reads where a relayed client is: an address on its link, and the
// circuit it is connected to.
func readRelay(m *dhcp4.Message) (link netip.Addr, circuit string) {
	link = m.GIAddr
	dhcp4.SubOptions(m.Option(dhcp4.OptionRelayAgentInformation), func(tag uint8, value []byte) {
		switch {
		case tag == dhcp4.AgentLinkSelection && len(value) == 4:
			link = netip.AddrFrom4([4]byte(value))
		case tag == dhcp4.AgentCircuitID:
			circuit = circuitText(value)
		}
	})
	return link, circuit
}

// circuitText returns a circuit id as people write it.
func circuitText(id []byte) string {
	for _, c := range id {
		if c <= ' ' || c > '~' {
			return fmt.Sprintf("0x%x", id)
		}
	}
	return string(id)
}

// readUserClass reads option 77: counted strings (RFC 3004, section 4) if they
// fill it exactly, else the bare text that iPXE writes.
func readUserClass(b []byte) string {
	var classes []string
	for rest := b; ; {
		if len(rest) == 0 {
			return strings.Join(classes, ",")
		}
		n := int(rest[0])
		if n == 0 || 1+n > len(rest) {
			return strings.TrimRight(string(b), "\x00")
		}
		classes = append(classes, string(rest[1:1+n]))
		rest = rest[1+n:]
	}
}

// The sub-options of option 175 that are read or written here, beside the
// features.
const (
	subPriority = 1
	subNoProxy  = 176 // no-pxedhcp: do not wait for a proxy
	subBusID    = 177 // bus type, then for PCI (1) vendor and device
	subVersion  = 235
	busPCI      = 1
)

// readIPXE reads option 175. The order of its sub-options differs from build to
// build, and unknown tags are skipped by their length.
func readIPXE(m *dhcp4.Message) IPXE {
	if !m.Has(dhcp4.OptionEtherboot) {
		return IPXE{}
	}
	x := IPXE{Present: true, HasFeatures: true}
	dhcp4.SubOptions(m.Option(dhcp4.OptionEtherboot), func(tag uint8, value []byte) {
		switch f := Feature(tag); {
		case f >= minFeature && f <= maxFeature:
			if len(value) > 0 && value[0] != 0 {
				x.Features = x.Features.With(f)
			}
		case tag == subVersion && len(value) == len(x.Version):
			x.Version, x.HasVersion = Version(value), true
		case tag == subBusID && len(value) == 5 && value[0] == busPCI:
			x.NIC = PCIID{binary.BigEndian.Uint16(value[1:]), binary.BigEndian.Uint16(value[3:])}
		}
	})
	return x
}
