package main

// The network of the demonstration: a segment with the server, a VLAN of it,
// and a branch behind a router.

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// network are the segments beside the lab's own.
type network struct{ workshop, branch *lab.Segment }

const (
	// workshopID is the id of the VLAN.
	workshopID = 20
	// router is the last part of the router's address on every segment. The
	// router is the web server, too.
	router = 3
	// dhcpServer is the last part of the DHCP server's address.
	dhcpServer = 1
	// relayLimit bounds the relay's start.
	relayLimit = 30 * time.Second
)

// build makes the segments and starts everything on them.
func build(ctx context.Context, l *lab.Lab, newest lab.IPXE) (n network, err error) {
	if n.workshop, err = l.NewVLAN("workshop", workshopID, netip.MustParsePrefix("10.20.0.0/24")); err != nil {
		return n, err
	}
	if n.branch, err = l.NewSegment("branch", netip.MustParsePrefix("10.30.0.0/24")); err != nil {
		return n, err
	}
	for _, s := range []*lab.Segment{n.workshop, n.branch} {
		iface, err := l.Web.Join(s, s.Address(router))
		if err != nil {
			return n, err
		}
		if err := l.Web.FullChecksums(iface); err != nil {
			return n, err
		}
	}
	mac, err := l.Web.MAC("eth0")
	if err != nil {
		return n, err
	}
	l.Name(mac, "(by router)")
	if err := l.Web.Sysctl("net/ipv4/ip_forward", "1"); err != nil {
		return n, err
	}
	if err := n.startServers(ctx, l, newest); err != nil {
		return n, err
	}
	return n, n.startRelay(ctx, l)
}

// startServers starts the two DHCP servers, and pxesidecar with a boot script
// for each segment.
func (n network) startServers(ctx context.Context, l *lab.Lab, newest lab.IPXE) error {
	server, err := l.NewServerHost("pxesidecar")
	if err != nil {
		return err
	}
	dhcp, err := l.NewHost("dhcp")
	if err != nil {
		return err
	}
	if _, err := dhcp.Join(l.LAN, l.LAN.Address(dhcpServer)); err != nil {
		return err
	}
	l.Name(l.LAN.Address(dhcpServer).String(), "dhcpd")
	for host, beyond := range map[*lab.Host][]*lab.Segment{server: {n.workshop, n.branch}, dhcp: {n.branch}} {
		for _, s := range beyond {
			if err := host.IP("route", "add", s.Prefix.String(), "via", l.LAN.Address(router).String()); err != nil {
				return err
			}
		}
	}
	if _, err := l.StartDHCP(ctx, lab.DHCP{Host: dhcp, PingCheck: true, Relayed: map[*lab.Segment]netip.Addr{n.branch: n.branch.Address(router)}}); err != nil {
		return err
	}
	if _, err := l.StartDHCP(ctx, lab.DHCP{Segment: n.workshop, Extra: "option routers " + n.workshop.Address(router).String() + ";"}); err != nil {
		return err
	}
	args := []string{"--ipxe-version", ">=" + newest.Version, "--vlan", "untagged"}
	for script, where := range map[string][]string{
		"workshop": {"--vlan", fmt.Sprintf("id=%d", workshopID)},
		"branch":   {"--segment", "relay=" + n.branch.Prefix.String()},
	} {
		l.Collector.Serve("/"+script+".ipxe", l.Collector.Script(script))
		args = append(args, where[0], where[1]+",boot-url="+l.Collector.URL("/"+script+".ipxe"))
	}
	root := map[string]string{}
	for _, name := range []string{"undionly.kpxe", "snponly.efi"} {
		if root[name], err = newest.File(name); err != nil {
			return err
		}
	}
	_, err = l.StartSidecar(ctx, lab.Sidecar{Host: server, Root: root, Args: args})
	return err
}

// startRelay makes the router relay the branch's requests to the DHCP server
// and to pxesidecar.
func (n network) startRelay(ctx context.Context, l *lab.Lab) error {
	dir, _, err := l.Stock.Package(ctx, lab.Bookworm, "isc-dhcp-relay")
	if err != nil {
		return err
	}
	const upstream, downstream = "eth0", "eth2"
	relay, err := l.Web.Start(lab.Command{Path: filepath.Join(dir, "usr/sbin/dhcrelay"), Args: []string{"-4", "-d", "-a", "-pf", l.Path("dhcrelay.pid"),
		"-iu", upstream, "-id", downstream, l.LAN.Address(dhcpServer).String(), l.SidecarAddress().String()}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, relayLimit, fmt.Errorf("not within %s", relayLimit))
	defer cancel()
	if _, err := relay.Output.Await(ctx, "Sending on", "Socket/fallback"); err != nil {
		return fmt.Errorf("dhcrelay: %w\n%s", err, relay.Output)
	}
	return nil
}
