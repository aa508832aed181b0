package config

import (
	"net/netip"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// The flags as a list of rules.

// The names of the rules that the flags make, as logs show them.
const (
	ruleDeny    = "deny-mac"
	ruleAllow   = "allow-mac"
	ruleScript  = "script"       // an iPXE that meets every demand
	ruleUpgrade = "upgrade"      // an iPXE that does not, and for whose platform there is a ROM
	ruleAsIs    = "script-as-is" // an iPXE that does not, and there is none
	ruleROM     = "rom"          // firmware
)

// policyInputs are what the flags say of the policy.
type policyInputs struct {
	allow, deny []proxydhcp.MACPrefix
	demands     demands
	roms        []ROM
	script      string
	nextServer  netip.Addr
}

// build makes the rules: who is not served; then iPXE before its architecture,
// because an iPXE that is good enough must never be handed a ROM again; then
// firmware.
func (in policyInputs) build() *proxydhcp.Policy {
	var rules []proxydhcp.Rule
	if len(in.deny) > 0 {
		rules = append(rules, proxydhcp.Rule{Name: ruleDeny, Match: proxydhcp.Match{MACs: in.deny}})
	}
	if len(in.allow) > 0 {
		rules = append(rules, proxydhcp.Rule{Name: ruleAllow, Match: proxydhcp.Match{NotMACs: in.allow}})
	}
	script := proxydhcp.Outcome{Kind: proxydhcp.BootScript, File: in.script, NextServer: in.scriptServer()}
	rom := proxydhcp.Outcome{Kind: proxydhcp.BootROM, ROMs: proxydhcp.ROMs{}, NextServer: in.nextServer}
	for _, r := range in.roms {
		rom.ROMs[r.Platform] = r.Name
	}
	for _, m := range in.scriptMatches() {
		rules = append(rules, proxydhcp.Rule{Name: ruleScript, Match: m, Outcome: script})
	}
	anyIPXE := proxydhcp.Match{IPXE: &proxydhcp.IPXEMatch{}}
	return &proxydhcp.Policy{Rules: append(rules,
		proxydhcp.Rule{Name: ruleUpgrade, Match: anyIPXE, Outcome: rom},
		proxydhcp.Rule{Name: ruleAsIs, Match: anyIPXE, Outcome: script},
		proxydhcp.Rule{Name: ruleROM, Outcome: rom},
	)}
}

// scriptServer is the server of the boot script: the script of our own comes
// from us, whoever has the ROMs.
func (in policyInputs) scriptServer() netip.Addr {
	if in.script == builtinScript {
		return netip.Addr{}
	}
	return in.nextServer
}

// scriptMatches are the iPXEs that get the script. With --ipxe-version auto
// each platform whose ROM tells its version has a match of its own, and on the
// others any version will do.
func (in policyInputs) scriptMatches() []proxydhcp.Match {
	if !in.demands.auto {
		match := in.demands.match
		return []proxydhcp.Match{{IPXE: &match}}
	}
	var matches []proxydhcp.Match
	readable := map[proxydhcp.Platform]bool{}
	for _, r := range in.roms {
		if r.Image.HasVersion {
			readable[r.Platform] = true
			match := in.demands.match
			match.Version = proxydhcp.AtLeast(r.Image.Version)
			matches = append(matches, proxydhcp.Match{Platforms: []proxydhcp.Platform{r.Platform}, IPXE: &match})
		}
	}
	rest := proxydhcp.Match{IPXE: &proxydhcp.IPXEMatch{Features: in.demands.match.Features, UserClass: in.demands.match.UserClass}}
	for _, p := range proxydhcp.Platforms() {
		if !readable[p] {
			rest.Platforms = append(rest.Platforms, p)
		}
	}
	return append(matches, rest)
}
