package proxydhcp

import (
	"fmt"
	"net/netip"
	"slices"
)

// What a client gets: an ordered list of rules, first match wins, exactly like
// the if/elsif chain of a dhcpd.conf.

// Policy decides what booting clients get. It is immutable once made; a new
// one replaces it whole. Its zero value answers nobody.
type Policy struct {
	Rules []Rule
}

// Rule is one branch of a policy.
type Rule struct {
	Name    string // shown in logs
	Match   Match
	Outcome Outcome
}

// Match is what a rule demands of a client. Every demand that is set must
// hold; the zero Match takes every client.
type Match struct {
	Platforms []Platform  // the client's platform is one of these
	MACs      []MACPrefix // the client's MAC address begins with one of these
	NotMACs   []MACPrefix // and with none of these
	Segment   Segment     // fields that are set equal the client's
	IPXE      *IPXEMatch  // the client is an iPXE, of this kind
}

// IPXEMatch is what a rule demands of an iPXE. The zero IPXEMatch takes every
// iPXE.
type IPXEMatch struct {
	Version   VersionRange // of its version; an iPXE that tells none does not meet a demand
	Features  Features     // it has all of these; one that lists no features is given the benefit of the doubt
	UserClass string       // one of its user classes, a ROM's own marker; "" demands none
}

// isZero reports whether the match takes every iPXE.
func (m *IPXEMatch) isZero() bool { return *m == IPXEMatch{} }

// OutcomeKind is the kind of thing a rule gives.
type OutcomeKind uint8

// The kinds of outcome.
const (
	Ignore     OutcomeKind = iota // silence
	BootROM                       // the ROM for the client's platform
	BootScript                    // the boot script; ends an iPXE's upgrade
	BootFile                      // a file of the rule's own
)

// String returns the kind in a word.
func (k OutcomeKind) String() string {
	switch k {
	case Ignore:
		return "ignore"
	case BootROM:
		return "rom"
	case BootScript:
		return "script"
	case BootFile:
		return "file"
	}
	return fmt.Sprintf("outcome %d", k)
}

// Outcome is what a rule gives.
type Outcome struct {
	Kind       OutcomeKind
	ROMs       ROMs       // for BootROM
	File       string     // for BootScript and BootFile: a name in the boot file tree, or a URL
	NextServer netip.Addr // the TFTP server that has the files; zero for ourselves
}

// ROMs names the boot ROM for each platform that has one: a name in the boot
// file tree, or a URL.
type ROMs map[Platform]string

// Decision is what a policy says to one client.
type Decision struct {
	Rule       string // the rule that decided; "" where none did
	Kind       OutcomeKind
	File       string // as in Outcome; never empty unless Kind is Ignore
	NextServer netip.Addr
	Reason     Reason // why Kind is Ignore
	Settled    bool   // the script was given because no ROM helped before
	Unmet      string // what an iPXE lacks of the script rule that would take it
}

// Decide returns what c gets. settled says that c is an iPXE which loaded a ROM
// of ours and came back as it was (see Guard): no ROM is handed to it again,
// and the first rule that gives a script takes it as though it met every
// demand on an iPXE. That is what ends a loop.
func (p *Policy) Decide(c Client, settled bool) Decision {
	ignored := Decision{Kind: Ignore, Reason: NoRule}
	for i := range p.Rules {
		rule := &p.Rules[i]
		if rule.mismatch(c, settled) != "" {
			continue
		}
		d := Decision{Rule: rule.Name, Kind: rule.Outcome.Kind, File: rule.Outcome.File, NextServer: rule.Outcome.NextServer}
		switch d.Kind {
		case Ignore:
			d.Reason = Denied
		case BootROM:
			if d.File = rule.Outcome.ROMs[c.Arch.Platform()]; d.File == "" {
				ignored = Decision{Rule: rule.Name, Kind: Ignore, Reason: NoROM}
				continue
			}
		case BootScript:
			d.Settled = settled
		}
		if c.IPXE.Present && (settled || d.Kind == BootROM) {
			d.Unmet = p.unmet(c)
		}
		return d
	}
	return ignored
}

// unmet says what c lacks of the first script rule that would take it were it
// another iPXE.
func (p *Policy) unmet(c Client) string {
	for i := range p.Rules {
		m := &p.Rules[i].Match
		if p.Rules[i].Outcome.Kind == BootScript && m.IPXE != nil && m.mismatch(c, true) == "" {
			return m.IPXE.Unmet(c)
		}
	}
	return ""
}

// mismatch returns why the rule does not take c, "" where it does.
func (r *Rule) mismatch(c Client, settled bool) string {
	if settled && r.Outcome.Kind == BootROM {
		return "the client loaded this ROM before and came back as it was"
	}
	return r.Match.mismatch(c, settled && r.Outcome.Kind == BootScript)
}

