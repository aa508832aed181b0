package export

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// The DHCP server of Windows: policies. It looks at a few criteria: vendor
// class, user class and MAC address, each equal to one of some values or to
// none of them. A machine that several policies take gets the options of all,
// and where they differ those of the first; and no policy takes an option
// away. So who gets nothing is excepted from every policy behind.

// windowsLimits are those of Windows.
var windowsLimits = limits{
	sight: [aspects]sight{ofUserClass: exact},
	why: [aspects]string{
		ofVersion:     "Windows cannot look into option 175, where iPXE's version is",
		ofFeatures:    "Windows cannot look into option 175, where iPXE lists its features",
		ofLack:        "Windows cannot look into option 175, where iPXE lists its features",
		ofVendorClass: "Windows has one condition on the vendor class, and the architecture takes it",
		ofUUID:        "Windows cannot look at option 97",
		ofNIC:         "Windows cannot look into option 175, where iPXE names the network card",
		ofInterface:   elsewhere,
		ofVLAN:        elsewhere,
		ofCircuit:     "circuits of relays are not exported",
		ofRelay:       "Windows cannot look at a relay's address; make the policies in the scope of that network instead (-ScopeId)",
	},
	fills: staticFills,
	silences: func(s step) bool {
		plain := len(s.archs.only)+len(s.archs.none) == 0 && s.match.IPXE == nil && len(demandsOf(s.match)) == 0
		return plain && (len(s.match.MACs) == 0 || len(s.match.NotMACs) == 0)
	},
}

// excluded is who of a kind of clients was told nothing by the steps so far.
type excluded struct {
	chosen  bool // only machines of only are left
	only    []proxydhcp.MACPrefix
	not     []proxydhcp.MACPrefix
	nothing bool // nobody is left
}

// but returns who is left when a step has told its machines nothing.
func (x excluded) but(m proxydhcp.Match) excluded {
	switch {
	case len(m.MACs) > 0:
		x.not = append(slices.Clone(x.not), m.MACs...)
	case len(m.NotMACs) > 0:
		x.only, x.chosen = x.among(m.NotMACs), true
	default:
		x.nothing = true
	}
	return x
}

// among returns those of some prefixes that are left, narrowed where only part
// of one is.
func (x excluded) among(prefixes []proxydhcp.MACPrefix) []proxydhcp.MACPrefix {
	if !x.chosen {
		return prefixes
	}
	var left []proxydhcp.MACPrefix
	for _, a := range prefixes {
		for _, b := range x.only {
			longer, shorter := a, b
			if macLen(a) < macLen(b) {
				longer, shorter = b, a
			}
			if strings.HasPrefix(longer.String(), shorter.String()) && !slices.Contains(left, longer) {
				left = append(left, longer)
			}
		}
	}
	return left
}

// commandWriter gathers the classes that the policies refer to.
type commandWriter struct {
	plan     *plan
	lines    []string
	known    map[string]bool
	anyIPXE  []string // the names of the user classes of iPXEs
	excluded map[audience]excluded
	order    int
}

// writeWindows writes commands of PowerShell.
func writeWindows(w *writer, p *plan) {
	w.header("#", p,
		"These are commands to read and then run, in a PowerShell of an administrator on the DHCP server (Windows Server 2012 or newer). "+
			"They follow Microsoft's documentation; the tests of pxesidecar do not run them against a Windows server.",
		"They make vendor and user classes and policies of the whole server, before your other ones. For one scope only, add -ScopeId to every "+
			"Add-DhcpServerv4Policy and Set-DhcpServerv4OptionValue.",
		"Remove options 43, 60, 66 and 67 from the server's and the scopes' own options. Windows sends a machine the boot file of each policy "+
			"that takes it, and where two do, that of the first in their order; so the order matters.",
		"To undo it, as you must before you run it again:",
		"\tGet-DhcpServerv4Policy | Where-Object Name -like 'pxesidecar *' | Remove-DhcpServerv4Policy",
		"\tGet-DhcpServerv4Class | Where-Object Name -like 'pxesidecar *' | Remove-DhcpServerv4Class",
		"An iPXE is known by its user class alone, which Windows compares whole: bare text, as iPXE sends it.")
	c := &commandWriter{plan: p, known: map[string]bool{}, excluded: map[audience]excluded{}}
	c.userClasses()
	var policies writer
	for _, s := range p.steps {
		policies.line("")
		policies.title("#", s)
		switch {
		case s.leftOut:
		case s.silence != "":
			for _, kind := range kinds {
				if s.to&kind != 0 {
					c.excluded[kind] = c.excluded[kind].but(s.match)
				}
			}
			policies.comment("#", "The policies below except these machines.")
		default:
			c.policy(&policies, s)
		}
	}
	w.line("$ErrorActionPreference = 'Stop'")
	w.line("")
	w.line("# What machines say that they are.")
	for _, line := range c.lines {
		w.line("%s", line)
	}
	w.Write(policies.Bytes())
}

// class makes sure that a class exists, and returns its name.
func (c *commandWriter) class(kind, name, data string) string {
	name = "pxesidecar " + name
	if !c.known[name] {
		c.known[name] = true
		c.lines = append(c.lines, fmt.Sprintf("Add-DhcpServerv4Class -Name %s -Type %s -Data %s", psQuote(name), kind, psQuote(data)))
	}
	return name
}

