package dhcp4

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// Header is the fixed part of a message to be written (RFC 2131, section 2).
// The sname field is left empty: see Reply.
type Header struct {
	Op       uint8 // BootRequest or BootReply
	Hardware HardwareAddr
	XID      [4]byte
	Flags    uint16
	CIAddr   netip.Addr // the zero Addr is written as 0.0.0.0, here and below
	YIAddr   netip.Addr
	SIAddr   netip.Addr
	GIAddr   netip.Addr
	File     string // cut to the 127 bytes that the field holds
}

// Append appends the header and the magic cookie, 240 bytes, to b.
func (h *Header) Append(b []byte) []byte {
	start := len(b)
	b = append(b, h.Op, h.Hardware.Type, h.Hardware.Len, 0)
	b = append(b, h.XID[:]...)
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint16(b, h.Flags)
	b = AppendAddr(b, h.CIAddr)
	b = AppendAddr(b, h.YIAddr)
	b = AppendAddr(b, h.SIAddr)
	b = AppendAddr(b, h.GIAddr)
	b = append(b, h.Hardware.Bytes[:]...)
	b = appendZeros(b, start+CookieOffset-len(b))
	copy(b[start+offFile:start+CookieOffset-1], h.File)
	return append(b, MagicCookie[:]...)
}

// AppendOption appends an option to b, in pieces of at most 255 bytes (RFC
// 3396). It appends nothing for an empty value: an empty option 97 upsets
// firmware.
func AppendOption(b []byte, code OptionCode, value ...byte) []byte {
	for len(value) > 0 {
		n := min(len(value), 255)
		b = append(b, uint8(code), uint8(n))
		b = append(b, value[:n]...)
		value = value[n:]
	}
	return b
}

// AppendAddr appends an IPv4 address to b, four zeros for the zero Addr.
func AppendAddr(b []byte, a netip.Addr) []byte {
	if !a.Is4() {
		return append(b, 0, 0, 0, 0)
	}
	v := a.As4()
	return append(b, v[:]...)
}

// appendZeros appends n zeros to b.
func appendZeros(b []byte, n int) []byte {
	b = slices.Grow(b, n)
	clear(b[len(b) : len(b)+n])
	return b[:len(b)+n]
}
