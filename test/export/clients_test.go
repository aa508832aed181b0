package export_test

// The clients and the bytes of their requests.

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// offOptions is the offset of the options in a DHCP message (RFC 2131, figure
// 1).
const offOptions = 240

// The message types of the requests (RFC 2132, section 9.6).
const (
	typeDiscover = 1
	typeRequest  = 3
)

// client is a machine that sends requests.
type client struct {
	name      string
	mac       [6]byte
	arch      uint16
	class     string // option 60; "" for the usual value of arch
	userClass string // option 77, unchanged
	option175 []byte
	coarse    []byte   // option 175 as seen by a server that looks for a number anywhere in it; nil if the same
	uuid      [16]byte // option 97, if not zero
	relayed   bool
	bare      bool // requests only a netmask and a router
}

// mac is the address of every client without an address of its own.
var mac = [6]byte{0x52, 0x54, 0, 0xab, 0, 0x0c}

// ipxe returns option 175 of a build: the network card, the features and the
// version.
func ipxe(version [3]byte, features ...byte) []byte {
	b := []byte{177, 5, 1, 0x80, 0x86, 0x10, 0x0e}
	for _, f := range features {
		b = append(b, f, 1, 1)
	}
	return append(b, 235, 3, version[0], version[1], version[2])
}

// The numbers of iPXE features.
const (
	hasHTTP  = 19
	hasHTTPS = 20
	hasMenu  = 39
)

// clients returns clients of every kind.
func clients() []client {
	v100, v1211, v200 := [3]byte{1, 0, 0}, [3]byte{1, 21, 1}, [3]byte{2, 0, 0}
	list := []client{
		{name: "BIOS", arch: 0},
		{name: "BIOS that requests few options", arch: 0, bare: true},
		{name: "ia32", arch: 6},
		{name: "x64", arch: 7},
		{name: "x64 as EBC", arch: 9},
		{name: "arm64", arch: 11},
		{name: "x64 HTTP boot", arch: 16, class: "HTTPClient:Arch:00016:UNDI:003001"},
		{name: "x64 HTTP boot that requests few options", arch: 16, class: "HTTPClient:Arch:00016:UNDI:003001", bare: true},
		{name: "arm64 HTTP boot", arch: 19, class: "HTTPClient:Arch:00019:UNDI:003001"},
		{name: "unknown architecture", arch: 0x4242, class: "PXEClient:Arch:16962:UNDI:003000"},
		{name: "vendor class of an old ROM", arch: 0, class: "PXEClient:Arch:00000:UNDI:002001"},
		{name: "denied", arch: 7, mac: [6]byte{0x52, 0x54, 0, 0, 0, 0x66}},
		{name: "denied by prefix", arch: 0, mac: [6]byte{0x52, 0x54, 0, 0xde, 0xad, 1}},
		{name: "denied iPXE", arch: 7, mac: [6]byte{0x52, 0x54, 0, 0, 0, 0x66}, userClass: "iPXE", option175: ipxe(v200, hasHTTPS)},
		{name: "denied HTTP boot", arch: 16, class: "HTTPClient:Arch:00016", mac: [6]byte{0x52, 0x54, 0, 0, 0, 0x66}},
		{name: "not allowed", arch: 7, mac: [6]byte{0, 0x11, 0x22, 1, 2, 3}},
		{name: "x64 of one machine", arch: 7, uuid: [16]byte{0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0x0f}},
		{name: "BIOS behind a relay", arch: 0, relayed: true},
		{name: "iPXE behind a relay", arch: 0, userClass: "iPXE", option175: ipxe(v200, hasHTTPS), relayed: true},
		{name: "laptop", arch: 7, class: "MSFT 5.0"},
		{name: "iPXE with only its user class", arch: 7, userClass: "iPXE"},
		{name: "iPXE with only a counted user class", arch: 7, userClass: "\x04iPXE"},
		{name: "iPXE with only option 175", arch: 0, option175: ipxe(v200, hasHTTPS)},
		{name: "iPXE that reports no version", arch: 7, userClass: "iPXE", option175: []byte{hasHTTPS, 1, 1}},
		{name: "iPXE with HTTPS off", arch: 7, userClass: "iPXE", option175: []byte{hasHTTP, 1, 1, hasHTTPS, 1, 0, 235, 3, 2, 0, 0}, coarse: ipxe(v200, hasHTTPS)},
		{name: "iPXE on a card with the number of HTTPS", arch: 7, userClass: "iPXE", option175: []byte{177, 5, 1, hasHTTPS, 0xe4, 0x16, 0x82, hasHTTP, 1, 1, 235, 3, 2, 0, 0}, coarse: ipxe(v200, hasHTTPS)},
		{name: "iPXE with a site user class", arch: 7, userClass: `site "9"\ x`, option175: ipxe(v100, hasHTTP)},
		{name: "iPXE with a counted site user class", arch: 7, userClass: "\x0b" + `site "9"\ x`, option175: ipxe(v100, hasHTTP)},
		{name: "iPXE on an unknown architecture", arch: 0x4242, userClass: "iPXE", option175: ipxe(v100, hasHTTP)},
		{name: "iPXE on another card", arch: 7, userClass: "iPXE", option175: []byte{177, 5, 1, 0x15, 0x22, 0x33, 0x44, hasHTTPS, 1, 1, 235, 3, 2, 0, 0}},
	}
	for _, arch := range []uint16{0, 7, 11} {
		for _, v := range [][3]byte{v100, v1211, {1, 21, 0}, {1, 22, 0}, {1, 99, 0}, v200, {2, 0, 1}, {10, 0, 0}, {255, 255, 255}, {0, 9, 7}} {
			name := fmt.Sprintf("iPXE %d.%d.%d on architecture %d", v[0], v[1], v[2], arch)
			list = append(list,
				client{name: name, arch: arch, userClass: "iPXE", option175: ipxe(v, hasHTTP, hasMenu)},
				client{name: name + " with HTTPS", arch: arch, userClass: "iPXE", option175: ipxe(v, hasHTTP, hasHTTPS)})
		}
	}
	return list
}

