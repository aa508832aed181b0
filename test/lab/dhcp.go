package lab

// DHCP servers: one description, three real servers.

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// DHCPServer is a kind of server.
type DHCPServer string

// The supported servers.
const (
	ISC     DHCPServer = "dhcpd"
	Kea     DHCPServer = "kea-dhcp4"
	Dnsmasq DHCPServer = "dnsmasq"
)

// DHCP describes a DHCP server. The zero value is ISC dhcpd with a plain pool
// and without boot options.
type DHCP struct {
	Server DHCPServer
	// PingCheck makes the server ping an address before it offers it, which
	// takes about a second. Kea cannot do so.
	PingCheck bool
	// Lease is the duration of leases; 0 means ten minutes.
	Lease time.Duration
	// NextServer, Filename and Class are siaddr, the boot file and option 60 of
	// every answer. Zero values are left out.
	NextServer netip.Addr
	Filename   string
	Class      string
	// Extra is added to the server's own configuration as it is: to dhcpd's
	// subnet block, to dnsmasq's file, or as further members of Kea's subnet
	// (starting with a comma).
	Extra string
	// Relayed are further segments in which dhcpd leases addresses, to clients
	// behind a relay, with the router of each.
	Relayed map[*Segment]netip.Addr
	// Segment is the segment in which it leases addresses; nil means the LAN.
	Segment *Segment
	// Host runs the server. Its first interface is in the segment. Nil means a
	// host "dhcp" of its own.
	Host *Host
}

// serverInterface is the interface that servers of the lab listen on.
const serverInterface = "eth0"

// StartDHCP starts a DHCP server on a segment and waits until it serves.
func (l *Lab) StartDHCP(ctx context.Context, d DHCP) (*Program, error) {
	if d.Server == "" {
		d.Server = ISC
	}
	if d.Lease == 0 {
		d.Lease = 10 * time.Minute
	}
	if d.Segment == nil {
		d.Segment = l.LAN
	}
	if d.Host == nil {
		host, err := l.NewHost("dhcp")
		if err != nil {
			return nil, err
		}
		if _, err := host.Join(d.Segment, d.Segment.Address(dhcpAddress)); err != nil {
			return nil, err
		}
		l.Name(d.Segment.Address(dhcpAddress).String(), string(d.Server))
		d.Host = host
	}
	start := map[DHCPServer]func(context.Context, DHCP) (*Program, string, error){ISC: l.startISC, Kea: l.startKea, Dnsmasq: l.startDnsmasq}[d.Server]
	if start == nil {
		return nil, fmt.Errorf("DHCP server %q: unknown", d.Server)
	}
	p, ready, err := start(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("DHCP server %s: %w", d.Server, err)
	}
	wait, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if _, err := p.Output.Await(wait, ready); err != nil {
		return nil, fmt.Errorf("DHCP server %s: %w\n%s", d.Server, err, p.Output)
	}
	return p, nil
}

// startTimeout bounds the start of a server.
const startTimeout = time.Minute

// pool returns the range of leases on a segment.
func (s *Segment) pool() (first, last netip.Addr) {
	return s.Address(poolStart), s.Address(poolEnd)
}

// netmask returns the segment's mask in dotted form.
func (s *Segment) netmask() string {
	m := ^uint32(0) << (32 - s.Prefix.Bits())
	return netip.AddrFrom4([4]byte{byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)}).String()
}

// startISC starts ISC dhcpd.
func (l *Lab) startISC(ctx context.Context, d DHCP) (*Program, string, error) {
	dir, _, err := l.Stock.Package(ctx, Bookworm, "isc-dhcp-server")
	if err != nil {
		return nil, "", err
	}
	first, last := d.Segment.pool()
	var c strings.Builder
	fmt.Fprintf(&c, "authoritative;\nping-check %t;\n", d.PingCheck)
	fmt.Fprintf(&c, "default-lease-time %.0[1]f;\nmax-lease-time %.0[1]f;\nmin-lease-time 1;\n", d.Lease.Seconds())
	fmt.Fprintf(&c, "subnet %s netmask %s {\n  range %s %s;\n", d.Segment.Prefix.Addr(), d.Segment.netmask(), first, last)
	if d.NextServer.IsValid() {
		fmt.Fprintf(&c, "  next-server %s;\n", d.NextServer)
	}
	if d.Filename != "" {
		fmt.Fprintf(&c, "  filename %q;\n", d.Filename)
	}
	if d.Class != "" {
		fmt.Fprintf(&c, "  option vendor-class-identifier %q;\n", d.Class)
	}
	fmt.Fprintf(&c, "%s\n}\n", d.Extra)
	for s, router := range d.Relayed {
		first, last := s.pool()
		fmt.Fprintf(&c, "subnet %s netmask %s {\n  range %s %s;\n  option routers %s;\n}\n", s.Prefix.Addr(), s.netmask(), first, last, router)
	}
	home := "dhcpd-" + d.Segment.Name
	config, err := l.Write(home+"/dhcpd.conf", c.String())
	if err != nil {
		return nil, "", err
	}
	leases, err := l.Write(home+"/leases", "")
	if err != nil {
		return nil, "", err
	}
	p, err := d.Host.Start(Command{Name: "dhcpd", Path: filepath.Join(dir, "usr/sbin/dhcpd"), Args: []string{
		"-4", "-f", "-d", "-cf", config, "-lf", leases, "-pf", l.Path(home, "pid"), serverInterface}})
	return p, "Server starting service", err
}

