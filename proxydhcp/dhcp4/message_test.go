package dhcp4

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// discover returns the DISCOVER of PXE firmware, with more options.
func discover(more ...byte) []byte {
	h := Header{Op: BootRequest, Hardware: HardwareAddr{Type: Ethernet, Len: 6, Bytes: [16]byte{0x52, 0x54, 0, 0, 0, 1}}, XID: [4]byte{1, 2, 3, 4}}
	b := h.Append(nil)
	b = AppendOption(b, OptionDHCPMessageType, uint8(MessageTypeDiscover))
	b = AppendOption(b, OptionClientSystemArchitectureType, 0, 7)
	b = AppendOption(b, OptionClassIdentifier, []byte("PXEClient:Arch:00007:UNDI:003001")...)
	return append(append(b, more...), uint8(OptionEnd))
}

// TestNames compares our names for options and message types with those of the
// library that has them, too.
func TestNames(t *testing.T) {
	for ours, theirs := range map[OptionCode]dhcpv4.OptionCode{
		OptionPad: dhcpv4.OptionPad, OptionSubnetMask: dhcpv4.OptionSubnetMask,
		OptionVendorSpecificInformation: dhcpv4.OptionVendorSpecificInformation,
		OptionRequestedIPAddress:        dhcpv4.OptionRequestedIPAddress, OptionOptionOverload: dhcpv4.OptionOptionOverload,
		OptionDHCPMessageType: dhcpv4.OptionDHCPMessageType, OptionServerIdentifier: dhcpv4.OptionServerIdentifier,
		OptionMaximumDHCPMessageSize: dhcpv4.OptionMaximumDHCPMessageSize, OptionClassIdentifier: dhcpv4.OptionClassIdentifier,
		OptionClientIdentifier: dhcpv4.OptionClientIdentifier, OptionBootfileName: dhcpv4.OptionBootfileName,
		OptionUserClassInformation: dhcpv4.OptionUserClassInformation, OptionRelayAgentInformation: dhcpv4.OptionRelayAgentInformation,
		OptionClientSystemArchitectureType: dhcpv4.OptionClientSystemArchitectureType,
		OptionClientMachineIdentifier:      dhcpv4.OptionClientMachineIdentifier,
		OptionEtherboot:                    dhcpv4.OptionEtherboot, OptionEnd: dhcpv4.OptionEnd,
	} {
		if uint8(ours) != theirs.Code() {
			t.Errorf("option %d, the library has %s as %d", ours, theirs, theirs.Code())
		}
	}
	for _, kind := range []MessageType{MessageTypeNone, MessageTypeDiscover, MessageTypeOffer, MessageTypeRequest, MessageTypeAck, MessageTypeNak, MessageTypeInform} {
		if theirs := strings.ToUpper(dhcpv4.MessageType(kind).String()); theirs != strings.ToUpper(kind.String()) && kind != MessageTypeNone {
			t.Errorf("message type %d is %s, the library says %s", kind, kind, theirs)
		}
	}
	if got, want := MessageType(77).String(), "message type 77"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestDecode checks what is tolerated and what is not.
func TestDecode(t *testing.T) {
	whole := discover()
	if m, err := Decode(whole[:len(whole)-1]); err != nil || m.Type() != MessageTypeDiscover {
		t.Errorf("without END: %v", err)
	}
	cut := append(whole[:len(whole)-1:len(whole)-1], 12, 40, 'x')
	badCookie := bytes.Clone(whole)
	badCookie[CookieOffset] = 0
	longAddress := bytes.Clone(whole)
	longAddress[2] = 17
	noType := bytes.Clone(whole)
	noType[1] = 0
	for name, tt := range map[string]struct {
		in   []byte
		want string
	}{
		"empty":           {nil, "shorter than a DHCP header"},
		"short":           {whole[:HeaderLen-1], "shorter than a DHCP header"},
		"cookie":          {badCookie, "no DHCP magic cookie"},
		"cut option":      {cut, "an option runs past the end of the message"},
		"17-byte address": {longAddress, "hardware address of type 1 and length 17"},
		"no type":         {noType, "hardware address of type 0 and length 6"},
	} {
		if _, err := Decode(tt.in); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
}

// TestDecodeOverloaded checks that options in the file and sname fields are
// read, and joined in the order of RFC 3396.
func TestDecodeOverloaded(t *testing.T) {
	in := discover(uint8(OptionOptionOverload), 1, 3, uint8(OptionUserClassInformation), 1, 'a')
	copy(in[offFile:], "\x4d\x01b\xff")
	copy(in[offSName:], "\x4d\x01c\xff")
	m, err := Decode(in)
	if err != nil || m.File != "" || m.SName != "" {
		t.Fatalf("%v, file %q, sname %q", err, m.File, m.SName)
	}
	if got := string(m.Option(OptionUserClassInformation)); got != "abc" {
		t.Errorf("user class %q, want abc", got)
	}
	for _, at := range []int{offFile, offSName} {
		bad := bytes.Clone(in)
		copy(bad[at:], "\x4d\xff")
		if _, err := Decode(bad); err == nil || !strings.HasSuffix(err.Error(), "field") {
			t.Errorf("an option past the end of the field at %d: %v", at, err)
		}
	}
}

// TestReplyLimits checks that nothing which does not fit is cut short.
func TestReplyLimits(t *testing.T) {
	long := strings.Repeat("x", MaxFileOption)
	for _, tt := range []struct {
		name  string
		reply Reply
		want  string // the error; "" for none
		file  string
	}{
		{"file field", Reply{File: long[:MaxFileField]}, "", long[:MaxFileField]},
		{"option 67", Reply{File: long[:MaxFileField+1]}, "", long[:MaxFileField+1]},
		{"longest", Reply{File: long}, "", long},
		{"too long a name", Reply{File: long + "x"}, "boot file name", ""},
		{"too long a menu", Reply{VendorInfo: make([]byte, 256)}, "boot menu: 256 bytes", ""},
		{"too long for the client", Reply{RelayInfo: make([]byte, 400)}, "the reply has", ""},
	} {
		tt.reply.MaxSize = defaultReply
		b, err := tt.reply.Append([]byte("before"))
		if tt.want != "" {
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		m, err := dhcpv4.FromBytes(b[len("before"):])
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := m.BootFileName + strings.TrimRight(m.BootFileNameOption(), "\x00"); got != tt.file {
			t.Errorf("%s: file %q", tt.name, got)
		}
	}
}

// TestMaxReplySize checks what the client's option 57 allows.
func TestMaxReplySize(t *testing.T) {
	for said, want := range map[uint16]int{0: 548, 576: 548, 1000: 972, 1500: 1472, 9000: 1472} {
		m, err := Decode(discover(binary.BigEndian.AppendUint16([]byte{uint8(OptionMaximumDHCPMessageSize), 2}, said)...))
		if err != nil {
			t.Fatal(err)
		}
		if got := MaxReplySize(&m); got != want {
			t.Errorf("option 57 says %d: %d bytes, want %d", said, got, want)
		}
	}
	if m, _ := Decode(discover()); MaxReplySize(&m) != defaultReply {
		t.Errorf("without option 57: %d bytes", MaxReplySize(&m))
	}
}

// TestMACPrefix checks the spellings of MAC addresses and of their beginnings.
func TestMACPrefix(t *testing.T) {
	mac := HardwareAddr{Type: Ethernet, Len: 6, Bytes: [16]byte{0x52, 0x54, 0, 0x12, 0x34, 0x56}}
	for _, s := range []string{"52:54:00:12:34:56", "52-54-00-12-34-56", "5254.0012.3456", "525400123456", "52", "52:54:00"} {
		if p, err := ParseMACPrefix(s); err != nil || !p.Matches(mac) {
			t.Errorf("%s does not match: %v", s, err)
		}
	}
	for _, s := range []string{"52:54:01", "53"} {
		if p, err := ParseMACPrefix(s); err != nil || p.Matches(mac) {
			t.Errorf("%s matches, or %v", s, err)
		}
	}
	for _, s := range []string{"", "5", "1:2", "52:540", "52:54:00:12:34:56:78", "xx"} {
		if _, err := ParseMACPrefix(s); err == nil {
			t.Errorf("%q is accepted", s)
		}
	}
}

// FuzzDatagram checks that no packet breaks the parser, and that what it
// accepts survives being written again.
func FuzzDatagram(f *testing.F) {
	f.Add(Datagram{From: netip.MustParseAddrPort("0.0.0.0:68"), To: netip.MustParseAddrPort("255.255.255.255:67"), Payload: discover()}.Append(nil))
	f.Fuzz(func(t *testing.T, in []byte) {
		d, ok := ParseDatagram(in)
		if !ok {
			return
		}
		again, ok := ParseDatagram(d.Append(nil))
		if !ok || again.From != d.From || again.To != d.To || !bytes.Equal(again.Payload, d.Payload) {
			t.Errorf("%v %v becomes %v %v", d.From, d.To, again.From, again.To)
		}
	})
}

// FuzzDecode compares with another implementation: a message that both accept
// has the same options.
func FuzzDecode(f *testing.F) {
	f.Add(discover())
	f.Add(discover(uint8(OptionOptionOverload), 1, 3))
	f.Add(discover(uint8(OptionClassIdentifier), 2, ':', 'x', 12, 0, uint8(OptionEtherboot), 3, 19, 1, 1))
	f.Fuzz(func(t *testing.T, in []byte) {
		ours, err := Decode(in)
		theirs, theirErr := dhcpv4.FromBytes(in)
		if err != nil || theirErr != nil || ours.Has(OptionOptionOverload) {
			return
		}
		for code := range 256 {
			value, has := theirs.Options[uint8(code)]
			code := OptionCode(code)
			if has != ours.Has(code) || !bytes.Equal(value, ours.Option(code)) {
				t.Errorf("option %d: % x (%v), theirs % x (%v)", code, ours.Option(code), ours.Has(code), value, has)
			}
		}
	})
}