// request returns the client's message of a type.
func (c client) request(kind byte, xid uint32) []byte {
	b := make([]byte, offOptions, 512)
	b[0], b[1], b[2] = 1, 1, 6
	binary.BigEndian.PutUint32(b[4:], xid)
	binary.BigEndian.PutUint16(b[10:], 0x8000)
	if c.relayed {
		b[3] = 1
		a := relay.As4()
		copy(b[24:], a[:])
	}
	hw := c.hardware()
	copy(b[28:], hw[:])
	copy(b[236:], []byte{99, 130, 83, 99})
	option := func(code byte, value []byte) {
		b = append(append(b, code, byte(len(value))), value...)
	}
	option(53, []byte{kind})
	option(57, []byte{0x05, 0xc0})
	if c.bare {
		option(55, []byte{1, 3})
	} else {
		option(55, []byte{1, 3, 6, 12, 43, 60, 66, 67})
	}
	class := c.class
	if class == "" {
		class = fmt.Sprintf("PXEClient:Arch:%05d:UNDI:003016", c.arch)
	}
	option(60, []byte(class))
	option(93, binary.BigEndian.AppendUint16(nil, c.arch))
	if c.userClass != "" {
		option(77, []byte(c.userClass))
	}
	if c.option175 != nil {
		option(175, c.option175)
	}
	if c.uuid != [16]byte{} {
		option(97, append([]byte{0}, c.uuid[:]...))
	}
	return append(b, 255)
}

// hardware returns the client's MAC address.
func (c client) hardware() [6]byte {
	if c.mac == [6]byte{} {
		return mac
	}
	return c.mac
}

// expand expands the iPXE settings in a boot file name.
func (c client) expand(name string) string {
	text := func(separator string) string {
		var parts []string
		for _, b := range c.hardware() {
			parts = append(parts, fmt.Sprintf("%02x", b))
		}
		return strings.Join(parts, separator)
	}
	return strings.NewReplacer("${netX/mac}", text(":"), "${netX/mac:hexhyp}", text("-"), "${netX/mac:hexraw}", text(""),
		"${uuid}", proxydhcp.UUID(c.uuid).String()).Replace(name)
}