// startDnsmasq starts dnsmasq as an ordinary DHCP server.
func (l *Lab) startDnsmasq(_ context.Context, d DHCP) (*Program, string, error) {
	first, last := d.Segment.pool()
	lines := []string{"port=0", "keep-in-foreground", "log-facility=-", "log-dhcp", "user=root", "dhcp-authoritative",
		"interface=" + serverInterface, "bind-interfaces", "dhcp-leasefile=" + l.Path("dnsmasq/leases"), "pid-file=" + l.Path("dnsmasq/pid"),
		fmt.Sprintf("dhcp-range=%s,%s,%s,%.0fs", first, last, d.Segment.netmask(), max(d.Lease, 2*time.Minute).Seconds())}
	if !d.PingCheck {
		lines = append(lines, "no-ping")
	}
	if d.Filename != "" || d.NextServer.IsValid() {
		next := ""
		if d.NextServer.IsValid() {
			next = d.NextServer.String()
		}
		lines = append(lines, fmt.Sprintf("dhcp-boot=%s,,%s", d.Filename, next))
	}
	if d.Class != "" {
		lines = append(lines, "dhcp-option-force=60,"+d.Class)
	}
	config, err := l.Write("dnsmasq/dnsmasq.conf", strings.Join(append(lines, d.Extra), "\n")+"\n")
	if err != nil {
		return nil, "", err
	}
	p, err := d.Host.Start(Command{Path: "dnsmasq", Args: []string{"-C", config}})
	return p, "IP range", err
}

// startKea starts Kea's DHCPv4 server.
func (l *Lab) startKea(ctx context.Context, d DHCP) (*Program, string, error) {
	dir, _, err := l.Stock.Package(ctx, ThisHost, "kea-dhcp4-server")
	if err != nil {
		return nil, "", err
	}
	if d.PingCheck {
		return nil, "", fmt.Errorf("it has no ping check")
	}
	first, last := d.Segment.pool()
	subnet := fmt.Sprintf(`"id": 1, "subnet": %q, "pools": [{"pool": "%s - %s"}]`, d.Segment.Prefix, first, last)
	if d.NextServer.IsValid() {
		subnet += fmt.Sprintf(`, "next-server": %q`, d.NextServer)
	}
	if d.Filename != "" {
		subnet += fmt.Sprintf(`, "boot-file-name": %q`, d.Filename)
	}
	if d.Class != "" {
		subnet += fmt.Sprintf(`, "option-data": [{"name": "vendor-class-identifier", "data": %q, "always-send": true}]`, d.Class)
	}
	text := fmt.Sprintf(`{"Dhcp4": {"interfaces-config": {"interfaces": [%q]}, "authoritative": true, "valid-lifetime": %.0f,
"lease-database": {"type": "memfile", "persist": false}, "subnet4": [{%s%s}],
"loggers": [{"name": "kea-dhcp4", "severity": "INFO", "output_options": [{"output": "stdout"}]}]}}`,
		serverInterface, d.Lease.Seconds(), subnet, d.Extra)
	if !json.Valid([]byte(text)) {
		return nil, "", fmt.Errorf("configuration is not JSON:\n%s", text)
	}
	config, err := l.Write("kea/kea.json", text)
	if err != nil {
		return nil, "", err
	}
	if err := os.MkdirAll(l.Path("kea/run"), 0o755); err != nil {
		return nil, "", err
	}
	run := l.Path("kea/run")
	p, err := d.Host.Start(Command{Path: filepath.Join(dir, "usr/sbin/kea-dhcp4"), Args: []string{"-c", config},
		Env: []string{"KEA_LOCKFILE_DIR=" + run, "KEA_PIDFILE_DIR=" + run}})
	return p, "DHCP4_STARTED", err
}
