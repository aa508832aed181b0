package dhcpload

// The frames of clients: DISCOVERs of booting firmware, and what ordinary
// systems send to their DHCP server.

import "encoding/binary"

// Offsets in a frame: Ethernet, then an IPv4 header without options, then UDP,
// then BOOTP (RFC 2131, section 2).
const (
	ipOffset      = 14
	udpOffset     = ipOffset + 20
	bootpOffset   = udpOffset + 8
	xidOffset     = bootpOffset + 4
	chaddrOffset  = bootpOffset + 28
	optionsOffset = bootpOffset + 240

	portServer = 67
	portClient = 68
)

// Message types (RFC 2132, section 9.6).
const (
	typeDiscover = 1
	typeOffer    = 2
	typeRequest  = 3
	typeInform   = 8
)

// Mark is the first bit of a transaction id that requests an answer. The limit
// recognizes a booting client by it.
const Mark = 0x80000000

// frame is a template. The client is filled in for each packet.
type frame struct {
	bytes []byte
	// stamps are the offsets of more copies of the hardware address, such as in
	// the client identifier.
	stamps []int
}

// option is one DHCP option. The six bytes that are all 0xcc stand for the
// hardware address.
type option struct {
	code  byte
	value []byte
}

// placeholder stands for the client's hardware address in an option.
var placeholder = []byte{0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc}

// newFrame makes a broadcast of a client that has no address yet, or of one
// that has an address (INFORM).
func newFrame(messageType byte, address [4]byte, options ...option) frame {
	b := make([]byte, optionsOffset, 600)
	f := frame{}
	copy(b, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	binary.BigEndian.PutUint16(b[12:], 0x0800)
	bootp := b[bootpOffset:]
	bootp[0], bootp[1], bootp[2] = 1, 1, 6 // BOOTREQUEST, Ethernet
	if address == [4]byte{} {
		bootp[10] = 0x80 // broadcast flag
	}
	copy(bootp[12:], address[:])
	copy(bootp[236:], []byte{0x63, 0x82, 0x53, 0x63})
	for _, o := range append([]option{{53, []byte{messageType}}}, options...) {
		b = append(b, o.code, byte(len(o.value)))
		for i := range o.value {
			if i+6 <= len(o.value) && string(o.value[i:i+6]) == string(placeholder) {
				f.stamps = append(f.stamps, len(b)+i)
			}
		}
		b = append(b, o.value...)
	}
	b = append(b, 255)
	for len(b) < bootpOffset+300 {
		b = append(b, 0)
	}
	fillHeaders(b, address)
	f.bytes = b
	return f
}

// fillHeaders fills in IP and UDP. The UDP checksum stays 0, which means none
// (RFC 768).
func fillHeaders(b []byte, source [4]byte) {
	ip, udp := b[ipOffset:udpOffset], b[udpOffset:]
	ip[0], ip[8], ip[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(len(b)-ipOffset))
	copy(ip[12:], source[:])
	copy(ip[16:], []byte{255, 255, 255, 255})
	var sum uint32
	for i := 0; i < len(ip); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum))
	binary.BigEndian.PutUint16(udp, portClient)
	binary.BigEndian.PutUint16(udp[2:], portServer)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
}

// write writes the frame of a client, given by a number, into b and returns its
// length.
func (f *frame) write(b []byte, client, xid uint32) int {
	n := copy(b, f.bytes)
	mac := [6]byte{0x52, 0x54, byte(client >> 24), byte(client >> 16), byte(client >> 8), byte(client)}
	copy(b[6:], mac[:])
	copy(b[chaddrOffset:], mac[:])
	for _, at := range f.stamps {
		copy(b[at:], mac[:])
	}
	binary.BigEndian.PutUint32(b[xidOffset:], xid)
	return n
}

