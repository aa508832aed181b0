package lab

// The capture: every frame of a segment, kept in memory, read by Traffic as it comes, and written as pcap on demand.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Frame is an Ethernet frame, VLAN tag included, and when the kernel saw it.
type Frame struct {
	At   time.Time
	Data []byte
}

// Capture records a segment from its start to the lab's end.
type Capture struct {
	// Traffic is what the frames say.
	Traffic *Traffic

	segment *Segment
	fd      int
	quit    chan struct{}
	ended   chan struct{}

	mu     sync.Mutex
	frames []Frame
	paused bool
	err    error
}

const (
	// captureBuffer is the socket's receive buffer in bytes; a lost frame would falsify the evidence.
	captureBuffer = 64 << 20
	// captureWake is how often the reader looks whether it should end.
	captureWake = 100 * time.Millisecond
)

// NewCapture starts recording a segment.
func (l *Lab) NewCapture(s *Segment) (*Capture, error) {
	c := &Capture{segment: s, Traffic: newTraffic(l), quit: make(chan struct{}), ended: make(chan struct{})}
	if err := s.Host.Do(c.open); err != nil {
		return nil, fmt.Errorf("capture of %s: %w", s.Name, err)
	}
	go c.read()
	l.onClose(func() error {
		close(c.quit)
		<-c.ended
		return unix.Close(c.fd)
	})
	return c, nil
}

// open makes the packet socket on the bridge. A promiscuous bridge hands up every frame it forwards, once.
func (c *Capture) open() error {
	bridge, err := net.InterfaceByName(bridgeName)
	if err != nil {
		return err
	}
	// No protocol until it is bound: nothing from other interfaces slips in.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	wake := unix.NsecToTimeval(captureWake.Nanoseconds())
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, captureBuffer),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wake),
		unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
			&unix.PacketMreq{Ifindex: int32(bridge.Index), Type: unix.PACKET_MR_PROMISC}),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: swap16(unix.ETH_P_ALL), Ifindex: bridge.Index}),
	)
	if err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	c.fd = fd
	return nil
}

// swap16 turns a number into network byte order on the little-endian machines the lab runs on.
func swap16(v uint16) uint16 { return v<<8 | v>>8 }

// read takes frames until the lab closes.
func (c *Capture) read() {
	defer close(c.ended)
	buffer, control := make([]byte, 1<<16), make([]byte, 256)
	for {
		select {
		case <-c.quit:
			return
		default:
		}
		n, nc, _, _, err := unix.Recvmsg(c.fd, buffer, control, 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			c.mu.Lock()
			c.err = fmt.Errorf("capture of %s: %w", c.segment.Name, err)
			c.mu.Unlock()
			return
		}
		at, tag := readControl(control[:nc])
		frame := Frame{At: at, Data: withTag(buffer[:n], tag)}
		c.mu.Lock()
		if !c.paused {
			c.frames = append(c.frames, frame)
		}
		c.mu.Unlock()
		c.Traffic.frame(frame)
	}
}

// readControl finds the kernel's time stamp and the VLAN tag it took off the frame (nil for none).
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

// Pause stops keeping frames; Traffic goes on reading them. For scenarios that move more than memory should hold.
func (c *Capture) Pause() { c.mu.Lock(); c.paused = true; c.mu.Unlock() }

// Frames returns what was kept so far.
func (c *Capture) Frames() []Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Frame(nil), c.frames...)
}

// Err tells of anything that makes the capture incomplete: a failed read, or frames the kernel had to drop.
func (c *Capture) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	stats, err := unix.GetsockoptTpacketStats(c.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return fmt.Errorf("capture of %s: %w", c.segment.Name, err)
	}
	if stats.Drops > 0 {
		c.err = fmt.Errorf("capture of %s: the kernel dropped %d frames", c.segment.Name, stats.Drops)
	}
	return c.err
}

// WritePcap writes what was kept so far as a pcap file with nanoseconds.
func (c *Capture) WritePcap(path string) error {
	const magicNanoseconds, ethernet = 0xa1b23c4d, 1
	order := binary.LittleEndian
	header := order.AppendUint32(nil, magicNanoseconds)
	header = order.AppendUint16(header, 2) // version 2.4
	header = order.AppendUint16(header, 4)
	header = order.AppendUint64(header, 0) // UTC, unused accuracy
	header = order.AppendUint32(header, 1<<18)
	header = order.AppendUint32(header, ethernet)
	out := header
	for _, f := range c.Frames() {
		out = order.AppendUint32(out, uint32(f.At.Unix()))
		out = order.AppendUint32(out, uint32(f.At.Nanosecond()))
		out = order.AppendUint32(out, uint32(len(f.Data)))
		out = order.AppendUint32(out, uint32(len(f.Data)))
		out = append(out, f.Data...)
	}
	if err := os.WriteFile(path, out, 0o644); err != nil {
		return fmt.Errorf("capture of %s: %w", c.segment.Name, err)
	}
	return nil
}
