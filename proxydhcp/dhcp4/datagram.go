package dhcp4

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Offsets and sizes of the IPv4 and UDP headers (RFC 791, section 3.1; RFC
// 768), in bytes. A packet socket leaves the headers to us.
const (
	ipHeaderLen  = 20 // without IP options
	UDPHeaderLen = 8

	ProtocolUDP  = 17
	FragmentBits = 0x3fff // of the 16 bits at offset 6: more fragments, and the fragment offset

	defaultTTL          = 64
	internetworkControl = 0xc0 // the type of service that DHCP servers use
)

// Datagram is a UDP datagram with its addresses.
type Datagram struct {
	From, To netip.AddrPort
	Payload  []byte
}

// ParseDatagram reads an IPv4 packet that holds a whole UDP datagram, with ok
// false for anything else. It cuts off what follows the datagram, such as
// Ethernet padding. It ignores the UDP checksum: a packet from a virtual
// machine on this host arrives before its checksum is filled in.
func ParseDatagram(b []byte) (d Datagram, ok bool) {
	if len(b) < ipHeaderLen+UDPHeaderLen || b[0]>>4 != 4 {
		return d, false
	}
	header := int(b[0]&15) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if header < ipHeaderLen || total > len(b) || total < header+UDPHeaderLen ||
		b[9] != ProtocolUDP || binary.BigEndian.Uint16(b[6:])&FragmentBits != 0 {
		return d, false
	}
	udp := b[header:total]
	length := int(binary.BigEndian.Uint16(udp[4:]))
	if length < UDPHeaderLen || length > len(udp) {
		return d, false
	}
	d.From = netip.AddrPortFrom(addrAt(b, 12), binary.BigEndian.Uint16(udp))
	d.To = netip.AddrPortFrom(addrAt(b, 16), binary.BigEndian.Uint16(udp[2:]))
	d.Payload = udp[UDPHeaderLen:length]
	return d, true
}

// Append appends the datagram with its IPv4 and UDP headers and checksums to
// b. The payload must be shorter than 64 KiB less the headers.
func (d Datagram) Append(b []byte) []byte {
	start := len(b)
	udpLen := UDPHeaderLen + len(d.Payload)
	b = append(b, 0x45, internetworkControl)
	b = binary.BigEndian.AppendUint16(b, uint16(ipHeaderLen+udpLen))
	b = append(b, 0, 0, 0, 0, defaultTTL, ProtocolUDP, 0, 0)
	b = AppendAddr(b, d.From.Addr())
	b = AppendAddr(b, d.To.Addr())
	binary.BigEndian.PutUint16(b[start+10:], ^checksum(0, b[start:]))

	b = binary.BigEndian.AppendUint16(b, d.From.Port())
	b = binary.BigEndian.AppendUint16(b, d.To.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(udpLen))
	b = append(b, 0, 0)
	b = append(b, d.Payload...)
	// The pseudo header: both addresses, the protocol, the length (RFC 768).
	sum := checksum(uint32(ProtocolUDP+udpLen), b[start+12:])
	if sum = ^sum; sum == 0 {
		sum = 0xffff // 0 would mean that there is no checksum
	}
	binary.BigEndian.PutUint16(b[start+ipHeaderLen+6:], sum)
	return b
}

// checksum returns the ones' complement sum of RFC 1071, not yet complemented.
// It adds eight bytes at a time, and the carry of each addition to the next.
func checksum(start uint32, b []byte) uint16 {
	sum, carry := uint64(start), uint64(0)
	for ; len(b) >= 8; b = b[8:] {
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b), carry)
	}
	var rest [8]byte
	copy(rest[:], b)
	sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(rest[:]), carry)
	sum = sum>>32 + sum&0xffffffff + carry
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
