package proxydhcp

// DHCP messages as text that a person can check by eye: hexadecimal on the
// left, its meaning behind a #. parsePacket reads the left side back, so that
// the text holds every byte. A run of zero bytes is written as "zeros 128".

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// parsePacket reads the bytes of such a text.
func parsePacket(t *testing.T, text string) []byte {
	t.Helper()
	var packet []byte
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		for i := 0; i < len(words); i++ {
			if words[i] == "zeros" && i+1 < len(words) {
				i++
				n, err := strconv.Atoi(words[i])
				if err != nil {
					t.Fatalf("%q: %v", line, err)
				}
				packet = append(packet, make([]byte, n)...)
				continue
			}
			b, err := hex.DecodeString(words[i])
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			packet = append(packet, b...)
		}
	}
	return packet
}

// packetText is a text under construction.
type packetText struct{ strings.Builder }

// The text's measures: the column of the meanings, the number of bytes in a
// line, and the number of zeros at the end of a value from which they are
// folded.
const (
	meaningColumn = 50
	bytesInLine   = 20
	foldedZeros   = 5
)

// line writes bytes as the words say, and what they mean.
func (p *packetText) line(words, meaning string) {
	if meaning != "" {
		words = fmt.Sprintf("%-*s# %s", meaningColumn, words+" ", strings.ReplaceAll(meaning, "\n", " "))
	}
	fmt.Fprintln(p, words)
}

// value writes a value behind a prefix, such as an option's code and length, on
// as many lines as it takes.
func (p *packetText) value(prefix string, value []byte, meaning string) {
	zeros := ""
	rest := bytes.TrimRight(value, "\x00")
	if n := len(value) - len(rest); n >= foldedZeros {
		value, zeros = rest, fmt.Sprintf(" zeros %d", n)
	}
	for ; len(value) > bytesInLine; value = value[bytesInLine:] {
		p.line(fmt.Sprintf("%s%x", prefix, value[:bytesInLine]), meaning)
		prefix, meaning = strings.Repeat(" ", len(prefix)), ""
	}
	if len(value) == 0 {
		zeros = strings.TrimPrefix(zeros, " ")
	}
	p.line(strings.TrimSuffix(fmt.Sprintf("%s%x%s", prefix, value, zeros), " "), meaning)
}

// packetField is a field of the fixed part of a DHCP message (RFC 2131, section
// 2): its name, its length and, for a value other than zero, its meaning.
type packetField struct {
	name    string
	size    int
	meaning func(value []byte) string
}

// packetFields are the fields after op, htype, hlen and hops.
var packetFields = []packetField{
	{"xid", 4, func(v []byte) string { return fmt.Sprintf("%#x", v) }},
	{"secs", 2, numberText},
	{"flags", 2, flagsText},
	{"ciaddr", 4, addressText},
	{"yiaddr", 4, addressText},
	{"siaddr", 4, addressText},
	{"giaddr", 4, addressText},
	{"chaddr", 6, macText},
	{"the rest of chaddr", 10, func([]byte) string { return "" }},
	{"sname", 64, zeroEndedText},
	{"file", 128, zeroEndedText},
}

// packetHeader is the length of the fixed part, magic cookie included.
const packetHeader = 240

// layOut writes a DHCP message as text.
func layOut(m []byte) string {
	var p packetText
	if len(m) < packetHeader {
		p.value("", m, "too short for a DHCP message")
		return p.String()
	}
	p.line(fmt.Sprintf("%x", m[:4]), fmt.Sprintf("op %s, htype %s, hlen %d, hops %d",
		dhcpv4.OpcodeType(m[0]), iana.HWType(m[1]), m[2], m[3]))
	at := 4
	var zeros int
	var zeroNames []string
	endZeros := func() {
		if zeros > 0 {
			p.line(fmt.Sprintf("zeros %d", zeros), strings.Join(zeroNames, ", "))
		}
		zeros, zeroNames = 0, nil
	}
	for _, f := range packetFields {
		value := m[at : at+f.size]
		at += f.size
		if isZero(value) {
			zeros += f.size
			zeroNames = append(zeroNames, f.name)
			continue
		}
		endZeros()
		p.value("", value, strings.TrimSpace(f.name+" "+f.meaning(value)))
	}
	endZeros()
	p.line(fmt.Sprintf("%x", m[at:at+4]), "magic cookie")
	p.options(m[packetHeader:])
	return p.String()
}

