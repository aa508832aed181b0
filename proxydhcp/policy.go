package proxydhcp

import "net/netip"

// Policy decides what booting clients get: an ordered list of rules of which
// the first match wins, like the if/elsif chain of a dhcpd.conf. It is
// immutable; a new one replaces it whole. Its zero value answers nobody.
type Policy struct {
	Rules []Rule

	// Relays are the networks of relays that are answered beside those of
	// ResponderConfig.Allow.
	Relays []netip.Prefix

	// Shims are those of the ROMs that are shims. A shim asks for its second
	// stage where the DHCP server's answer sends it.
	Shims []string
}

// Rule is one branch of a policy.
type Rule struct {
	Name    string // shown in logs
	Match   Match
	Outcome Outcome
}

// OutcomeKind is the kind of thing that a rule gives.
type OutcomeKind uint8

// The kinds of outcome.
const (
	Ignore     OutcomeKind = iota // silence
	BootROM                       // the ROM for the client's platform
	BootScript                    // the boot script; ends an iPXE's upgrade
	BootFile                      // a file of the rule's own

	// LocalDisk gives an iPXE a script that boots the local disk, and PXE
	// firmware a menu that ends its network boot. Others get no answer, and go
	// on to their next boot device.
	LocalDisk

	// BootMenu gives PXE firmware a boot menu, an iPXE the script File, and
	// clients without menus the first item.
	BootMenu
)

// outcomeNames are the names of the kinds in the configuration file.
var outcomeNames = [...]string{
	Ignore: "ignore", BootROM: "rom", BootScript: "script", BootFile: "boot-file", LocalDisk: "local-disk", BootMenu: "menu",
}

// String returns the kind's name.
func (k OutcomeKind) String() string { return enumName(outcomeNames[:], k, "outcome") }

// Outcome is what a rule gives.
type Outcome struct {
	Kind       OutcomeKind
	ROMs       ROMs       // for BootROM
	File       string     // for the other kinds: a name in the boot file tree, or a URL; placeholders are filled in (see Expand)
	NextServer netip.Addr // the TFTP server that has the files; zero for ourselves
	Menu       *Menu      // for BootMenu
}

// ROMs are the boot ROMs of the platforms that have one: names in the boot file
// tree, or URLs. A platform may have several, in the order in which a machine
// is given them that does not start them (start.go).
type ROMs map[Platform][]string

// First returns the ROM that a platform's machines are given first, "" if there
// is none.
func (r ROMs) First(p Platform) string {
	if len(r[p]) == 0 {
		return ""
	}
	return r[p][0]
}

// Decision is what a policy gives to one client.
type Decision struct {
	Rule          string // the rule that decided; "" if none did
	Kind          OutcomeKind
	File          string // a name or a URL, without placeholders; empty only if Kind is Ignore, or there is a menu to choose from
	NextServer    netip.Addr
	Reason        Reason // why Kind is Ignore
	UpgradeFailed bool   // the script is given because the ROM did not help before
	Unmet         Unmet  // what an iPXE lacks of the script rule that would take it
	Menu          *Menu  // the boot menu for PXE firmware
	Item          string // the text of the menu's item that the client chose

	// ROMs are, if the platform has several, all of them in their order. File
	// is one of them.
	ROMs []string
}

// Decide returns what c gets. upgradeFailed says that c is an iPXE which the
// ROM of the policy did not help (see guard.go): no ROM is given to it again,
// and the first rule that gives a script matches it as if it met every demand
// on an iPXE. That is what ends a loop.
func (p *Policy) Decide(c Client, upgradeFailed bool) Decision {
	ignored := Decision{Kind: Ignore, Reason: NoRule}
	for i := range p.Rules {
		rule := &p.Rules[i]
		if rule.mismatch(&c, upgradeFailed) != matches {
			continue
		}
		d, lacks := rule.give(c, upgradeFailed)
		if lacks != Answerable {
			ignored = Decision{Rule: rule.Name, Kind: Ignore, Reason: lacks}
			continue
		}
		if c.IPXE.Present && (upgradeFailed || d.Kind == BootROM) {
			d.Unmet = p.unmet(c)
		}
		return d
	}
	return ignored
}

// give returns the decision of a rule that matches c. lacks is not Answerable
// if the rule gives a ROM and has none for c's platform, or a menu that has no
// script for an iPXE.
func (r *Rule) give(c Client, upgradeFailed bool) (d Decision, lacks Reason) {
	d = Decision{Rule: r.Name, Kind: r.Outcome.Kind, NextServer: r.Outcome.NextServer}
	switch file := r.Outcome.File; d.Kind {
	case Ignore:
		d.Reason = Denied
	case LocalDisk:
		d.toLocalDisk(c, file)
	case BootROM:
		roms := r.Outcome.ROMs[c.Platform()]
		if len(roms) == 0 {
			return d, NoROM
		}
		if len(roms) > 1 {
			d.ROMs = roms
		}
		d.File = Expand(roms[0], c)
	case BootMenu:
		if c.IPXE.Present && file == "" {
			return d, NoMenuScript
		}
		r.giveMenu(&d, c, upgradeFailed)
	case BootScript:
		d.UpgradeFailed = upgradeFailed
		d.File = Expand(file, c)
	case BootFile:
		d.File = Expand(file, c)
	}
	return d, Answerable
}

