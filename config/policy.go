package config

// The policy: every function that makes a rule is in this file.

import (
	"errors"
	"slices"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// SegmentFiles are the boot files that were found for the machines of one
// segment.
type SegmentFiles struct {
	ROMs        []ROM  // in the order of the platforms, at most one for each
	Script      string // the boot script: a name in the boot file tree or on the next server, or a URL
	RaspberryPi bool   // there are boot files of a Raspberry Pi
}

// ROM is the boot ROM of one platform.
type ROM struct {
	Platform    proxydhcp.Platform
	Name        string         // a name in the boot file tree or on the next server, or a URL
	Source      string         // the file on this host; "" if it is elsewhere
	IPXE        proxydhcp.IPXE // what a machine that runs it reports, as far as the file says; unknown if it is elsewhere
	VersionText string         // its ${version}; "" if unknown
	Packed      bool           // the iPXE in the file is packed; IPXE was read by unpacking it

	// SecondStage is the file in the boot file tree that Name loads, if it is
	// a shim that has one. IPXE and VersionText are then that file's.
	SecondStage string

	// Alternatives are other ROMs of the platform, in the order in which a
	// machine is given them that loads this one and does not start it.
	Alternatives []ROM
}

// The names of generated files. A file of that name in the user's directory
// replaces the generated one.
const (
	BootScriptName      = "boot.ipxe"       // the boot script if none is named
	LocalDiskScriptName = "local-disk.ipxe" // boots from the local disk
)

// The names of the rules that the flags make. Logs show them. In a segment, its
// name is in front.
const (
	ruleDeny    = "deny-mac"
	ruleAllow   = "allow-mac"
	ruleScript  = "script"       // an iPXE that meets every demand
	ruleUpgrade = "upgrade"      // an iPXE that does not, if there is a ROM for its platform
	ruleAsIs    = "script-as-is" // an iPXE that does not, if there is none
	ruleROM     = "rom"          // firmware
	ruleSilent  = "deny"         // everybody in a segment
	ruleMenu    = "menu"         // firmware, if there is a boot menu

	ruleRaspberryPi = "raspberry-pi"
)

// segment is a segment with its boot files.
type segment struct {
	Answers
	files SegmentFiles
	menu  *menu // nil if there is none
}

// Policy makes the rules: who is not answered, the rules of the file, those of
// each segment, and everybody's. files are those of c.Segments, in the same
// order. It returns warnings about what works, but probably not as meant. The
// error joins all problems: the ROMs that the policy itself would replace.
func (c *Config) Policy(files []SegmentFiles) (*proxydhcp.Policy, []string, error) {
	segments := make([]segment, len(c.Segments))
	for i := range segments {
		segments[i] = segment{c.Segments[i], files[i], c.menu}
	}
	everybody := segments[len(segments)-1]
	policy := &proxydhcp.Policy{Rules: c.macRules()}
	for _, r := range c.rules {
		policy.Rules = append(policy.Rules, r.rules(everybody)...)
	}
	for _, s := range segments {
		policy.Rules = append(policy.Rules, s.rules()...)
		policy.Shims = append(policy.Shims, s.shims()...)
	}
	for _, r := range policy.Rules {
		policy.Relays = append(policy.Relays, r.Match.Relays...)
	}
	https := proxydhcp.Features(0).With(proxydhcp.FeatureHTTPS)
	var warnings, romWarnings []string
	var errs []error
	for _, s := range segments {
		if strings.HasPrefix(s.files.Script, "https://") && !s.demands.match.Features.Has(https) {
			warnings = append(warnings, "the boot URL is https, and an iPXE without HTTPS cannot load it: --ipxe-feature https upgrades those first")
		}
		rejected, err := s.checkROMs(policy)
		romWarnings = append(romWarnings, rejected...)
		errs = append(errs, err)
	}
	return policy, append(warnings, romWarnings...), errors.Join(errs...)
}

// macRules returns the rules for machines that are never answered.
func (c *Config) macRules() (rules []proxydhcp.Rule) {
	if len(c.deny) > 0 {
		rules = append(rules, proxydhcp.Rule{Name: ruleDeny, Match: proxydhcp.Match{MACs: c.deny}})
	}
	if len(c.allow) > 0 {
		rules = append(rules, proxydhcp.Rule{Name: ruleAllow, Match: proxydhcp.Match{NotMACs: c.allow}})
	}
	return rules
}

// rules returns what a rule of the file becomes: one rule, or one for each
// platform if it gives a menu. everybody has the ROMs and the script that it
// may give.
func (r rule) rules(everybody segment) []proxydhcp.Rule {
	out := proxydhcp.Rule{Name: r.name, Match: r.match}
	switch r.gives {
	case proxydhcp.Ignore:
		out.Outcome = proxydhcp.Outcome{Kind: proxydhcp.Ignore}
	case proxydhcp.BootROM:
		out.Outcome = everybody.romOutcome()
	case proxydhcp.BootScript:
		out.Outcome = everybody.scriptOutcome()
	case proxydhcp.BootFile:
		out.Outcome = proxydhcp.Outcome{Kind: proxydhcp.BootFile, File: r.file, NextServer: r.nextServer}
	case proxydhcp.LocalDisk:
		out.Outcome = proxydhcp.Outcome{Kind: proxydhcp.LocalDisk, File: LocalDiskScriptName}
	case proxydhcp.BootMenu:
		return r.menuRules(everybody)
	}
	return []proxydhcp.Rule{out}
}

// menuRules returns the rules that give the clients of a rule the boot menu.
func (r rule) menuRules(everybody segment) []proxydhcp.Rule {
	everybody.Scope = r.match
	rules := everybody.menuRules()
	for i := range rules {
		rules[i].Name = r.name
		rules[i].Match.Firmware = r.match.Firmware
	}
	return rules
}

// rules returns the rules of one segment. An iPXE comes before its
// architecture, because one that is good enough must never get a ROM again;
// then boards and menus; then firmware in general.
func (s segment) rules() []proxydhcp.Rule {
	if s.Deny {
		return []proxydhcp.Rule{{Name: s.label(ruleSilent), Match: s.Scope}}
	}
	script, rom := s.scriptOutcome(), s.romOutcome()
	var rules []proxydhcp.Rule
	for _, m := range s.scriptMatches() {
		rules = append(rules, proxydhcp.Rule{Name: s.label(ruleScript), Match: m, Outcome: script})
	}
	anyIPXE := s.Scope
	anyIPXE.IPXE = &proxydhcp.IPXEMatch{}
	rules = append(rules,
		proxydhcp.Rule{Name: s.label(ruleUpgrade), Match: anyIPXE, Outcome: rom},
		proxydhcp.Rule{Name: s.label(ruleAsIs), Match: anyIPXE, Outcome: script},
	)
	rules = append(rules, s.raspberryPiRules()...)
	rules = append(rules, s.menuRules()...)
	return append(rules, proxydhcp.Rule{Name: s.label(ruleROM), Match: s.Scope, Outcome: rom})
}

// label returns a rule's name in the segment.
func (s segment) label(rule string) string {
	if s.Name == "" {
		return rule
	}
	return s.Name + " " + rule
}

// scriptMatches returns the iPXEs that get the script. With --ipxe-version auto
// each platform whose ROM has a known version gets a match of its own, and on
// the others any version is accepted.
func (s segment) scriptMatches() []proxydhcp.Match {
	match := func(demands proxydhcp.IPXEMatch, platforms ...proxydhcp.Platform) proxydhcp.Match {
		m := s.Scope
		m.Platforms, m.IPXE = platforms, &demands
		return m
	}
	if !s.demands.auto {
		return []proxydhcp.Match{match(s.demands.match)}
	}
	var matches []proxydhcp.Match
	others := append(proxydhcp.Platforms(), proxydhcp.NoPlatform)
	for _, r := range s.files.ROMs {
		if r.IPXE.HasVersion {
			others = slices.DeleteFunc(others, func(p proxydhcp.Platform) bool { return p == r.Platform })
			demands := s.demands.match
			demands.Version = proxydhcp.AtLeast(r.IPXE.Version)
			matches = append(matches, match(demands, r.Platform))
		}
	}
	return append(matches, match(s.demands.match, others...))
}

// scriptOutcome returns the boot script as an outcome. The built-in one comes
// from us, whoever has the ROMs.
func (s segment) scriptOutcome() proxydhcp.Outcome {
	o := proxydhcp.Outcome{Kind: proxydhcp.BootScript, File: s.files.Script}
	if s.Script != "" {
		o.NextServer = s.NextServer
	}
	return o
}

// romOutcome returns the ROMs as an outcome.
func (s segment) romOutcome() proxydhcp.Outcome {
	o := proxydhcp.Outcome{Kind: proxydhcp.BootROM, ROMs: proxydhcp.ROMs{}, NextServer: s.NextServer}
	for _, r := range s.files.ROMs {
		roms := []string{r.Name}
		for _, other := range r.Alternatives {
			roms = append(roms, other.Name)
		}
		o.ROMs[r.Platform] = roms
	}
	return o
}

// shims returns those of the ROMs that are shims.
func (s segment) shims() (names []string) {
	for _, r := range s.files.ROMs {
		for _, r := range slices.Concat([]ROM{r}, r.Alternatives) {
			if r.SecondStage != "" {
				names = append(names, r.Name)
			}
		}
	}
	return names
}

// menuRules returns the rules that give PXE firmware the menu. Each platform
// has its own, because their ROMs differ. An iPXE that they match gets the
// script.
func (s segment) menuRules() []proxydhcp.Rule {
	if s.menu == nil {
		return nil
	}
	script := s.scriptOutcome()
	var rules []proxydhcp.Rule
	for _, r := range s.files.ROMs {
		m := s.Scope
		m.Platforms, m.Firmware = []proxydhcp.Platform{r.Platform}, proxydhcp.UEFIFirmware
		if r.Platform == proxydhcp.BIOS {
			m.Firmware = proxydhcp.BIOSFirmware
		}
		rules = append(rules, proxydhcp.Rule{Name: s.label(ruleMenu), Match: m, Outcome: proxydhcp.Outcome{
			Kind: proxydhcp.BootMenu, Menu: s.menu.forROM(r.Name, s.NextServer), File: script.File, NextServer: script.NextServer,
		}})
	}
	return rules
}

// raspberryPiRules returns the rule that gives a Raspberry Pi the file that it
// looks for, if the boot files have its files.
func (s segment) raspberryPiRules() []proxydhcp.Rule {
	if !s.files.RaspberryPi {
		return nil
	}
	m := s.Scope
	m.Firmware = proxydhcp.RaspberryPi
	return []proxydhcp.Rule{{Name: s.label(ruleRaspberryPi), Match: m, Outcome: proxydhcp.Outcome{
		Kind: proxydhcp.BootFile, File: "bootcode.bin", NextServer: s.NextServer,
	}}}
}
