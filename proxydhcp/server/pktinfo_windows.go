package server

// Where a datagram arrived and from where one is sent: IP_PKTINFO, as
// Windows lays it out. x/net/ipv4 leaves it out there.

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// controlHeader is the C type WSACMSGHDR; what it announces follows, aligned as
// it is itself.
type controlHeader struct {
	length      uintptr // with the header
	level, kind int32
}

// Sizes of the header, of the C type IN_PKTINFO (an address, then the index of
// an interface), and of the whole message.
const (
	headerSize  = int(unsafe.Sizeof(controlHeader{}))
	infoSize    = 8
	messageSize = headerSize + (infoSize+int(unsafe.Sizeof(uintptr(0)))-1)&^(int(unsafe.Sizeof(uintptr(0)))-1)
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

// read returns to which address a datagram was sent, and the index of the
// interface that received it; zeros where that is not told. Nothing else was
// asked for, so it is the first message.
func (controls) read(oob []byte) (to netip.Addr, index int) {
	if len(oob) < headerSize+infoSize {
		return netip.Addr{}, 0
	}
	h := (*controlHeader)(unsafe.Pointer(&oob[0]))
	if h.level != windows.IPPROTO_IP || h.kind != windows.IP_PKTINFO || h.length < uintptr(headerSize+infoSize) {
		return netip.Addr{}, 0
	}
	info := oob[headerSize:]
	return netip.AddrFrom4([4]byte(info)), int(binary.LittleEndian.Uint32(info[4:]))
}

// controlMessage has a datagram sent from an address and by an interface,
// each where it is not zero.
func controlMessage(from netip.Addr, index int) []byte {
	if !from.Is4() && index == 0 {
		return nil
	}
	words := make([]uintptr, messageSize/int(unsafe.Sizeof(uintptr(0)))) // aligned
	b := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), messageSize)
	*(*controlHeader)(unsafe.Pointer(&b[0])) = controlHeader{uintptr(headerSize + infoSize), windows.IPPROTO_IP, windows.IP_PKTINFO}
	if from.Is4() {
		a := from.As4()
		copy(b[headerSize:], a[:])
	}
	binary.LittleEndian.PutUint32(b[headerSize+4:], uint32(index))
	return b
}

// linkBroadcast is the address that reaches everybody on the link of ours.
func linkBroadcast([]netip.Prefix) netip.Addr { return proxydhcp.Broadcast }

// isTaken reports whether a port could not be had because another process has
// it: Windows says "access denied" of one that is held exclusively.
func isTaken(err error) bool {
	return errors.Is(err, windows.WSAEADDRINUSE) || errors.Is(err, windows.WSAEACCES)
}