// mismatch returns the first demand that c does not meet, "" where it meets
// all. lenient waives the demands on the kind of iPXE.
func (m *Match) mismatch(c Client, lenient bool) string {
	hasPrefix := func(p MACPrefix) bool { return p.Matches(c.Hardware) }
	switch {
	case len(m.Platforms) > 0 && !slices.Contains(m.Platforms, c.Arch.Platform()):
		return "another architecture"
	case len(m.MACs) > 0 && !slices.ContainsFunc(m.MACs, hasPrefix):
		return "another MAC address"
	case slices.ContainsFunc(m.NotMACs, hasPrefix):
		return "this MAC address is excepted"
	case m.Segment.Interface != "" && m.Segment.Interface != c.Segment.Interface:
		return "another interface"
	case m.Segment.VLAN != 0 && m.Segment.VLAN != c.Segment.VLAN:
		return "another VLAN"
	case m.Segment.Relay.IsValid() && m.Segment.Relay != c.Segment.Relay:
		return "another relay"
	case m.IPXE == nil:
		return ""
	case !c.IPXE.Present:
		return "not an iPXE"
	case lenient || m.IPXE.isZero():
		return ""
	}
	return m.IPXE.mismatch(c)
}

// Unmet says which demand on an iPXE c does not meet, "" where it meets all.
func (m *IPXEMatch) Unmet(c Client) string {
	switch {
	case !m.versionHolds(c.IPXE):
		if !c.IPXE.HasVersion {
			return fmt.Sprintf("iPXE tells no version, wanted %s", m.Version)
		}
		return fmt.Sprintf("iPXE reports version %s, wanted %s", c.IPXE.Version, m.Version)
	case !m.featuresHold(c.IPXE):
		return "iPXE lacks " + m.Features.Without(c.IPXE.Features).String()
	case m.UserClass != "" && !c.HasUserClass(m.UserClass):
		return fmt.Sprintf("iPXE's user class is %q, wanted %q", c.UserClass, m.UserClass)
	}
	return ""
}

// mismatch is Unmet without the particulars, for every request.
func (m *IPXEMatch) mismatch(c Client) string {
	switch {
	case !m.versionHolds(c.IPXE):
		return "another iPXE version"
	case !m.featuresHold(c.IPXE):
		return "iPXE lacks a feature"
	case m.UserClass != "" && !c.HasUserClass(m.UserClass):
		return "another user class"
	}
	return ""
}

func (m *IPXEMatch) versionHolds(x IPXE) bool {
	return m.Version.IsZero() || x.HasVersion && m.Version.Contains(x.Version)
}

func (m *IPXEMatch) featuresHold(x IPXE) bool {
	return !x.HasFeatures || x.Features.Has(m.Features)
}

// Rejects says what a ROM lacks that the policy itself would replace: were a
// machine to run it on platform, it would be handed a ROM again, for ever. It
// returns "" where the ROM gets the script, and where the facts do not tell: a
// version or a list of features that could not be read out of the file is
// taken to be right, and so is its user class. Rules that choose by a
// machine's address are taken not to apply.
func (p *Policy) Rejects(platform Platform, x IPXE) (unmet string) {
	var archs []Arch
	for _, row := range archTable {
		if row.platform == platform {
			archs = append(archs, row.arch)
		}
	}
	if len(archs) == 0 {
		return ""
	}
	c := Client{Arch: archs[0], IPXE: x}
	known := p.withKnown(x)
	for i := range known.Rules {
		rule := &known.Rules[i]
		switch {
		case rule.Outcome.Kind == Ignore || len(rule.Match.MACs) > 0 || rule.mismatch(c, false) != "":
			continue
		case rule.Outcome.Kind == BootROM && rule.Outcome.ROMs[platform] != "":
			return known.unmet(c)
		case rule.Outcome.Kind != BootROM:
			return ""
		}
	}
	return ""
}

// known returns the match without the demands that x does not tell about.
func (m Match) known(x IPXE) Match {
	if m.IPXE != nil {
		demands := *m.IPXE
		demands.UserClass = ""
		if !x.HasVersion {
			demands.Version = VersionRange{}
		}
		m.IPXE = &demands
	}
	return m
}

// withKnown returns the policy with every match made known.
func (p *Policy) withKnown(x IPXE) *Policy {
	q := &Policy{Rules: make([]Rule, len(p.Rules))}
	for i, rule := range p.Rules {
		rule.Match = rule.Match.known(x)
		q.Rules[i] = rule
	}
	return q
}
