package lab

// What the frames of a segment contain: DHCP messages, TFTP transfers, HTTP
// requests.

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Datagram is a UDP datagram as it was on the wire.
type Datagram struct {
	At       time.Time
	SrcMAC   string
	VLAN     int // 0 for none
	Src, Dst netip.AddrPort
	Payload  []byte
}

// Message is a DHCP message.
type Message struct {
	Datagram
	// Client is the chaddr, or the sender's hardware address if chaddr is not
	// one.
	Client string
	DHCP   *dhcpv4.DHCPv4
}

// HTTPRequest is the first line of a request.
type HTTPRequest struct {
	At           time.Time
	Client       string
	Dst          netip.AddrPort
	Method, Path string
}

// Traffic is read from a capture while it runs.
type Traffic struct {
	lab     *Lab
	catchUp func()

	mu        sync.Mutex
	messages  []Message
	transfers []*Transfer
	byClient  map[netip.AddrPort]*Transfer
	http      []HTTPRequest
	undecoded int
	// sent counts IPv4 packets by sender.
	sent map[netip.Addr]int
	// changed is closed and replaced with every frame that was read.
	changed chan struct{}
}

// newTraffic returns an empty Traffic. catchUp returns when all frames were
// read that are on the wire by now.
func newTraffic(l *Lab, catchUp func()) *Traffic {
	return &Traffic{lab: l, catchUp: catchUp, byClient: map[netip.AddrPort]*Transfer{}, sent: map[netip.Addr]int{}, changed: make(chan struct{})}
}

// The UDP and TCP ports of the protocols that Traffic reads.
const (
	portHTTP   = 80   // of the collector
	portFiles  = 8067 // of pxesidecar
	portServer = 67
	portClient = 68
	portTFTP   = 69
	portPXE    = 4011
)

// frame reads one frame.
func (t *Traffic) frame(f Frame) {
	mac, vlan, ip := ethernet(f.Data)
	protocol, src, dst, body := ipv4Packet(ip)
	if !src.IsValid() {
		return
	}
	t.mu.Lock()
	t.sent[src]++
	t.mu.Unlock()
	switch protocol {
	case 17:
		if len(body) < 8 {
			return
		}
		size := min(int(binary.BigEndian.Uint16(body[4:])), len(body))
		t.datagram(Datagram{At: f.At, SrcMAC: mac, VLAN: vlan, Src: netip.AddrPortFrom(src, binary.BigEndian.Uint16(body)),
			Dst: netip.AddrPortFrom(dst, binary.BigEndian.Uint16(body[2:])), Payload: body[8:max(size, 8)]})
	case 6:
		t.segment(f.At, mac, src, dst, body)
	}
	t.mu.Lock()
	close(t.changed)
	t.changed = make(chan struct{})
	t.mu.Unlock()
}

// await waits until found returns true. It calls found again after every frame.
func (t *Traffic) await(ctx context.Context, what string, found func() bool) error {
	for {
		t.mu.Lock()
		changed := t.changed
		t.mu.Unlock()
		if found() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s on the wire: %w", what, context.Cause(ctx))
		}
	}
}

// AwaitMessage waits for a DHCP message of a client that keep selects. An empty
// address means any client.
func (t *Traffic) AwaitMessage(ctx context.Context, client string, keep func(Message) bool) (Message, error) {
	var m Message
	err := t.await(ctx, "a DHCP message", func() bool {
		found := t.Messages(client, keep)
		if len(found) > 0 {
			m = found[0]
		}
		return len(found) > 0
	})
	return m, err
}

// AwaitSent waits until an address has sent this many packets.
func (t *Traffic) AwaitSent(ctx context.Context, from netip.Addr, count int) error {
	return t.await(ctx, fmt.Sprintf("%d packets from %s", count, from), func() bool { return t.Sent(from) >= count })
}

// ethernet parses the header of a frame: the sender, the VLAN id and the IPv4
// packet (nil for anything else).
func ethernet(frame []byte) (mac string, vlan int, ip []byte) {
	if len(frame) < 14 {
		return "", 0, nil
	}
	mac = net.HardwareAddr(frame[6:12]).String()
	kind, body := binary.BigEndian.Uint16(frame[12:]), frame[14:]
	if kind == 0x8100 && len(body) >= 4 {
		vlan = int(binary.BigEndian.Uint16(body) & 0xfff)
		kind, body = binary.BigEndian.Uint16(body[2:]), body[4:]
	}
	if kind != 0x0800 {
		return mac, vlan, nil
	}
	return mac, vlan, body
}

