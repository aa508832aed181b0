package explain

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// dhcpPacket is a DHCP message of a capture.
type dhcpPacket struct {
	from, to netip.AddrPort
	vlan     uint16
	payload  []byte
}

// packetSource is what pcap and pcapng readers have in common.
type packetSource interface {
	gopacket.PacketDataSource
	LinkType() layers.LinkType
}

// openCapture opens a pcap or pcapng capture, by its first bytes.
func openCapture(r io.Reader) (packetSource, error) {
	b := bufio.NewReader(r)
	magic, err := b.Peek(4)
	if err != nil {
		return nil, fmt.Errorf("no capture: %w", err)
	}
	if string(magic) == "\x0a\x0d\x0d\x0a" {
		return pcapgo.NewNgReader(b, pcapgo.DefaultNgReaderOptions)
	}
	return pcapgo.NewReader(b)
}

// Capture explains a pcap or pcapng capture to w, packet by packet: what was
// asked, what was answered, and what we would have answered. interfaceName is
// where it was taken. It returns the number of requests of booting clients.
func (e Explainer) Capture(w io.Writer, r io.Reader, interfaceName string) (requests int, err error) {
	source, err := openCapture(r)
	if err != nil {
		return 0, err
	}
	var start time.Time
	for number := 1; ; number++ {
		data, info, err := source.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return requests, nil
		}
		if err != nil {
			return requests, fmt.Errorf("packet %d: %w", number, err)
		}
		p, ok := decodePacket(data, source.LinkType())
		if !ok {
			continue
		}
		if start.IsZero() {
			start = info.Timestamp
		}
		if _, err := fmt.Fprintf(w, "packet %d, %.3f s: %s -> %s%s\n", number, info.Timestamp.Sub(start).Seconds(), p.from, p.to, vlanText(p.vlan)); err != nil {
			return requests, err
		}
		booting, err := e.explainPacket(w, p, interfaceName)
		if err != nil {
			return requests, err
		}
		if booting {
			requests++
		}
	}
}

func vlanText(id uint16) string {
	if id == 0 {
		return ""
	}
	return fmt.Sprintf(", VLAN %d", id)
}

// explainPacket explains a request, and shows a reply as what was answered.
func (e Explainer) explainPacket(w io.Writer, p dhcpPacket, interfaceName string) (booting bool, err error) {
	if m, err := dhcpv4.FromBytes(p.payload); err == nil && m.OpCode == dhcpv4.OpcodeBootReply {
		out := &printer{w: w}
		out.row("answered", "%s: yiaddr %s, siaddr %s, file %q, server %s", m.MessageType(), m.YourIPAddr, m.ServerIPAddr, m.BootFileName, m.ServerIdentifier())
		if class := m.ClassIdentifier(); class != "" {
			out.row("", "vendor class %q", class)
		}
		if file := m.BootFileNameOption(); file != "" {
			out.row("", "boot file option %q", file)
		}
		out.row("", "")
		return false, out.err
	}
	port := uint16(proxydhcp.PortServer)
	if p.to.Port() == proxydhcp.PortProxy {
		port = proxydhcp.PortProxy
	}
	res, err := e.Request(w, p.payload, proxydhcp.Arrival{
		Port: port, From: p.from, To: p.to.Addr(),
		Segment: proxydhcp.Segment{Interface: interfaceName, VLAN: p.vlan},
	})
	if err == nil {
		_, err = fmt.Fprintln(w)
	}
	return res.Client.VendorClass != "", err
}

// decodePacket finds the DHCP message in a frame, with ok false for any other
// frame.
func decodePacket(data []byte, link layers.LinkType) (p dhcpPacket, ok bool) {
	packet := gopacket.NewPacket(data, link, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	ip, isIP := packet.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	udp, isUDP := packet.Layer(layers.LayerTypeUDP).(*layers.UDP)
	if !isIP || !isUDP {
		return p, false
	}
	source, _ := netip.AddrFromSlice(ip.SrcIP.To4())
	target, _ := netip.AddrFromSlice(ip.DstIP.To4())
	p.from = netip.AddrPortFrom(source, uint16(udp.SrcPort))
	p.to = netip.AddrPortFrom(target, uint16(udp.DstPort))
	p.payload = udp.Payload
	if tag, isTagged := packet.Layer(layers.LayerTypeDot1Q).(*layers.Dot1Q); isTagged {
		p.vlan = tag.VLANIdentifier
	}
	switch p.to.Port() {
	case proxydhcp.PortServer, proxydhcp.PortClient, proxydhcp.PortProxy:
		return p, len(p.payload) >= 240
	}
	return p, p.from.Port() == proxydhcp.PortProxy && len(p.payload) >= 240
}