// options writes the options, an option a line, and what follows them.
func (p *packetText) options(options []byte) {
	for len(options) > 0 {
		code := options[0]
		size := 1
		if code != 0 && code != 255 {
			size = 2
			if len(options) >= 2 {
				size += int(options[1])
			}
		}
		switch {
		case code == 255 && len(options) > 1 && isZero(options[1:]):
			p.line(fmt.Sprintf("ff zeros %d", len(options)-1), "255 End, and padding")
			return
		case size == 1:
			p.line(fmt.Sprintf("%02x", code), fmt.Sprintf("%d %s", code, optionName(code)))
		case size > len(options):
			p.value("", options, "an option that is longer than the message")
			return
		default:
			p.option(code, options[2:size])
		}
		options = options[size:]
	}
}

// option writes an option, and of encapsulated options each on a line.
func (p *packetText) option(code byte, value []byte) {
	name := fmt.Sprintf("%d %s", code, optionName(code))
	of, isList := encapsulators[code]
	if !isList || !encapsulated(value) {
		meaning, known := optionMeanings[code]
		if !known {
			meaning = func(value []byte) string { return libraryText(code, value) }
		}
		p.value(fmt.Sprintf("%02x %02x ", code, len(value)), value, name+": "+meaning(value))
		return
	}
	p.line(fmt.Sprintf("%02x %02x", code, len(value)), name+", "+of.name)
	for len(value) > 0 {
		if code := value[0]; code == 0 || code == 255 {
			p.line(fmt.Sprintf("  %02x", code), fmt.Sprintf("  %d %s", code, optionName(code)))
			value = value[1:]
			continue
		}
		sub := value[2 : 2+int(value[1])]
		p.value(fmt.Sprintf("  %02x %02x ", value[0], len(sub)), sub, fmt.Sprintf("  %d %s", value[0], of.meaning(value[0], sub)))
		value = value[2+len(sub):]
	}
}

// encapsulators are the options that contain options: by whom these are
// defined, and what they mean.
var encapsulators = map[byte]struct {
	name    string
	meaning func(code byte, value []byte) string
}{
	43:  {"PXE", pxeText},
	175: {"iPXE", ipxeText},
}

// encapsulated reports whether a value is a list of options (RFC 2132, section
// 8.4) with nothing after its end.
func encapsulated(value []byte) bool {
	for len(value) > 0 {
		switch {
		case value[0] == 0:
			value = value[1:]
		case value[0] == 255:
			return len(value) == 1
		case len(value) < 2 || len(value) < 2+int(value[1]):
			return false
		default:
			value = value[2+int(value[1]):]
		}
	}
	return true
}

// isZero reports whether all bytes are zero.
func isZero(value []byte) bool { return len(bytes.Trim(value, "\x00")) == 0 }

// optionName returns the name that insomniacslk/dhcp gives an option.
func optionName(code byte) string {
	name, _, _ := strings.Cut(strings.TrimSpace(dhcpv4.Options{code: nil}.String()), ":")
	return name
}

// libraryText returns an option's value as insomniacslk/dhcp reads it.
func libraryText(code byte, value []byte) string {
	_, text, _ := strings.Cut(strings.TrimSpace(dhcpv4.Options{code: value}.String()), ": ")
	return text
}

