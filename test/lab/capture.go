package lab

// The capture: every frame of a segment, kept in memory, read by Traffic as it
// arrives, and written as pcap on demand.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Frame is an Ethernet frame with its VLAN tag, and when the kernel received
// it.
type Frame struct {
	At   time.Time
	Data []byte
}

// Capture records a segment from its start to the lab's end.
type Capture struct {
	// Traffic is what the frames contain.
	Traffic *Traffic

	segment *Segment
	fd      int
	quit    chan struct{}
	ended   chan struct{}

	// taking is held while frames are received from the socket and read.
	taking          sync.Mutex
	buffer, control []byte
	taken           time.Time // when the last of them arrived

	mu     sync.Mutex
	frames []Frame
	paused bool
	err    error
}

// captureBuffer is the size of the socket's receive buffer in bytes. A lost
// frame would falsify the evidence.
const captureBuffer = 64 << 20

// NewCapture starts recording a segment.
func (l *Lab) NewCapture(s *Segment) (*Capture, error) {
	c := &Capture{segment: s, quit: make(chan struct{}), ended: make(chan struct{}), buffer: make([]byte, 1<<16), control: make([]byte, 256)}
	c.Traffic = newTraffic(l, c.catchUp)
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

// open opens the packet socket on the bridge. A promiscuous bridge delivers
// every frame that it forwards, once.
func (c *Capture) open() (err error) {
	c.fd, err = openPacketSocket(bridgeName, unix.ETH_P_ALL,
		socketOption{unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, captureBuffer}, socketOption{unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1})
	return err
}

// read receives frames until the lab closes.
func (c *Capture) read() {
	defer close(c.ended)
	for {
		select {
		case <-c.quit:
			return
		default:
		}
		if !c.waiting(packetWake) {
			continue
		}
		if err := c.take(); err != nil {
			c.mu.Lock()
			c.err = fmt.Errorf("capture of %s: %w", c.segment.Name, err)
			c.mu.Unlock()
			return
		}
	}
}

// waiting reports whether frames wait to be received, now or after a while.
func (c *Capture) waiting(d time.Duration) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}, int(d.Milliseconds()))
	return n > 0 && err == nil
}

// take receives some of the frames that wait.
func (c *Capture) take() error {
	c.taking.Lock()
	defer c.taking.Unlock()
	const atOnce = 64
	for range atOnce {
		n, nc, _, _, err := unix.Recvmsg(c.fd, c.buffer, c.control, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			return nil
		}
		if err != nil {
			return err
		}
		at, tag := readControl(c.control[:nc])
		frame := Frame{At: at, Data: withTag(c.buffer[:n], tag)}
		c.mu.Lock()
		if !c.paused {
			c.frames = append(c.frames, frame)
		}
		c.mu.Unlock()
		c.Traffic.frame(frame)
		c.taken = at
	}
	return nil
}

// catchUp waits until all frames are read that the kernel has received by now.
// A test that acts upon a frame may be faster than the capture.
func (c *Capture) catchUp() {
	now := time.Now()
	for {
		c.taking.Lock()
		behind := c.taken.Before(now) && c.waiting(0)
		c.taking.Unlock()
		if !behind {
			return
		}
		select {
		case <-c.ended:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// Pause stops keeping frames. Traffic continues to read them. It is for
// scenarios that move more than should be kept in memory.
func (c *Capture) Pause() { c.mu.Lock(); c.paused = true; c.mu.Unlock() }

// Frames returns the frames that were kept so far.
func (c *Capture) Frames() []Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Frame(nil), c.frames...)
}

// Err returns an error if the capture is incomplete: after a failed read, or if
// the kernel dropped frames.
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

// WritePcap writes the frames that were kept so far as a pcap file with
// nanoseconds.
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
