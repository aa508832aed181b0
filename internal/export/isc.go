package export

// ISC dhcpd: an if/elsif chain for each kind of client.
//
// Its expressions compare text and match regular expressions, but do not order
// numbers. A comparison with an absent option is neither true nor false, not
// even after "not", so options that may be absent are checked with exists.

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// iscLimits are the limits of ISC dhcpd.
var iscLimits = limits{
	criteria: byExpressions,
	canFill: func(placeholder string, _ clientKinds) bool {
		_, ok := iscFacts()[placeholder]
		return ok || placeholder == "arch"
	},
	canGiveNone: always,
}

// The expressions for facts about a client.
const (
	iscVendorClass = "option vendor-class-identifier"
	iscPXE         = `substring(` + iscVendorClass + `, 0, 9) = "PXEClient"`
	iscHTTP        = `substring(` + iscVendorClass + `, 0, 10) = "HTTPClient"`
	iscIPXE        = `exists ipxe-encap-opts or (exists user-class and option user-class ~= "iPXE")`
	iscVersion     = `binary-to-ascii(10, 8, ".", option ipxe.version)`
	iscRelay       = `binary-to-ascii(10, 8, ".", packet(24, 4))` // giaddr
)

// writeISC writes statements of dhcpd.conf.
func writeISC(w *writer, p *plan) {
	w.header("#", p,
		"Paste this into dhcpd.conf, outside any subnet, or save it as a file and include it there:",
		"\tinclude \"/etc/dhcp/pxesidecar.conf\";",
		"Test it, then restart dhcpd:",
		"\tdhcpd -t -cf /etc/dhcp/dhcpd.conf",
		"Statements of the innermost scope have priority. Remove filename and next-server from your subnets, pools, groups and hosts: "+
			"there they would override what is decided here. Also remove other definitions of option 175, such as gpxe-encap-opts: "+
			"with them dhcpd does not find an iPXE's version and features.")
	w.comment("#", "How booting machines identify themselves. If your file already has some of these lines, they may appear twice.")
	w.line("option arch code 93 = unsigned integer 16;")
	w.line("option machine-id code 97 = string;")
	w.line("option space ipxe;")
	w.line("option ipxe-encap-opts code 175 = encapsulate ipxe;")
	w.line("option ipxe.version code 235 = string;")
	w.line("option ipxe.bus-id code 177 = string;")
	for f := range p.features().All() {
		w.line("option ipxe.%s code %d = unsigned integer 8;", f, f)
	}
	w.line("")
	w.line("if %s or %s {", iscPXE, iscHTTP)
	w.line("")
	w.line("    # iPXE.")
	w.line("    if %s {", iscIPXE)
	w.iscChain(p, iPXEs)
	w.line("")
	w.line("    # Firmware that boots by UEFI HTTP boot.")
	w.line("    } elsif %s {", iscHTTP)
	w.iscChain(p, httpFirmware)
	w.line("")
	w.line("    # Firmware that boots by PXE.")
	w.line("    } else {")
	w.iscChain(p, pxeFirmware)
	w.line("    }")
	w.line("}")
}

// iscChain writes the steps for one kind of client.
func (w *writer) iscChain(p *plan, kind clientKinds) {
	const tab = "        "
	open := false
	for _, s := range p.steps {
		if s.clients&kind == 0 {
			continue
		}
		s.clients = kind
		w.line("")
		w.title(tab+"#", s)
		if s.leftOut {
			continue
		}
		keyword := "if"
		if open {
			keyword = "} elsif"
		}
		open = true
		w.line("%s%s %s {", tab, keyword, iscCondition(s))
		w.iscAnswer(tab+"    ", s)
	}
	if open {
		w.line("%s}", tab)
	}
}

// iscAnswer writes the answer of a step.
func (w *writer) iscAnswer(tab string, s step) {
	if s.silence != "" {
		return
	}
	w.line("%snext-server %s;", tab, s.answer.next)
	if s.answer.file.length() <= maxFileField {
		w.line("%sfilename %s;", tab, iscText(s.answer.file))
	} else {
		w.comment(tab+"#", "This name is too long for the header of a message. It is always sent in option 67 (hexadecimal 43), even if not requested.")
		w.line("%soption bootfile-name = %s;", tab, strings.TrimPrefix(iscText(s.answer.file), "= "))
		w.line("%soption dhcp-parameter-request-list = concat(option dhcp-parameter-request-list, 43);", tab)
	}
	if s.answer.class != "" {
		w.comment(tab+"#", "UEFI accepts an answer for HTTP boot only if option 60 (hexadecimal 3c) is HTTPClient.")
		w.line("%soption vendor-class-identifier %s;", tab, iscQuote(s.answer.class))
		w.line("%soption dhcp-parameter-request-list = concat(option dhcp-parameter-request-list, 3c);", tab)
	}
}

// iscCondition returns the condition of a step, without the kind of client.
func iscCondition(s step) string {
	var all []string
	all = appendAny(all, "", s.archs.only, iscArch)
	all = appendAny(all, "not ", s.archs.except, iscArch)
	all = appendAny(all, "", s.match.MACs, iscMAC)
	all = appendAny(all, "not ", s.match.NotMACs, iscMAC)
	all = appendAny(all, "", s.match.Relays, iscNetwork)
	if c := s.match.VendorClass; c != "" {
		all = append(all, fmt.Sprintf("substring(%s, 0, %d) = %s", iscVendorClass, len(c), iscQuote(c)))
	}
	all = appendAny(all, "", s.match.UUIDs, func(u proxydhcp.UUID) string { return "option machine-id = 00:" + hexBytes(u[:], ":") })
	all = appendAny(all, "", s.match.NICs, func(id proxydhcp.PCIID) string {
		return "option ipxe.bus-id = 01:" + hexBytes([]byte{byte(id.Vendor >> 8), byte(id.Vendor), byte(id.Device >> 8), byte(id.Device)}, ":")
	})
	if x := s.match.IPXE; x != nil {
		all = append(all, iscBuild(x)...)
	}
	if len(all) == 0 {
		return "exists dhcp-message-type" // everybody
	}
	return strings.Join(all, "\n            and ")
}

