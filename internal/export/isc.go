package export

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// ISC dhcpd: an if/elsif chain for each kind of client. Its expressions compare
// text and match regular expressions, but do not order numbers; a comparison
// with an option that is absent is neither true nor false, not even behind a
// not, so what may be absent is asked for with exists.

// iscLimits are those of ISC dhcpd.
var iscLimits = limits{
	sight: [aspects]sight{ofVersion: exact, ofFeatures: exact, ofLack: exact, ofUserClass: exact,
		ofVendorClass: exact, ofUUID: exact, ofNIC: exact, ofRelay: exact},
	why: [aspects]string{ofInterface: elsewhere, ofVLAN: elsewhere, ofCircuit: "circuits of relays are not exported"},
	fills: func(placeholder string, _ audience) bool {
		_, ok := iscFacts()[placeholder]
		return ok || placeholder == "arch"
	},
	silences: always,
}

// The expressions that name a client's facts.
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
		"Paste this into dhcpd.conf, outside of any subnet, or save it as a file and write there:",
		"\tinclude \"/etc/dhcp/pxesidecar.conf\";",
		"Test it, then restart dhcpd:",
		"\tdhcpd -t -cf /etc/dhcp/dhcpd.conf",
		"Statements nearer to a machine win: remove filename and next-server from your subnets, pools, groups and hosts, "+
			"where they would hide what is decided here. Remove other definitions of option 175 too, such as gpxe-encap-opts: "+
			"with those dhcpd does not find an iPXE's version and features.")
	w.line("# What booting machines tell of themselves. A line that your file has already may stay there twice.")
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
	w.line("    # What runs is an iPXE.")
	w.line("    if %s {", iscIPXE)
	w.iscChain(p, iPXEs)
	w.line("")
	w.line("    # The machine's own firmware, UEFI HTTP boot.")
	w.line("    } elsif %s {", iscHTTP)
	w.iscChain(p, httpFirmware)
	w.line("")
	w.line("    # The machine's own firmware, PXE.")
	w.line("    } else {")
	w.iscChain(p, pxeFirmware)
	w.line("    }")
	w.line("}")
}

// features are those that any step looks at.
func (p *plan) features() proxydhcp.Features {
	var all proxydhcp.Features
	for _, s := range p.steps {
		if x := s.match.IPXE; x != nil && !s.leftOut {
			all |= x.Features | x.Lacks
		}
	}
	return all
}

// iscChain writes the steps for one kind of client. The first branch stands
// for no rule, so that every other can begin with elsif.
func (w *writer) iscChain(p *plan, to audience) {
	const tab = "        "
	open := false
	for _, s := range p.steps {
		if s.to&to == 0 {
			continue
		}
		s.to = to
		w.line("")
		w.title(tab+"#", s)
		if s.leftOut {
			continue
		}
		word := "if"
		if open {
			word = "} elsif"
		}
		open = true
		w.line("%s%s %s {", tab, word, iscCondition(s))
		w.iscAnswer(tab+"    ", s)
	}
	if open {
		w.line("%s}", tab)
	}
}

// iscAnswer writes what a step says.
func (w *writer) iscAnswer(tab string, s step) {
	if s.silence != "" {
		return
	}
	w.line("%snext-server %s;", tab, s.answer.next)
	if s.answer.file.length() <= maxFileField {
		w.line("%sfilename %s;", tab, iscText(s.answer.file))
	} else {
		w.comment(tab+"#", "Too long for the header of a message, so it goes into option 67 (hexadecimal 43), unasked.")
		w.line("%soption bootfile-name = %s;", tab, strings.TrimPrefix(iscText(s.answer.file), "= "))
		w.line("%soption dhcp-parameter-request-list = concat(option dhcp-parameter-request-list, 43);", tab)
	}
	if s.answer.class != "" {
		w.comment(tab+"#", "UEFI takes this for HTTP boot only where option 60 (hexadecimal 3c) says so.")
		w.line("%soption vendor-class-identifier %s;", tab, iscQuote(s.answer.class))
		w.line("%soption dhcp-parameter-request-list = concat(option dhcp-parameter-request-list, 3c);", tab)
	}
}

// iscCondition is whom a step takes, its kind of client aside.
func iscCondition(s step) string {
	var all []string
	all = appendAny(all, "", s.archs.only, iscArch)
	all = appendAny(all, "not ", s.archs.none, iscArch)
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

// appendAny appends the condition that one of some values holds.
func appendAny[T any](all []string, not string, values []T, word func(T) string) []string {
	if len(values) == 0 {
		return all
	}
	var any []string
	for _, v := range values {
		any = append(any, word(v))
	}
	text := strings.Join(any, " or ")
	if len(any) > 1 || not != "" {
		text = not + "(" + text + ")"
	}
	return append(all, text)
}

// iscBuild is what is demanded of an iPXE's build.
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

// iscEach words a condition, in which %s is its name, for each feature.
func iscEach(features proxydhcp.Features, condition, joint string) string {
	var each []string
	for f := range features.All() {
		each = append(each, strings.ReplaceAll(condition, "%s", f.String()))
	}
	return strings.Join(each, joint)
}

// iscTerm compares a version.
func iscTerm(t term) string {
	switch t.op {
	case "=", "!=":
		return fmt.Sprintf("%s %s %s", iscVersion, t.op, iscQuote(t.version.String()))
	}
	return fmt.Sprintf("%s ~= %s", iscVersion, iscQuote(t.pattern()))
}

func iscArch(a proxydhcp.Arch) string {
	return fmt.Sprintf("option arch = %02x:%02x", byte(a>>8), byte(a))
}

// iscMAC compares the beginning of the hardware address, which dhcpd puts its
// type before: 1 is Ethernet.
func iscMAC(m proxydhcp.MACPrefix) string {
	return fmt.Sprintf("substring(hardware, 0, %d) = 01:%s", 1+macLen(m), m)
}

// macLen is how many bytes a prefix has.
func macLen(m proxydhcp.MACPrefix) int { return strings.Count(m.String(), ":") + 1 }

// iscNetwork compares the relay's address with a network.
func iscNetwork(n netip.Prefix) string {
	if n.Bits() == 0 {
		return "not (packet(24, 4) = 00:00:00:00)"
	}
	return fmt.Sprintf("%s ~= %s", iscRelay, iscQuote(networkPattern(n)))
}

// networkPattern is a regular expression for the addresses of a network.
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

// iscFacts are the expressions for placeholders.
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
		// The first three fields are little-endian, behind a byte of type.
		"uuid": iscHex("option machine-id", "-", []int{4, 3, 2, 1}, []int{6, 5}, []int{8, 7}, []int{9, 10}, []int{11, 12, 13, 14, 15, 16}),
	}
}

// iscHex is the expression for bytes of data in hexadecimal, two digits each,
// in groups. binary-to-ascii alone drops leading zeros.
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

// iscText is a boot file name: a string, or the expression that makes it.
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

// iscQuote writes a string of dhcpd.conf, where a backslash escapes.
func iscQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// hexBytes writes bytes in hexadecimal, with a separator between.
func hexBytes(b []byte, separator string) string {
	var parts []string
	for _, x := range b {
		parts = append(parts, fmt.Sprintf("%02x", x))
	}
	return strings.Join(parts, separator)
}