// optionMeanings are the meanings of options that the library does not decode,
// or decodes in another form.
var optionMeanings = map[byte]func(value []byte) string{
	55: func(v []byte) string { return strings.Trim(fmt.Sprint(v), "[]") },
	61: identifierText,
	93: archText,
	94: interfaceText,
	97: machineText,
}

func numberText(v []byte) string { return fmt.Sprint(binary.BigEndian.Uint16(v)) }

func flagsText(v []byte) string {
	if binary.BigEndian.Uint16(v) == 0x8000 {
		return "broadcast"
	}
	return fmt.Sprintf("%#x", v)
}

func addressText(v []byte) string { return netip.AddrFrom4([4]byte(v)).String() }

func macText(v []byte) string { return net.HardwareAddr(v).String() }

// zeroEndedText returns the text before the first zero byte.
func zeroEndedText(v []byte) string {
	text, _, _ := bytes.Cut(v, []byte{0})
	return strconv.Quote(string(text))
}

// identifierText describes a client identifier (RFC 2132, section 9.14).
func identifierText(v []byte) string {
	if len(v) == 7 && v[0] == byte(iana.HWTypeEthernet) {
		return "Ethernet " + macText(v[1:])
	}
	return ""
}

// archText describes a list of architectures (RFC 4578, section 2.1).
func archText(v []byte) string {
	var names []string
	for ; len(v) >= 2; v = v[2:] {
		n := binary.BigEndian.Uint16(v)
		names = append(names, fmt.Sprintf("%d %s", n, iana.Arch(n)))
	}
	return strings.Join(names, ", ")
}

// interfaceText describes a network interface identifier (RFC 4578, section
// 2.2).
func interfaceText(v []byte) string {
	if len(v) >= 3 && v[0] == 1 {
		return fmt.Sprintf("UNDI %d.%d", v[1], v[2])
	}
	return ""
}

// machineText describes a machine identifier (RFC 4578, section 2.3).
func machineText(v []byte) string {
	if len(v) == 17 && v[0] == 0 {
		return "UUID " + UUID(v[1:]).String()
	}
	return ""
}

// pxeText describes a sub-option of option 43 (PXE 2.1, table 2-1).
func pxeText(code byte, v []byte) string {
	switch {
	case code == 6 && len(v) == 1:
		return "discovery control: " + flagNames(v[0], "no broadcast", "no multicast", "servers of the list only", "boot file of this message")
	case code == 8:
		return "boot servers: " + serversText(v)
	case code == 9:
		return "boot menu: " + menuText(v)
	case code == 10 && len(v) > 0:
		return fmt.Sprintf("menu prompt: %q, timeout %d", v[1:], v[0])
	case code == 71 && len(v) == 4:
		return fmt.Sprintf("boot item: type %d, layer %d", binary.BigEndian.Uint16(v), binary.BigEndian.Uint16(v[2:]))
	}
	return ""
}

// flagNames returns the names of the bits that are set, the lowest first.
func flagNames(set byte, names ...string) string {
	var found []string
	for i, name := range names {
		if set&(1<<i) != 0 {
			found = append(found, name)
		}
	}
	return strings.Join(found, ", ")
}

// serversText describes a list of boot servers: type, number of addresses,
// addresses.
func serversText(v []byte) string {
	var servers []string
	for len(v) >= 3 && len(v) >= 3+4*int(v[2]) {
		text := fmt.Sprintf("type %d at", binary.BigEndian.Uint16(v))
		rest := v[3+4*int(v[2]):]
		for v = v[3:]; len(v) > len(rest); v = v[4:] {
			text += " " + addressText(v[:4])
		}
		servers = append(servers, text)
	}
	return strings.Join(servers, ", ")
}

// menuText describes a list of menu entries: type, length, text.
func menuText(v []byte) string {
	var entries []string
	for len(v) >= 3 && len(v) >= 3+int(v[2]) {
		end := 3 + int(v[2])
		entries = append(entries, fmt.Sprintf("type %d %q", binary.BigEndian.Uint16(v), v[3:end]))
		v = v[end:]
	}
	return strings.Join(entries, ", ")
}