// ipv4Packet parses the header of an IPv4 packet. For later fragments src is
// invalid.
func ipv4Packet(p []byte) (protocol byte, src, dst netip.Addr, body []byte) {
	if len(p) < 20 || p[0]>>4 != 4 {
		return 0, src, dst, nil
	}
	header, total := int(p[0]&15)*4, int(binary.BigEndian.Uint16(p[2:]))
	if header < 20 || total < header || total > len(p) || binary.BigEndian.Uint16(p[6:])&0x1fff != 0 {
		return 0, src, dst, nil
	}
	return p[9], netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20])), p[header:total]
}

// datagram handles a UDP datagram by its ports.
func (t *Traffic) datagram(d Datagram) {
	isDHCP := func(port uint16) bool { return port == portServer || port == portClient || port == portPXE }
	if isDHCP(d.Dst.Port()) {
		t.message(d)
		return
	}
	t.tftp(d)
}

// message adds a DHCP message.
func (t *Traffic) message(d Datagram) {
	decoded, err := dhcpv4.FromBytes(d.Payload)
	if err != nil {
		t.mu.Lock()
		t.undecoded++
		t.mu.Unlock()
		return
	}
	m := Message{Datagram: d, Client: d.SrcMAC, DHCP: decoded}
	if len(decoded.ClientHWAddr) == 6 {
		m.Client = decoded.ClientHWAddr.String()
	}
	t.mu.Lock()
	t.messages = append(t.messages, m)
	t.mu.Unlock()
	from, what := t.describe(m)
	t.lab.note(m.At, from, "%s", what)
}

// describe describes a DHCP message and returns whom it is about.
func (t *Traffic) describe(m Message) (who, what string) {
	client := t.lab.nameOf(m.Client)
	kind := m.DHCP.MessageType().String()
	if kind == "NONE" || m.DHCP.MessageType() == 0 {
		kind = "BOOTP"
	}
	port := ""
	if m.Dst.Port() == portPXE || m.Src.Port() == portPXE {
		port = " on 4011"
	}
	if m.VLAN != 0 {
		port += fmt.Sprintf(" in VLAN %d", m.VLAN)
	}
	if !m.DHCP.GatewayIPAddr.IsUnspecified() {
		port += " by relay"
	}
	if m.DHCP.OpCode == dhcpv4.OpcodeBootRequest {
		return client, strings.TrimSpace(fmt.Sprintf("%s%s %s", kind, port, describeClient(m.DHCP)))
	}
	server := t.lab.nameOf(m.Src.Addr().String())
	if proxy := m.Proxy(); proxy {
		server = t.lab.nameOf("proxy " + m.Src.Addr().String())
		server = strings.TrimPrefix(server, "proxy ")
	}
	var parts []string
	if !m.DHCP.YourIPAddr.IsUnspecified() {
		parts = append(parts, "address "+m.DHCP.YourIPAddr.String())
	}
	if file := m.BootFile(); file != "" {
		parts = append(parts, "boot file "+file)
	}
	return client, fmt.Sprintf("<- %s%s from %s: %s", kind, port, server, strings.Join(parts, ", "))
}

// archNames are the client architectures of option 93 (IANA's registry) that
// the lab's guests have.
var archNames = map[uint16]string{0: "BIOS", 6: "UEFI ia32", 7: "UEFI x64", 9: "UEFI x64", 11: "UEFI arm64",
	15: "UEFI ia32 by HTTP", 16: "UEFI x64 by HTTP", 19: "UEFI arm64 by HTTP"}

