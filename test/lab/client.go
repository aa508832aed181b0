package lab

// Clients without firmware: hosts that speak DHCP in Go, for what no real
// machine does on demand.

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"
)

// Client is a host on the LAN without an address of its own.
type Client struct {
	*Host
	MAC string

	lab *Lab
}

// NewClient adds a client.
func (l *Lab) NewClient(name string) (*Client, error) {
	h, err := l.NewHost(name)
	if err != nil {
		return nil, err
	}
	iface, err := h.Join(l.LAN, netip.Addr{})
	if err != nil {
		return nil, err
	}
	mac, err := h.MAC(iface)
	if err != nil {
		return nil, err
	}
	l.Name(mac, name)
	// Broadcasts need a route even before there is an address.
	return &Client{Host: h, MAC: mac, lab: l}, h.IP("route", "add", "255.255.255.255/32", "dev", iface)
}

// Message makes a DHCP message from the client.
func (c *Client) Message(kind dhcpv4.MessageType, modifiers ...dhcpv4.Modifier) (*dhcpv4.DHCPv4, error) {
	mac, err := net.ParseMAC(c.MAC)
	if err != nil {
		return nil, err
	}
	return dhcpv4.New(dhcpv4.PrependModifiers(modifiers, dhcpv4.WithHwAddr(mac), dhcpv4.WithMessageType(kind), dhcpv4.WithBroadcast(true))...)
}

// Socket opens a UDP socket in the client's host that may broadcast.
func (c *Client) Socket(local netip.AddrPort) (*net.UDPConn, error) { return c.Host.UDP(local) }

// UDP opens a UDP socket in the host that may broadcast and shares its port.
func (h *Host) UDP(local netip.AddrPort) (*net.UDPConn, error) {
	var conn *net.UDPConn
	err := h.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		address := &unix.SockaddrInet4{Port: int(local.Port())}
		if local.Addr().Is4() {
			address.Addr = local.Addr().As4()
		}
		err = errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
			unix.Bind(fd, address))
		file := os.NewFile(uintptr(fd), "udp")
		defer file.Close()
		if err != nil {
			return err
		}
		packet, err := net.FilePacketConn(file)
		if err != nil {
			return err
		}
		conn = packet.(*net.UDPConn)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("host %s: UDP socket on %s: %w", h.Name, local, err)
	}
	return conn, nil
}

// The addresses that clients without a lease use.
var (
	anyClient   = netip.AddrPortFrom(netip.IPv4Unspecified(), portClient)
	everyServer = netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), portServer)
)

// errNoAnswer is the error of Exchange if nobody answers in time.
var errNoAnswer = errors.New("no answer")

// Broadcast sends a message to all servers and waits for no answer.
func (c *Client) Broadcast(m *dhcpv4.DHCPv4) error { return c.BroadcastRaw(m.ToBytes()) }

// BroadcastRaw sends bytes to port 67 by broadcast.
func (c *Client) BroadcastRaw(payload []byte) error {
	conn, err := c.Socket(anyClient)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.WriteToUDPAddrPort(payload, everyServer)
	return err
}

// Exchange sends a message, by broadcast or to one server, and repeats it until
// an answer of one of the types arrives.
func (c *Client) Exchange(ctx context.Context, m *dhcpv4.DHCPv4, from, to netip.AddrPort, kinds ...dhcpv4.MessageType) (*dhcpv4.DHCPv4, error) {
	conn, err := c.Socket(from)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	const again = time.Second
	buffer := make([]byte, 2048)
	for ctx.Err() == nil {
		if _, err := conn.WriteToUDPAddrPort(m.ToBytes(), to); err != nil {
			return nil, fmt.Errorf("client %s: %w", c.Name, err)
		}
		conn.SetReadDeadline(time.Now().Add(again))
		for {
			n, _, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				break
			}
			answer, err := dhcpv4.FromBytes(buffer[:n])
			if err != nil || answer.TransactionID != m.TransactionID || answer.OpCode != dhcpv4.OpcodeBootReply {
				continue
			}
			for _, kind := range kinds {
				if answer.MessageType() == kind {
					return answer, nil
				}
			}
		}
	}
	return nil, fmt.Errorf("client %s: %s to %s: %w (%w)", c.Name, m.MessageType(), to, errNoAnswer, context.Cause(ctx))
}

// Lease gets a lease, puts the address on the interface, and returns the ACK.
func (c *Client) Lease(ctx context.Context) (*dhcpv4.DHCPv4, error) {
	discover, err := c.Message(dhcpv4.MessageTypeDiscover)
	if err != nil {
		return nil, err
	}
	offer, err := c.Exchange(ctx, discover, anyClient, everyServer, dhcpv4.MessageTypeOffer)
	if err != nil {
		return nil, err
	}
	request, err := dhcpv4.NewRequestFromOffer(offer)
	if err != nil {
		return nil, err
	}
	request.SetBroadcast()
	ack, err := c.Exchange(ctx, request, anyClient, everyServer, dhcpv4.MessageTypeAck)
	if err != nil {
		return nil, err
	}
	address, ok := netip.AddrFromSlice(ack.YourIPAddr.To4())
	if !ok {
		return nil, fmt.Errorf("client %s: leased address %s", c.Name, ack.YourIPAddr)
	}
	return ack, c.IP("addr", "add", netip.PrefixFrom(address, c.lab.LAN.Prefix.Bits()).String(), "dev", "eth0")
}

// Renew renews a lease by unicast to the server that gave it (RFC 2131, section
// 4.4.5).
func (c *Client) Renew(ctx context.Context, lease *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, error) {
	request, err := c.Message(dhcpv4.MessageTypeRequest, dhcpv4.WithClientIP(lease.YourIPAddr), dhcpv4.WithBroadcast(false))
	if err != nil {
		return nil, err
	}
	rand.Read(request.TransactionID[:])
	server, ok := netip.AddrFromSlice(lease.ServerIdentifier().To4())
	if !ok {
		return nil, fmt.Errorf("client %s: the lease names no server", c.Name)
	}
	own, _ := netip.AddrFromSlice(lease.YourIPAddr.To4())
	return c.Exchange(ctx, request, netip.AddrPortFrom(own, portClient), netip.AddrPortFrom(server, portServer),
		dhcpv4.MessageTypeAck, dhcpv4.MessageTypeNak)
}

// ReadRequest returns a TFTP read request (RFC 1350, section 5), with options
// and their values (RFC 2347).
func ReadRequest(file string, options ...string) []byte {
	p := append([]byte{0, 1}, file...)
	p = append(p, "\x00octet\x00"...)
	for _, o := range options {
		p = append(append(p, o...), 0)
	}
	return p
}
