package mmsg

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// BatchSize is the number of messages in a batch.
const BatchSize = 64

// message is struct mmsghdr.
type message struct {
	header unix.Msghdr
	length uint32 // bytes received or sent
}

// address is room for struct sockaddr_in and struct sockaddr_ll.
type address [3]uint64

// control is room for the control messages of a datagram: struct in_pktinfo
// with a segment size, or struct tpacket_auxdata.
type control [8]uint64

// packetInfoSpace is the room that IP_PKTINFO takes among control messages.
var packetInfoSpace = unix.CmsgSpace(unix.SizeofInet4Pktinfo)

// batch is the memory of one system call. The messages point at the rest.
type batch struct {
	count     int // of messages in use
	messages  [BatchSize]message
	addresses [BatchSize]address
	controls  [BatchSize]control
}

// init points the messages at their addresses and control messages.
func (b *batch) init() {
	for i := range b.messages {
		h := &b.messages[i].header
		h.Name = (*byte)(unsafe.Pointer(&b.addresses[i]))
		h.Control = (*byte)(unsafe.Pointer(&b.controls[i]))
	}
}

// LinkAddr is an address on the link. It holds up to eight bytes, as the kernel
// does.
type LinkAddr struct {
	Bytes [8]byte
	Len   uint8
}

// PacketInfo is the control message IP_PKTINFO, ip(7).
type PacketInfo struct {
	Interface   int        // index of the interface; 0 when unknown, or for the routing table to choose
	Local       netip.Addr // our address: the one that received, or the source
	Destination netip.Addr // the destination in the IP header; received only
}

// Incoming is a batch of datagrams that were received.
type Incoming struct {
	batch
	size    int            // of a buffer
	members [BatchSize]int // of the group, from which each datagram came
	vectors [BatchSize]unix.Iovec
	buffers []byte
}

// NewIncoming returns a batch that keeps up to size bytes of each datagram.
func NewIncoming(size int) *Incoming {
	in := &Incoming{size: size, buffers: make([]byte, BatchSize*size)}
	in.init()
	for i := range in.messages {
		in.vectors[i].Base = &in.buffers[i*size]
		in.vectors[i].SetLen(size)
		h := &in.messages[i].header
		h.Iov = &in.vectors[i]
		h.SetIovlen(1)
	}
	in.count = BatchSize
	in.reset()
	return in
}

// reset empties the batch. It gives back the room for addresses and control
// messages, which the kernel has cut to what it wrote there.
func (in *Incoming) reset() {
	for i := range in.count {
		h := &in.messages[i].header
		h.Namelen = uint32(unsafe.Sizeof(address{}))
		h.SetControllen(int(unsafe.Sizeof(control{})))
	}
	in.count = 0
}

// Data returns the i-th datagram. It is valid until the next Receive.
func (in *Incoming) Data(i int) []byte {
	start := i * in.size
	return in.buffers[start : start+min(int(in.messages[i].length), in.size)]
}

// Member returns the member of the group from which the i-th datagram came.
func (in *Incoming) Member(i int) int { return in.members[i] }

// Sender returns the IPv4 address and port that sent the i-th datagram.
func (in *Incoming) Sender(i int) netip.AddrPort {
	from := (*unix.RawSockaddrInet4)(unsafe.Pointer(&in.addresses[i]))
	return netip.AddrPortFrom(netip.AddrFrom4(from.Addr), bigEndian(from.Port))
}

// LinkSender returns the link-layer address that sent the i-th packet.
func (in *Incoming) LinkSender(i int) LinkAddr {
	from := (*unix.RawSockaddrLinklayer)(unsafe.Pointer(&in.addresses[i]))
	return LinkAddr{from.Addr, min(from.Halen, uint8(len(from.Addr)))}
}

// PacketInfo returns where the i-th datagram arrived: zeros unless the socket
// has the option IP_PKTINFO.
func (in *Incoming) PacketInfo(i int) PacketInfo {
	data := in.controlData(i, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
	if data == nil {
		return PacketInfo{}
	}
	info := (*unix.Inet4Pktinfo)(data)
	return PacketInfo{Interface: int(info.Ifindex), Local: netip.AddrFrom4(info.Spec_dst), Destination: netip.AddrFrom4(info.Addr)}
}

// VLAN returns the VLAN identifier of the i-th packet: 0 unless it had a tag
// and the socket has the option PACKET_AUXDATA, packet(7). The kernel takes the
// tag off every frame before a socket sees it.
func (in *Incoming) VLAN(i int) uint16 {
	data := in.controlData(i, unix.SOL_PACKET, unix.PACKET_AUXDATA, int(unsafe.Sizeof(unix.TpacketAuxdata{})))
	if data == nil {
		return 0
	}
	return (*unix.TpacketAuxdata)(data).Vlan_tci & 0xfff
}

// controlData returns what the first control message of the i-th datagram
// holds, nil if that is not the one wanted. A socket here asks for one only.
func (in *Incoming) controlData(i int, level, kind int32, size int) unsafe.Pointer {
	if uint64(in.messages[i].header.Controllen) < uint64(unix.CmsgLen(size)) {
		return nil
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&in.controls[i]))
	if h.Level != level || h.Type != kind {
		return nil
	}
	return unsafe.Add(unsafe.Pointer(h), unix.CmsgLen(0))
}

