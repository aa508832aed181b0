package proxydhcp

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// HardwareAddr is a client's hardware address.
type HardwareAddr = dhcp4.HardwareAddr

// MACPrefix is a MAC address, or the beginning of one.
type MACPrefix = dhcp4.MACPrefix

// Transport is how a client's firmware fetches its boot file.
type Transport uint8

// The transports, as option 60 names them.
const (
	PXE  Transport = iota // "PXEClient": a name, by TFTP
	HTTP                  // "HTTPClient": a URL (UEFI HTTP boot)
)

// transportNames are the names that logs show.
var transportNames = [...]string{PXE: "pxe", HTTP: "http"}

// String returns "pxe" or "http".
func (t Transport) String() string { return enumName(transportNames[:], t, "transport") }

// The beginnings of option 60 by which a client says that it boots from the
// network (PXE 2.1, section 2.2.3; UEFI 2.10, section 24.7). The rest varies.
const (
	pxeClient  = "PXEClient"
	httpClient = "HTTPClient"
)

// vendorClasses are the option 60 of the replies to each transport.
var vendorClasses = [...]string{PXE: pxeClient, HTTP: httpClient}

// isPXEOrHTTP reports whether a vendor class is that of a booting client.
func isPXEOrHTTP(vendorClass []byte) bool {
	s := string(vendorClass)
	return strings.HasPrefix(s, pxeClient) || strings.HasPrefix(s, httpClient)
}

// Segment is where a client is. The zero value of a field means that nothing is
// known of it.
type Segment struct {
	Interface string     // the interface on which its request arrived
	VLAN      uint16     // the 802.1Q tag of the request, 0 if it was untagged
	Relay     netip.Addr // an address on the client's link, from its relay: giaddr, or the link selection of option 82 (RFC 3527)
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

// PCIID identifies a network card by its PCI vendor and device number.
type PCIID struct{ Vendor, Device uint16 }

// String returns the pair in hexadecimal, such as "8086:100e".
func (id PCIID) String() string { return fmt.Sprintf("%04x:%04x", id.Vendor, id.Device) }

// IPXE is what an iPXE says of itself in options 77 and 175. The zero value is
// a client that is not iPXE.
type IPXE struct {
	Present     bool
	HasVersion  bool
	Version     Version
	HasFeatures bool // option 175 was there; without it the features are unknown
	Features    Features
	NIC         PCIID // zero if it did not say
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
	UUID        UUID // zero if option 97 was absent or of another type
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
	case HTTPBootFirmware:
		return "HTTP firmware"
	case BIOSFirmware, UEFIFirmware, NoIPXE:
		return "PXE firmware"
	}
	return "unknown firmware"
}

// Platform returns the platform on which c's boot ROM would run: that of the
// architecture type, unless a board's type is not its own.
func (c Client) Platform() Platform {
	switch c.firmware() {
	case RaspberryPi:
		return NoPlatform // its type is BIOS, and it boots its own files
	case UBootFirmware:
		return uBootPlatform(c.Arch, c.VendorClass)
	case AnyClient, BIOSFirmware, UEFIFirmware, HTTPBootFirmware, NoIPXE:
	}
	return c.Arch.Platform()
}

// enumName returns the name of an enumeration's value, or its number after the
// name of the enumeration if it has no name.
func enumName[T ~uint8](names []string, value T, enumeration string) string {
	if int(value) < len(names) && names[value] != "" {
		return names[value]
	}
	return enumeration + " " + strconv.Itoa(int(value))
}
