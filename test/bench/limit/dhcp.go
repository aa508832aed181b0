package limit

import (
	"encoding/binary"
	"fmt"
	"net"

	"golang.org/x/net/bpf"

	"github.com/pxesidecar/pxesidecar/test/bench/batch"
)

// DHCP echoes: it answers a frame with the mark by a fixed OFFER, with
// transaction id and hardware address copied.
type DHCP struct {
	Interface string
	// Mark is the bit of the transaction id that requests an answer.
	Mark uint32
}

// Offsets in an Ethernet frame with IPv4, UDP and BOOTP.
const (
	frameUDP     = 34
	frameBOOTP   = 42
	frameXID     = frameBOOTP + 4
	frameChaddr  = frameBOOTP + 28
	frameOptions = frameBOOTP + 240
)

// Serve runs until the process ends.
func (d DHCP) Serve() error {
	ifi, err := net.InterfaceByName(d.Interface)
	if err != nil {
		return fmt.Errorf("interface %s: %w", d.Interface, err)
	}
	socket, err := batch.Packet(ifi.Index, serverFilter(d.Mark))
	if err != nil {
		return fmt.Errorf("interface %s: %w", d.Interface, err)
	}
	defer socket.Close()
	offer := fixedOffer()
	for {
		n, err := socket.ReceiveSome()
		if err != nil {
			return err
		}
		for i := range n {
			in := socket.Data(i)
			if len(in) < frameOptions {
				continue
			}
			out := socket.Next()
			copy(out, offer)
			copy(out[frameXID:frameXID+4], in[frameXID:])
			copy(out[frameChaddr:frameChaddr+6], in[frameChaddr:])
			socket.QueueFrame(len(offer))
		}
		socket.Flush()
	}
}

// serverFilter accepts UDP to the server's port with the mark, so that other
// packets do not wake the program.
func serverFilter(mark uint32) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 14 + 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 17, SkipTrue: 5},
		bpf.LoadAbsolute{Off: frameUDP + 2, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 67, SkipTrue: 3},
		bpf.LoadAbsolute{Off: frameXID, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: mark, SkipTrue: 1},
		bpf.RetConstant{Val: 0xffff},
		bpf.RetConstant{Val: 0},
	}
}

// fixedOffer returns a broadcast OFFER of 300 bytes.
func fixedOffer() []byte {
	b := make([]byte, frameBOOTP+300)
	copy(b, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 0, 0, 1, 8, 0})
	copy(b[14:], []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 255, 255, 255, 255})
	binary.BigEndian.PutUint16(b[14+2:], uint16(len(b)-14))
	var sum uint32
	for i := 14; i < frameUDP; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	binary.BigEndian.PutUint16(b[14+10:], ^uint16(sum>>16+sum&0xffff))
	binary.BigEndian.PutUint16(b[frameUDP:], 67)
	binary.BigEndian.PutUint16(b[frameUDP+2:], 68)
	binary.BigEndian.PutUint16(b[frameUDP+4:], uint16(len(b)-frameUDP))
	copy(b[frameBOOTP:], []byte{2, 1, 6})
	copy(b[frameBOOTP+236:], []byte{0x63, 0x82, 0x53, 0x63, 53, 1, 2, 54, 4, 10, 0, 0, 1, 60, 9, 'P', 'X', 'E', 'C', 'l', 'i', 'e', 'n', 't', 255})
	return b
}
