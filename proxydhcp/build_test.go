package proxydhcp

// Requests made by the tests, where no golden packet fits.

import (
	"encoding/binary"
	"net/netip"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// Offsets in the header (RFC 2131, figure 1).
const (
	offXID    = 4
	offCIAddr = 12
	offYIAddr = 16
	offSIAddr = 20
	offGIAddr = 24
	offCHAddr = 28
	offSName  = 44
	offFile   = 108
)

// option is one option of a request.
type option struct {
	code  dhcp4.OptionCode
	value []byte
}

// opt makes an option out of text.
func opt(code dhcp4.OptionCode, value string) option { return option{code, []byte(value)} }

// request is the wire format of a request, with the END option.
func request(mac [6]byte, options ...option) []byte {
	b := make([]byte, dhcp4.HeaderLen)
	b[0], b[1], b[2] = dhcp4.BootRequest, dhcp4.Ethernet, 6
	copy(b[offXID:], "\x12\x34\x56\x78")
	copy(b[offCHAddr:], mac[:])
	copy(b[dhcp4.CookieOffset:], dhcp4.MagicCookie[:])
	for _, o := range options {
		b = append(b, uint8(o.code), uint8(len(o.value)))
		b = append(b, o.value...)
	}
	return append(b, uint8(dhcp4.OptionEnd))
}

var testMAC = [6]byte{0x52, 0x54, 0, 0, 0, 1}

// discover is a DISCOVER of PXE firmware.
func discover(arch Arch, more ...option) []byte {
	list := binary.BigEndian.AppendUint16(nil, uint16(arch))
	options := []option{{dhcp4.OptionDHCPMessageType, []byte{byte(dhcp4.MessageTypeDiscover)}}, {dhcp4.OptionClientSystemArchitectureType, list}, opt(dhcp4.OptionClassIdentifier, "PXEClient:Arch:00000:UNDI:002001")}
	return request(testMAC, append(options, more...)...)
}

// ipxeOptions are what an iPXE adds to a request.
func ipxeOptions(v Version, features ...uint8) []option {
	var encapsulated []byte
	for _, f := range features {
		encapsulated = append(encapsulated, f, 1, 1)
	}
	encapsulated = append(encapsulated, subVersion, 3, v[0], v[1], v[2])
	return []option{opt(dhcp4.OptionUserClassInformation, "iPXE"), {dhcp4.OptionEtherboot, encapsulated}}
}

var (
	testServer = netip.MustParseAddr("192.0.2.10")
	testOurs   = []netip.Prefix{netip.MustParsePrefix("192.0.2.10/24")}
)

// onServerPort is the arrival of a broadcast request.
func onServerPort() Arrival {
	return Arrival{
		Port: PortServer, From: netip.MustParseAddrPort("0.0.0.0:68"), To: Broadcast,
		Segment: Segment{Interface: "eth0"}, Ours: testOurs,
	}
}

// onProxyPort is the arrival of a request on port 4011.
func onProxyPort(from string) Arrival {
	return Arrival{
		Port: PortProxy, From: netip.MustParseAddrPort(from), To: testServer,
		Segment: Segment{Interface: "eth0"}, Ours: testOurs,
	}
}

// answer is another server's answer to a client: it gives an address in
// 192.0.2.0/24, and options besides.
func answer(mac [6]byte, xid [4]byte, messageType dhcp4.MessageType, options ...option) []byte {
	b := request(mac, append([]option{
		{dhcp4.OptionDHCPMessageType, []byte{byte(messageType)}}, opt(dhcp4.OptionServerIdentifier, "\xc0\x00\x02\x01"), opt(dhcp4.OptionSubnetMask, "\xff\xff\xff\x00"),
	}, options...)...)
	b[0] = dhcp4.BootReply
	copy(b[offXID:], xid[:])
	copy(b[offYIAddr:], "\xc0\x00\x02\x32")
	return b
}

// leaseRequest is firmware's REQUEST for the address of an answer.
func leaseRequest(mac [6]byte, xid [4]byte) []byte {
	b := request(mac, opt(dhcp4.OptionDHCPMessageType, "\x03"), opt(dhcp4.OptionServerIdentifier, "\xc0\x00\x02\x01"), opt(dhcp4.OptionRequestedIPAddress, "\xc0\x00\x02\x32"),
		opt(dhcp4.OptionClientSystemArchitectureType, "\x00\x07"), opt(dhcp4.OptionClassIdentifier, "PXEClient:Arch:00007:UNDI:003001"))
	copy(b[offXID:], xid[:])
	return b
}

// readClientOf reads a request that reached a port, and returns who asks.
func readClientOf(m *dhcp4.Message, port uint16, s Segment, o ReplyOptions) (Client, Reason) {
	q, reason := ReadRequest(*m, Arrival{Port: port, Segment: s, Server: testServer}, o)
	return q.Client, reason
}
