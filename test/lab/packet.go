package lab

// Packet sockets that receive every frame of an interface, and the VLAN tags
// that the kernel removes from the frames.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// packetWake is how often a reader of a packet socket checks whether it should
// end.
const packetWake = 100 * time.Millisecond

// socketOption is a socket option with an integer value.
type socketOption struct{ level, name, value int }

// openPacketSocket opens a packet socket on an interface of the calling
// thread's namespace, for all frames of a protocol (unix.ETH_P_...), with
// further options.
func openPacketSocket(iface string, protocol uint16, options ...socketOption) (fd int, err error) {
	link, err := net.InterfaceByName(iface)
	if err != nil {
		return 0, fmt.Errorf("interface %s: %w", iface, err)
	}
	// The protocol is 0 until the socket is bound, so that it receives nothing
	// from other interfaces.
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("packet socket: %w", err)
	}
	for _, o := range append(options, socketOption{unix.SOL_PACKET, unix.PACKET_AUXDATA, 1}) {
		err = errors.Join(err, unix.SetsockoptInt(fd, o.level, o.name, o.value))
	}
	wake := unix.NsecToTimeval(packetWake.Nanoseconds())
	err = errors.Join(err,
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wake),
		unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
			&unix.PacketMreq{Ifindex: int32(link.Index), Type: unix.PACKET_MR_PROMISC}),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: swap16(protocol), Ifindex: link.Index}),
	)
	if err != nil {
		return 0, fmt.Errorf("packet socket on %s: %w", iface, errors.Join(err, unix.Close(fd)))
	}
	return fd, nil
}

// eachFrame calls handle for the frames of a packet socket, with the VLAN tags
// that the kernel removed (nil for none), until quit is closed. A frame is
// valid until handle returns.
func eachFrame(fd int, quit <-chan struct{}, handle func(frame, tag []byte)) {
	buffer, control := make([]byte, 1<<16), make([]byte, 256)
	for {
		select {
		case <-quit:
			return
		default:
		}
		n, nc, _, _, err := unix.Recvmsg(fd, buffer, control, 0)
		if err != nil {
			// Mostly the timeout, and a link that goes down with the lab.
			continue
		}
		_, tag := readControl(control[:nc])
		handle(buffer[:n], tag)
	}
}

// swap16 turns a number into network byte order on the little-endian machines
// the lab runs on.
func swap16(v uint16) uint16 { return v<<8 | v>>8 }

// readControl returns the kernel's time stamp and the VLAN tag that it removed
// from the frame (nil for none).
func readControl(control []byte) (time.Time, []byte) {
	at, tag := time.Now(), []byte(nil)
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return at, nil
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16:
			ts := (*unix.Timespec)(unsafe.Pointer(&m.Data[0]))
			at = time.Unix(ts.Unix())
		case m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= 20:
			aux := (*unix.TpacketAuxdata)(unsafe.Pointer(&m.Data[0]))
			if aux.Status&unix.TP_STATUS_VLAN_VALID != 0 {
				tag = binary.BigEndian.AppendUint16(nil, aux.Vlan_tpid)
				tag = binary.BigEndian.AppendUint16(tag, aux.Vlan_tci)
			}
		}
	}
	return at, tag
}

// withTag copies a frame and puts its VLAN tag back.
func withTag(frame, tag []byte) []byte {
	const addresses = 12
	if len(frame) < addresses {
		return append([]byte(nil), frame...)
	}
	out := make([]byte, 0, len(frame)+len(tag))
	out = append(out, frame[:addresses]...)
	out = append(out, tag...)
	return append(out, frame[addresses:]...)
}
