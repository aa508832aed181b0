package lab

// VLANs: segments whose frames have a tag on the LAN. The kernel need not
// support 802.1Q: a switch in this process moves the frames, and adds and
// removes the tag.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// NewVLAN adds a segment that is a VLAN of the LAN. Hosts in the segment see
// frames without a tag, hosts on the LAN with it.
func (l *Lab) NewVLAN(name string, id uint16, prefix netip.Prefix) (*Segment, error) {
	s, err := l.NewSegment(name, prefix)
	if err != nil {
		return nil, err
	}
	host, err := l.NewHost("switch-" + name)
	if err != nil {
		return nil, err
	}
	var ends [2]int
	for i, side := range []*Segment{l.LAN, s} {
		iface, err := host.Join(side, netip.Addr{})
		if err != nil {
			return nil, err
		}
		err = host.Do(func() (err error) {
			// Frames that the switch itself sends must not be moved again.
			ends[i], err = openPacketSocket(iface, unix.ETH_P_ALL, socketOption{unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1})
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("VLAN %s: %w", name, err)
		}
	}
	w := &vlanSwitch{tag: binary.BigEndian.AppendUint16([]byte{0x81, 0x00}, id), trunk: ends[0], access: ends[1], quit: make(chan struct{})}
	w.running.Go(func() { w.run(w.trunk, w.access, w.untag) })
	w.running.Go(func() { w.run(w.access, w.trunk, w.putTag) })
	l.onClose(w.close)
	return s, nil
}

// vlanSwitch moves the frames of one VLAN between two packet sockets.
type vlanSwitch struct {
	tag           []byte
	trunk, access int
	quit          chan struct{}
	running       sync.WaitGroup
}

// run moves frames from one port to the other until the lab closes, converted
// by convert. It drops a frame if convert returns nil.
func (w *vlanSwitch) run(from, to int, convert func(frame, tag []byte) []byte) {
	eachFrame(from, w.quit, func(frame, tag []byte) {
		if frame = convert(frame, tag); frame != nil {
			// A lost frame is repeated by the clients, as on any network.
			unix.Write(to, frame)
		}
	})
}

// untag removes the VLAN's tag.
func (w *vlanSwitch) untag(frame, tag []byte) []byte {
	if len(tag) != len(w.tag) || binary.BigEndian.Uint32(tag)&0xffff0fff != binary.BigEndian.Uint32(w.tag) {
		return nil
	}
	return withTag(frame, nil)
}

// putTag adds the VLAN's tag.
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
	return errors.Join(unix.Close(w.trunk), unix.Close(w.access))
}
