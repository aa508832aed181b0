package dhcp4

import (
	"encoding/hex"
	"errors"
	"net"
	"slices"
	"strings"
)

// HardwareAddr is a client's hardware address as the header's htype, hlen and
// chaddr fields give it (RFC 2131, section 2). It is comparable. It need not be
// a MAC address: edk2 can be told to put its 16-byte GUID there.
type HardwareAddr struct {
	Type  uint8 // the header's htype; 1 is Ethernet
	Len   uint8 // bytes used: at most 16, or 20 on InfiniBand, which do not fit
	Bytes [16]byte
}

// maxHardwareAddr is the length of the header's chaddr field in bytes.
const maxHardwareAddr = 16

// The hardware types (IANA, "Hardware Types").
const (
	Ethernet   = 1
	InfiniBand = 32
)

// infiniBandLen is the length of a hardware address on InfiniBand (RFC 4391,
// section 9.1.1).
const infiniBandLen = 20

// MAC returns the address of an Ethernet client, with ok false for any other.
func (a HardwareAddr) MAC() (mac [6]byte, ok bool) {
	return [6]byte(a.Bytes[:6]), a.Type == Ethernet && a.Len == 6
}

// String returns the bytes in lower-case hexadecimal, joined by colons.
func (a HardwareAddr) String() string {
	return net.HardwareAddr(a.Bytes[:min(int(a.Len), len(a.Bytes))]).String()
}

// ParseHardwareAddr reads a MAC address in any of the common spellings.
func ParseHardwareAddr(s string) (HardwareAddr, error) {
	p, err := ParseMACPrefix(s)
	if err == nil && p.n != 6 {
		err = errors.New("write all six bytes of a MAC address, such as 52:54:00:12:34:56")
	}
	a := HardwareAddr{Type: Ethernet, Len: 6}
	copy(a.Bytes[:], p.bytes[:])
	return a, err
}

// MACPrefix is the first one to six bytes of a MAC address: a vendor's prefix,
// or one whole address. It is comparable.
type MACPrefix struct {
	bytes [6]byte
	n     uint8
}

// ParseMACPrefix reads a MAC address or the beginning of one, in any of the
// common spellings: 52:54:00:12:34:56, 52-54-00, 5254.0012.3456, 525400.
func ParseMACPrefix(s string) (MACPrefix, error) {
	groups := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(":-. ", r) })
	b, err := hex.DecodeString(strings.Join(groups, ""))
	halved := slices.ContainsFunc(groups, func(g string) bool { return len(g)%2 != 0 })
	if err != nil || halved || len(b) == 0 || len(b) > 6 {
		return MACPrefix{}, errors.New("write one to six bytes of a MAC address, such as 52:54:00:12:34:56 or 52:54:00")
	}
	p := MACPrefix{n: uint8(len(b))}
	copy(p.bytes[:], b)
	return p, nil
}

// Matches reports whether a is an Ethernet address that begins with p.
func (p MACPrefix) Matches(a HardwareAddr) bool {
	mac, ok := a.MAC()
	return ok && [6]byte(mac) == p.over(mac)
}

// over returns mac with its first bytes replaced by the prefix.
func (p MACPrefix) over(mac [6]byte) [6]byte {
	copy(mac[:p.n], p.bytes[:p.n])
	return mac
}

// String returns the prefix in lower-case hexadecimal, joined by colons.
func (p MACPrefix) String() string { return net.HardwareAddr(p.bytes[:p.n]).String() }
