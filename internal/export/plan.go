package export

// From the rules of a policy to the steps that a server supports.

import (
	"fmt"
	"slices"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// plan is a policy as steps that a server supports.
type plan struct {
	facts    Facts
	target   target
	steps    []step
	terminal []terminalRule
}

// makePlan returns the steps of a policy.
func makePlan(p *proxydhcp.Policy, f Facts, t target) (*plan, error) {
	plan := &plan{facts: f, target: t}
	for i, rule := range p.Rules {
		if err := plan.add(i, rule); err != nil {
			return nil, err
		}
	}
	plan.mergeSilent()
	plan.prune()
	plan.resolveSilence()
	for i := range plan.steps {
		plan.steps[i].number = i + 1
	}
	return plan, nil
}

// add adds the steps of one rule.
func (p *plan) add(index int, r proxydhcp.Rule) error {
	for _, kind := range eachKind {
		if !takes(r.Match, kind) {
			continue
		}
		base := step{index: index, rule: r.Name, clients: kind, archs: archsOf(r.Match)}
		if !base.archs.possible() {
			continue
		}
		p.restrict(r, &base)
		steps := p.split(r, base)
		for i := range steps {
			if err := p.setAnswer(r, &steps[i]); err != nil {
				return err
			}
		}
		p.recordTerminal(r, kind, steps)
		p.steps = append(p.steps, steps...)
	}
	return nil
}

// restrict restricts the step of a rule to what the server supports.
//
// The rule of a script is widened if the server cannot match the iPXEs that are
// good enough, because a script ends the boot. Any other rule is left out if it
// would take too many clients: an iPXE that gets a ROM it does not need boots
// in a loop. For the same reason an iPXE gets no ROM from a rule if a rule that
// was left out before it might have taken that iPXE.
func (p *plan) restrict(r proxydhcp.Rule, s *step) {
	s.match = r.Match
	s.match.Platforms, s.match.Archs, s.match.Firmware = nil, nil, proxydhcp.AnyClient
	script := r.Outcome.Kind == proxydhcp.BootScript && s.clients == iPXEs
	for _, q := range requirementsOf(s.match) {
		c := p.target.limits.criteria[q.criterion]
		switch c.precision {
		case exact:
		case undermatches:
			s.note("NOTE %s: %s. Some of these are not recognised and get what the rules below say.", q.text, c.reason)
		case overmatches, unsupported:
			if !script || !q.criterion.ofBuild() {
				s.notes = nil
				s.leaveOut("LEFT OUT, %s: %s. These machines get what the rules below say.", q.text, c.reason)
				return
			}
			s.widen(q, c)
		}
	}
	if loads := r.Outcome.Kind == proxydhcp.BootROM || r.Outcome.Kind == proxydhcp.BootFile; !loads || s.clients != iPXEs {
		return
	}
	if rule, found := p.loopRisk(r); found {
		s.leaveOut("LEFT OUT for iPXE: rule %q above would have taken some of these, and they might load this again and again.", rule)
	}
}

// split returns a step for each platform if the answer depends on it.
func (p *plan) split(r proxydhcp.Rule, base step) []step {
	byROM := r.Outcome.Kind == proxydhcp.BootROM
	named := r.Outcome.Kind != proxydhcp.LocalDisk && slices.ContainsFunc(parseText(r.Outcome.File), func(x piece) bool { return x.key == "arch" })
	if !byROM && !named {
		return []step{base}
	}
	var steps []step
	rest := base
	for _, platform := range proxydhcp.Platforms() {
		one := base
		one.platform, one.archs = platform, base.archs.within(platformArchs(platform))
		rest.archs = rest.archs.without(platformArchs(platform))
		if one.archs.possible() && (!byROM || len(r.Outcome.ROMs[platform]) > 0) {
			steps = append(steps, one)
		}
	}
	if !byROM && rest.archs.possible() {
		steps = append(steps, rest)
	}
	return steps
}

// setAnswer sets the answer of a step, or why there is none.
func (p *plan) setAnswer(r proxydhcp.Rule, s *step) error {
	if s.leftOut {
		return nil
	}
	switch r.Outcome.Kind {
	case proxydhcp.Ignore:
		s.silence = "the rule says to ignore these"
		return nil
	case proxydhcp.LocalDisk:
		if s.clients != iPXEs {
			s.silence = "the rule sends these to their local disk, and firmware boots from it if it gets no boot file"
			return nil
		}
	case proxydhcp.BootROM, proxydhcp.BootScript, proxydhcp.BootFile, proxydhcp.BootMenu:
	}
	if err := s.compose(r.Outcome, p.facts); err != nil {
		return fmt.Errorf("rule %q: %w", r.Name, err)
	}
	for _, part := range s.answer.file {
		if part.key != "" && !p.target.limits.canFill(part.key, s.clients) {
			s.leaveOut("LEFT OUT: %s cannot fill in {%s} for %s.", p.target.product, part.key, s.clients)
			return nil
		}
	}
	return nil
}

// mergeSilent merges the steps of one rule without an answer, or left out, that
// differ only in the kind of client.
func (p *plan) mergeSilent() {
	var merged []step
	for _, s := range p.steps {
		i := slices.IndexFunc(merged, func(t step) bool { return t.index == s.index && t.equalButClients(s) })
		if i >= 0 && (s.leftOut || s.silence != "") {
			merged[i].clients |= s.clients
			continue
		}
		merged = append(merged, s)
	}
	p.steps = merged
}

// prune removes the steps whose clients are all taken by an earlier step. If
// that is so only in this export, because the earlier step was widened, the
// step becomes a comment.
func (p *plan) prune() {
	var kept []step
	for _, s := range p.steps {
		i := slices.IndexFunc(kept, func(t step) bool { return p.shadows(t, s) })
		switch {
		case i < 0 || s.leftOut:
		case kept[i].widened:
			s.leaveOut("LEFT OUT: rule %q above, as exported, takes all of these.", kept[i].rule)
		default:
			continue
		}
		kept = append(kept, s)
	}
	p.steps = kept
}

// shadows reports whether t certainly takes every client that s takes.
func (p *plan) shadows(t, s step) bool {
	return !t.leftOut && t.clients&s.clients == s.clients && t.archs.contains(s.archs) && covers(t.match, s.match) &&
		(t.silence == "" || p.target.limits.canGiveNone(t))
}

// resolveSilence decides how the steps without an answer are exported. If a
// later step would answer the same clients, the server must be configured to
// give them no boot file, if it can. Otherwise nothing needs to be configured.
func (p *plan) resolveSilence() {
	for i := range p.steps {
		s := &p.steps[i]
		if s.silence == "" {
			continue
		}
		answered := slices.ContainsFunc(p.steps[i+1:], func(t step) bool { return !t.leftOut && t.silence == "" && t.overlaps(*s) })
		switch {
		case !answered:
			s.leaveOut("No boot file: %s.", s.silence)
		case !p.target.limits.canGiveNone(*s):
			s.leaveOut("LEFT OUT: %s cannot be configured to give these no boot file (%s). They get what the rules below say.", p.target.product, s.silence)
		}
	}
}

// features returns the features that any step matches.
func (p *plan) features() proxydhcp.Features {
	var all proxydhcp.Features
	for _, s := range p.steps {
		if x := s.match.IPXE; x != nil && !s.leftOut {
			all |= x.Features | x.Lacks
		}
	}
	return all
}
