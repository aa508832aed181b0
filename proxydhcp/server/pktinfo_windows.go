package server

// Where a datagram arrived and from where one is sent: IP_PKTINFO, as Windows
// lays it out. x/net/ipv4 leaves it out there.

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"net"
	"net/netip"

	"golang.org/x/sys/windows"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Sizes of a control message in bytes. It begins with the C type WSACMSGHDR:
// its length, one word, that includes the header; the level; the type. The C
// type IN_PKTINFO follows: an address, then the index of an interface.
const (
	wordSize    = bits.UintSize / 8
	headerSize  = wordSize + 4 + 4
	infoSize    = 4 + 4
	messageSize = headerSize + (infoSize+wordSize-1)&^(wordSize-1)
)

// controls reads the control messages of one socket.
type controls struct{}

// ask asks the system for the messages that read reads.
func (controls) ask(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	if err := raw.Control(func(fd uintptr) {
		set = windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IP, windows.IP_PKTINFO, 1)
	}); err != nil {
		return err
	}
	return set
}

// read returns the address to which a datagram was sent, and the index of the
// interface that received it; zeros if the system did not say. Nothing else was
// asked for, so it is the first message.
func (controls) read(oob []byte) (to netip.Addr, index int) {
	if len(oob) < headerSize+infoSize {
		return netip.Addr{}, 0
	}
	length, rest := word(oob), oob[wordSize:]
	level, kind := binary.NativeEndian.Uint32(rest), binary.NativeEndian.Uint32(rest[4:])
	if level != windows.IPPROTO_IP || kind != windows.IP_PKTINFO || length < headerSize+infoSize {
		return netip.Addr{}, 0
	}
	info := oob[headerSize:]
	return netip.AddrFrom4([4]byte(info)), int(binary.NativeEndian.Uint32(info[4:]))
}

// controlMessage returns the message by which a datagram is sent from an
// address and by an interface; zeros leave the choice to the system.
func controlMessage(from netip.Addr, index int) []byte {
	if !from.Is4() && index == 0 {
		return nil
	}
	b := appendWord(make([]byte, 0, messageSize), headerSize+infoSize)
	b = binary.NativeEndian.AppendUint32(b, windows.IPPROTO_IP)
	b = binary.NativeEndian.AppendUint32(b, windows.IP_PKTINFO)
	var source [4]byte
	if from.Is4() {
		source = from.As4()
	}
	b = append(b, source[:]...)
	b = binary.NativeEndian.AppendUint32(b, uint32(index))
	return b[:messageSize]
}

// word reads a number that is as large as a pointer.
func word(b []byte) uint64 {
	if wordSize == 8 {
		return binary.NativeEndian.Uint64(b)
	}
	return uint64(binary.NativeEndian.Uint32(b))
}

// appendWord appends a number that is as large as a pointer.
func appendWord(b []byte, n uint64) []byte {
	if wordSize == 8 {
		return binary.NativeEndian.AppendUint64(b, n)
	}
	return binary.NativeEndian.AppendUint32(b, uint32(n))
}

// linkBroadcast returns the address that reaches everybody on our link.
func linkBroadcast([]netip.Prefix) netip.Addr { return proxydhcp.Broadcast }

// isTaken reports whether a port could not be opened because another process
// has it. Windows says "access denied" for one that is held exclusively.
func isTaken(err error) bool {
	return errors.Is(err, windows.WSAEADDRINUSE) || errors.Is(err, windows.WSAEACCES)
}
