package export

// The DHCP server of Windows: policies.
//
// It supports few criteria: vendor class, user class and MAC address, each
// equal to one of some values or to none of them. A machine that matches
// several policies gets the options of all, and if they differ, those of the
// first. No policy can remove an option. So clients that get no boot file are
// excluded from every later policy.

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// windowsLimits are the limits of Windows.
var windowsLimits = limits{
	criteria: [numCriteria]support{
		byVersion:         {unsupported, "Windows cannot look into option 175, where iPXE's version is"},
		byFeatures:        {unsupported, "Windows cannot look into option 175, where iPXE lists its features"},
		byLackingFeatures: {unsupported, "Windows cannot look into option 175, where iPXE lists its features"},
		byUserClass:       {precision: exact},
		byVendorClass:     {unsupported, "Windows has one condition on the vendor class, and the architecture uses it"},
		byUUID:            {unsupported, "Windows cannot match option 97"},
		byNIC:             {unsupported, "Windows cannot look into option 175, where iPXE names the network card"},
		byInterface:       noInterface,
		byVLAN:            noInterface,
		byRelay:           {unsupported, "Windows cannot match a relay's address; create the policies in the scope of that network instead (-ScopeId)"},
		byCircuit:         noCircuit,
	},
	canFill: fillsOnlyFixed,
	canGiveNone: func(s step) bool {
		plain := len(s.archs.only)+len(s.archs.except) == 0 && s.match.IPXE == nil && len(requirementsOf(s.match)) == 0
		return plain && (len(s.match.MACs) == 0 || len(s.match.NotMACs) == 0)
	},
}

// remaining is the set of clients of one kind that no step without an answer
// has taken.
type remaining struct {
	limited bool // only those in only
	only    []proxydhcp.MACPrefix
	except  []proxydhcp.MACPrefix
	none    bool
}

// without returns the clients that remain after a step without an answer.
func (x remaining) without(m proxydhcp.Match) remaining {
	switch {
	case len(m.MACs) > 0:
		x.except = append(slices.Clone(x.except), m.MACs...)
	case len(m.NotMACs) > 0:
		x.only, x.limited = x.within(m.NotMACs), true
	default:
		x.none = true
	}
	return x
}

// within returns the prefixes that remain, or the part of each that remains.
func (x remaining) within(prefixes []proxydhcp.MACPrefix) []proxydhcp.MACPrefix {
	if !x.limited {
		return prefixes
	}
	var common []proxydhcp.MACPrefix
	for _, a := range prefixes {
		for _, b := range x.only {
			longer, shorter := a, b
			if macLen(a) < macLen(b) {
				longer, shorter = b, a
			}
			if strings.HasPrefix(longer.String(), shorter.String()) && !slices.Contains(common, longer) {
				common = append(common, longer)
			}
		}
	}
	return common
}

// commandWriter collects the classes that the policies refer to.
type commandWriter struct {
	plan      *plan
	lines     []string
	known     map[string]bool
	anyIPXE   []string // the names of the user classes of iPXEs
	remaining map[clientKinds]remaining
	order     int
}

// writeWindows writes PowerShell commands.
func writeWindows(w *writer, p *plan) {
	w.header("#", p,
		"Read these commands, then run them in an administrator's PowerShell on the DHCP server (Windows Server 2012 or newer). "+
			"They follow Microsoft's documentation; the tests of pxesidecar do not run them against a Windows server.",
		"They create vendor classes, user classes and policies for the whole server, which precede your other policies. For one scope only, "+
			"add -ScopeId to every Add-DhcpServerv4Policy and Set-DhcpServerv4OptionValue.",
		"Remove options 43, 60, 66 and 67 from the options of the server and of its scopes. If several policies match a machine, "+
			"Windows sends the boot file of the first in the processing order, so the order matters.",
		"To undo this, which you must do before you run it again:",
		"\tGet-DhcpServerv4Policy | Where-Object Name -like 'pxesidecar *' | Remove-DhcpServerv4Policy",
		"\tGet-DhcpServerv4Class | Where-Object Name -like 'pxesidecar *' | Remove-DhcpServerv4Class",
		"An iPXE is recognised by its user class only, which Windows compares as a whole: plain text, as iPXE sends it.")
	c := &commandWriter{plan: p, known: map[string]bool{}, remaining: map[clientKinds]remaining{}}
	c.userClasses()
	var policies writer
	for _, s := range p.steps {
		policies.line("")
		policies.title("#", s)
		switch {
		case s.leftOut:
		case s.silence != "":
			for _, kind := range eachKind {
				if s.clients&kind != 0 {
					c.remaining[kind] = c.remaining[kind].without(s.match)
				}
			}
			policies.comment("#", "The policies below exclude these machines.")
		default:
			c.policy(&policies, s)
		}
	}
	w.line("$ErrorActionPreference = 'Stop'")
	w.line("")
	w.line("# How machines identify themselves.")
	for _, line := range c.lines {
		w.line("%s", line)
	}
	w.Write(policies.Bytes())
}