// Outgoing is a batch of messages to be sent. A message is put together from
// pieces, by Append and AppendCopy, and ended by one of the End methods.
type Outgoing struct {
	batch
	segments [BatchSize]int // bytes of a segment, 0 for a single datagram
	vectors  []unix.Iovec   // the pieces
	ended    int            // pieces of messages that are complete
	copies   []byte
	bytes    int
	single   [1]message // what SendSegments sends
}

// NewOutgoing returns a batch with room for that many pieces, and for that many
// bytes copied by AppendCopy.
func NewOutgoing(pieces, copied int) *Outgoing {
	out := &Outgoing{vectors: make([]unix.Iovec, 0, pieces), copies: make([]byte, 0, copied)}
	out.init()
	return out
}

// Len returns the number of messages.
func (out *Outgoing) Len() int { return out.count }

// Bytes returns the size of all messages.
func (out *Outgoing) Bytes() int { return out.bytes }

// Segment returns the size of the segments of the i-th message, 0 if it is a
// single datagram.
func (out *Outgoing) Segment(i int) int { return out.segments[i] }

// HasRoom reports whether there is room for one more message with that many
// pieces, and that many bytes to be copied.
func (out *Outgoing) HasRoom(pieces, copied int) bool {
	return out.count < BatchSize && len(out.vectors)+pieces <= cap(out.vectors) && len(out.copies)+copied <= cap(out.copies)
}

// Append adds a piece to the current message. The bytes must not change before
// they are sent. An empty piece adds nothing.
func (out *Outgoing) Append(p []byte) {
	if len(p) == 0 {
		return
	}
	at := len(out.vectors)
	out.vectors = out.vectors[:at+1]
	out.vectors[at].Base = &p[0]
	out.vectors[at].SetLen(len(p))
	out.bytes += len(p)
}

// AppendCopy adds a piece to the current message and keeps a copy of it.
func (out *Outgoing) AppendCopy(p []byte) {
	at := len(out.copies)
	out.copies = out.copies[:at+len(p)]
	copy(out.copies[at:], p)
	out.Append(out.copies[at:])
}

// End ends a UDP message. It goes to an address, or to the socket's peer if
// that is zero, by the interface and from the address in info. The kernel cuts
// it into datagrams of segment bytes, udp(7) UDP_SEGMENT, unless segment is 0.
func (out *Outgoing) End(to netip.AddrPort, info PacketInfo, segment int) {
	i, h := out.next()
	if to.IsValid() {
		name := (*unix.RawSockaddrInet4)(unsafe.Pointer(&out.addresses[i]))
		*name = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: bigEndian(to.Port()), Addr: to.Addr().As4()}
		h.Namelen = unix.SizeofSockaddrInet4
	}
	out.segments[i] = segment
	h.SetControllen(out.controls[i].set(info, segment))
}

// EndLink ends the message of a packet socket. It goes to a link-layer address,
// or to the socket's peer if that is zero, as a packet of a protocol, and
// leaves by an interface.
func (out *Outgoing) EndLink(to LinkAddr, protocol uint16, index int) {
	i, h := out.next()
	if to.Len > 0 {
		name := (*unix.RawSockaddrLinklayer)(unsafe.Pointer(&out.addresses[i]))
		*name = unix.RawSockaddrLinklayer{Family: unix.AF_PACKET, Protocol: bigEndian(protocol), Ifindex: int32(index), Halen: to.Len, Addr: to.Bytes}
		h.Namelen = unix.SizeofSockaddrLinklayer
	}
	out.segments[i] = 0
	h.SetControllen(0)
}

// next takes the pieces added last for one more message, and returns its index
// and header.
func (out *Outgoing) next() (int, *unix.Msghdr) {
	i := out.count
	out.count++
	h := &out.messages[i].header
	h.Namelen = 0
	h.Iov = nil
	if pieces := out.vectors[out.ended:]; len(pieces) > 0 {
		h.Iov = &pieces[0]
	}
	h.SetIovlen(len(out.vectors) - out.ended)
	out.ended = len(out.vectors)
	return i, h
}

// Reset empties the batch, and lets go of the pieces.
func (out *Outgoing) Reset() {
	clear(out.vectors)
	out.vectors, out.copies = out.vectors[:0], out.copies[:0]
	out.count, out.ended, out.bytes = 0, 0, 0
}

// set writes the control messages of a datagram, and returns their length.
func (c *control) set(info PacketInfo, segment int) int {
	*c = control{}
	h := (*unix.Cmsghdr)(unsafe.Pointer(c))
	h.Level, h.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
	h.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
	data := (*unix.Inet4Pktinfo)(unsafe.Add(unsafe.Pointer(h), unix.CmsgLen(0)))
	data.Ifindex = int32(info.Interface)
	if info.Local.IsValid() {
		data.Spec_dst = info.Local.As4()
	}
	if segment == 0 {
		return packetInfoSpace
	}
	h = (*unix.Cmsghdr)(unsafe.Add(unsafe.Pointer(c), packetInfoSpace))
	h.Level, h.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	*(*uint16)(unsafe.Add(unsafe.Pointer(h), unix.CmsgLen(0))) = uint16(segment)
	return packetInfoSpace + unix.CmsgSpace(2)
}

// bigEndian converts a 16-bit number from or to network byte order, in which
// the kernel's structures hold it.
func bigEndian(v uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], v)
	return binary.BigEndian.Uint16(b[:])
}
