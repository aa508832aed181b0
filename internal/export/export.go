// Package export writes a policy in the configuration language of a DHCP
// server, for people who run one and can change it: ISC dhcpd, Kea, dnsmasq and
// the DHCP server of Windows.
//
//	Policy -> steps -> text
//	          (plan)   (one file per server)
//
// A step is one branch of "the first match decides": which clients it takes,
// and their answer. A rule with different answers for different clients becomes
// several steps. The answer of a step is composed by proxydhcp, so it is the
// answer of pxesidecar.
//
// No server supports everything that a rule can match. What it does not support
// is explained in a comment, and the rule is widened or left out, so that no
// iPXE loads a ROM in a loop: if in doubt, an iPXE gets the script.
package export

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Facts are what an export needs besides the policy.
type Facts struct {
	Server   netip.Addr // the IPv4 address of the host that has the boot files
	HTTPPort uint16     // the TCP port where it also serves them by HTTP, 0 for none
	Source   string     // the source of the policy, for the comments; may be empty
	Program  string     // the program that writes this, such as "pxesidecar 1.2"; may be empty
}

// target is a DHCP server that a policy can be exported to.
type target struct {
	name    string
	product string
	limits  limits
	write   func(*writer, *plan)
}

// targets returns the servers, in the order of Formats.
func targets() []target {
	return []target{
		{"isc", "ISC dhcpd", iscLimits, writeISC},
		{"kea", "Kea", keaLimits, writeKea},
		{"dnsmasq", "dnsmasq", dnsmasqLimits, writeDnsmasq},
		{"windows", "Windows DHCP Server", windowsLimits, writeWindows},
	}
}

// Formats returns the formats of Write: the names of the servers.
func Formats() []string {
	var names []string
	for _, t := range targets() {
		names = append(names, t.name)
	}
	return names
}

// Write writes the policy in the format of a server. If the policy cannot be
// exported, it returns an error and writes nothing.
func Write(format string, w io.Writer, p *proxydhcp.Policy, f Facts) error {
	for _, t := range targets() {
		if t.name == format {
			return t.export(w, p, f)
		}
	}
	return fmt.Errorf("unknown format %q: one of %s", format, strings.Join(Formats(), ", "))
}

// export writes the policy for the target.
func (t target) export(w io.Writer, p *proxydhcp.Policy, f Facts) error {
	if !f.Server.Is4() || f.Server.IsUnspecified() {
		return errors.New("export: the address of the server that has the boot files is not known: name one IPv4 address")
	}
	plan, err := makePlan(p, f, t)
	if err != nil {
		return fmt.Errorf("export for %s: %w", t.product, err)
	}
	var out writer
	t.write(&out, plan)
	_, err = w.Write(out.Bytes())
	return err
}
