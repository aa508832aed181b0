package attack

// The honest client.

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// readRequest returns a TFTP read request.
func readRequest(file string, options ...string) []byte {
	p := append([]byte{0, 1}, file...)
	p = append(p, "\x00octet\x00"...)
	for _, o := range options {
		p = append(append(p, o...), 0)
	}
	return p
}

// socket opens a socket of the honest machine.
func (s *scene) socket(port uint16) *net.UDPConn {
	s.t.Helper()
	conn, err := s.peer.UDP(netip.AddrPortFrom(honestAddress, port))
	must(s.t, err)
	s.t.Cleanup(func() { conn.Close() })
	return conn
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
