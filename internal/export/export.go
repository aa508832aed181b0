// Package export words a policy in the configuration language of a DHCP
// server, for people who run one and can change it: ISC dhcpd, Kea, dnsmasq and
// the DHCP server of Windows.
//
//	Policy -> steps -> text
//	          (plan)   (one file per server)
//
// A step is one branch of the chain "first match wins": who, and what they are
// told. Rules that word different answers for different clients become several
// steps. What is said in a step is composed by proxydhcp itself, so that it is
// what pxesidecar would answer.
//
// No server can say everything. What it cannot look at is said in a comment at
// its place, and the rule is widened or left out such that no iPXE loads a ROM
// again and again: in doubt an iPXE gets the script.
package export

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Facts are what an export needs beside the policy.
type Facts struct {
	Server   netip.Addr // the IPv4 address of the host that has the boot files
	HTTPPort uint16     // the TCP port on which it serves them by HTTP too, 0 for none
	Source   string     // where the policy comes from, for the comments; may be empty
	Program  string     // who writes this, such as "pxesidecar 1.2"; may be empty
}

// target is a DHCP server that a policy can be worded for.
type target struct {
	name    string
	product string
	limits  limits
	write   func(*writer, *plan)
}

// targets are the servers there are, in the order of Formats.
func targets() []target {
	return []target{
		{"isc", "ISC dhcpd", iscLimits, writeISC},
		{"kea", "Kea", keaLimits, writeKea},
		{"dnsmasq", "dnsmasq", dnsmasqLimits, writeDnsmasq},
		{"windows", "Windows DHCP Server", windowsLimits, writeWindows},
	}
}

// Formats are the names that Write takes.
func Formats() []string {
	var names []string
	for _, t := range targets() {
		names = append(names, t.name)
	}
	return names
}

// Write words the policy for the server that format names. Nothing is written
// where it returns an error of its own.
func Write(format string, w io.Writer, p *proxydhcp.Policy, f Facts) error {
	for _, t := range targets() {
		if t.name == format {
			return t.export(w, p, f)
		}
	}
	return fmt.Errorf("unknown format %q: one of %s", format, strings.Join(Formats(), ", "))
}

// ISC words the policy for ISC dhcpd, as statements of dhcpd.conf.
func ISC(w io.Writer, p *proxydhcp.Policy, f Facts) error { return Write("isc", w, p, f) }

// Kea words the policy for Kea's DHCPv4 server, as members of "Dhcp4".
func Kea(w io.Writer, p *proxydhcp.Policy, f Facts) error { return Write("kea", w, p, f) }

// Dnsmasq words the policy for dnsmasq, as a configuration file.
func Dnsmasq(w io.Writer, p *proxydhcp.Policy, f Facts) error { return Write("dnsmasq", w, p, f) }

// Windows words the policy for the DHCP server of Windows, as commands of
// PowerShell.
func Windows(w io.Writer, p *proxydhcp.Policy, f Facts) error { return Write("windows", w, p, f) }

// export plans and writes.
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

// writer collects the lines of an export.
type writer struct{ bytes.Buffer }

// line writes one line.
func (w *writer) line(format string, args ...any) {
	fmt.Fprintf(&w.Buffer, format+"\n", args...)
}

// comment writes text behind a comment mark, wrapped into lines.
func (w *writer) comment(mark, text string) {
	const width = 100
	line := mark
	for word := range strings.FieldsSeq(printable(text)) {
		if len(line)+1+len(word) > width && line != mark {
			w.line("%s", line)
			line = mark
		}
		line += " " + word
	}
	w.line("%s", line)
}

// printable replaces control characters, so that a comment ends where its line
// does.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, s)
}

// header writes what every export begins with: where it comes from, where it
// goes, and what does not come along. A line of where that begins with a tab is
// one to type, and stands as it is.
func (w *writer) header(mark string, p *plan, where ...string) {
	program, source := p.facts.Program, p.facts.Source
	if program == "" {
		program = "pxesidecar"
	}
	if source != "" {
		source = " out of " + source
	}
	w.comment(mark, fmt.Sprintf("Network boot for %s, written by %s%s.", p.target.product, program, source))
	w.line("%s", mark)
	for _, text := range where {
		if strings.HasPrefix(text, "\t") {
			w.line("%s    %s", mark, text[1:])
			continue
		}
		w.comment(mark, text)
	}
	w.line("%s", mark)
	w.comment(mark, fmt.Sprintf("The boot files stay where they are: %s goes on serving them by TFTP%s.", p.facts.Server, p.httpWords()))
	w.comment(mark, "The first rule that takes a machine decides, as in pxesidecar. What does not come along is its guard against loops: "+
		"every ROM that is handed out here must itself be an iPXE that the script's rule takes, or the machine loads it again and again.")
	if slices.ContainsFunc(p.steps, func(s step) bool { return s.leftOut || len(s.notes) > 0 }) {
		w.comment(mark, "Look for NOTE and LEFT OUT below: there this says something else than the policy.")
	}
	w.line("")
}

// httpWords says where HTTP is served.
func (p *plan) httpWords() string {
	if p.facts.HTTPPort == 0 {
		return ""
	}
	return fmt.Sprintf(", and by HTTP on port %d", p.facts.HTTPPort)
}

// remarks say what a step is for: its rule, whom it takes, and what about it is
// not as in the policy.
func (s step) remarks() []string {
	texts := append([]string{fmt.Sprintf("Rule %q: %s.", s.rule, s.words())}, s.notes...)
	if s.silence != "" {
		texts = append(texts, "No boot file: "+s.silence+".")
	}
	return texts
}

// title writes the remarks of a step.
func (w *writer) title(mark string, s step) {
	for _, text := range s.remarks() {
		w.comment(mark, text)
	}
}
