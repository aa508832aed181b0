package proxydhcp

import (
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// BenchmarkTap measures a request's way from one end of a cable through a packet
// socket at the other one: for a client that does not boot from the network,
// without and with a VLAN tag, and for one that does. It needs root, for a
// network of its own.
func BenchmarkTap(b *testing.B) {
	plain := request(testMAC, option{optMessageType, []byte{typeDiscover}}, opt(optVendorClass, "MSFT 5.0"))
	for _, bb := range []struct {
		name    string
		payload []byte
		tagged  bool
	}{
		{"ignored", plain, false},
		{"ignored tagged", plain, true},
		{"answered", discover(ArchX64), false},
		{"answered tagged", discover(ArchX64), true},
	} {
		b.Run(bb.name, func(b *testing.B) {
			done := make(chan struct{})
			go func() {
				defer close(done)
				runtime.LockOSThread() // never unlocked: the network ends with the thread
				benchmarkTap(b, bb.payload, bb.tagged)
			}()
			<-done
		})
	}
}

func benchmarkTap(b *testing.B, payload []byte, tagged bool) {
	host, send, err := cable()
	if err != nil {
		b.Error(err)
		return
	}
	defer unix.Close(send)
	in := Interface{Name: "e0"}
	if tagged {
		in = Interface{Name: "e0", VLANs: []uint16{20}, TaggedOnly: true}
	}
	n := newNetwork([]Interface{in}, host)
	p := &n.places[0]
	conn, err := listenPacket(p, false)
	if err != nil {
		b.Error(err)
		return
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	s, tap := &Server{responder: NewResponder(&Policy{Rules: []Rule{{Name: "all", Outcome: Outcome{Kind: BootFile, File: "ipxe.efi"}}}}, Service{}, false)}, &tap{conn: conn}
	frame := append([]byte{}, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01"...)
	if tagged {
		frame = append(frame, 0x81, 0, 0, 20)
	}
	d := datagram{from: onServerPort().From, to: netip.AddrPortFrom(broadcastAddr, PortServer), payload: payload}
	frame = d.append(append(frame, 8, 0))
	var reply []byte
	b.ReportAllocs()
	for left := 0; b.Loop(); left-- {
		if left > 0 {
			continue
		}
		for range receiveBatch {
			if _, err := unix.Write(send, frame); err != nil {
				b.Error(err)
				return
			}
		}
		for left < receiveBatch {
			count, err := conn.receive()
			if err != nil {
				b.Error(err)
				return
			}
			now := time.Now()
			for i := range count {
				reply = tap.answerPacket(s, n, p, i, reply[:0], now)
			}
			if err := conn.flush(); err != nil {
				b.Error(err)
			}
			left += count
		}
	}
}

// cable makes a network of this thread's own with two interfaces joined by a
// cable, and returns them and a raw socket on the far one.
func cable() ([]hostLink, int, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, 0, err
	}
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "e0"}, PeerName: "e1"}); err != nil {
		return nil, 0, err
	}
	for _, name := range []string{"e0", "e1"} {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return nil, 0, err
		}
		if err := netlink.LinkSetUp(l); err != nil {
			return nil, 0, err
		}
		if name == "e0" {
			a, err := netlink.ParseAddr("192.0.2.10/24")
			if err != nil {
				return nil, 0, err
			}
			if err := netlink.AddrAdd(l, a); err != nil {
				return nil, 0, err
			}
		}
	}
	host, err := readHost()
	if err != nil {
		return nil, 0, err
	}
	far, err := net.InterfaceByName("e1")
	if err != nil {
		return nil, 0, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, 0, err
	}
	return host, fd, unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: far.Index})
}
