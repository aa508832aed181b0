package proxydhcp

import (
	"net/netip"
	"net/url"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// ReplyOptions are what every reply of a responder has in common.
type ReplyOptions struct {
	HTTPPort        uint16 // the TCP port that serves the boot file tree, 0 for none
	HTTPS           bool   // that port speaks TLS
	YieldToFilename bool   // let iPXE prefer a file that the DHCP server names
	UBoot           bool   // answer U-Boot, which does not say that it is a PXE client
}

// bootOfferedFileInfo is the option 43 that makes a BIOS PXE ROM boot the file
// of the OFFER at once: discovery control 8 (PXE 2.1, section 2.2.4), and a
// prompt without which some ROMs raise PXE-E74. UEFI must not get it: edk2
// before April 2017 drops every proxy OFFER that carries 43.6 to 43.10.
var bootOfferedFileInfo = []byte{subDiscovery, 1, bootOfferedFile, subPrompt, 4, 0, 'P', 'X', 'E', uint8(dhcp4.OptionEnd)}

// preferUsInfo is the option 175 by which an iPXE takes file name and next
// server from us even if the DHCP server names a file of its own: priority 1.
// iPXE searches its blocks of settings by priority, which is 0 where a server
// sends none, and takes both from the first block that has a file name
// (settings.c: reprioritise_settings, autoboot.c:
// fetch_next_server_and_filename). It keeps the OFFER of the proxy with the
// highest priority, too (dhcp.c: dhcp_discovery_rx). If it asks port 4011, the
// ACK takes the place of the OFFER and needs the priority as well.
var preferUsInfo = []byte{subPriority, 1, 1}

// Compose returns the reply to q that carries a decision, in a shape, or says
// why the decision cannot be expressed for such a client.
func Compose(q *Request, d Decision, shape Shape, o ReplyOptions) (dhcp4.Reply, Reason) {
	f, reason := d.bootFile(q.Client, q.Arrival.Server, o)
	if reason != Answerable {
		return dhcp4.Reply{}, reason
	}
	return compose(q, d, f, shape, o), Answerable
}

// compose is Compose for a boot file that was found.
func compose(q *Request, d Decision, f bootFile, shape Shape, o ReplyOptions) dhcp4.Reply {
	m, a := &q.Message, &q.Arrival
	r := dhcp4.Reply{
		Type:        dhcp4.MessageTypeOffer,
		Hardware:    m.Hardware,
		XID:         m.XID,
		Flags:       m.Flags | dhcp4.BroadcastFlag, // without yiaddr there is nothing to unicast to
		CIAddr:      netip.IPv4Unspecified(),
		GIAddr:      m.GIAddr,
		Server:      a.Server,
		NextServer:  f.nextServer,
		File:        f.name,
		VendorClass: vendorClasses[q.Client.Transport],
		MachineID:   m.Option(dhcp4.OptionClientMachineIdentifier),
		ClientID:    m.Option(dhcp4.OptionClientIdentifier),
		RelayInfo:   m.Option(dhcp4.OptionRelayAgentInformation),
		VendorInfo:  vendorInfo(q, d, shape),
		Minimal:     shape == Minimal,
		MaxSize:     dhcp4.MaxReplySize(m),
	}
	if q.Client.IPXE.Present && !o.YieldToFilename {
		r.Etherboot = preferUsInfo
	}
	switch {
	case a.Port == PortProxy || d.Item != "":
		r.Type, r.CIAddr = dhcp4.MessageTypeAck, m.CIAddr
		if q.clientAddr().IsValid() {
			r.Flags = m.Flags
		}
	case q.Client.firmware() == UEFIFirmware && r.VendorInfo == nil:
		// UEFI takes an OFFER without option 43 as a pointer to port 4011 of
		// siaddr, so that must be ours even if the files are elsewhere.
		r.NextServer = a.Server
	}
	return r
}

// vendorInfo returns the option 43 of a reply.
func vendorInfo(q *Request, d Decision, shape Shape) []byte {
	switch {
	case d.Item != "":
		return q.Item.encode()
	case d.Menu != nil:
		return d.Menu.encode(q.Arrival.Server)
	case q.Arrival.Port == PortProxy:
		return nil
	case q.Client.firmware() == RaspberryPi:
		return piMenu(&q.Client)
	case shape == BootOffer:
		return bootOfferedFileInfo
	}
	return nil
}

// bootFile is a boot file as a client can load it: a name with the TFTP server
// that has it, or a URL.
type bootFile struct {
	name       string
	nextServer netip.Addr
}

// bootFile returns the decision's file as c can load it. UEFI HTTP boot needs
// an absolute URL. iPXE gets a URL as well, because it takes a bare name's
// server from whichever DHCP answer it prefers: by HTTP if it can, because its
// TFTP waits for each block. PXE firmware needs a name, and beside it the
// address of a TFTP server. A menu to choose from has no file.
func (d Decision) bootFile(c Client, server netip.Addr, o ReplyOptions) (bootFile, Reason) {
	if d.Menu != nil && d.Item == "" {
		return bootFile{"", server}, Answerable
	}
	next := d.NextServer
	if !next.IsValid() {
		next = server
	}
	isURL := strings.Contains(d.File, "://")
	switch {
	case c.Transport == HTTP && !c.IPXE.Present:
		return d.httpBootFile(server, next, o)
	case isURL && !c.IPXE.Present:
		return tftpURLFile(d.File)
	case !isURL && c.IPXE.Present && next == server && o.servesIPXE(c, d):
		return bootFile{o.treeURL(server, d.File), next}, Answerable
	case !isURL && c.IPXE.Present:
		return bootFile{nameURL("tftp", next.String(), d.File), next}, Answerable
	}
	return bootFile{d.File, next}, Answerable
}

// servesIPXE reports whether an iPXE gets a decision's file over HTTP. It must
// have said that it can: one without option 175 may be any build. It does not
// trust our certificate. A file that a rule names stays with TFTP: boot
// programs such as pxelinux.0 look for the rest of their files where they came
// from, and know nothing else.
func (o ReplyOptions) servesIPXE(c Client, d Decision) bool {
	http := Features(0).With(FeatureHTTP)
	return o.HTTPPort != 0 && !o.HTTPS && d.Kind != BootFile && c.IPXE.HasFeatures && c.IPXE.Features.Has(http)
}

// httpBootFile is bootFile for UEFI HTTP boot.
func (d Decision) httpBootFile(server, next netip.Addr, o ReplyOptions) (bootFile, Reason) {
	scheme, _, isURL := strings.Cut(d.File, "://")
	switch {
	case isURL && (scheme == "http" || scheme == "https"):
		return bootFile{d.File, server}, Answerable
	case isURL || o.HTTPPort == 0 || next != server:
		return bootFile{}, NeedsHTTP
	}
	return bootFile{o.treeURL(server, d.File), server}, Answerable
}

// tftpURLFile returns the name and the server of a TFTP URL, for PXE firmware.
func tftpURLFile(text string) (bootFile, Reason) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "tftp" {
		return bootFile{}, NeedsTFTP
	}
	host, err := netip.ParseAddr(u.Host)
	if err != nil || !host.Is4() {
		return bootFile{}, NeedsTFTP
	}
	return bootFile{strings.TrimPrefix(u.Path, "/"), host}, Answerable
}

