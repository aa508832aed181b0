package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/eventlog"
	"github.com/pxesidecar/pxesidecar/internal/netstate"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/server"
	"github.com/pxesidecar/pxesidecar/tftp"
)

// The host that the README is tried on, and what is logged there.

// furnish makes the host: its interfaces, and the files that the README names.
func (r *readme) furnish() {
	up := func(name, address string) netstate.Interface {
		return netstate.Interface{Name: name, Flags: net.FlagUp | net.FlagBroadcast, Addresses: []netip.Prefix{netip.MustParsePrefix(address)}}
	}
	r.host = host{root: r.dir, interfaces: []netstate.Interface{
		up("eth0", "192.0.2.2/24"), up("eth1", "198.51.100.2/24"), up("Ethernet", "203.0.113.2/24"),
	}}
	for _, name := range []string{
		"usr/lib/ipxe/snponly.efi", "srv/pxe/snponly.efi", "srv/pxe/ipxe.efi", "srv/pxe/memtest.efi", "srv/pxe/lab/snponly.efi",
	} {
		r.write(name, efiROM())
	}
	r.write("usr/lib/ipxe/undionly.kpxe", strings.Repeat("\x90", 71169))
	r.write("srv/pxe/undionly.kpxe", strings.Repeat("\x90", 71169))
	for _, s := range r.snippets("toml") {
		r.write("pxesidecar.toml", s.text)
		r.write("etc/pxesidecar/pxesidecar.toml", s.text)
	}
	certificate, key := certified(r)
	r.write("etc/pxesidecar/cert.pem", certificate)
	r.write("etc/pxesidecar/key.pem", key)
	r.write("boot.pcap", capture(someClient(proxydhcp.ArchBIOS, proxydhcp.Version{}).Discover()))
	r.write("request.hex", hex.EncodeToString(someClient(proxydhcp.ArchX64, proxydhcp.Version{}).Discover()))
	r.t.Chdir(r.dir)
	r.t.Setenv("PXESIDECAR_ROOT", r.here("/srv/pxe")) // for the commands that look at this machine's own ROMs
}

// efiROM is as much of an EFI image for x64 as says that it is iPXE 2.0.0 with
// DNS, EFI, HTTP and HTTPS (see internal/rom).
func efiROM() string {
	const said = "\xeb\x03\x02\x00\x00\x17\x01\x01\x24\x01\x01\x13\x01\x01\x14\x01\x01"
	const optionalSize = 112 + 16*8
	le := binary.LittleEndian
	b := make([]byte, 0x80, 0x400)
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], 0x80)
	b = append(b, "PE\x00\x00"...)
	b = le.AppendUint16(b, 0x8664)
	b = le.AppendUint16(b, 1) // section
	b = append(b, make([]byte, 12)...)
	b = le.AppendUint16(b, optionalSize)
	b = le.AppendUint16(b, 0x0206)
	optional := make([]byte, optionalSize)
	le.PutUint16(optional, 0x20b)
	le.PutUint16(optional[68:], 10) // an application
	le.PutUint32(optional[108:], 16)
	b = append(b, optional...)
	section := make([]byte, 40)
	copy(section, ".data")
	le.PutUint32(section[16:], uint32(len(said)))
	le.PutUint32(section[20:], uint32(len(b)+len(section)))
	le.PutUint32(section[36:], 0xc8000040)
	return string(append(append(b, section...), said...))
}

// capture is a pcap file with one broadcast datagram to port 67.
func capture(payload []byte) string {
	le, be := binary.LittleEndian, binary.BigEndian
	b := le.AppendUint32(nil, 0xa1b2c3d4)
	b = le.AppendUint16(b, 2)
	b = le.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...)
	b = le.AppendUint32(b, 1<<16)
	b = le.AppendUint32(b, 1) // Ethernet
	udp := be.AppendUint16(nil, 68)
	udp = be.AppendUint16(udp, 67)
	udp = be.AppendUint16(udp, uint16(8+len(payload)))
	udp = append(append(udp, 0, 0), payload...)
	ip := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255}
	be.PutUint16(ip[2:], uint16(len(ip)+len(udp)))
	frame := append([]byte{255, 255, 255, 255, 255, 255, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 8, 0}, append(ip, udp...)...)
	b = append(b, make([]byte, 8)...)
	b = le.AppendUint32(b, uint32(len(frame)))
	b = le.AppendUint32(b, uint32(len(frame)))
	return string(append(b, frame...))
}

// certified is a certificate with its key, in PEM.
func certified(r *readme) (certificate, key string) {
	r.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{{192, 0, 2, 2}}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		r.t.Fatal(err)
	}
	privateDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		r.t.Fatal(err)
	}
	text := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return text("CERTIFICATE", der), text("PRIVATE KEY", privateDER)
}

// someClient is a machine: firmware where version is zero, else that iPXE.
func someClient(arch proxydhcp.Arch, version proxydhcp.Version, features ...proxydhcp.Feature) proxydhcp.Client {
	c := proxydhcp.Client{
		Hardware: proxydhcp.HardwareAddr{Type: 1, Len: 6, Bytes: [16]byte{0x52, 0x54, 0, 0x12, 0x34, 0x56}},
		Arch:     arch, VendorClass: "PXEClient", Segment: proxydhcp.Segment{Interface: "eth0"},
	}
	if arch.HTTP() {
		c.VendorClass = "HTTPClient"
	}
	if version != (proxydhcp.Version{}) {
		c.UserClass = "iPXE"
		c.IPXE = proxydhcp.IPXE{Present: true, HasVersion: true, Version: version}
		for _, f := range features {
			c.IPXE.HasFeatures, c.IPXE.Features = true, c.IPXE.Features.With(f)
		}
	}
	return c
}