// class adds a class, unless it exists, and returns its name.
func (c *commandWriter) class(kind, name, data string) string {
	name = "pxesidecar " + name
	if !c.known[name] {
		c.known[name] = true
		c.lines = append(c.lines, fmt.Sprintf("Add-DhcpServerv4Class -Name %s -Type %s -Data %s", psQuote(name), kind, psQuote(data)))
	}
	return name
}

// userClasses adds the user classes of all iPXEs that Windows can recognise:
// iPXE's own user class, and those that the policy matches.
func (c *commandWriter) userClasses() {
	c.anyIPXE = []string{c.class("User", "iPXE", "iPXE")}
	for _, s := range c.plan.steps {
		if x := s.match.IPXE; x != nil && !s.leftOut && x.UserClass != "" {
			if name := c.userClass(x.UserClass); !slices.Contains(c.anyIPXE, name) {
				c.anyIPXE = append(c.anyIPXE, name)
			}
		}
	}
}

// userClass adds the user class with a text, and returns its name.
func (c *commandWriter) userClass(class string) string {
	if class == "iPXE" {
		return "pxesidecar iPXE"
	}
	return c.class("User", fmt.Sprintf("user class %x", class), class)
}

// policy writes the policy of a step and its answer.
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

// optionDefinition adds a definition of option 60, unless it exists. Windows
// has none.
func (c *commandWriter) optionDefinition() {
	const line = "if (-not (Get-DhcpServerv4OptionDefinition -OptionId 60 -ErrorAction SilentlyContinue)) {\n" +
		"    Add-DhcpServerv4OptionDefinition -OptionId 60 -Name 'Vendor class identifier' -Type String\n}"
	if !c.known[line] {
		c.known[line] = true
		c.lines = append(c.lines, line)
	}
}

// conditions returns the conditions of a step. It is not ok if no client
// remains for it.
func (c *commandWriter) conditions(s step) (conditions string, ok bool) {
	x := c.remaining[s.clients]
	if x.none {
		return "", false
	}
	add := func(criterion string, equal, not []string) {
		var operands []string
		if len(equal) > 0 {
			operands = append(append(operands, "EQ"), equal...)
		}
		if len(not) > 0 {
			operands = append(append(operands, "NE"), not...)
		}
		if len(operands) > 0 {
			conditions += " -" + criterion + " " + strings.Join(operands, ",")
		}
	}
	switch build := s.match.IPXE; {
	case s.clients != iPXEs:
		add("UserClass", nil, render(c.anyIPXE, psQuote))
	case build != nil && build.UserClass != "":
		add("UserClass", []string{psQuote(c.userClass(build.UserClass))}, nil)
	default:
		add("UserClass", render(c.anyIPXE, psQuote), nil)
	}
	add("VendorClass", c.vendorClasses(s), c.notVendorClasses(s))
	only, except := x.only, append(slices.Clone(x.except), s.match.NotMACs...)
	if len(s.match.MACs) > 0 {
		only = x.within(s.match.MACs)
	}
	if len(only) == 0 && (x.limited || len(s.match.MACs) > 0) {
		return "", false
	}
	add("MacAddress", render(only, psMAC), render(except, psMAC))
	return conditions, true
}

// vendorClasses returns the conditions on the kind of firmware and its
// architecture. An iPXE of any architecture has none.
func (c *commandWriter) vendorClasses(s step) []string {
	if len(s.archs.only) > 0 {
		return render(s.archs.only, func(a proxydhcp.Arch) string { return c.vendorClass(s.clients, fmt.Sprintf(":Arch:%05d", uint16(a))) })
	}
	if s.clients == iPXEs {
		return nil
	}
	return []string{c.vendorClass(s.clients, "")}
}

// notVendorClasses returns the conditions on vendor classes that a step does
// not take.
func (c *commandWriter) notVendorClasses(s step) []string {
	return render(s.archs.except, func(a proxydhcp.Arch) string { return c.vendorClass(s.clients, fmt.Sprintf(":Arch:%05d", uint16(a))) })
}

// vendorClass adds the class of clients whose option 60 begins with the vendor
// class of their kind and a suffix, and returns the condition on it.
func (c *commandWriter) vendorClass(kind clientKinds, suffix string) string {
	name := strings.TrimSuffix(kind.vendorClass(), "Client")
	if number, ok := strings.CutPrefix(suffix, ":Arch:"); ok {
		name += " architecture " + number
	} else {
		name += " of any architecture"
	}
	return psQuote(c.class("Vendor", name, kind.vendorClass()+suffix) + "*")
}

// psMAC returns the value of a condition on the MAC address.
func psMAC(m proxydhcp.MACPrefix) string {
	text := strings.ToUpper(strings.ReplaceAll(m.String(), ":", ""))
	if macLen(m) < 6 {
		text += "*"
	}
	return psQuote(text)
}

// psQuote returns a PowerShell string in which nothing is expanded. PowerShell
// treats four typographic quotes like the plain one. Inside a string each must
// be doubled.
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
