package attack

// The honest client: it reads a file by TFTP as iPXE does, and asks port 4011
// once.

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// acknowledgment returns an ACK.
func acknowledgment(block uint16) []byte { return binary.BigEndian.AppendUint16([]byte{0, 4}, block) }

// socket opens a socket of the honest machine.
func (s *scene) socket(port uint16) *net.UDPConn {
	s.t.Helper()
	conn, err := s.peer.UDP(netip.AddrPortFrom(honestAddress, port))
	must(s.t, err)
	s.t.Cleanup(func() { conn.Close() })
	return conn
}

// firstTimeout is when iPXE repeats its packet for the first time.
const firstTimeout = 250 * time.Millisecond

// fetch reads the file in lock-step with blocks of 1432 bytes, as iPXE does,
// and returns how long it took.
func (s *scene) fetch(limit time.Duration) (time.Duration, error) {
	s.t.Helper()
	conn := s.socket(0)
	defer conn.Close()
	begin := time.Now()
	const block = 1432
	to, last := netip.AddrPortFrom(serverAddress, portTFTP), lab.ReadRequest(fileName, "blksize", fmt.Sprint(block), "tsize", "0")
	var got []byte
	buffer := make([]byte, 2048)
	for timeout := firstTimeout; ; {
		if time.Since(begin) > limit {
			return limit, fmt.Errorf("%d bytes in %v", len(got), limit)
		}
		if _, err := conn.WriteToUDPAddrPort(last, to); err != nil {
			return 0, err
		}
		if err := conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
			return 0, err
		}
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buffer)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				timeout *= 2
				break
			}
			if err != nil {
				return 0, err
			}
			p := buffer[:n]
			number := binary.BigEndian.Uint16(p[2:])
			switch {
			case p[1] == 5:
				return 0, fmt.Errorf("ERROR %q", p[2:])
			case p[1] == 6 && len(got) == 0:
				number = 0
			case p[1] == 3 && number == uint16(len(got)/block+1):
				got = append(got, p[4:]...)
			default:
				continue
			}
			to, last, timeout = from, acknowledgment(number), firstTimeout
			break
		}
		if len(got) == fileSize { // no multiple of a block: the last one was short
			_, err := conn.WriteToUDPAddrPort(last, to)
			if err == nil && !bytes.Equal(got, s.content) {
				err = errors.New("other bytes than the file's")
			}
			return time.Since(begin), err
		}
	}
}

// request returns what x64 firmware asks port 4011.
func (s *scene) request(mac net.HardwareAddr, address netip.Addr) []byte {
	s.t.Helper()
	m, err := dhcpv4.New(
		dhcpv4.WithHwAddr(mac), dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest), dhcpv4.WithClientIP(address.AsSlice()),
		dhcpv4.WithOption(dhcpv4.OptClassIdentifier("PXEClient:Arch:00007:UNDI:003001")),
		dhcpv4.WithGeneric(dhcpv4.OptionClientSystemArchitectureType, []byte{0, 7}))
	must(s.t, err)
	return m.ToBytes()
}

// ask asks port 4011 once and reports whether there was an answer in time.
func (s *scene) ask(conn *net.UDPConn) bool {
	s.t.Helper()
	m := s.request(s.mac, honestAddress)
	_, err := conn.WriteToUDPAddrPort(m, netip.AddrPortFrom(serverAddress, portProxy))
	must(s.t, err)
	must(s.t, conn.SetReadDeadline(time.Now().Add(250*time.Millisecond)))
	buffer := make([]byte, 2048)
	for {
		n, err := conn.Read(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
		must(s.t, err)
		if n > 8 && bytes.Equal(buffer[4:8], m[4:8]) {
			return true
		}
	}
}
