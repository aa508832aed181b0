package proxydhcp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// The codec for what comes in.

// The fixed part of a DHCP message (RFC 2131, figure 1), offsets in bytes.
const (
	offXID     = 4
	offSecs    = 8
	offFlags   = 10
	offCIAddr  = 12
	offYIAddr  = 16
	offSIAddr  = 20
	offGIAddr  = 24
	offCHAddr  = 28
	offSName   = 44
	offFile    = 108
	offCookie  = 236
	offOptions = 240
)

// magicCookie opens the options (RFC 2131, section 3).
var magicCookie = [4]byte{99, 130, 83, 99}

// The message types of option 53 that concern a proxy (RFC 2132, section 9.6).
const (
	typeDiscover = 1
	typeOffer    = 2
	typeRequest  = 3
	typeAck      = 5
	typeNak      = 6
	typeInform   = 8
)

// The options that are read or written here, by their numbers (RFC 2132 unless
// said otherwise).
const (
	optSubnetMask   = 1
	optVendorInfo   = 43
	optRequestedIP  = 50
	optOverload     = 52
	optMessageType  = 53
	optServerID     = 54
	optMaxSize      = 57
	optVendorClass  = 60
	optClientID     = 61
	optBootFile     = 67
	optUserClass    = 77  // RFC 3004; iPXE writes bare text
	optRelayInfo    = 82  // RFC 3046
	optArch         = 93  // RFC 4578, section 2.1
	optMachineID    = 97  // RFC 4578, section 2.3
	optIPXE         = 175 // iPXE's encapsulated options
	optWindowsBINL  = 250 // Windows Deployment Services, second stage
	optEnd          = 255
	bootRequest     = 1
	bootReply       = 2
	broadcastFlag   = 0x8000
	overloadFile    = 1
	overloadSName   = 2
	maxHardwareAddr = 16
)

// Message is a DHCP message as it came off the wire. It refers to the bytes it
// was decoded from.
type Message struct {
	Op, Hops       uint8
	Hardware       HardwareAddr
	XID            [4]byte
	Secs           uint16 // seconds, but iPXE keeps flags of its own there
	Flags          uint16
	CIAddr, YIAddr netip.Addr
	SIAddr, GIAddr netip.Addr
	SName, File    string

	fields            [3][]byte // where options are: the options field, and file and sname where they are overloaded
	present, repeated optionSet
}

// optionSet is a set of option codes.
type optionSet [4]uint64

func (s *optionSet) add(code uint8)      { s[code/64] |= 1 << (code % 64) }
func (s *optionSet) has(code uint8) bool { return s[code/64]&(1<<(code%64)) != 0 }

// Errors of Decode, for messages that are no DHCP message at all.
var (
	errShort  = errors.New("shorter than a DHCP header")
	errCookie = errors.New("no DHCP magic cookie")
)