// describeClient returns what the sender of a request claims to be.
func describeClient(d *dhcpv4.DHCPv4) string {
	class := d.ClassIdentifier()
	if !strings.HasPrefix(class, "PXEClient") && !strings.HasPrefix(class, "HTTPClient") {
		return class
	}
	kind := class
	if arch := d.Options.Get(dhcpv4.OptionClientSystemArchitectureType); len(arch) >= 2 {
		if name, known := archNames[binary.BigEndian.Uint16(arch)]; known {
			kind = name
		}
	}
	if version := IPXEVersion(d); version != "" {
		return "by iPXE that reports " + version + ", " + kind
	}
	if strings.Contains(strings.Join(d.UserClass(), " "), "iPXE") {
		return "by iPXE, " + kind
	}
	return "by firmware, " + kind
}

// IPXEVersion returns the version in option 175.235 of a request, such as
// "1.0.0", or an empty string.
func IPXEVersion(d *dhcpv4.DHCPv4) string {
	const encapsulated, version = 175, 235
	for o := d.Options.Get(dhcpv4.GenericOptionCode(encapsulated)); len(o) >= 2; {
		if o[0] == 0 {
			o = o[1:]
			continue
		}
		size := int(o[1])
		if o[0] == 255 || len(o) < 2+size {
			break
		}
		if o[0] == version && size == 3 {
			return fmt.Sprintf("%d.%d.%d", o[2], o[3], o[4])
		}
		o = o[2+size:]
	}
	return ""
}

// Discover reports whether a message is a client's DISCOVER.
func (m Message) Discover() bool {
	return m.DHCP.OpCode == dhcpv4.OpcodeBootRequest && m.DHCP.MessageType() == dhcpv4.MessageTypeDiscover
}

// Proxy reports whether a reply is a ProxyDHCP server's: it names a boot class
// and gives no address.
func (m Message) Proxy() bool {
	class := m.DHCP.ClassIdentifier()
	return m.DHCP.OpCode == dhcpv4.OpcodeBootReply && m.DHCP.YourIPAddr.IsUnspecified() &&
		(strings.HasPrefix(class, "PXEClient") || strings.HasPrefix(class, "HTTPClient"))
}

// BootFile returns the boot file of a reply, from the header or option 67.
func (m Message) BootFile() string {
	if m.DHCP.BootFileName != "" {
		return m.DHCP.BootFileName
	}
	return m.DHCP.BootFileNameOption()
}

// Messages returns the DHCP messages of one client that keep selects. An empty
// address means all clients, a nil keep all messages.
func (t *Traffic) Messages(client string, keep func(Message) bool) []Message {
	t.catchUp()
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []Message
	for _, m := range t.messages {
		if (client == "" || strings.EqualFold(m.Client, client)) && (keep == nil || keep(m)) {
			found = append(found, m)
		}
	}
	return found
}

// Sent returns how many IPv4 packets an address has sent.
func (t *Traffic) Sent(from netip.Addr) int {
	t.catchUp()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sent[from]
}

// Requests returns the HTTP requests of a client, by its hardware address.
func (t *Traffic) Requests(client string) []HTTPRequest {
	t.catchUp()
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []HTTPRequest
	for _, r := range t.http {
		if client == "" || strings.EqualFold(r.Client, client) {
			found = append(found, r)
		}
	}
	return found
}

// segment looks for the start of an HTTP request in a TCP segment.
func (t *Traffic) segment(at time.Time, mac string, src, dst netip.Addr, body []byte) {
	if len(body) < 20 {
		return
	}
	offset := int(body[12]>>4) * 4
	port := binary.BigEndian.Uint16(body[2:])
	if port != portHTTP && port != portFiles || offset < 20 || offset >= len(body) {
		return
	}
	line, _, _ := strings.Cut(string(body[offset:]), "\r\n")
	words := strings.Fields(line)
	if len(words) != 3 || !strings.HasPrefix(words[2], "HTTP/") {
		return
	}
	r := HTTPRequest{At: at, Client: mac, Dst: netip.AddrPortFrom(dst, port), Method: words[0], Path: words[1]}
	t.mu.Lock()
	t.http = append(t.http, r)
	t.mu.Unlock()
	path, _, _ := strings.Cut(r.Path, "?")
	if strings.HasPrefix(path, evidencePath) {
		// The collector adds these to the timeline, with more details.
		return
	}
	t.lab.note(at, t.lab.nameOf(mac), "HTTP %s %s from %s", r.Method, path, t.lab.nameOf(dst.String()))
}
