package proxydhcp

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Who is asking: the facts about a client, read out of its request.

// Transport is how a client's firmware fetches its boot file.
type Transport uint8

// The transports, told apart by option 60.
const (
	PXE  Transport = iota // "PXEClient": a name, by TFTP
	HTTP                  // "HTTPClient": a URL (UEFI HTTP boot)
)

// The beginnings of option 60 that say a client is booting from the network
// (PXE 2.1, section 2.2.3; UEFI 2.10, section 24.7). What follows them varies.
const (
	pxeClient  = "PXEClient"
	httpClient = "HTTPClient"
	uBootClass = "U-Boot" // which is no PXE client, and has a class of its own
)

// String returns "pxe" or "http".
func (t Transport) String() string {
	if t == HTTP {
		return "http"
	}
	return "pxe"
}

// vendorClass is the option 60 that a reply to the transport carries.
func (t Transport) vendorClass() string {
	if t == HTTP {
		return httpClient
	}
	return pxeClient
}

// hasTransport reports whether a vendor class is that of a booting client.
func hasTransport(vendorClass []byte) bool {
	s := string(vendorClass)
	return strings.HasPrefix(s, pxeClient) || strings.HasPrefix(s, httpClient)
}

// isUBoot reports whether a vendor class is that of U-Boot.
func isUBoot(vendorClass []byte) bool { return strings.HasPrefix(string(vendorClass), uBootClass) }

// Segment is where a client is. The zero value of a field says nothing of it.
type Segment struct {
	Interface string     // the interface on which its request arrived
	VLAN      uint16     // the 802.1Q tag it carried, 0 for untagged
	Relay     netip.Addr // an address on the client's link, as its relay tells: giaddr, or the link selection of option 82 (RFC 3527)
	Circuit   string     // the circuit id of option 82 (RFC 3046, section 3.1): text, or 0x and hexadecimal
}

// UUID is the machine's identity of option 97, in the byte order of the wire:
// the first three fields of the SMBIOS UUID are little-endian.
type UUID [16]byte

// String returns the canonical text, as the firmware's own screens show it.
func (u UUID) String() string {
	le := binary.LittleEndian
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(u[0:]), le.Uint16(u[4:]), le.Uint16(u[6:]), u[8:10], u[10:16])
}

// PCIID names a network card by its PCI vendor and device number.
type PCIID struct{ Vendor, Device uint16 }

// String returns the pair in hexadecimal, such as "8086:100e".
func (id PCIID) String() string { return fmt.Sprintf("%04x:%04x", id.Vendor, id.Device) }

// IPXE is what an iPXE tells of itself in options 77 and 175. The zero value is
// a client that is not iPXE.
type IPXE struct {
	Present     bool
	HasVersion  bool
	Version     Version
	HasFeatures bool // option 175 was there; without it the features are unknown
	Features    Features
	NIC         PCIID // zero where it did not say
}

// String returns for example "iPXE 1.0.0", and "" for a client that is not
// iPXE.
func (x IPXE) String() string {
	switch {
	case !x.Present:
		return ""
	case x.HasVersion:
		return "iPXE " + x.Version.String()
	}
	return "iPXE of unknown version"
}

// Client is the facts about one booting client. It is comparable and keeps
// nothing of the packet.
type Client struct {
	Hardware    HardwareAddr
	Arch        Arch
	Transport   Transport
	VendorClass string // option 60, whole
	UserClass   string // option 77; several classes joined by commas
	IPXE        IPXE
	UUID        UUID // zero where option 97 was absent or of another type
	Segment     Segment
}

// HasUserClass reports whether name is one of the client's user classes.
func (c Client) HasUserClass(name string) bool {
	for class := range strings.SplitSeq(c.UserClass, ",") {
		if class == name {
			return true
		}
	}
	return false
}

// String describes the client in a few words: its iPXE, or its firmware.
func (c Client) String() string {
	switch c.firmware() {
	case AnyClient:
		return c.IPXE.String()
	case RaspberryPi:
		return "Raspberry Pi"
	case UBootFirmware:
		return "U-Boot"
	}
	return strings.ToUpper(c.Transport.String()) + " firmware"
}

