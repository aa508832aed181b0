package server

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/pxesidecar/pxesidecar/internal/mmsg"
	"github.com/pxesidecar/pxesidecar/internal/netstate"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// BenchmarkListener measures a request's way from one end of a cable through a
// packet socket at the other one, without and with a VLAN tag: for clients that
// boot from the network, and where nine of ten do not. It needs root, for a
// network of its own.
func BenchmarkListener(b *testing.B) {
	boots := testClient(proxydhcp.ArchX64, "PXEClient").Discover()
	plain := testClient(proxydhcp.ArchX64, "MSFT 5.0").Discover()
	for _, bb := range []struct {
		name     string
		payloads [][]byte // the last of them is answered
		tagged   bool
	}{
		{"answered", [][]byte{boots}, false},
		{"answered tagged", [][]byte{boots}, true},
		{"nine of ten ignored", append(slices.Repeat([][]byte{plain}, 9), boots), false},
		{"nine of ten ignored tagged", append(slices.Repeat([][]byte{plain}, 9), boots), true},
	} {
		b.Run(bb.name, func(b *testing.B) {
			done := make(chan struct{})
			go func() {
				defer close(done)
				runtime.LockOSThread() // never unlocked: the network ends with the thread
				benchmarkListener(b, bb.payloads, bb.tagged)
			}()
			<-done
		})
	}
}

func benchmarkListener(b *testing.B, payloads [][]byte, tagged bool) {
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
	n := newNetwork([]Interface{in}, netstate.NewHost(host))
	p := &n.scopes[0]
	conn, err := listenPacket(p, false)
	if err != nil {
		b.Error(err)
		return
	}
	defer conn.Close()
	defer time.AfterFunc(time.Minute, conn.Wake).Stop()
	l := &listener{conn: conn}
	s := &Server{config: Config{Responder: proxydhcp.NewResponder(proxydhcp.ResponderConfig{Policy: &proxydhcp.Policy{Rules: []proxydhcp.Rule{{Name: "all", Outcome: proxydhcp.Outcome{Kind: proxydhcp.BootFile, File: "ipxe.efi"}}}}})}}
	frames := make([][]byte, len(payloads))
	for i, payload := range payloads {
		frames[i] = broadcastFrame(payload, tagged)
	}
	var reply []byte
	b.ReportAllocs()
	for left := 0; b.Loop(); left-- {
		if left > 0 {
			continue
		}
		for i := range mmsg.BatchSize * len(frames) {
			if _, err := unix.Write(send, frames[i%len(frames)]); err != nil {
				b.Error(err)
				return
			}
		}
		for answered := 0; answered < mmsg.BatchSize; {
			count, err := conn.receive()
			if err != nil {
				b.Error(err)
				return
			}
			if count == 0 {
				b.Error("packets did not arrive")
				return
			}
			now := time.Now()
			for i := range count {
				if reply = l.answerPacket(s, n, p, i, reply[:0], now); len(reply) > 0 {
					answered++
				}
			}
			if err := conn.flush(); err != nil {
				b.Error(err)
			}
		}
		left = mmsg.BatchSize * len(frames)
	}
}

// broadcastFrame is a client's broadcast as it is on the wire.
func broadcastFrame(payload []byte, tagged bool) []byte {
	frame := append([]byte{}, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01"...)
	if tagged {
		frame = append(frame, 0x81, 0, 0, 20)
	}
	d := dhcp4.Datagram{From: netip.AddrPortFrom(netip.IPv4Unspecified(), proxydhcp.PortClient), To: netip.AddrPortFrom(proxydhcp.Broadcast, proxydhcp.PortServer), Payload: payload}
	return d.Append(append(frame, 8, 0))
}

// TestFlushToStuckWire checks that a wire that takes nothing is waited for once
// in a batch. A pair of sockets whose other end nobody reads stands for it: it
// takes a few messages.
func TestFlushToStuckWire(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	if err := unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 1); err != nil { // the least there is
		t.Fatal(err)
	}
	conn, err := mmsg.New(os.NewFile(uintptr(fds[0]), "stuck wire"))
	if err != nil {
		t.Fatal(err)
	}
	c := newPacketConn(conn)
	defer c.Close()
	d := dhcp4.Datagram{From: netip.MustParseAddrPort("192.0.2.2:67"), To: netip.AddrPortFrom(proxydhcp.Broadcast, proxydhcp.PortClient), Payload: make([]byte, 300)}
	for range mmsg.BatchSize {
		if err := c.send(mmsg.LinkAddr{}, 0, d); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	if err := c.flush(); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("error %v, want that of a full socket", err)
	}
	if took := time.Since(began); took < mmsg.SendTimeout || took > mmsg.BatchSize/2*mmsg.SendTimeout {
		t.Errorf("flushing took %s, a wire is waited for %s", took, mmsg.SendTimeout)
	}
	if c.out.Len() != 0 {
		t.Errorf("%d packets left", c.out.Len())
	}
}

// cable makes a network of this thread's own with two interfaces joined by a
// cable, and returns them and a raw socket on the far one.
func cable() ([]netstate.Interface, int, error) {
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
	host, err := netstate.Read()
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
