package export

// Which ROMs must not be exported for iPXE, because an iPXE might load them in
// a loop.

import (
	"reflect"
	"slices"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// terminalRule is a rule of the policy that ends the boot of the iPXEs it
// takes: they get no ROM from the rules after it.
type terminalRule struct {
	rule     string
	match    proxydhcp.Match
	archs    archSet
	exported bool // the export takes all clients that the rule takes
	inexact  bool // the server does not exactly match what it requires of an iPXE's build
}

// recordTerminal records the rule if it ends an iPXE's boot.
func (p *plan) recordTerminal(r proxydhcp.Rule, kind clientKinds, steps []step) {
	if kind != iPXEs || r.Outcome.Kind == proxydhcp.BootROM || len(steps) == 0 {
		return
	}
	t := terminalRule{rule: r.Name, match: r.Match, archs: archsOf(r.Match), exported: !p.undermatched(r.Match)}
	for _, s := range steps {
		t.exported = t.exported && !s.leftOut && (s.silence == "" || p.target.limits.canGiveNone(s))
	}
	for _, q := range requirementsOf(r.Match) {
		t.inexact = t.inexact || q.criterion.ofBuild() && p.target.limits.criteria[q.criterion].precision != exact
	}
	if t.exported {
		t.match = steps[0].match
	}
	p.terminal = append(p.terminal, t)
}

// undermatched reports whether the server does not take some clients that the
// match takes.
func (p *plan) undermatched(m proxydhcp.Match) bool {
	return slices.ContainsFunc(requirementsOf(m), func(r requirement) bool { return p.target.limits.criteria[r.criterion].precision == undermatches })
}

// loopRisk reports whether iPXEs might load the ROM of r in a loop, and the
// rule that prevents it in the policy: a terminal rule that is not exported and
// takes some iPXEs that would get the ROM of r.
//
// There is no risk if an exported terminal rule takes the same iPXEs. If only
// the network segment or the machine cannot be matched, a terminal rule that
// takes r's machines suffices, whatever it requires of the build: the ROM must
// meet that anyway.
func (p *plan) loopRisk(r proxydhcp.Rule) (rule string, found bool) {
	for _, missing := range p.terminal {
		replaced := slices.ContainsFunc(p.terminal, func(t terminalRule) bool {
			return t.exported && (t.archs.contains(missing.archs) && covers(t.match, missing.match) ||
				!missing.inexact && t.archs.contains(archsOf(r.Match)) && coversCapable(t.match, r.Match))
		})
		if !missing.exported && !replaced {
			return missing.rule, true
		}
	}
	return "", false
}

// covers reports whether wide certainly takes every client that narrow takes:
// it requires nothing that narrow does not.
func covers(wide, narrow proxydhcp.Match) bool {
	w, n := wide.IPXE, narrow.IPXE
	switch {
	case w == nil || *w == proxydhcp.IPXEMatch{}:
		// Both are matches of iPXEs.
	case n == nil || !coversFields(reflect.ValueOf(*w), reflect.ValueOf(*n)):
		return false
	}
	return coversAllButBuild(wide, narrow)
}

// coversCapable is covers for the iPXEs whose build has everything that a match
// can require.
func coversCapable(wide, narrow proxydhcp.Match) bool {
	return (wide.IPXE == nil || wide.IPXE.Lacks == 0) && coversAllButBuild(wide, narrow)
}

// coversAllButBuild is covers without the build of an iPXE and without the
// architecture.
func coversAllButBuild(wide, narrow proxydhcp.Match) bool {
	for _, m := range []*proxydhcp.Match{&wide, &narrow} {
		m.IPXE, m.Platforms, m.Archs, m.Firmware = nil, nil, nil, proxydhcp.AnyClient
	}
	return coversFields(reflect.ValueOf(wide), reflect.ValueOf(narrow))
}

// coversFields compares the requirements one by one.
func coversFields(wide, narrow reflect.Value) bool {
	for i := range wide.NumField() {
		if !wide.Field(i).IsZero() && !reflect.DeepEqual(wide.Field(i).Interface(), narrow.Field(i).Interface()) {
			return false
		}
	}
	return true
}