// Classify reads the client's facts out of a request, or says why it is not a
// request that a proxy answers: the filter of a receiver on port, 67 or 4011.
// server is our address there, as option 54 of a request may name it. U-Boot
// boots from the network only where the service says so.
func Classify(m *Message, port uint16, segment Segment, server netip.Addr, s Service) (Client, Reason) {
	if reason := classifyType(m, port, server); reason != Answerable {
		return Client{}, reason
	}
	vendorClass := m.Option(optVendorClass)
	if !hasTransport(vendorClass) && !(s.UBoot && isUBoot(vendorClass)) {
		return Client{}, NotBooting
	}
	if m.Has(optWindowsBINL) {
		return Client{}, WindowsSecondStage
	}
	arch, ok := readArch(m.Option(optArch), string(vendorClass))
	if !ok && isUBoot(vendorClass) {
		arch, ok = noArch, true
	}
	if !ok {
		return Client{}, NoArchitecture
	}
	if m.GIAddr.Is4() && !m.GIAddr.IsUnspecified() {
		segment.Relay, segment.Circuit = readRelay(m)
	}
	c := Client{
		Hardware:    m.Hardware,
		Arch:        arch,
		VendorClass: string(vendorClass),
		UserClass:   readUserClass(m.Option(optUserClass)),
		IPXE:        readIPXE(m),
		Segment:     segment,
	}
	if strings.HasPrefix(c.VendorClass, httpClient) {
		c.Transport = HTTP
	}
	if id := m.Option(optMachineID); len(id) == 17 && id[0] == 0 {
		c.UUID = UUID(id[1:])
	}
	c.IPXE.Present = c.IPXE.Present || strings.Contains(c.UserClass, "iPXE")
	return c, Answerable
}

// classifyType judges the header and the message type. Port 67 takes the
// DISCOVER; port 4011 the REQUEST that follows a proxy's OFFER (PXE 2.1,
// section 2.2.5), which names either no server or the one that offered; and
// both take the REQUEST or INFORM that asks for an item of a boot menu.
func classifyType(m *Message, port uint16, server netip.Addr) Reason {
	_, wantsItem := readBootItem(m)
	switch {
	case m.Op != bootRequest:
		return NotARequest
	case !m.Has(optMessageType):
		return NoMessageType
	case port == PortServer && m.Type() == typeDiscover:
		return Answerable
	case m.Type() != typeRequest && !(wantsItem && m.Type() == typeInform):
		return OtherMessageType
	case port == PortServer && !wantsItem:
		return OtherServer
	case m.Has(optServerID) && m.Addr(optServerID) != server:
		return OtherServer
	}
	return Answerable
}

// readArch takes the first architecture of option 93's list (RFC 4578, section
// 2.1) that the registry knows, else the first; where the option is missing or
// cut short, the decimal number that option 60 carries after "Arch:".
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

// The sub-options of option 82 that tell where a client is.
const (
	subCircuitID     = 1 // RFC 3046, section 3.1
	subLinkSelection = 5 // RFC 3527, section 3
)

// readRelay reads where a relayed client is: an address on its link, and the
// circuit it is connected to.
func readRelay(m *Message) (link netip.Addr, circuit string) {
	link = m.GIAddr
	subOptions(m.Option(optRelayInfo), func(tag uint8, value []byte) {
		switch {
		case tag == subLinkSelection && len(value) == 4:
			link = addrAt(value, 0)
		case tag == subCircuitID:
			circuit = circuitText(value)
		}
	})
	return link, circuit
}

// circuitText is a circuit id as people write it.
func circuitText(id []byte) string {
	for _, c := range id {
		if c <= ' ' || c > '~' {
			return fmt.Sprintf("0x%x", id)
		}
	}
	return string(id)
}

// readUserClass reads option 77: counted strings (RFC 3004, section 4) where
// they fill it exactly, else the bare text that iPXE writes.
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

// The sub-options of option 175 that are read or written here.
const (
	subPriority = 1
	subNoProxy  = 176 // no-pxedhcp: do not wait for a proxy
	subBusID    = 177 // bus type, then for PCI (1) vendor and device
	subVersion  = 235
	busPCI      = 1
)

// readIPXE reads option 175. Builds differ in the order of its sub-options, and
// tags that are not known are passed over by their length.
func readIPXE(m *Message) IPXE {
	if !m.Has(optIPXE) {
		return IPXE{}
	}
	x := IPXE{Present: true, HasFeatures: true}
	subOptions(m.Option(optIPXE), func(tag uint8, value []byte) {
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