// iscBuild returns the conditions on an iPXE's build.
func iscBuild(x *proxydhcp.IPXEMatch) []string {
	var all []string
	for _, t := range termsOf(x.Version) {
		all = append(all, "exists ipxe.version and "+iscTerm(t))
	}
	if x.Features != 0 {
		has := iscEach(x.Features, "exists ipxe.%s and not (option ipxe.%s = 00)", " and ")
		all = append(all, "(not exists ipxe-encap-opts or ("+has+"))")
	}
	if x.Lacks != 0 {
		lacks := iscEach(x.Lacks, "not exists ipxe.%s or option ipxe.%s = 00", " or ")
		all = append(all, "exists ipxe-encap-opts and ("+lacks+")")
	}
	if c := x.UserClass; c != "" {
		all = append(all, fmt.Sprintf("exists user-class and (option user-class = %s or option user-class = concat(%02x, %s))", iscQuote(c), len(c), iscQuote(c)))
	}
	return all
}

// iscEach returns a condition for each feature, joined by an operator. In the
// condition, %s is the name of the feature.
func iscEach(features proxydhcp.Features, condition, operator string) string {
	var each []string
	for f := range features.All() {
		each = append(each, strings.ReplaceAll(condition, "%s", f.String()))
	}
	return strings.Join(each, operator)
}

// iscTerm returns the condition that an iPXE's version matches a term.
func iscTerm(t term) string {
	switch t.op {
	case "=", "!=":
		return fmt.Sprintf("%s %s %s", iscVersion, t.op, iscQuote(t.version.String()))
	}
	return fmt.Sprintf("%s ~= %s", iscVersion, iscQuote(t.pattern()))
}

// iscArch returns the condition that a client has an architecture type.
func iscArch(a proxydhcp.Arch) string {
	return fmt.Sprintf("option arch = %02x:%02x", byte(a>>8), byte(a))
}

// iscMAC returns the condition that a MAC address has a prefix. In dhcpd the
// address follows its type: 1 is Ethernet.
func iscMAC(m proxydhcp.MACPrefix) string {
	return fmt.Sprintf("substring(hardware, 0, %d) = 01:%s", 1+macLen(m), m)
}

// iscNetwork returns the condition that the relay's address is in a network.
func iscNetwork(n netip.Prefix) string {
	if n.Bits() == 0 {
		return "not (packet(24, 4) = 00:00:00:00)"
	}
	return fmt.Sprintf("%s ~= %s", iscRelay, iscQuote(networkPattern(n)))
}

// networkPattern returns a regular expression for the addresses of a network.
func networkPattern(n netip.Prefix) string {
	b := n.Masked().Addr().As4()
	pattern := "^"
	for i, bits := 0, n.Bits(); i < len(b) && bits > 0; i, bits = i+1, bits-8 {
		span := 0
		if bits < 8 {
			span = 1<<(8-bits) - 1
		}
		pattern += decimals(int(b[i]), int(b[i])+span)
		if i < len(b)-1 {
			pattern += `\.`
		}
	}
	if n.Bits() > 24 {
		pattern += "$"
	}
	return pattern
}

// iscFacts returns the expressions for placeholders.
func iscFacts() map[string]string {
	hw := func(separator string) string {
		return iscHex("hardware", separator, []int{1}, []int{2}, []int{3}, []int{4}, []int{5}, []int{6})
	}
	return map[string]string{
		"mac":          hw(":"),
		"mac-hyphen":   hw("-"),
		"mac-plain":    hw(""),
		"arch-number":  "binary-to-ascii(10, 16, \"\", option arch)",
		"ipxe-version": iscVersion,
		// The first byte is a type; the next three fields are
		// little-endian.
		"uuid": iscHex("option machine-id", "-", []int{4, 3, 2, 1}, []int{6, 5}, []int{8, 7}, []int{9, 10}, []int{11, 12, 13, 14, 15, 16}),
	}
}

// iscHex returns the expression for bytes of data in hexadecimal, two digits
// each, in groups. binary-to-ascii alone omits leading zeros.
func iscHex(data, separator string, groups ...[]int) string {
	var parts []string
	for i, group := range groups {
		if i > 0 && separator != "" {
			parts = append(parts, iscQuote(separator))
		}
		for _, at := range group {
			parts = append(parts, fmt.Sprintf(`suffix(concat("0", binary-to-ascii(16, 8, "", substring(%s, %d, 1))), 2)`, data, at))
		}
	}
	return strings.Join(parts, ", ")
}

// iscText returns a boot file name: a string, or the expression that makes it.
func iscText(t text) string {
	if len(t) == 1 && t[0].key == "" {
		return iscQuote(t[0].plain)
	}
	var parts []string
	facts := iscFacts()
	for _, p := range t {
		if p.key == "" {
			parts = append(parts, iscQuote(p.plain))
		} else {
			parts = append(parts, facts[p.key])
		}
	}
	return "= concat(" + strings.Join(parts, ", ") + ")"
}

// iscQuote returns a string of dhcpd.conf, in which a backslash escapes.
func iscQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