// logged is what the journal writes of a day on which everything happens, the
// start-up reports, and what a reload of a file with a mistake says.
func (r *readme) logged() []string {
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	r.serving(func(_ *cli.Context, l *loaded) { report(log, l, &daemon{}) }, "--root", "/srv/pxe")
	r.serving(func(_ *cli.Context, l *loaded) { r.answer(log, l) },
		"--root", "/srv/pxe", "--boot-url", "http://boot.example.com/boot.ipxe", "--ipxe-version", ">=2.0.0")
	r.write("mistaken.toml", `boot-url = ""`)
	r.serving(func(c *cli.Context, _ *loaded) {
		r.write("mistaken.toml", "boot-url =")
		(&reloader{log: log, read: func() (*loaded, error) { return loadServed(c) }}).reload()
	}, "--config", "mistaken.toml")
	j := eventlog.New(log)
	for _, f := range r.findings() {
		j.Conflict(f)
	}
	j.Link(server.Link{Interface: "eth0", State: server.LinkDown})
	transfer := tftp.Transfer{
		Client: netip.MustParseAddrPort("192.0.2.50:1024"), File: "undionly.kpxe", Size: 71169, Sent: 71169,
		Duration: 120 * time.Millisecond, Result: tftp.Completed,
	}
	j.TFTPFinished(transfer)
	transfer.Result = tftp.TimedOut
	j.TFTPFinished(transfer)
	j.TFTPRefused(tftp.Refusal{Client: transfer.Client, Asked: "absent.efi", Reason: tftp.NotFound})
	j.TFTPRefused(tftp.Refusal{Client: netip.MustParseAddrPort("203.0.113.9:1024"), Asked: "undionly.kpxe", Reason: tftp.NotAllowed})
	return strings.Split(strings.TrimSpace(r.there(b.String())), "\n")
}

// serving calls f with what serve has understood of its flags.
func (r *readme) serving(f func(*cli.Context, *loaded), flags ...string) {
	r.t.Helper()
	args := []string{"pxesidecar", "serve", "--interface", "eth0"}
	for _, flag := range flags {
		args = append(args, r.here(flag))
	}
	app := newApp(&bytes.Buffer{}, &bytes.Buffer{})
	app.Command("serve").Action = func(c *cli.Context) error {
		s, err := settings(c, config.Flags())
		if err != nil {
			return err
		}
		l, err := load(s, r.host)
		if err != nil {
			return err
		}
		defer l.files.Close()
		f(c, l)
		return nil
	}
	if err := app.Run(args); err != nil {
		r.t.Fatal(err)
	}
}

// answer has machines ask, and the journal write what became of it.
func (r *readme) answer(log *slog.Logger, l *loaded) {
	j := eventlog.New(log)
	responder := proxydhcp.NewResponder(proxydhcp.ResponderConfig{Policy: l.policy, Options: l.DHCP.Options})
	ask := func(c proxydhcp.Client) proxydhcp.Result {
		return responder.Respond(nil, c.Discover(), proxydhcp.Arrival{
			Port: proxydhcp.PortServer, From: netip.AddrPortFrom(netip.IPv4Unspecified(), proxydhcp.PortClient),
			Segment: c.Segment, Ours: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24")},
		}, time.Now())
	}
	firmware := ask(someClient(proxydhcp.ArchBIOS, proxydhcp.Version{}))
	j.Request(firmware)
	j.Request(ask(someClient(proxydhcp.ArchBIOS, proxydhcp.Version{2, 0, 0}, 19, 20, 23, 39)))
	j.Request(ask(someClient(proxydhcp.ArchARM64, proxydhcp.Version{})))
	j.Request(ask(someClient(proxydhcp.ArchX64HTTP, proxydhcp.Version{})))

	// What takes more than a request to come about.
	acknowledged := firmware
	acknowledged.Arrival.Port = proxydhcp.PortProxy
	j.Request(acknowledged)
	stepped := firmware
	stepped.Stepped = true
	j.Request(stepped)
	j.Request(proxydhcp.Result{Arrival: firmware.Arrival, Reason: proxydhcp.NoAddress})
	j.Request(proxydhcp.Result{Arrival: firmware.Arrival, Reason: proxydhcp.NotBooting})
	ended := ask(someClient(proxydhcp.ArchBIOS, proxydhcp.Version{1, 0, 0}))
	ended.LoopEnded = ended.Decision.File
	j.Request(ended)
}

// findings is one of every fault of other DHCP servers.
func (r *readme) findings() []proxydhcp.Conflict {
	client := someClient(proxydhcp.ArchBIOS, proxydhcp.Version{})
	var all []proxydhcp.Conflict
	for f := proxydhcp.OtherNextServer; f <= proxydhcp.ProxyForbidden; f++ {
		all = append(all, proxydhcp.Conflict{
			Kind: f, Server: netip.MustParseAddr("192.0.2.1"), Segment: client.Segment,
			Network: netip.MustParsePrefix("192.0.2.0/24"), Value: "VALUE", Client: client.Hardware,
		})
	}
	return all
}
