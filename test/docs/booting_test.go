package docs

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// The machine that boots in the documents, and its DHCP server.
const (
	bootingMAC    = "52:54:00:12:34:56"
	bootingIP     = "192.0.2.50"
	dhcpServerIP  = "192.0.2.1"
	sidecarIP     = "192.0.2.2"
	serverPort    = 67
	clientPort    = 68
	proxyPort     = 4011
	requestPort   = 69
	pathMTU       = 1472 // what firmware takes as a DHCP message, by option 57
	archBIOS      = 0x00
	archX64       = 0x07
	archARM64     = 0x0b
	archX64HTTP   = 0x10
	iPXEFeatures  = 175
	versionOption = 235
)

// message makes a DHCP message of the machine that boots.
func message(kind dhcpv4.MessageType, modifiers ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	mac, err := net.ParseMAC(bootingMAC)
	if err != nil {
		panic(err)
	}
	m, err := dhcpv4.New(dhcpv4.PrependModifiers(modifiers, dhcpv4.WithHwAddr(mac), dhcpv4.WithMessageType(kind), dhcpv4.WithBroadcast(true))...)
	if err != nil {
		panic(err)
	}
	return m
}

// option is an option with a value of bytes.
func option(code uint8, value ...byte) dhcpv4.Modifier {
	return dhcpv4.WithGeneric(dhcpv4.GenericOptionCode(code), value)
}

// pxe are the options by which a client says that it boots from the network.
func pxe(arch byte) dhcpv4.Modifier {
	class := "PXEClient:Arch:000" + string([]byte{'0' + arch/10, '0' + arch%10}) + ":UNDI:003001"
	if arch == archX64HTTP {
		class = strings.Replace(class, "PXE", "HTTP", 1)
	}
	return func(m *dhcpv4.DHCPv4) {
		option(60, []byte(class)...)(m)
		option(93, 0, arch)(m)
		option(94, 1, 3, 1)(m)
	}
}

// firmware is the DISCOVER of firmware.
func firmware(arch byte, modifiers ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	return message(dhcpv4.MessageTypeDiscover, append([]dhcpv4.Modifier{pxe(arch)}, modifiers...)...)
}

// ipxe is the DISCOVER of an iPXE of that version, with these features.
func ipxe(arch byte, version [3]byte, features ...byte) *dhcpv4.DHCPv4 {
	value := []byte{versionOption, 3, version[0], version[1], version[2]}
	for _, f := range features {
		value = append(value, f, 1, 1)
	}
	return firmware(arch, option(77, []byte("iPXE")...), option(iPXEFeatures, value...))
}

// client is the machine that boots.
type client struct {
	t *testing.T
	*lab.Client
}

// newClient plugs the machine that boots into the lab's LAN.
func newClient(t *testing.T, l *lab.Lab) *client {
	t.Helper()
	c, err := l.NewClient("booting")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"link set eth0 address " + bootingMAC, "address add " + bootingIP + "/24 dev eth0"} {
		if err := c.IP(strings.Fields(args)...); err != nil {
			t.Fatal(err)
		}
	}
	return &client{t, c}
}

// curl fetches a URL, by HTTP or TFTP. It fails the test if there is no answer;
// what the server makes of the request is in its log.
func (c *client) curl(arguments ...string) string {
	c.t.Helper()
	args := append([]string{"--silent", "--show-error", "--max-time", "10"}, arguments...)
	p, err := c.Run(bounded(c.t), lab.Command{Path: "curl", Args: args})
	if err != nil {
		c.t.Fatal(err)
	}
	return p.Stdout.String()
}

// socket opens a UDP socket of the machine that boots. Port 0 is any.
func (c *client) socket(address string, port uint16) *net.UDPConn {
	c.t.Helper()
	conn, err := c.UDP(netip.AddrPortFrom(netip.MustParseAddr(address), port))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	return conn
}

// sendTo sends bytes from a socket to a port of the sidecar.
func (c *client) sendTo(conn *net.UDPConn, port uint16, payload []byte) {
	c.t.Helper()
	if _, err := conn.WriteToUDPAddrPort(payload, netip.AddrPortFrom(netip.MustParseAddr(sidecarIP), port)); err != nil {
		c.t.Fatal(err)
	}
}

// broadcast sends a DHCP message to all servers.
func (c *client) broadcast(m *dhcpv4.DHCPv4) {
	c.t.Helper()
	if err := c.Broadcast(m); err != nil {
		c.t.Fatal(err)
	}
}

// dhcpServer is the existing DHCP server.
type dhcpServer struct {
	t    *testing.T
	conn *net.UDPConn
}

// newDHCPServer plugs the DHCP server into the lab's LAN.
func newDHCPServer(t *testing.T, l *lab.Lab) *dhcpServer {
	t.Helper()
	host, err := l.NewHost("dhcp")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := host.Join(l.LAN, netip.MustParseAddr(dhcpServerIP)); err != nil {
		t.Fatal(err)
	}
	if err := host.IP("route", "add", "255.255.255.255/32", "dev", "eth0"); err != nil {
		t.Fatal(err)
	}
	conn, err := host.UDP(netip.AddrPortFrom(netip.IPv4Unspecified(), serverPort))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &dhcpServer{t, conn}
}

// offer answers a DISCOVER with the booting machine's address, by broadcast.
func (s *dhcpServer) offer(discover *dhcpv4.DHCPv4, modifiers ...dhcpv4.Modifier) {
	s.t.Helper()
	all := append([]dhcpv4.Modifier{
		dhcpv4.WithMessageType(dhcpv4.MessageTypeOffer),
		dhcpv4.WithYourIP(net.ParseIP(bootingIP)),
		dhcpv4.WithServerIP(net.IPv4zero),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.ParseIP(dhcpServerIP))),
		dhcpv4.WithNetmask(net.CIDRMask(24, 32)),
	}, modifiers...)
	m, err := dhcpv4.NewReplyFromRequest(discover, all...)
	if err != nil {
		s.t.Fatal(err)
	}
	everybody := netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), clientPort)
	if _, err := s.conn.WriteToUDPAddrPort(m.ToBytes(), everybody); err != nil {
		s.t.Fatal(err)
	}
}