// ipxeText describes a sub-option of option 175, by the name of iPXE's setting.
func ipxeText(code byte, v []byte) string {
	switch {
	case code == 1 && len(v) == 1:
		return fmt.Sprintf("priority: %d", int8(v[0]))
	case code == 177 && len(v) == 5:
		return fmt.Sprintf("bus-id: type %d, %x:%x", v[0], v[1:3], v[3:])
	case code == 235 && len(v) == 3:
		return fmt.Sprintf("version: %d.%d.%d", v[0], v[1], v[2])
	case Feature(code) >= minFeature && Feature(code) <= maxFeature && len(v) == 1:
		return fmt.Sprintf("feature %s: %d", Feature(code), v[0])
	}
	return ""
}

// someHeader returns the fixed part of a reply.
func someHeader() []byte {
	header := append([]byte{2, 1, 6, 0, 0xca, 0xfe, 0xba, 0xbe, 0, 4, 0x80, 0}, make([]byte, 228)...)
	copy(header[20:], []byte{192, 0, 2, 10})
	copy(header[28:], []byte{0x52, 0x54, 0, 0, 0, 1})
	copy(header[108:], "ipxe.efi")
	copy(header[236:], []byte{99, 130, 83, 99})
	return header
}

// FuzzLayOut checks that the text of any bytes holds all of them.
func FuzzLayOut(f *testing.F) {
	f.Add(append(someHeader(), "\x2b\x04\x06\x01\x08\xff\xff\x00"...))
	f.Fuzz(func(t *testing.T, m []byte) {
		text := layOut(m)
		if got := parsePacket(t, text); !bytes.Equal(m, got) {
			t.Errorf("%x is read back as %x from\n%s", m, got, text)
		}
	})
}

// TestLayOut checks what a person reads of a message.
func TestLayOut(t *testing.T) {
	const top = `02010600                                          # op BootReply, htype Ethernet, hlen 6, hops 0
cafebabe                                          # xid 0xcafebabe
0004                                              # secs 4
8000                                              # flags broadcast
zeros 8                                           # ciaddr, yiaddr
c000020a                                          # siaddr 192.0.2.10
zeros 4                                           # giaddr
525400000001                                      # chaddr 52:54:00:00:00:01
zeros 74                                          # the rest of chaddr, sname
697078652e656669 zeros 120                        # file "ipxe.efi"
63825363                                          # magic cookie
`
	for _, tt := range []struct{ name, options, want string }{
		{"none", "", ""},
		{"padding", "\x00\xff\x00\x00", "" +
			"00                                                # 0 Pad\n" +
			"ff zeros 2                                        # 255 End, and padding\n"},
		{"bytes behind the end", "\xff\x00\x07", "" +
			"ff                                                # 255 End\n" +
			"00                                                # 0 Pad\n" +
			"07                                                # an option that is longer than the message\n"},
		{"cut short", "\x3c\x09PXE", "" +
			"3c09505845                                        # an option that is longer than the message\n"},
		{"text and an address", "\x3c\x03PXE\x36\x04\xc0\x00\x02\x0a", "" +
			"3c 03 505845                                      # 60 Class Identifier: PXE\n" +
			"36 04 c000020a                                    # 54 Server Identifier: 192.0.2.10\n"},
		{"encapsulated", "\x2b\x04\x06\x01\x08\xff", "" +
			"2b 04                                             # 43 Vendor Specific Information, PXE\n" +
			"  06 01 08                                        #   6 discovery control: boot file of this message\n" +
			"  ff                                              #   255 End\n"},
		{"encapsulated badly", "\x2b\x03\x06\x09\x08", "" +
			"2b 03 060908                                      # 43 Vendor Specific Information: [6 9 8]\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := layOut(append(someHeader(), tt.options...))
			if diff := cmp.Diff(top+tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