// discover returns the DISCOVER of OVMF's PXE client.
func discover() frame {
	return newFrame(typeDiscover, [4]byte{},
		option{57, []byte{5, 0xc0}},
		option{55, []byte{1, 2, 3, 4, 5, 6, 12, 13, 15, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58, 59, 60, 66, 67, 97, 128, 129, 130, 131, 132, 133, 134, 135}},
		option{97, append(make([]byte, 11), placeholder...)},
		option{94, []byte{1, 3, 1}},
		option{93, []byte{0, 7}},
		option{60, []byte("PXEClient:Arch:00007:UNDI:003001")})
}

// ordinary returns the nine packets beside each DISCOVER: systems that start,
// renew, and ask for details.
func ordinary() []frame {
	windows := []byte("MSFT 5.0")
	windowsList := []byte{1, 3, 6, 15, 31, 33, 43, 44, 46, 47, 119, 121, 249, 252}
	linuxList := []byte{1, 28, 2, 3, 15, 6, 119, 12, 44, 47, 26, 121, 42}
	networkdList := []byte{1, 3, 6, 12, 15, 26, 33, 42, 119, 120, 121}
	android := []byte("android-dhcp-14")
	identifier := append([]byte{1}, placeholder...)
	duid := append([]byte{255, 1, 2, 3, 4, 0, 1, 0, 1, 0x2c, 0, 0, 0}, placeholder...)
	server, offered := []byte{192, 168, 1, 1}, []byte{192, 168, 1, 77}
	name := []byte("DESKTOP-7A1B2C3")
	windowsDiscover := newFrame(typeDiscover, [4]byte{}, option{61, identifier}, option{12, name}, option{60, windows}, option{55, windowsList})
	windowsRequest := newFrame(typeRequest, [4]byte{}, option{61, identifier}, option{50, offered}, option{54, server}, option{12, name},
		option{81, append([]byte{0, 0, 0}, name...)}, option{60, windows}, option{55, windowsList})
	windowsInform := newFrame(typeInform, [4]byte{192, 168, 1, 77}, option{61, identifier}, option{12, name}, option{60, windows}, option{55, windowsList})
	linuxDiscover := newFrame(typeDiscover, [4]byte{}, option{12, []byte("build-07")}, option{55, linuxList})
	linuxRequest := newFrame(typeRequest, [4]byte{}, option{54, server}, option{50, offered}, option{12, []byte("build-07")}, option{55, linuxList})
	networkdDiscover := newFrame(typeDiscover, [4]byte{}, option{61, duid}, option{57, []byte{5, 0xdc}}, option{55, networkdList})
	networkdRequest := newFrame(typeRequest, [4]byte{}, option{61, duid}, option{57, []byte{5, 0xdc}}, option{55, networkdList}, option{54, server}, option{50, offered})
	androidDiscover := newFrame(typeDiscover, [4]byte{}, option{61, identifier}, option{57, []byte{5, 0xdc}}, option{60, android}, option{55, networkdList})
	androidRequest := newFrame(typeRequest, [4]byte{}, option{61, identifier}, option{57, []byte{5, 0xdc}}, option{60, android}, option{50, offered}, option{54, server}, option{55, networkdList})
	return []frame{windowsDiscover, windowsRequest, windowsInform, linuxDiscover, linuxRequest, networkdDiscover, networkdRequest, androidDiscover, androidRequest}
}

// offerOf returns the transaction id if a frame is an OFFER.
func offerOf(b []byte) (xid uint32, ok bool) {
	if len(b) < optionsOffset || b[bootpOffset] != 2 {
		return 0, false
	}
	for options := b[optionsOffset:]; len(options) > 2 && options[0] != 255; {
		if options[0] == 0 {
			options = options[1:]
			continue
		}
		if options[0] == 53 {
			return binary.BigEndian.Uint32(b[xidOffset:]), options[2] == typeOffer
		}
		if len(options) < 2+int(options[1]) {
			break
		}
		options = options[2+int(options[1]):]
	}
	return 0, false
}
