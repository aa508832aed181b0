package dhcp4

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// The fixed part of a DHCP message (RFC 2131, figure 1), offsets in bytes.
const (
	offXID    = 4
	offSecs   = 8
	offFlags  = 10
	offCIAddr = 12
	offYIAddr = 16
	offSIAddr = 20
	offGIAddr = 24
	offCHAddr = 28
	offSName  = 44
	offFile   = 108

	CookieOffset = 236 // where the magic cookie is
	HeaderLen    = 240 // bytes before the options, the magic cookie among them
)

// MagicCookie precedes the options (RFC 2131, section 3).
var MagicCookie = [4]byte{99, 130, 83, 99}

// The bits of option 52 (RFC 2132, section 9.3).
const (
	overloadFile  = 1
	overloadSName = 2
)

// Message is a received DHCP message. It refers to the bytes that it was
// decoded from.
type Message struct {
	Op, Hops       uint8
	Hardware       HardwareAddr
	XID            [4]byte // the transaction
	Secs           uint16  // seconds, but iPXE keeps flags of its own there
	Flags          uint16
	CIAddr, YIAddr netip.Addr
	SIAddr, GIAddr netip.Addr
	SName, File    string

	fields            [3][]byte // where options are: the options field, and file and sname if they are overloaded
	present, repeated optionSet
}

// optionSet is a set of option codes.
type optionSet [4]uint64

func (s *optionSet) add(code uint8)      { s[code/64] |= 1 << (code % 64) }
func (s *optionSet) has(code uint8) bool { return s[code/64]&(1<<(code%64)) != 0 }

// Errors of Decode for bytes that are not a DHCP message.
var (
	errShort  = errors.New("shorter than a DHCP header")
	errCookie = errors.New("no DHCP magic cookie")
)

// Decode reads a DHCP message (RFC 2131, section 2). It joins repeated options
// (RFC 3396) and reads options that are overloaded into the sname and file
// fields (RFC 2132, section 9.3). A missing END option is tolerated; an option
// that runs past the end of the message is an error.
func Decode(b []byte) (Message, error) {
	if len(b) < HeaderLen {
		return Message{}, errShort
	}
	if [4]byte(b[CookieOffset:HeaderLen]) != MagicCookie {
		return Message{}, errCookie
	}
	if !validHardware(b[1], b[2]) {
		return Message{}, fmt.Errorf("hardware address of type %d and length %d", b[1], b[2])
	}
	m := Message{
		Op:       b[0],
		Hops:     b[3],
		Hardware: HardwareAddr{Type: b[1], Len: b[2], Bytes: [16]byte(b[offCHAddr:offSName])},
		XID:      [4]byte(b[offXID:offSecs]),
		Secs:     binary.BigEndian.Uint16(b[offSecs:]),
		Flags:    binary.BigEndian.Uint16(b[offFlags:]),
		CIAddr:   addrAt(b, offCIAddr),
		YIAddr:   addrAt(b, offYIAddr),
		SIAddr:   addrAt(b, offSIAddr),
		GIAddr:   addrAt(b, offGIAddr),
	}
	if !m.readOptions(0, b[HeaderLen:]) {
		return Message{}, errors.New("an option runs past the end of the message")
	}
	return m, m.readNames(b[offSName:offFile], b[offFile:CookieOffset])
}

// validHardware reports whether the header's htype and hlen are possible. A
// client on InfiniBand has no address there, because one of 20 bytes does not
// fit, and says so by hlen 0 (RFC 4390, section 2.1); some say 20 all the same.
func validHardware(htype, hlen uint8) bool {
	return hlen <= maxHardwareAddr && (htype != 0 || hlen == 0) || htype == InfiniBand && hlen == infiniBandLen
}

// readOptions notes which options a field has, and reports whether the field is
// well formed.
func (m *Message) readOptions(field int, b []byte) bool {
	m.fields[field] = b
	return SubOptions(b, func(code uint8, _ []byte) {
		if m.present.has(code) {
			m.repeated.add(code)
		}
		m.present.add(code)
	})
}

// readNames reads the sname and file fields, or the options in them if option
// 52 says so.
func (m *Message) readNames(sname, file []byte) error {
	var overload byte
	if v := m.Option(OptionOptionOverload); len(v) == 1 {
		overload = v[0]
	}
	if overload&overloadFile == 0 {
		m.File = CString(file)
	} else if !m.readOptions(1, file) {
		return errors.New("an option runs past the end of the file field")
	}
	if overload&overloadSName == 0 {
		m.SName = CString(sname)
	} else if !m.readOptions(2, sname) {
		return errors.New("an option runs past the end of the sname field")
	}
	return nil
}

// Option returns the bytes of an option, nil if it is absent. Repeated options
// are joined in the order of RFC 3396, section 5: options, file, sname.
func (m *Message) Option(code OptionCode) []byte {
	if !m.Has(code) {
		return nil
	}
	repeated := m.repeated.has(uint8(code))
	var value []byte
	for _, field := range m.fields {
		for len(field) > 0 && OptionCode(field[0]) != OptionEnd {
			if OptionCode(field[0]) == OptionPad {
				field = field[1:]
				continue
			}
			end := 2 + int(field[1])
			switch {
			case OptionCode(field[0]) != code:
			case !repeated:
				return field[2:end:end]
			default:
				value = append(value, field[2:end]...)
			}
			field = field[end:]
		}
	}
	return value
}

// Has reports whether an option is present, even if it is empty.
func (m *Message) Has(code OptionCode) bool { return m.present.has(uint8(code)) }

// Type returns the message type, MessageTypeNone for a BOOTP message.
func (m *Message) Type() MessageType {
	if v := m.Option(OptionDHCPMessageType); len(v) == 1 {
		return MessageType(v[0])
	}
	return MessageTypeNone
}

// Addr returns the value of an option that holds one IPv4 address, the zero
// Addr if it is absent or has another length.
func (m *Message) Addr(code OptionCode) netip.Addr {
	if v := m.Option(code); len(v) == 4 {
		return netip.AddrFrom4([4]byte(v))
	}
	return netip.Addr{}
}

// addrAt reads an IPv4 address at an offset.
func addrAt(b []byte, off int) netip.Addr { return netip.AddrFrom4([4]byte(b[off : off+4])) }

// CString returns the text of a field that ends at its first NUL.
func CString(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}
