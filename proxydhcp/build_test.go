package proxydhcp

import (
	"encoding/binary"
	"net/netip"
)

// Requests made by the tests, where no golden packet fits.

// option is one option of a request.
type option struct {
	code  uint8
	value []byte
}

// opt makes an option out of text.
func opt(code uint8, value string) option { return option{code, []byte(value)} }

// request is the wire format of a request, with the END option.
func request(mac [6]byte, options ...option) []byte {
	b := make([]byte, offOptions)
	b[0], b[1], b[2] = bootRequest, ethernet, 6
	copy(b[offXID:], "\x12\x34\x56\x78")
	copy(b[offCHAddr:], mac[:])
	copy(b[offCookie:], magicCookie[:])
	for _, o := range options {
		b = append(b, o.code, uint8(len(o.value)))
		b = append(b, o.value...)
	}
	return append(b, optEnd)
}

var testMAC = [6]byte{0x52, 0x54, 0, 0, 0, 1}

// discover is a DISCOVER of PXE firmware.
func discover(arch Arch, more ...option) []byte {
	list := binary.BigEndian.AppendUint16(nil, uint16(arch))
	options := []option{{optMessageType, []byte{typeDiscover}}, {optArch, list}, opt(optVendorClass, "PXEClient:Arch:00000:UNDI:002001")}
	return request(testMAC, append(options, more...)...)
}

// ipxeOptions are what an iPXE adds to a request.
func ipxeOptions(v Version, features ...uint8) []option {
	var encapsulated []byte
	for _, f := range features {
		encapsulated = append(encapsulated, f, 1, 1)
	}
	encapsulated = append(encapsulated, subVersion, 3, v[0], v[1], v[2])
	return []option{opt(optUserClass, "iPXE"), {optIPXE, encapsulated}}
}

var (
	testServer = netip.MustParseAddr("192.0.2.10")
	testOurs   = []netip.Prefix{netip.MustParsePrefix("192.0.2.10/24")}
)

// onServerPort is the arrival of a broadcast request.
func onServerPort() Arrival {
	return Arrival{
		Port: PortServer, From: netip.MustParseAddrPort("0.0.0.0:68"), To: broadcastAddr,
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
func answer(mac [6]byte, xid [4]byte, messageType uint8, options ...option) []byte {
	b := request(mac, append([]option{
		{optMessageType, []byte{messageType}}, opt(optServerID, "\xc0\x00\x02\x01"), opt(optSubnetMask, "\xff\xff\xff\x00"),
	}, options...)...)
	b[0] = bootReply
	copy(b[offXID:], xid[:])
	copy(b[offYIAddr:], "\xc0\x00\x02\x32")
	return b
}

// leaseRequest is firmware's REQUEST for the address of an answer.
func leaseRequest(mac [6]byte, xid [4]byte) []byte {
	b := request(mac, opt(optMessageType, "\x03"), opt(optServerID, "\xc0\x00\x02\x01"), opt(optRequestedIP, "\xc0\x00\x02\x32"),
		opt(optArch, "\x00\x07"), opt(optVendorClass, "PXEClient:Arch:00007:UNDI:003001"))
	copy(b[offXID:], xid[:])
	return b
}