// toLocalDisk makes d the decision that sends c on to its local disk. script is
// for an iPXE.
func (d *Decision) toLocalDisk(c Client, script string) {
	switch {
	case c.IPXE.Present:
		d.File = script
	case c.knowsMenus():
		d.Menu = localDiskMenu
	default:
		d.Kind, d.Reason = Ignore, ToLocalDisk
	}
}

// giveMenu makes d the decision for a boot menu.
func (r *Rule) giveMenu(d *Decision, c Client, upgradeFailed bool) {
	switch first := r.Outcome.Menu.Items[0]; {
	case c.IPXE.Present:
		d.Kind, d.UpgradeFailed = BootScript, upgradeFailed
		d.File = Expand(r.Outcome.File, c)
	case c.knowsMenus():
		d.Menu = r.Outcome.Menu
	case first.Type == LocalDiskItem:
		d.Kind = LocalDisk
		d.toLocalDisk(c, "")
	default:
		d.Kind, d.File, d.NextServer = BootFile, Expand(first.File, c), first.NextServer
	}
}

// mismatch returns the first demand of the rule that c does not meet.
func (r *Rule) mismatch(c *Client, upgradeFailed bool) demand {
	if upgradeFailed && r.Outcome.Kind == BootROM {
		return wantsUntried
	}
	script := r.Outcome.Kind == BootScript || r.Outcome.Kind == BootMenu
	return r.Match.mismatch(c, upgradeFailed && script)
}

// Passed is a rule that did not match a client, and why.
type Passed struct {
	Rule string
	Why  string
}

// Trail lists the rules that Decide passes over for c before it reaches its
// decision, each with the demand that c does not meet.
func (p *Policy) Trail(c Client, upgradeFailed bool) []Passed {
	var trail []Passed
	for i := range p.Rules {
		rule := &p.Rules[i]
		if d := rule.mismatch(&c, upgradeFailed); d != matches {
			trail = append(trail, Passed{rule.Name, rule.Match.explain(d, c)})
			continue
		}
		_, lacks := rule.give(c, upgradeFailed)
		if lacks == Answerable {
			break
		}
		why := "there is no ROM for " + c.Platform().String()
		if lacks != NoROM {
			why = lacks.String()
		}
		trail = append(trail, Passed{rule.Name, why})
	}
	return trail
}

// unmet returns what c lacks of the first script rule that would match it if it
// were another iPXE.
func (p *Policy) unmet(c Client) Unmet {
	for i := range p.Rules {
		m := &p.Rules[i].Match
		if p.Rules[i].Outcome.Kind == BootScript && m.IPXE != nil && m.mismatch(&c, true) == matches {
			return m.IPXE.Unmet(c)
		}
	}
	return Unmet{}
}

// Rejects returns what a ROM lacks that the policy itself would replace: a
// machine that runs it on platform would be given a ROM again, for ever. It
// returns the zero Unmet if the ROM gets the script, and if the facts do not
// decide: a version, a list of features or a user class that could not be read
// out of the file is assumed to be right. scope is the part of the network that
// the ROM is for. Rules that name single machines are assumed not to apply.
func (p *Policy) Rejects(scope Match, platform Platform, x IPXE) Unmet {
	archs := platform.Archs()
	if len(archs) == 0 {
		return Unmet{}
	}
	c := Client{Arch: archs[0], IPXE: x, Segment: scope.Segment()}
	known := p.withKnown(x)
	for i := range known.Rules {
		rule := &known.Rules[i]
		switch {
		case rule.Outcome.Kind == Ignore || rule.Outcome.Kind == BootMenu && rule.Outcome.File == "" || rule.Match.isPersonal() || rule.mismatch(&c, false) != matches:
			continue
		case rule.Outcome.Kind == BootROM && len(rule.Outcome.ROMs[platform]) > 0:
			return known.unmet(c)
		case rule.Outcome.Kind != BootROM:
			return Unmet{}
		}
	}
	return Unmet{}
}

// withKnown returns the policy without the demands about which x says nothing.
func (p *Policy) withKnown(x IPXE) *Policy {
	q := &Policy{Rules: make([]Rule, len(p.Rules))}
	for i, rule := range p.Rules {
		if rule.Match.IPXE != nil {
			demands := *rule.Match.IPXE
			demands.UserClass = ""
			if !x.HasVersion {
				demands.Version = VersionRange{}
			}
			rule.Match.IPXE = &demands
		}
		q.Rules[i] = rule
	}
	return q
}
