package lab

// VLANs: segments whose frames travel on the LAN with a tag. The kernel needs to know nothing of 802.1Q for that: a
// switch in this process moves the frames and puts the tag on and off.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// NewVLAN adds a segment that is a VLAN of the LAN. Hosts join it without tags; those on the LAN see its frames tagged.
func (l *Lab) NewVLAN(name string, id uint16, prefix netip.Prefix) (*Segment, error) {
	s, err := l.NewSegment(name, prefix)
	if err != nil {
		return nil, err
	}
	host, err := l.NewHost("switch-" + name)
	if err != nil {
		return nil, err
	}
	var ends [2]*switchPort
	for i, side := range []*Segment{l.LAN, s} {
		iface, err := host.Join(side, netip.Addr{})
		if err != nil {
			return nil, err
		}
		if err := host.Do(func() (err error) { ends[i], err = openPort(iface); return err }); err != nil {
			return nil, fmt.Errorf("VLAN %s: %w", name, err)
		}
	}
	w := &vlanSwitch{tag: binary.BigEndian.AppendUint16([]byte{0x81, 0x00}, id), trunk: ends[0], access: ends[1], quit: make(chan struct{})}
	w.running.Go(func() { w.run(w.trunk, w.access, w.untag) })
	w.running.Go(func() { w.run(w.access, w.trunk, w.putTag) })
	l.onClose(w.close)
	return s, nil
}

// vlanSwitch moves the frames of one VLAN.
type vlanSwitch struct {
	tag           []byte
	trunk, access *switchPort
	quit          chan struct{}
	running       sync.WaitGroup
}

// run moves frames from one port to the other until the lab closes, as convert makes them; it drops those of which
// convert makes nothing.
func (w *vlanSwitch) run(from, to *switchPort, convert func(frame, tag []byte) []byte) {
	buffer, control := make([]byte, 1<<16), make([]byte, 256)
	for {
		select {
		case <-w.quit:
			return
		default:
		}
		n, nc, _, _, err := unix.Recvmsg(from.fd, buffer, control, 0)
		if err != nil {
			// Mostly the wake-up; and a link that goes down with the lab.
			continue
		}
		_, tag := readControl(control[:nc])
		if frame := convert(buffer[:n], tag); frame != nil {
			// A frame that is lost is the clients' to repeat, as on any wire.
			unix.Write(to.fd, frame)
		}
	}
}

// untag takes the VLAN's tag off.
func (w *vlanSwitch) untag(frame, tag []byte) []byte {
	if len(tag) != len(w.tag) || binary.BigEndian.Uint32(tag)&0xffff0fff != binary.BigEndian.Uint32(w.tag) {
		return nil
	}
	return withTag(frame, nil)
}

// putTag puts it on.
func (w *vlanSwitch) putTag(frame, tag []byte) []byte {
	if tag != nil {
		return nil
	}
	return withTag(frame, w.tag)
}

// close ends the switch.
func (w *vlanSwitch) close() error {
	close(w.quit)
	w.running.Wait()
	return errors.Join(unix.Close(w.trunk.fd), unix.Close(w.access.fd))
}

// switchPort is a packet socket that takes every frame of an interface.
type switchPort struct{ fd int }

// openPort opens the port of an interface of the calling thread's namespace.
func openPort(iface string) (*switchPort, error) {
	link, err := net.InterfaceByName(iface)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	wake := unix.NsecToTimeval(captureWake.Nanoseconds())
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wake),
		unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
			&unix.PacketMreq{Ifindex: int32(link.Index), Type: unix.PACKET_MR_PROMISC}),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: swap16(unix.ETH_P_ALL), Ifindex: link.Index}),
	)
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return &switchPort{fd}, nil
}
