package sockets

// Raw Ethernet on one interface: frames, VLAN tags and DHCP answers as they
// arrive.

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"
)

// wire is a raw socket on one interface.
type wire struct {
	t   *testing.T
	fd  int
	mac net.HardwareAddr
}

// onWire opens a raw socket that receives every frame that arrives on an
// interface.
func (n *node) onWire(name string) *wire {
	n.network.t.Helper()
	w := &wire{t: n.network.t}
	n.do(func() error {
		ifi, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		w.mac = ifi.HardwareAddr
		if w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		for _, option := range []int{unix.PACKET_AUXDATA, unix.PACKET_IGNORE_OUTGOING} {
			if err := unix.SetsockoptInt(w.fd, unix.SOL_PACKET, option, 1); err != nil {
				return err
			}
		}
		wait := unix.NsecToTimeval((20 * time.Millisecond).Nanoseconds())
		if err := unix.SetsockoptTimeval(w.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20); err != nil {
			return err
		}
		return unix.Bind(w.fd, &unix.SockaddrLinklayer{Protocol: unix.ETH_P_ALL << 8, Ifindex: ifi.Index})
	})
	w.t.Cleanup(func() { unix.Close(w.fd) })
	return w
}

// frame is an Ethernet frame. The tag that the kernel removed is put back.
type frame []byte

// tag is one VLAN tag: its type and its control information.
type tag struct{ kind, tci uint16 }

// send sends an IPv4 packet with VLAN tags.
func (w *wire) send(to net.HardwareAddr, packet []byte, tags ...tag) {
	w.t.Helper()
	w.sendAs(unix.ETH_P_IP, to, packet, tags...)
}

// sendAs sends a packet with an EtherType.
func (w *wire) sendAs(kind uint16, to net.HardwareAddr, packet []byte, tags ...tag) {
	w.t.Helper()
	f := append(append([]byte{}, to...), w.mac...)
	for _, t := range tags {
		f = binary.BigEndian.AppendUint16(f, t.kind)
		f = binary.BigEndian.AppendUint16(f, t.tci)
	}
	f = append(binary.BigEndian.AppendUint16(f, kind), packet...)
	_, err := unix.Write(w.fd, f)
	if err == unix.ENETDOWN { // reported once, for a state that may be over
		_, err = unix.Write(w.fd, f)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// next returns the next frame, or nil if none arrives soon.
func (w *wire) next() frame {
	w.t.Helper()
	b, oob := make([]byte, 2048), make([]byte, 256)
	n, oobn, _, _, err := unix.Recvmsg(w.fd, b, oob, 0)
	if err == unix.EAGAIN || err == unix.EINTR || err == unix.ENETDOWN {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		w.t.Fatal(err)
	}
	f := frame(b[:n])
	for _, m := range messages {
		aux := (*unix.TpacketAuxdata)(unsafe.Pointer(&m.Data[0]))
		if aux.Status&unix.TP_STATUS_VLAN_VALID != 0 {
			tagged := append(frame{}, f[:12]...)
			tagged = binary.BigEndian.AppendUint16(tagged, aux.Vlan_tpid)
			tagged = binary.BigEndian.AppendUint16(tagged, aux.Vlan_tci)
			f = append(tagged, f[12:]...)
		}
	}
	return f
}

// udp is a UDP datagram of a frame.
type udp struct {
	Src, Dst string // Ethernet
	Tags     []tag
	From, To netip.AddrPort
	payload  []byte
}

// udp parses the frame. It returns false if the frame holds something else.
func (f frame) udp() (udp, bool) {
	d := udp{Src: net.HardwareAddr(f[6:12]).String(), Dst: net.HardwareAddr(f[:6]).String()}
	b := f[12:]
	for len(b) >= 6 && (binary.BigEndian.Uint16(b) == unix.ETH_P_8021Q || binary.BigEndian.Uint16(b) == unix.ETH_P_8021AD) {
		d.Tags = append(d.Tags, tag{binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])})
		b = b[4:]
	}
	if binary.BigEndian.Uint16(b) != unix.ETH_P_IP || b[2+9] != unix.IPPROTO_UDP {
		return d, false
	}
	b = b[2:]
	from, to := netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
	b = b[int(b[0]&15)*4:]
	d.From = netip.AddrPortFrom(from, binary.BigEndian.Uint16(b))
	d.To = netip.AddrPortFrom(to, binary.BigEndian.Uint16(b[2:]))
	d.payload = b[8:binary.BigEndian.Uint16(b[4:])]
	return d, true
}

// answer is a DHCP answer as it arrived.
type answer struct {
	Tags     []tag
	From, To netip.AddrPort
	Server   netip.Addr // option 54
	File     string
	Type     dhcpv4.MessageType
}

// answers waits for the answer to a transaction, and returns all answers until
// none arrives for a while.
func (w *wire) answers(xid dhcpv4.TransactionID, d time.Duration) []answer {
	w.t.Helper()
	const quiet = 150 * time.Millisecond
	var list []answer
	for end := time.Now().Add(d); time.Now().Before(end); {
		f := w.next()
		if f == nil {
			continue
		}
		datagram, ok := f.udp()
		if !ok {
			continue
		}
		m, err := dhcpv4.FromBytes(datagram.payload)
		if err != nil || m.OpCode != dhcpv4.OpcodeBootReply || m.TransactionID != xid {
			continue
		}
		server, _ := netip.AddrFromSlice(m.ServerIdentifier().To4())
		list = append(list, answer{datagram.Tags, datagram.From, datagram.To, server, m.BootFileName, m.MessageType()})
		end = time.Now().Add(quiet)
	}
	return list
}

// ethernetAll is the broadcast address.
var ethernetAll = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// machine is the hardware address of the machines that boot.
var machine = net.HardwareAddr{0x52, 0x54, 0, 0, 0, 1}

// request returns a message of x64 PXE firmware with a transaction of its own.
func request(t *testing.T, kind dhcpv4.MessageType, modifiers ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	m, err := dhcpv4.New(dhcpv4.PrependModifiers(modifiers,
		dhcpv4.WithHwAddr(machine), dhcpv4.WithMessageType(kind), dhcpv4.WithBroadcast(true),
		dhcpv4.WithOption(dhcpv4.OptClassIdentifier("PXEClient:Arch:00007:UNDI:003001")),
		dhcpv4.WithGeneric(dhcpv4.OptionClientSystemArchitectureType, []byte{0, 7}))...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// packet returns an IPv4 packet with a UDP datagram without a checksum.
func packet(from, to string, payload []byte) []byte {
	src, dst := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	b := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0}
	binary.BigEndian.PutUint16(b[2:], uint16(28+len(payload)))
	b = append(append(b, src.Addr().AsSlice()...), dst.Addr().AsSlice()...)
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum>>16+sum&0xffff))
	b = binary.BigEndian.AppendUint16(b, src.Port())
	b = binary.BigEndian.AppendUint16(b, dst.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	return append(append(b, 0, 0), payload...)
}

// broadcast returns a client's request to all servers.
func broadcast(m *dhcpv4.DHCPv4) []byte {
	return packet("0.0.0.0:68", "255.255.255.255:67", m.ToBytes())
}

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// vlan returns the id of the only tag, or 0 without a tag.
func (d udp) vlan() uint16 {
	if len(d.Tags) == 0 {
		return 0
	}
	return d.Tags[0].tci & 0xfff
}
