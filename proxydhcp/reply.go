package proxydhcp

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// How a decision is said on the wire, and where it is sent.

// The ports of the protocol.
const (
	PortServer = 67   // DHCP servers and relays (RFC 2131, section 4.1)
	PortClient = 68   // DHCP clients
	PortProxy  = 4011 // the second stage of a PXE boot (PXE 2.1, section 2.2.5)
)

// Arrival says how a request reached us: all that its bytes do not tell.
type Arrival struct {
	Port    uint16         // the port it was sent to, PortServer or PortProxy
	From    netip.AddrPort // its IP source
	To      netip.Addr     // its IP destination
	Segment Segment
	Ours    []netip.Prefix // our addresses on the interface it arrived on
	Server  netip.Addr     // the one that the client is told; Respond chooses it
}

// Service is what every reply of a responder has in common.
type Service struct {
	HTTPPort         uint16 // the TCP port that serves the boot file tree, 0 for none
	HTTPS            bool   // that port speaks TLS
	OverrideFilename bool   // tell iPXE to prefer us over the DHCP server's own file name
	UBoot            bool   // answer U-Boot, which does not say that it is a PXE client
}

// Reply is everything a proxy can say. What it must never say (an address, a
// lease, a router) it has no field for.
type Reply struct {
	Type        uint8 // typeOffer or typeAck
	Hardware    HardwareAddr
	XID         [4]byte
	Flags       uint16
	CIAddr      netip.Addr
	GIAddr      netip.Addr
	Server      netip.Addr // option 54: where our port 4011 answers
	NextServer  netip.Addr // siaddr
	File        string
	VendorClass string // option 60
	VendorInfo  []byte // option 43
	Override    bool   // 175.1 = 1
	MachineID   []byte // option 97, echoed
	ClientID    []byte // option 61, echoed (RFC 6842)
	RelayInfo   []byte // option 82, echoed (RFC 3046, section 2.2)
	Plain       bool   // without 97, 61 and sname, whatever the request has
	maxSize     int    // bytes that the client takes
}

// bypassDiscovery is the option 43 that makes a BIOS PXE ROM boot the file of
// the OFFER at once: discovery control 8 (PXE 2.1, section 2.2.4), and a prompt
// without which some ROMs raise PXE-E74. UEFI must not get it: edk2 before
// April 2017 throws away every proxy OFFER that carries 43.6 to 43.10.
var bypassDiscovery = []byte{subDiscovery, 1, bootOfferedFile, subPrompt, 4, 0, 'P', 'X', 'E', optEnd}

// Compose turns a decision into the reply to m in the shape that suits most
// clients of c's kind, or says why it cannot be told to such a client.
func Compose(m *Message, c Client, d Decision, a Arrival, s Service) (Reply, Reason) {
	return compose(m, c, d, a, s, c.shapes(d)[0])
}

// compose is Compose with a shape of its own.
func compose(m *Message, c Client, d Decision, a Arrival, s Service, shape Shape) (Reply, Reason) {
	file, next, reason := "", a.Server, Answerable
	if d.Menu == nil || d.Item != "" {
		file, next, reason = d.bootFile(c, a.Server, s)
	}
	if reason != Answerable {
		return Reply{}, reason
	}
	r := Reply{
		Type:        typeOffer,
		Hardware:    m.Hardware,
		XID:         m.XID,
		Flags:       m.Flags | broadcastFlag, // without yiaddr there is nothing to unicast to
		CIAddr:      netip.IPv4Unspecified(),
		GIAddr:      m.GIAddr,
		Server:      a.Server,
		NextServer:  next,
		File:        file,
		VendorClass: c.Transport.vendorClass(),
		Override:    s.OverrideFilename && c.IPXE.Present,
		MachineID:   m.Option(optMachineID),
		ClientID:    m.Option(optClientID),
		RelayInfo:   m.Option(optRelayInfo),
		VendorInfo:  vendorInfo(m, c, d, a, shape),
		Plain:       shape == Minimal,
		maxSize:     replyLimit(m.Option(optMaxSize)),
	}
	switch {
	case a.Port == PortProxy || d.Item != "":
		r.Type, r.CIAddr = typeAck, m.CIAddr
		if !toBroadcast(m, a) {
			r.Flags = m.Flags
		}
	case c.firmware() == UEFIFirmware && r.VendorInfo == nil:
		// UEFI takes an OFFER without option 43 as a pointer to port 4011 of
		// siaddr, so that must be ours even where the files are elsewhere.
		r.NextServer = a.Server
	}
	return r, Answerable
}

