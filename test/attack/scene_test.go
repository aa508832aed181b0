package attack

// The scene of an attack: the program on a host, and at the other end of a
// cable a machine that may send any frame. It has an address of its own, as
// whom it is honest.

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pxesidecar/pxesidecar/internal/rom/romtest"
	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
	"github.com/pxesidecar/pxesidecar/test/lab"
)

const (
	portTFTP  = 69
	portProxy = 4011

	romName  = "rom.efi"
	fileName = "1MiB.bin"
	fileSize = 1 << 20
)

// The addresses on the cable. Nobody has the others of the network.
var (
	serverAddress = netip.MustParseAddr("10.9.0.1")
	honestAddress = netip.MustParseAddr("10.9.0.2")
)

// stranger returns the n-th address that nobody has.
func stranger(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 9, byte(1 + n/250), byte(1 + n%250)})
}

// scene is a running program and the other end of its cable.
type scene struct {
	t            *testing.T
	server, peer *lab.Host
	program      *lab.Program
	fd           int // sends and receives frames at the peer
	serverMAC    net.HardwareAddr
	mac          net.HardwareAddr
	content      []byte
}

// stock builds the program.
var stock *lab.Stock

// TestMain runs the tests.
func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// run builds the program and runs the tests.
func run(m *testing.M) (code int, err error) {
	if os.Geteuid() != 0 {
		return 1, errors.New("these tests need root, for network namespaces")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	progress := func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	if stock, err = lab.OpenStock(ctx, progress); err != nil {
		return 1, err
	}
	defer stock.Close()
	if _, err := stock.Sidecar(ctx); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// newScene starts the program, with further arguments, and waits until it
// answers.
func newScene(t *testing.T, args ...string) *scene {
	t.Helper()
	path, err := stock.Sidecar(context.Background()) // it is there
	must(t, err)
	l, err := lab.NewBare()
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	s := &scene{t: t, content: make([]byte, fileSize)}
	s.server, err = l.NewHost("server")
	must(t, err)
	s.peer, err = l.NewHost("peer")
	must(t, err)
	must(t, s.server.Connect("e0", s.peer, "e0"))
	must(t, s.server.IP("addr", "add", serverAddress.String()+"/16", "dev", "e0"))
	must(t, s.peer.IP("addr", "add", honestAddress.String()+"/16", "dev", "e0"))
	s.serverMAC, s.mac = macOf(t, s.server), macOf(t, s.peer)
	s.openWire()
	rand.NewChaCha8([32]byte{1}).Read(s.content)
	root := t.TempDir()
	must(t, os.WriteFile(root+"/"+romName, romtest.IPXE(2, 0, 0).Build(), 0o644))
	must(t, os.WriteFile(root+"/"+fileName, s.content, 0o644))
	s.program, err = s.server.Start(lab.Command{Name: "pxesidecar", Path: path,
		Args: append([]string{"serve", "--interface", "e0", "--root", root, "--rom", "x64=" + romName, "--http", "off"}, args...)})
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			text := s.program.Output.String()
			t.Logf("the end of the log:\n%s", text[max(0, len(text)-4000):])
		}
	})
	s.await()
	return s
}

// await waits until the program's ports are open.
func (s *scene) await() {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		sockets, err := s.server.Sockets()
		must(s.t, err)
		if sockets.UDP[portTFTP] && sockets.UDP[portProxy] {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("the program does not listen:\n%s", s.program.Output)
		}
	}
}

// must ends the test at an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// macOf returns the hardware address of a host's end of the cable.
func macOf(t *testing.T, h *lab.Host) net.HardwareAddr {
	t.Helper()
	text, err := h.MAC("e0")
	must(t, err)
	mac, err := net.ParseMAC(strings.TrimSpace(text))
	must(t, err)
	return mac
}

// openWire opens the socket that sends and receives frames.
func (s *scene) openWire() {
	must(s.t, s.peer.Do(func() error {
		ifi, err := net.InterfaceByName("e0")
		if err != nil {
			return err
		}
		if s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
			return err
		}
		return unix.Bind(s.fd, &unix.SockaddrLinklayer{Protocol: unix.ETH_P_ALL << 8, Ifindex: ifi.Index})
	}))
	s.t.Cleanup(func() { unix.Close(s.fd) })
}

// forge sends a datagram to the server in the name of any address.
func (s *scene) forge(from netip.AddrPort, port uint16, payload []byte) {
	frame := append(append([]byte{}, s.serverMAC...), s.mac...)
	frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_IP)
	frame = dhcp4.Datagram{From: from, To: netip.AddrPortFrom(serverAddress, port), Payload: payload}.Append(frame)
	if _, err := unix.Write(s.fd, frame); err != nil {
		s.t.Error(err)
	}
}

// flood calls do at a rate in a second until stop is called, which returns how
// often that was.
func flood(rate int, do func(i int)) (stop func() int) {
	quit, count := make(chan struct{}), make(chan int)
	go func() {
		begin := time.Now()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; {
			for ; i < int(time.Since(begin)*time.Duration(rate)/time.Second); i++ {
				do(i)
			}
			select {
			case <-quit:
				count <- i
				return
			case <-tick.C:
			}
		}
	}()
	return func() int { close(quit); return <-count }
}

// received returns the datagrams that have arrived at the peer from the server,
// until none arrives for a while.
func (s *scene) received(quiet time.Duration) (list []dhcp4.Datagram) {
	s.t.Helper()
	buffer := make([]byte, 1<<16)
	for {
		wait := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}
		n, err := unix.Poll(wait, int(quiet.Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		must(s.t, err)
		if n == 0 {
			return list
		}
		n, err = unix.Read(s.fd, buffer)
		must(s.t, err)
		if n < 14 || binary.BigEndian.Uint16(buffer[12:]) != unix.ETH_P_IP {
			continue
		}
		if d, ok := dhcp4.ParseDatagram(buffer[14:n]); ok {
			d.Payload = append([]byte{}, d.Payload...)
			list = append(list, d)
		}
	}
}