// userClasses makes the classes of every iPXE that Windows can know for one:
// those with iPXE's own user class, and with the markers of the policy.
func (c *commandWriter) userClasses() {
	c.anyIPXE = []string{c.class("User", "iPXE", "iPXE")}
	for _, s := range c.plan.steps {
		if x := s.match.IPXE; x != nil && !s.leftOut && x.UserClass != "" {
			if name := c.marker(x.UserClass); !slices.Contains(c.anyIPXE, name) {
				c.anyIPXE = append(c.anyIPXE, name)
			}
		}
	}
}

// marker is the user class with some text.
func (c *commandWriter) marker(class string) string {
	if class == "iPXE" {
		return "pxesidecar iPXE"
	}
	return c.class("User", fmt.Sprintf("user class %x", class), class)
}

// policy writes the policy of a step and what it says.
func (c *commandWriter) policy(w *writer, s step) {
	conditions, ok := c.conditions(s)
	if !ok {
		w.comment("#", "The rules above leave no machine for this one.")
		return
	}
	c.order++
	name := psQuote("pxesidecar " + s.id())
	w.line("Add-DhcpServerv4Policy -Name %s -ProcessingOrder %d -Condition AND%s", name, c.order, conditions)
	set := func(option int, value string) {
		w.line("Set-DhcpServerv4OptionValue -PolicyName %s -OptionId %d -Value %s", name, option, psQuote(value))
	}
	if s.answer.class != "" {
		c.optionDefinition()
		set(60, s.answer.class)
	}
	set(66, s.answer.next.String())
	set(67, s.answer.file.static())
}

// optionDefinition makes sure that option 60, which Windows does not know by
// itself, can be set.
func (c *commandWriter) optionDefinition() {
	const line = "if (-not (Get-DhcpServerv4OptionDefinition -OptionId 60 -ErrorAction SilentlyContinue)) {\n" +
		"    Add-DhcpServerv4OptionDefinition -OptionId 60 -Name 'Vendor class identifier' -Type String\n}"
	if !c.known[line] {
		c.known[line] = true
		c.lines = append(c.lines, line)
	}
}

// conditions are whom a step takes; not ok where that is nobody.
func (c *commandWriter) conditions(s step) (conditions string, ok bool) {
	x := c.excluded[s.to]
	if x.nothing {
		return "", false
	}
	add := func(criterion string, equal, not []string) {
		var words []string
		if len(equal) > 0 {
			words = append(append(words, "EQ"), equal...)
		}
		if len(not) > 0 {
			words = append(append(words, "NE"), not...)
		}
		if len(words) > 0 {
			conditions += " -" + criterion + " " + strings.Join(words, ",")
		}
	}
	switch build := s.match.IPXE; {
	case s.to != iPXEs:
		add("UserClass", nil, texts(c.anyIPXE, psQuote))
	case build != nil && build.UserClass != "":
		add("UserClass", []string{psQuote(c.marker(build.UserClass))}, nil)
	default:
		add("UserClass", texts(c.anyIPXE, psQuote), nil)
	}
	add("VendorClass", c.vendorClasses(s), c.notVendorClasses(s))
	only, not := x.only, append(slices.Clone(x.not), s.match.NotMACs...)
	if len(s.match.MACs) > 0 {
		only = x.among(s.match.MACs)
	}
	if len(only) == 0 && (x.chosen || len(s.match.MACs) > 0) {
		return "", false
	}
	add("MacAddress", texts(only, psMAC), texts(not, psMAC))
	return conditions, true
}

// vendorClasses are the conditions on the kind of firmware and its
// architecture. An iPXE of any architecture needs none.
func (c *commandWriter) vendorClasses(s step) []string {
	if len(s.archs.only) > 0 {
		return texts(s.archs.only, func(a proxydhcp.Arch) string { return c.vendorClass(s.to, fmt.Sprintf(":Arch:%05d", uint16(a))) })
	}
	if s.to == iPXEs {
		return nil
	}
	return []string{c.vendorClass(s.to, "")}
}

// notVendorClasses are those that a step does not take.
func (c *commandWriter) notVendorClasses(s step) []string {
	return texts(s.archs.none, func(a proxydhcp.Arch) string { return c.vendorClass(s.to, fmt.Sprintf(":Arch:%05d", uint16(a))) })
}

// vendorClass is the condition on one beginning of option 60; an iPXE's is that
// of PXE firmware.
func (c *commandWriter) vendorClass(to audience, rest string) string {
	name := strings.TrimSuffix(to.vendorClass(), "Client")
	if number, ok := strings.CutPrefix(rest, ":Arch:"); ok {
		name += " architecture " + number
	} else {
		name += " of any architecture"
	}
	return psQuote(c.class("Vendor", name, to.vendorClass()+rest) + "*")
}

// psMAC is a condition on the MAC address.
func psMAC(m proxydhcp.MACPrefix) string {
	text := strings.ToUpper(strings.ReplaceAll(m.String(), ":", ""))
	if macLen(m) < 6 {
		text += "*"
	}
	return psQuote(text)
}

// psQuote writes a string of PowerShell that nothing is expanded in. PowerShell
// takes four typographic quotes for the plain one, and each is itself when
// doubled.
func psQuote(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune("'‘’‚‛", r) {
			b.WriteRune(r)
		}
		b.WriteRune(r)
	}
	return "'" + b.String() + "'"
}