// vendorInfo is the option 43 of a reply.
func vendorInfo(m *Message, c Client, d Decision, a Arrival, shape Shape) []byte {
	switch {
	case d.Item != "":
		item, _ := readBootItem(m)
		return item.encode()
	case d.Menu != nil:
		return d.Menu.encode(a.Server)
	case a.Port == PortProxy:
		return nil
	case c.firmware() == RaspberryPi:
		return piMenu(&c)
	case shape == BootOffer:
		return bypassDiscovery
	}
	return nil
}

// bootFile words the decision's file as the client can load it: UEFI HTTP boot
// wants an absolute URL; iPXE gets one too, because it takes a bare name's
// server from whichever DHCP answer it likes better; PXE firmware wants a name
// beside the address of a TFTP server.
func (d Decision) bootFile(c Client, server netip.Addr, s Service) (string, netip.Addr, Reason) {
	next := d.NextServer
	if !next.IsValid() {
		next = server
	}
	scheme, _, isURL := strings.Cut(d.File, "://")
	switch {
	case c.Transport == HTTP && !c.IPXE.Present:
		if isURL && (scheme == "http" || scheme == "https") {
			return d.File, server, Answerable
		}
		if isURL || s.HTTPPort == 0 || next != server {
			return "", server, NeedsHTTP
		}
		return s.treeURL(server, d.File), server, Answerable
	case c.IPXE.Present && isURL:
		return d.File, next, Answerable
	case c.IPXE.Present:
		return nameURL("tftp", next.String(), d.File), next, Answerable
	case !isURL:
		return d.File, next, Answerable
	}
	u, err := url.Parse(d.File)
	if err != nil || u.Scheme != "tftp" {
		return "", server, NeedsTFTP
	}
	host, err := netip.ParseAddr(u.Host)
	if err != nil || !host.Is4() {
		return "", server, NeedsTFTP
	}
	return strings.TrimPrefix(u.Path, "/"), host, Answerable
}

// treeURL is the URL of a name in the boot file tree on our own HTTP port.
func (s Service) treeURL(host netip.Addr, name string) string {
	scheme, usual := "http", uint16(80)
	if s.HTTPS {
		scheme, usual = "https", 443
	}
	if s.HTTPPort == usual {
		return nameURL(scheme, host.String(), name)
	}
	return nameURL(scheme, netip.AddrPortFrom(host, s.HTTPPort).String(), name)
}

// nameURL is the URL of a name on a host.
func nameURL(scheme, host, name string) string {
	u := url.URL{Scheme: scheme, Host: host, Path: "/" + strings.TrimPrefix(name, "/")}
	return u.String()
}

// Sizes of a DHCP message, in bytes of UDP payload.
const (
	minReply     = 300              // BOOTP's fixed size; shorter ones are dropped by old relays and ROMs
	defaultReply = 576 - ipUDPBytes // RFC 2131, section 2: what every client takes
	maxReply     = 1500 - ipUDPBytes
	ipUDPBytes   = 28 // IPv4 and UDP headers, which option 57 counts in
)

// replyLimit reads option 57, the largest message the client takes, counted
// with its IP and UDP headers; 576 is the least that it may say (RFC 2132,
// section 9.10).
func replyLimit(option []byte) int {
	if len(option) != 2 {
		return defaultReply
	}
	return min(max(int(binary.BigEndian.Uint16(option))-ipUDPBytes, defaultReply), maxReply)
}

// Limits of the two places for a boot file name, terminating NUL not counted.
const (
	maxFileField  = 127
	maxFileOption = 254
)

