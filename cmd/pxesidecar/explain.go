package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/explain"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// catClient is the category of the flags that describe a client.
const catClient = "The client"

// explainCommand returns the command that explains a decision.
func explainCommand() *cli.Command {
	return &cli.Command{
		Name:  "explain",
		Usage: "say what a client would get, by which rule, and why not by the others",
		Description: "The client is described by flags, or read out of a capture (pcap, pcapng) or a hex dump of its request.\n" +
			"The policy is that of serve: the same flags, environment and configuration file.",
		Flags:        slices.Concat(clientFlags(), newFlags(policyFlags())),
		OnUsageError: onUsageError,
		Before:       noArguments,
		Action:       explainAction,
	}
}

// clientFlags returns the flags that describe a client. They have no
// environment variables.
func clientFlags() []cli.Flag {
	text := func(name, value, usage string) cli.Flag {
		return &cli.StringFlag{Name: name, Category: catClient, Value: value, Usage: usage}
	}
	return []cli.Flag{
		text("arch", "x64-uefi", "its architecture `TYPE`: a name such as bios, x64-uefi or x64-uefi-http, or a number"),
		text("mac", "52:54:00:12:34:56", "its `MAC` address"),
		text("ipxe", "", "it runs iPXE `VERSION`, such as 1.0.0; firmware by default"),
		&cli.StringSliceFlag{Name: "feature", Category: catClient, Usage: "its iPXE has `FEATURE`, such as http (repeatable)"},
		text("client-class", "iPXE", "its iPXE sends user `CLASS`"),
		text("vendor-class", "", "it sends vendor `CLASS` (by default that of its architecture)"),
		text("uuid", "", "its `UUID`"),
		text("nic", "", "its iPXE reports the network card `VENDOR:DEVICE`"),
		text("interface", "", "it is heard on interface `NAME`"),
		&cli.UintFlag{Name: "vlan", Category: catClient, Usage: "it is in VLAN `ID`"},
		text("relay", "", "it is behind the relay `IP`"),
		text("server", "192.0.2.10/24", "our own `ADDRESS/BITS` there"),
		text("capture", "", "explain each request in the capture `FILE` instead"),
		text("hex", "", "explain the DHCP message in the hex dump `FILE` instead; - for standard input"),
	}
}

// explainAction explains what the flags ask for.
func explainAction(c *cli.Context) error {
	s, err := settings(c, policyFlags())
	if err != nil {
		return err
	}
	l, err := loadPolicy(s)
	if err != nil {
		return err
	}
	defer l.files.Close()
	server, err := netip.ParsePrefix(c.String("server"))
	if err != nil || !server.Addr().Is4() {
		return usageError{fmt.Errorf("--server %q: write an IPv4 address with its network, such as 192.0.2.10/24", c.String("server"))}
	}
	e := explain.Explainer{Policy: l.policy, Options: l.DHCP.Options, Server: server, Allow: l.TFTP.Allows}
	if path := c.String("capture"); path != "" {
		return explainCapture(c, e, path)
	}
	payload, client, err := explainedRequest(c)
	if err != nil {
		return err
	}
	arrival := proxydhcp.Arrival{Port: proxydhcp.PortServer, From: netip.AddrPortFrom(netip.IPv4Unspecified(), proxydhcp.PortClient), Segment: client.Segment}
	_, err = e.Request(c.App.Writer, payload, arrival)
	return err
}

// explainCapture explains a capture file.
func explainCapture(c *cli.Context, e explain.Explainer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("--capture: %w", err)
	}
	defer f.Close()
	requests, err := e.Capture(c.App.Writer, f, c.String("interface"))
	if err != nil {
		return fmt.Errorf("--capture %s: %w", path, err)
	}
	if requests == 0 {
		return fmt.Errorf("--capture %s: no request of a booting machine in it; capture with: tcpdump -i eth0 -w FILE udp port 67 or udp port 68 or udp port 4011", path)
	}
	return nil
}

// explainedRequest returns the request to explain: of a hex dump, or made from
// the client's flags. The client's segment is where it is heard.
func explainedRequest(c *cli.Context) ([]byte, proxydhcp.Client, error) {
	client, err := describedClient(c)
	if err != nil {
		return nil, client, err
	}
	path := c.String("hex")
	if path == "" {
		return client.Discover(), client, nil
	}
	dump := io.Reader(os.Stdin)
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, client, fmt.Errorf("--hex: %w", err)
		}
		defer f.Close()
		dump = f
	}
	text, err := io.ReadAll(dump)
	if err != nil {
		return nil, client, fmt.Errorf("--hex: %w", err)
	}
	payload, err := explain.Hex(text)
	if err != nil {
		return nil, client, fmt.Errorf("--hex %s: %w", path, err)
	}
	return payload, client, nil
}

// describedClient parses the client's flags. The error joins all problems.
func describedClient(c *cli.Context) (proxydhcp.Client, error) {
	d := &description{Context: c}
	client := d.machine()
	client.Segment = d.segment()
	if c.String("ipxe") != "" {
		client.UserClass = c.String("client-class")
		client.IPXE = d.ipxe()
	}
	return client, errors.Join(d.errs...)
}

// description is a client as flags describe it. It collects what is wrong with
// them.
type description struct {
	*cli.Context
	errs []error
}

// check notes what is wrong with the value of a flag, if err is not nil.
func (d *description) check(flag string, err error) {
	if err != nil {
		d.errs = append(d.errs, usageError{fmt.Errorf("--%s %q: %w", flag, d.String(flag), err)})
	}
}

// machine parses what the client is.
func (d *description) machine() proxydhcp.Client {
	var client proxydhcp.Client
	var err error
	client.Arch, err = proxydhcp.ParseArch(d.String("arch"))
	d.check("arch", err)
	client.Hardware, err = dhcp4.ParseHardwareAddr(d.String("mac"))
	d.check("mac", err)
	client.VendorClass = fmt.Sprintf("PXEClient:Arch:%05d:UNDI:003001", client.Arch)
	if client.Arch.HTTP() {
		client.VendorClass = fmt.Sprintf("HTTPClient:Arch:%05d:UNDI:003001", client.Arch)
	}
	if class := d.String("vendor-class"); class != "" {
		client.VendorClass = class
	}
	if text := d.String("uuid"); text != "" {
		client.UUID, err = config.ParseUUID(text)
		d.check("uuid", err)
	}
	return client
}

// segment parses where the client is heard.
func (d *description) segment() proxydhcp.Segment {
	s := proxydhcp.Segment{Interface: d.String("interface"), VLAN: uint16(d.Uint("vlan"))}
	if d.Uint("vlan") > 4094 {
		d.check("vlan", errors.New("not a VLAN id from 1 to 4094"))
	}
	if text := d.String("relay"); text != "" {
		var err error
		s.Relay, err = netip.ParseAddr(text)
		d.check("relay", err)
	}
	return s
}

// ipxe parses which iPXE the client runs.
func (d *description) ipxe() proxydhcp.IPXE {
	x := proxydhcp.IPXE{Present: true, HasVersion: true, HasFeatures: true}
	var err error
	x.Version, err = proxydhcp.ParseVersion(d.String("ipxe"))
	d.check("ipxe", err)
	for _, name := range d.StringSlice("feature") {
		f, err := proxydhcp.ParseFeature(name)
		d.check("feature", err)
		x.Features = x.Features.With(f)
	}
	if text := d.String("nic"); text != "" {
		x.NIC, err = config.ParsePCIID(text)
		d.check("nic", err)
	}
	return x
}
