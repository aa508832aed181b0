package proxydhcp

import (
	"encoding/binary"
	"net/netip"
)

// IPv4 and UDP headers, which a packet socket leaves to us.

// Offsets and sizes of the two headers (RFC 791, section 3.1; RFC 768).
const (
	ipHeader      = 20
	udpHeader     = 8
	protocolUDP   = 17
	fragmentBits  = 0x3fff // more fragments, and the fragment offset
	defaultTTL    = 64
	internetworkC = 0xc0 // type of service "internetwork control", as DHCP servers use
)

// datagram is a UDP datagram with its addresses.
type datagram struct {
	from, to netip.AddrPort
	payload  []byte
}

// parseDatagram reads an IPv4 packet that holds a whole UDP datagram, with ok
// false for anything else. What follows the datagram, such as Ethernet padding,
// is cut off. The UDP checksum is not looked at: a packet from a virtual
// machine on this host arrives before it is filled in.
func parseDatagram(b []byte) (d datagram, ok bool) {
	if len(b) < ipHeader+udpHeader || b[0]>>4 != 4 {
		return d, false
	}
	header := int(b[0]&15) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if header < ipHeader || total > len(b) || total < header+udpHeader ||
		b[9] != protocolUDP || binary.BigEndian.Uint16(b[6:])&fragmentBits != 0 {
		return d, false
	}
	udp := b[header:total]
	length := int(binary.BigEndian.Uint16(udp[4:]))
	if length < udpHeader || length > len(udp) {
		return d, false
	}
	d.from = netip.AddrPortFrom(addrAt(b, 12), binary.BigEndian.Uint16(udp))
	d.to = netip.AddrPortFrom(addrAt(b, 16), binary.BigEndian.Uint16(udp[2:]))
	d.payload = udp[udpHeader:length]
	return d, true
}

// append appends the datagram with its IPv4 and UDP headers and checksums to
// b. The payload must be shorter than 64 KiB by the headers.
func (d datagram) append(b []byte) []byte {
	start := len(b)
	udpLen := udpHeader + len(d.payload)
	b = append(b, 0x45, internetworkC)
	b = binary.BigEndian.AppendUint16(b, uint16(ipHeader+udpLen))
	b = append(b, 0, 0, 0, 0, defaultTTL, protocolUDP, 0, 0)
	b = appendAddr(b, d.from.Addr())
	b = appendAddr(b, d.to.Addr())
	binary.BigEndian.PutUint16(b[start+10:], ^checksum(0, b[start:]))

	b = binary.BigEndian.AppendUint16(b, d.from.Port())
	b = binary.BigEndian.AppendUint16(b, d.to.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(udpLen))
	b = append(b, 0, 0)
	b = append(b, d.payload...)
	// The pseudo header: both addresses, the protocol, the length (RFC 768).
	sum := checksum(uint32(protocolUDP+udpLen), b[start+12:])
	if sum = ^sum; sum == 0 {
		sum = 0xffff // 0 would mean that there is no checksum
	}
	binary.BigEndian.PutUint16(b[start+ipHeader+6:], sum)
	return b
}

// checksum is the ones' complement sum of RFC 1071, not yet complemented. Four
// bytes are added at a time; the carries are folded in at the end.
func checksum(start uint32, b []byte) uint16 {
	sum := uint64(start)
	for ; len(b) >= 4; b = b[4:] {
		sum += uint64(binary.BigEndian.Uint32(b))
	}
	if len(b) >= 2 {
		sum += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
