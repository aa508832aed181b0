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
	e := explain.Explainer{Policy: l.policy, Options: l.DHCP.Options, Server: server}
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
	var errs []error
	check := func(flag string, err error) {
		if err != nil {
			errs = append(errs, usageError{fmt.Errorf("--%s %q: %w", flag, c.String(flag), err)})
		}
	}
	var client proxydhcp.Client
	var err error
	client.Arch, err = proxydhcp.ParseArch(c.String("arch"))
	check("arch", err)
	client.Hardware, err = dhcp4.ParseHardwareAddr(c.String("mac"))
	check("mac", err)
	client.VendorClass = fmt.Sprintf("PXEClient:Arch:%05d:UNDI:003001", client.Arch)
	if client.Arch.HTTP() {
		client.VendorClass = fmt.Sprintf("HTTPClient:Arch:%05d:UNDI:003001", client.Arch)
	}
	if class := c.String("vendor-class"); class != "" {
		client.VendorClass = class
	}
	if text := c.String("uuid"); text != "" {
		client.UUID, err = config.ParseUUID(text)
		check("uuid", err)
	}
	client.Segment.Interface = c.String("interface")
	client.Segment.VLAN = uint16(c.Uint("vlan"))
	if c.Uint("vlan") > 4094 {
		check("vlan", errors.New("not a VLAN id from 1 to 4094"))
	}
	if text := c.String("relay"); text != "" {
		client.Segment.Relay, err = netip.ParseAddr(text)
		check("relay", err)
	}
	if text := c.String("ipxe"); text != "" {
		client.UserClass = c.String("client-class")
		client.IPXE = proxydhcp.IPXE{Present: true, HasVersion: true, HasFeatures: true}
		client.IPXE.Version, err = proxydhcp.ParseVersion(text)
		check("ipxe", err)
		for _, name := range c.StringSlice("feature") {
			f, err := proxydhcp.ParseFeature(name)
			check("feature", err)
			client.IPXE.Features = client.IPXE.Features.With(f)
		}
		if text := c.String("nic"); text != "" {
			client.IPXE.NIC, err = config.ParsePCIID(text)
			check("nic", err)
		}
	}
	return client, errors.Join(errs...)
}
