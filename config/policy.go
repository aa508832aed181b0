package config

import (
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Flags and file as a list of rules.

// The names of the rules that the flags make, as logs show them. Those of a
// segment have its name in front.
const (
	ruleDeny    = "deny-mac"
	ruleAllow   = "allow-mac"
	ruleScript  = "script"       // an iPXE that meets every demand
	ruleUpgrade = "upgrade"      // an iPXE that does not, and for whose platform there is a ROM
	ruleAsIs    = "script-as-is" // an iPXE that does not, and there is none
	ruleROM     = "rom"          // firmware
	ruleSilent  = "deny"         // nobody in a segment
	ruleMenu    = "menu"         // firmware, where there is a boot menu

	ruleRaspberryPi = "raspberry-pi"
)

// policyInputs are what the settings say of the policy.
type policyInputs struct {
	allow, deny []proxydhcp.MACPrefix
	rules       []proxydhcp.Rule // of the file
	segments    []answers
	everybody   answers
	settings    Settings
	has         func(name string) bool // whether the boot files have a name
}

// build makes the rules: who is not served; the file's own; each segment's; and
// everybody's.
func (in policyInputs) build() *proxydhcp.Policy {
	var rules []proxydhcp.Rule
	if len(in.deny) > 0 {
		rules = append(rules, proxydhcp.Rule{Name: ruleDeny, Match: proxydhcp.Match{MACs: in.deny}})
	}
	if len(in.allow) > 0 {
		rules = append(rules, proxydhcp.Rule{Name: ruleAllow, Match: proxydhcp.Match{NotMACs: in.allow}})
	}
	rules = append(rules, in.rules...)
	for _, a := range append(in.segments, in.everybody) {
		rules = append(rules, in.segmentRules(a)...)
	}
	return &proxydhcp.Policy{Rules: rules}
}

// segmentRules are those of one segment, those of menus and boards before that
// of firmware in general.
func (in policyInputs) segmentRules(a answers) []proxydhcp.Rule {
	rules := a.rules()
	if a.deny {
		return rules
	}
	last := len(rules) - 1
	special := append(a.boardRules(in.has), a.menuRules(in.settings)...)
	for i := range special {
		special[i].Name = a.name(special[i].Name)
	}
	return append(append(rules[:last:last], special...), rules[last])
}

// name is a rule's name in the segment.
func (a answers) name(rule string) string {
	if a.label == "" {
		return rule
	}
	return a.label + " " + rule
}

// rules are those of one segment: iPXE before its architecture, because an iPXE
// that is good enough must never be handed a ROM again; then firmware.
func (a answers) rules() []proxydhcp.Rule {
	if a.deny {
		return []proxydhcp.Rule{{Name: a.name(ruleSilent), Match: a.scope}}
	}
	script, rom := a.scriptOutcome(), a.romOutcome()
	var rules []proxydhcp.Rule
	for _, m := range a.scriptMatches() {
		rules = append(rules, proxydhcp.Rule{Name: a.name(ruleScript), Match: m, Outcome: script})
	}
	anyIPXE := a.scope
	anyIPXE.IPXE = &proxydhcp.IPXEMatch{}
	return append(rules,
		proxydhcp.Rule{Name: a.name(ruleUpgrade), Match: anyIPXE, Outcome: rom},
		proxydhcp.Rule{Name: a.name(ruleAsIs), Match: anyIPXE, Outcome: script},
		proxydhcp.Rule{Name: a.name(ruleROM), Match: a.scope, Outcome: rom},
	)
}

// scriptMatches are the iPXEs that get the script. With --ipxe-version auto
// each platform whose ROM tells its version has a match of its own, and on the
// others any version will do.
func (a answers) scriptMatches() []proxydhcp.Match {
	match := func(demands proxydhcp.IPXEMatch, platforms ...proxydhcp.Platform) proxydhcp.Match {
		m := a.scope
		m.Platforms, m.IPXE = platforms, &demands
		return m
	}
	if !a.demands.auto {
		return []proxydhcp.Match{match(a.demands.match)}
	}
	var matches []proxydhcp.Match
	readable := map[proxydhcp.Platform]bool{}
	for _, r := range a.roms {
		if r.Image.HasVersion {
			readable[r.Platform] = true
			demands := a.demands.match
			demands.Version = proxydhcp.AtLeast(r.Image.Version)
			matches = append(matches, match(demands, r.Platform))
		}
	}
	var others []proxydhcp.Platform
	for _, p := range append(proxydhcp.Platforms(), proxydhcp.NoPlatform) {
		if !readable[p] {
			others = append(others, p)
		}
	}
	return append(matches, match(a.demands.match, others...))
}