// Decode reads a DHCP message (RFC 2131, section 2), with repeated options
// joined (RFC 3396) and options overloaded into the sname and file fields
// (RFC 2132, section 9.3). A missing END option is tolerated; an option that
// runs past the end of the message is an error.
func Decode(b []byte) (Message, error) {
	if len(b) < offOptions {
		return Message{}, errShort
	}
	if [4]byte(b[offCookie:offOptions]) != magicCookie {
		return Message{}, errCookie
	}
	if b[2] > maxHardwareAddr || (b[1] == 0 && b[2] != 0) {
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
	if !m.readOptions(0, b[offOptions:]) {
		return Message{}, errors.New("an option runs past the end of the message")
	}
	return m, m.readNames(b[offSName:offFile], b[offFile:offCookie])
}

// readOptions takes a field of options, and reports whether it is well formed.
func (m *Message) readOptions(field int, b []byte) bool {
	m.fields[field] = b
	return subOptions(b, func(code uint8, _ []byte) {
		if m.present.has(code) {
			m.repeated.add(code)
		}
		m.present.add(code)
	})
}

// readNames fills in the sname and file fields, or the options in them where
// option 52 says so.
func (m *Message) readNames(sname, file []byte) error {
	var overload byte
	if v := m.Option(optOverload); len(v) == 1 {
		overload = v[0]
	}
	if overload&overloadFile == 0 {
		m.File = cString(file)
	} else if !m.readOptions(1, file) {
		return errors.New("an option runs past the end of the file field")
	}
	if overload&overloadSName == 0 {
		m.SName = cString(sname)
	} else if !m.readOptions(2, sname) {
		return errors.New("an option runs past the end of the sname field")
	}
	return nil
}

// Option returns the bytes of an option, nil where it is absent. What is
// repeated is joined, in the order of RFC 3396, section 5: options, file, sname.
func (m *Message) Option(code uint8) []byte {
	if !m.present.has(code) {
		return nil
	}
	repeated := m.repeated.has(code)
	var value []byte
	for _, field := range m.fields {
		for len(field) > 0 && field[0] != optEnd {
			if field[0] == 0 {
				field = field[1:]
				continue
			}
			end := 2 + int(field[1])
			switch {
			case field[0] != code:
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

// Has reports whether an option is present, be it empty.
func (m *Message) Has(code uint8) bool { return m.present.has(code) }

// Type returns the message type, 0 for a BOOTP message, which has none.
func (m *Message) Type() uint8 {
	if v := m.Option(optMessageType); len(v) == 1 {
		return v[0]
	}
	return 0
}

// Addr returns an option that holds one IPv4 address; the zero Addr where it
// is absent or has another length.
func (m *Message) Addr(code uint8) netip.Addr {
	if v := m.Option(code); len(v) == 4 {
		return netip.AddrFrom4([4]byte(v))
	}
	return netip.Addr{}
}

// addrAt reads an IPv4 address of the header.
func addrAt(b []byte, off int) netip.Addr { return netip.AddrFrom4([4]byte(b[off : off+4])) }

// cString reads a NUL-terminated field.
func cString(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}

// subOptions calls visit with each sub-option of an encapsulated option such
// as 43 or 175 (RFC 2132, section 8.4): tag, length, value; 0 pads, 255 ends.
// It reports whether the encapsulation was well formed to its end.
func subOptions(b []byte, visit func(tag uint8, value []byte)) bool {
	for len(b) > 0 {
		switch b[0] {
		case 0:
			b = b[1:]
			continue
		case optEnd:
			return true
		}
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return false
		}
		visit(b[0], b[2:2+int(b[1])])
		b = b[2+int(b[1]):]
	}
	return true
}

// mayBoot is the cheap look at a datagram before anything is decoded: false
// for what is certainly no network-boot client's request. On a busy segment
// nearly everything is dropped here. It never drops what Classify would take;
// it leaves doubtful cases to it. uBoot takes U-Boot for a booting client.
func mayBoot(b []byte, uBoot bool) bool {
	if len(b) < offOptions || b[0] != bootRequest || [4]byte(b[offCookie:offOptions]) != magicCookie {
		return false
	}
	for opts := b[offOptions:]; len(opts) > 0; {
		switch opts[0] {
		case 0:
			opts = opts[1:]
			continue
		case optEnd:
			return false
		}
		if len(opts) < 2 || len(opts) < 2+int(opts[1]) {
			return false
		}
		value := opts[2 : 2+int(opts[1])]
		switch opts[0] {
		case optVendorClass:
			// A value cut short may go on in a second option 60 (RFC 3396).
			begins := func(class string) bool {
				return bytes.HasPrefix(value, []byte(class)) || strings.HasPrefix(class, string(value))
			}
			return begins(pxeClient) || begins(httpClient) || uBoot && begins(uBootClass)
		case optOverload:
			return true
		}
		opts = opts[2+int(opts[1]):]
	}
	return false
}
