package proxydhcp

import (
	"fmt"
	"net"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Port 67 on Linux: a packet socket on each interface. It sees what is sent to
// a DHCP server on the same host without taking it away from it, which a second
// UDP socket on port 67 would do to every unicast renewal.

// packetConn reads and writes IPv4 packets on one interface.
type packetConn struct{ conn *packet.Conn }

// hop is a link-layer neighbour: the next hop of a packet.
type hop = net.Addr

// broadcastHop reaches everybody on the link.
var broadcastHop hop = &packet.Addr{HardwareAddr: net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}

// receiveBuffer holds the DISCOVERs of a power-up; the kernel's own default
// loses most of a thousand.
const receiveBuffer = 4 << 20

// listenPacket opens the socket, with its filter in place before the first
// packet can reach it.
func listenPacket(ifi *net.Interface) (*packetConn, error) {
	filter, err := bpf.Assemble(serverFilter(ifi.Index))
	if err != nil {
		return nil, fmt.Errorf("packet filter: %w", err)
	}
	conn, err := packet.Listen(ifi, packet.Datagram, unix.ETH_P_IP, &packet.Config{Filter: filter})
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	if err := setReceiveBuffer(conn); err != nil {
		conn.Close()
		return nil, fmt.Errorf("packet socket: receive buffer: %w", err)
	}
	return &packetConn{conn}, nil
}

// setReceiveBuffer asks for a large receive buffer: above the system's limit
// where the process may, up to the limit where it may not.
func setReceiveBuffer(conn *packet.Conn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
		if set != nil {
			set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
		}
	})
	if err != nil {
		return err
	}
	return set
}

// serverFilter keeps what is sent to port 67 on this very interface: BOOTP
// requests in unfragmented UDP. Two kinds of packets must be dropped by what
// the kernel knows of them, because their bytes look right: those for another
// host, among which are those of VLANs that have no interface here, their tag
// already removed; and those of a VLAN interface above this one.
func serverFilter(ifIndex int) []bpf.Instruction {
	const drop = 255
	program := []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PACKET_OTHERHOST, SkipTrue: drop},
		bpf.LoadExtension{Num: bpf.ExtInterfaceIndex},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(ifIndex), SkipTrue: drop},
		bpf.LoadAbsolute{Off: 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protocolUDP, SkipTrue: drop},
		bpf.LoadAbsolute{Off: 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: fragmentBits, SkipTrue: drop},
		bpf.LoadMemShift{Off: 0}, // X = length of the IP header
		bpf.LoadIndirect{Off: 2, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: PortServer, SkipTrue: drop},
		bpf.LoadIndirect{Off: udpHeader, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: bootRequest, SkipTrue: drop},
		bpf.LoadIndirect{Off: udpHeader + offCookie, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0x63825363, SkipTrue: drop},
		bpf.RetConstant{Val: 0xffff},
		bpf.RetConstant{Val: 0},
	}
	for i, instruction := range program {
		if jump, ok := instruction.(bpf.JumpIf); ok && jump.SkipTrue == drop {
			jump.SkipTrue = uint8(len(program) - 2 - i)
			program[i] = jump
		}
	}
	return program
}

// read reads one IPv4 packet, and who on the link it came from.
func (c *packetConn) read(b []byte) (int, hop, error) { return c.conn.ReadFrom(b) }

// write sends one IPv4 packet to a neighbour.
func (c *packetConn) write(b []byte, to hop) error {
	_, err := c.conn.WriteTo(b, to)
	return err
}

// SetReadDeadline bounds the wait of read.
func (c *packetConn) SetReadDeadline(t time.Time) error { return c.conn.SetReadDeadline(t) }

// Close closes the socket.
func (c *packetConn) Close() error { return c.conn.Close() }
