package export_test

// The three servers: where the program is, and how its configuration includes
// an export, as the comments of the export say.

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// server is a DHCP server that can be started with an export.
type server struct {
	name, format string
	ready        string // the text that it writes when it is ready
	program      func(context.Context) (path string, err error)
	write        func(l *lab.Lab, text string) (config string, err error)
	check        func(config string) []string
	serve        func(l *lab.Lab, config string) []string
	env          func(l *lab.Lab) []string
	coarse       bool // it looks for a feature's number anywhere in option 175
}

// servers returns the servers.
func servers() []server {
	none := func(*lab.Lab) []string { return nil }
	return []server{
		{"dhcpd", "isc", "Server starting service", unpacked(lab.Bookworm, "isc-dhcp-server", "usr/sbin/dhcpd"), writeISC,
			func(config string) []string { return []string{"-4", "-t", "-cf", config} },
			func(l *lab.Lab, config string) []string {
				return []string{"-4", "-f", "-d", "-cf", config, "-lf", l.Path("leases"), "-pf", l.Path("pid"), "eth0"}
			}, none, false},
		{"kea", "kea", "DHCP4_STARTED", unpacked(lab.ThisHost, "kea-dhcp4-server", "usr/sbin/kea-dhcp4"), writeKea,
			func(config string) []string { return []string{"-t", config} },
			func(_ *lab.Lab, config string) []string { return []string{"-c", config} },
			func(l *lab.Lab) []string {
				return []string{"KEA_LOCKFILE_DIR=" + l.Path("run"), "KEA_PIDFILE_DIR=" + l.Path("run")}
			}, false},
		{"dnsmasq", "dnsmasq", "IP range", func(context.Context) (string, error) { return "dnsmasq", nil }, writeDnsmasq,
			func(config string) []string { return []string{"--test", "-C", config} },
			func(_ *lab.Lab, config string) []string { return []string{"-C", config} }, none, true},
	}
}

// unpacked returns the program of a package that is unpacked but not installed:
// installing it would start the program.
func unpacked(suite lab.Suite, name, path string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		dir, _, err := stock.Package(ctx, suite, name)
		return filepath.Join(dir, path), err
	}
}

// writeISC writes the configuration of ISC dhcpd.
func writeISC(l *lab.Lab, text string) (string, error) {
	if _, err := l.Write("leases", ""); err != nil {
		return "", err
	}
	included, err := l.Write("pxesidecar.conf", text)
	if err != nil {
		return "", err
	}
	return l.Write("dhcpd.conf", fmt.Sprintf(`authoritative;
ping-check false;
default-lease-time 600;
include %q;
subnet 10.213.0.0 netmask 255.255.255.0 { range 10.213.0.50 10.213.0.150; }
`, included))
}

// writeKea writes the configuration of Kea.
func writeKea(l *lab.Lab, text string) (string, error) {
	if err := os.MkdirAll(l.Path("run"), 0o755); err != nil {
		return "", err
	}
	included, err := l.Write("pxesidecar.json", text)
	if err != nil {
		return "", err
	}
	return l.Write("kea.json", fmt.Sprintf(`{"Dhcp4": {
"interfaces-config": {"interfaces": ["eth0"]}, "authoritative": true, "valid-lifetime": 600,
"lease-database": {"type": "memfile", "persist": false},
<?include %q?>,
"subnet4": [{"id": 1, "subnet": "10.213.0.0/24", "pools": [{"pool": "10.213.0.50 - 10.213.0.150"}]}],
"loggers": [{"name": "kea-dhcp4", "severity": "INFO", "output_options": [{"output": "stdout"}]}]}}
`, included))
}

// writeDnsmasq writes the configuration of dnsmasq.
func writeDnsmasq(l *lab.Lab, text string) (string, error) {
	included, err := l.Write("pxesidecar.conf", text)
	if err != nil {
		return "", err
	}
	return l.Write("dnsmasq.conf", fmt.Sprintf(`port=0
keep-in-foreground
log-facility=-
log-dhcp
user=root
interface=eth0
bind-interfaces
no-ping
dhcp-authoritative
dhcp-leasefile=%s
pid-file=%s
dhcp-range=10.213.0.50,10.213.0.150,255.255.255.0,600s
conf-file=%s
`, l.Path("leases"), l.Path("pid"), included))
}