// treeURL returns the URL of a name in the boot file tree on our own HTTP port.
func (o ReplyOptions) treeURL(host netip.Addr, name string) string {
	scheme, usual := "http", uint16(80)
	if o.HTTPS {
		scheme, usual = "https", 443
	}
	if o.HTTPPort == usual {
		return nameURL(scheme, host.String(), name)
	}
	return nameURL(scheme, netip.AddrPortFrom(host, o.HTTPPort).String(), name)
}

// nameURL returns the URL of a name on a host.
func nameURL(scheme, host, name string) string {
	u := url.URL{Path: "/" + strings.TrimPrefix(name, "/")}
	return scheme + "://" + host + u.EscapedPath()
}

// Destination is where a reply goes.
type Destination struct {
	To       netip.AddrPort // the IP destination
	FromPort uint16         // the UDP source port; edk2 and U-Boot insist on it
	Link     bool           // To is the limited broadcast, sent on the arrival interface
	Relay    bool           // To is a relay, not the client
}

// Broadcast is the limited broadcast address of RFC 919.
var Broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// ReplyDestination returns where the reply to q goes. On port 67 that is the
// relay if there is one (RFC 2131, section 4.1), else everybody: the client has
// no address yet, and a proxy gives none. On port 4011 it is the source of the
// request: edk2 asks from port 4011, iPXE from 68. A client that asks for a
// menu's item by broadcast has an address, and is answered there.
func ReplyDestination(q *Request) Destination {
	m, a := &q.Message, &q.Arrival
	if isRelayed(m) && (a.Port == PortServer || a.From.Addr() == m.GIAddr) {
		return Destination{To: netip.AddrPortFrom(m.GIAddr, PortServer), FromPort: a.Port, Relay: true}
	}
	if client := q.clientAddr(); client.IsValid() {
		return Destination{To: client, FromPort: a.Port}
	}
	return Destination{To: netip.AddrPortFrom(Broadcast, PortClient), FromPort: a.Port, Link: true}
}

// clientAddr returns the address at which the client itself can be reached, the
// zero AddrPort if it has none yet.
func (q *Request) clientAddr() netip.AddrPort {
	switch a := &q.Arrival; {
	case a.Port == PortProxy && !a.From.Addr().IsUnspecified():
		return a.From
	case a.Port == PortServer && q.AsksItem && !q.Message.CIAddr.IsUnspecified():
		return netip.AddrPortFrom(q.Message.CIAddr, PortClient)
	}
	return netip.AddrPort{}
}