// Append appends the reply's wire format to b: the header of RFC 2131, section
// 2, then options in an order that strict and sloppy parsers both read, the END
// option that edk2 insists on, and zeros up to 300 bytes. The name goes into
// the file field, which every client reads; only a longer one into option 67,
// which then ends in NUL and stands last but for option 82. A name or reply
// that does not fit is an error: nothing is cut short.
func (r *Reply) Append(b []byte) ([]byte, error) {
	name, machineID, clientID := r.NextServer, r.MachineID, r.ClientID
	if r.Plain {
		name, machineID, clientID = netip.Addr{}, nil, nil
	}
	start := len(b)
	b = append(b, bootReply, r.Hardware.Type, r.Hardware.Len, 0)
	b = append(b, r.XID[:]...)
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint16(b, r.Flags)
	b = appendAddr(b, r.CIAddr)
	b = append(b, 0, 0, 0, 0) // yiaddr: zero is what makes this a proxy's answer
	b = appendAddr(b, r.NextServer)
	b = appendAddr(b, r.GIAddr)
	b = append(b, r.Hardware.Bytes[:]...)
	b = name.AppendTo(b)
	b = appendZeros(b, start+offFile-len(b))
	file, long := r.File, ""
	if len(file) > maxFileField {
		file, long = "", file+"\x00"
	}
	b = append(b, file...)
	b = appendZeros(b, start+offCookie-len(b))
	b = append(b, magicCookie[:]...)

	b = append(b, optMessageType, 1, r.Type)
	b = append(b, optServerID, 4)
	b = appendAddr(b, r.Server)
	b = appendOption(b, optVendorClass, []byte(r.VendorClass))
	b = appendOption(b, optMachineID, machineID)
	b = appendOption(b, optVendorInfo, r.VendorInfo)
	if r.Override {
		b = append(b, optIPXE, 3, subPriority, 1, 1)
	}
	b = appendOption(b, optClientID, clientID)
	if len(r.VendorInfo) > 255 {
		return nil, fmt.Errorf("boot menu: %d bytes long, and DHCP carries at most 255", len(r.VendorInfo))
	}
	if len(long) > maxFileOption+1 {
		return nil, fmt.Errorf("boot file name %q: %d bytes long, and DHCP carries at most %d", r.File, len(r.File), maxFileOption)
	}
	b = appendOption(b, optBootFile, []byte(long))
	b = appendOption(b, optRelayInfo, r.RelayInfo)
	b = append(b, optEnd)
	if size := len(b) - start; size > r.maxSize {
		return nil, fmt.Errorf("the reply has %d bytes and the client takes %d: shorten the boot file name %q", size, r.maxSize, r.File)
	}
	return appendZeros(b, max(minReply-(len(b)-start), 0)), nil
}

// appendAddr appends an IPv4 address, zeros for the zero Addr.
func appendAddr(b []byte, a netip.Addr) []byte {
	if !a.Is4() {
		return append(b, 0, 0, 0, 0)
	}
	v := a.As4()
	return append(b, v[:]...)
}

// appendZeros appends n zeros.
func appendZeros(b []byte, n int) []byte {
	b = slices.Grow(b, n)
	clear(b[len(b) : len(b)+n])
	return b[:len(b)+n]
}

// appendOption appends an option, in pieces of 255 bytes (RFC 3396), and
// nothing for an empty one: an empty option 97 upsets firmware.
func appendOption(b []byte, code uint8, value []byte) []byte {
	for len(value) > 0 {
		n := min(len(value), 255)
		b = append(b, code, uint8(n))
		b = append(b, value[:n]...)
		value = value[n:]
	}
	return b
}

// Destination is where a reply goes.
type Destination struct {
	To       netip.AddrPort // the IP destination
	FromPort uint16         // the UDP source port; edk2 and U-Boot insist on it
	Link     bool           // To is the limited broadcast, sent on the arrival interface
}

// broadcastAddr is the limited broadcast of RFC 919.
var broadcastAddr = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// Destine returns where the reply to m goes. On port 67 that is the relay, if
// one stands between (RFC 2131, section 4.1), else everybody: the client has no
// address yet, and a proxy gives none. On port 4011 it is where the request
// came from: edk2 asks from port 4011, iPXE from 68. Who asks for a menu's item
// by broadcast has an address, and is answered there.
func Destine(m *Message, a Arrival) Destination {
	relay := m.GIAddr.Is4() && !m.GIAddr.IsUnspecified()
	switch {
	case relay && (a.Port == PortServer || a.From.Addr() == m.GIAddr):
		return Destination{To: netip.AddrPortFrom(m.GIAddr, PortServer), FromPort: a.Port}
	case toBroadcast(m, a):
		return Destination{To: netip.AddrPortFrom(broadcastAddr, PortClient), FromPort: a.Port, Link: true}
	}
	return Destination{To: clientAddr(m, a), FromPort: a.Port}
}

// toBroadcast reports whether a request without a relay can only be answered
// by broadcast.
func toBroadcast(m *Message, a Arrival) bool { return !clientAddr(m, a).IsValid() }

// clientAddr returns where the client itself can be reached; the zero AddrPort
// where it has no address yet.
func clientAddr(m *Message, a Arrival) netip.AddrPort {
	_, wantsItem := readBootItem(m)
	switch {
	case a.Port == PortProxy && !a.From.Addr().IsUnspecified():
		return a.From
	case a.Port == PortServer && wantsItem && m.Type() != typeDiscover && !m.CIAddr.IsUnspecified():
		return netip.AddrPortFrom(m.CIAddr, PortClient)
	}
	return netip.AddrPort{}
}
