package export

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// From rules to steps, and what to do about a rule that a server cannot say.

// audience is the set of kinds of clients that a step speaks to.
type audience uint8

// The kinds of clients, told apart as proxydhcp does.
const (
	iPXEs        audience = 1 << iota // user class or option 175
	pxeFirmware                       // option 60 begins with PXEClient
	httpFirmware                      // option 60 begins with HTTPClient
	everybody    = iPXEs | pxeFirmware | httpFirmware
)

// kinds are the audiences of one kind.
var kinds = [...]audience{iPXEs, pxeFirmware, httpFirmware}

// String names the audience for people.
func (a audience) String() string {
	switch a {
	case iPXEs:
		return "iPXE"
	case pxeFirmware:
		return "PXE firmware"
	case httpFirmware:
		return "UEFI HTTP boot"
	case pxeFirmware | httpFirmware:
		return "firmware of either kind"
	}
	return "every booting machine"
}

// client is one of the audience, for proxydhcp to compose an answer to.
func (a audience) client(arch proxydhcp.Arch) proxydhcp.Client {
	c := proxydhcp.Client{Arch: arch}
	c.IPXE.Present = a == iPXEs
	if a == httpFirmware {
		c.Transport = proxydhcp.HTTP
	}
	return c
}

// step is one branch of an export.
type step struct {
	number   int // from 1, unique
	index    int // of the rule in the policy
	rule     string
	to       audience
	platform proxydhcp.Platform // where the step is for one platform alone
	archs    archSet
	match    proxydhcp.Match // what else is demanded, all of which the server can look at
	answer   answer
	silence  string   // why nothing is answered; "" where something is
	notes    []string // what is not as in the policy
	leftOut  bool     // a comment is all that there is of it
	widened  bool     // it takes more clients than its rule
}

// words say whom a step takes.
func (s step) words() string {
	text := s.to.String()
	switch {
	case s.platform != proxydhcp.NoPlatform:
		text += " on " + s.platform.String()
	case len(s.archs.only) > 0:
		text += " on " + joinArchs(s.archs.only)
	case slices.Equal(s.archs.none, platformArchs(proxydhcp.Platforms()...)):
		text += " on what no iPXE is built for"
	case len(s.archs.none) > 0:
		text += " on anything but " + joinArchs(s.archs.none)
	}
	for _, d := range demandsOf(s.match) {
		text += ", " + d.words
	}
	return text
}

// id is a name for the step that no other has, of letters, digits and hyphens.
func (s step) id() string {
	words := strings.FieldsFunc(strings.ToLower(s.rule), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	name := strings.Join(words, "-")
	const enough = 24 // policies of Windows have at most 64 characters
	return strings.TrimRight(fmt.Sprintf("%d-%s", s.number, name[:min(len(name), enough)]), "-")
}

// overlaps reports whether a client may be taken by both steps.
func (s step) overlaps(t step) bool {
	return s.to&t.to != 0 && !s.archs.disjoint(t.archs)
}

// plan is a policy as steps that a server can say.
type plan struct {
	facts  Facts
	target target
	steps  []step
	ends   []end // rules for iPXE that load nothing into it again
}

// end is a rule that ends an iPXE's boot, or did before the export: the iPXEs
// that it takes get no ROM from the rules behind.
type end struct {
	rule  string
	match proxydhcp.Match
	archs archSet
	said  bool // it is in the export, and takes everyone whom the rule takes
	dim   bool // the server does not see well what it demands of an iPXE's build
}

// makePlan makes the steps of a policy.
func makePlan(p *proxydhcp.Policy, f Facts, t target) (*plan, error) {
	plan := &plan{facts: f, target: t}
	for i, rule := range p.Rules {
		if err := plan.add(i, rule); err != nil {
			return nil, err
		}
	}
	plan.join()
	plan.prune()
	plan.settle()
	for i := range plan.steps {
		plan.steps[i].number = i + 1
	}
	return plan, nil
}

// add makes the steps of one rule.
func (p *plan) add(index int, r proxydhcp.Rule) error {
	for _, to := range kinds {
		if !takes(r.Match, to) {
			continue
		}
		base := step{index: index, rule: r.Name, to: to, archs: archsOf(r.Match)}
		if !base.archs.possible() {
			continue
		}
		p.judge(r, &base)
		steps := p.split(r, base)
		for i := range steps {
			if err := p.word(r, &steps[i]); err != nil {
				return err
			}
		}
		p.account(r, to, steps)
		p.steps = append(p.steps, steps...)
	}
	return nil
}

// takes reports whether a match can take clients of a kind.
func takes(m proxydhcp.Match, to audience) bool {
	if m.IPXE != nil && to != iPXEs {
		return false
	}
	if len(m.NICs) > 0 && to != iPXEs {
		return false // only an iPXE names its card
	}
	if to != iPXEs && !agree(m.VendorClass, to.vendorClass()) {
		return false
	}
	switch m.Firmware {
	case proxydhcp.AnyClient:
		return true
	case proxydhcp.NoIPXE:
		return to != iPXEs
	case proxydhcp.HTTPBootFirmware:
		return to == httpFirmware
	}
	return to == pxeFirmware
}

// vendorClass is how option 60 of a kind of firmware begins.
func (a audience) vendorClass() string {
	if a == httpFirmware {
		return "HTTPClient"
	}
	return "PXEClient"
}

// agree reports whether a text can begin with both prefixes.
func agree(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) }

// split makes a step for each platform where the answer depends on it.
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
		if one.archs.possible() && (!byROM || r.Outcome.ROMs[platform] != "") {
			steps = append(steps, one)
		}
	}
	if !byROM && rest.archs.possible() {
		steps = append(steps, rest)
	}
	return steps
}

// word finds what a step answers, or why it answers nothing.
func (p *plan) word(r proxydhcp.Rule, s *step) error {
	switch {
	case s.leftOut:
		return nil
	case r.Outcome.Kind == proxydhcp.Ignore:
		s.silence = "the rule says to ignore these"
	case r.Outcome.Kind == proxydhcp.LocalDisk && s.to != iPXEs:
		s.silence = "the rule sends these to their local disk, and firmware goes on to it when it is told nothing"
	default:
		if err := s.compose(r.Outcome, p.facts); err != nil {
			return fmt.Errorf("rule %q: %w", r.Name, err)
		}
		for _, part := range s.answer.file {
			if part.key != "" && !p.target.limits.fills(part.key, s.to) {
				s.leaveOut(fmt.Sprintf("LEFT OUT: %s cannot fill in {%s} for %s.", p.target.product, part.key, s.to))
				return nil
			}
		}
	}
	return nil
}

// leaveOut makes a comment of the step.
func (s *step) leaveOut(why string) {
	s.leftOut, s.silence, s.answer = true, "", answer{}
	s.notes = append(s.notes, why)
}

// account keeps the rules that end an iPXE's boot in mind.
func (p *plan) account(r proxydhcp.Rule, to audience, steps []step) {
	if to != iPXEs || r.Outcome.Kind == proxydhcp.BootROM || len(steps) == 0 {
		return
	}
	e := end{rule: r.Name, match: r.Match, archs: archsOf(r.Match), said: !p.narrows(r.Match)}
	for _, s := range steps {
		e.said = e.said && !s.leftOut && (s.silence == "" || p.target.limits.silences(s))
	}
	for _, d := range demandsOf(r.Match) {
		e.dim = e.dim || d.aspect.ofKind() && p.target.limits.sight[d.aspect] != exact
	}
	if e.said {
		e.match = steps[0].match
	}
	p.ends = append(p.ends, e)
}

// unsafe names a rule that keeps a ROM of r from being handed to iPXEs: one that
// is not in the export and ends the boot of some that r would take here. That is
// made up for by a rule that is in the export, stands before r, and takes the
// same iPXEs. Where only the place or the machine could not be looked at, one
// that takes r's machines will do, whatever build it demands: the ROM must meet
// that anyway.
func (p *plan) unsafe(r proxydhcp.Rule) (rule string, found bool) {
	for _, missed := range p.ends {
		madeUp := slices.ContainsFunc(p.ends, func(e end) bool {
			return e.said && (e.archs.contains(missed.archs) && covers(e.match, missed.match) ||
				!missed.dim && e.archs.contains(archsOf(r.Match)) && coversPlace(e.match, r.Match))
		})
		if !missed.said && !madeUp {
			return missed.rule, true
		}
	}
	return "", false
}

// narrows reports whether the server overlooks clients that the match takes.
func (p *plan) narrows(m proxydhcp.Match) bool {
	return slices.ContainsFunc(demandsOf(m), func(d demand) bool { return p.target.limits.sight[d.aspect] == overlooks })
}

// covers reports whether wide certainly takes every client that narrow takes:
// it demands nothing that narrow does not.
func covers(wide, narrow proxydhcp.Match) bool {
	w, n := wide.IPXE, narrow.IPXE
	switch {
	case w == nil || *w == proxydhcp.IPXEMatch{}:
		// Only iPXEs are looked at here.
	case n == nil || !coversFields(reflect.ValueOf(*w), reflect.ValueOf(*n)):
		return false
	}
	return coversRest(wide, narrow)
}

// coversPlace is covers for the iPXEs that meet every demand on their build.
func coversPlace(wide, narrow proxydhcp.Match) bool {
	return (wide.IPXE == nil || wide.IPXE.Lacks == 0) && coversRest(wide, narrow)
}

// coversRest is covers for all but the build of an iPXE and the architecture.
func coversRest(wide, narrow proxydhcp.Match) bool {
	for _, m := range []*proxydhcp.Match{&wide, &narrow} {
		m.IPXE, m.Platforms, m.Archs, m.Firmware = nil, nil, nil, proxydhcp.AnyClient
	}
	return coversFields(reflect.ValueOf(wide), reflect.ValueOf(narrow))
}

// coversFields compares demand by demand.
func coversFields(wide, narrow reflect.Value) bool {
	for i := range wide.NumField() {
		if !wide.Field(i).IsZero() && !reflect.DeepEqual(wide.Field(i).Interface(), narrow.Field(i).Interface()) {
			return false
		}
	}
	return true
}

// join makes one step of those of one rule that say the same to different kinds
// of clients: silence, or nothing but a comment.
func (p *plan) join() {
	var joined []step
	for _, s := range p.steps {
		i := slices.IndexFunc(joined, func(t step) bool { return t.index == s.index && t.alike(s) })
		if i >= 0 && (s.leftOut || s.silence != "") {
			joined[i].to |= s.to
			continue
		}
		joined = append(joined, s)
	}
	p.steps = joined
}

// prune takes out the steps that an earlier one leaves nobody for. Where that is
// so only in this export, because the earlier one was widened, a comment says
// it.
func (p *plan) prune() {
	var kept []step
	for _, s := range p.steps {
		i := slices.IndexFunc(kept, func(t step) bool { return p.shadows(t, s) })
		switch {
		case i < 0 || s.leftOut:
		case kept[i].widened:
			s.leaveOut(fmt.Sprintf("LEFT OUT: rule %q above takes all of these here.", kept[i].rule))
		default:
			continue
		}
		kept = append(kept, s)
	}
	p.steps = kept
}

// shadows reports whether t certainly takes every client that s takes.
func (p *plan) shadows(t, s step) bool {
	return !t.leftOut && t.to&s.to == s.to && t.archs.contains(s.archs) && covers(t.match, s.match) &&
		(t.silence == "" || p.target.limits.silences(t))
}

// settle looks at the steps that say nothing. Where a step behind would speak to
// the same clients, the server must be told to be silent, if it can; else there
// is nothing to tell it.
func (p *plan) settle() {
	for i := range p.steps {
		s := &p.steps[i]
		if s.silence == "" {
			continue
		}
		heard := slices.ContainsFunc(p.steps[i+1:], func(t step) bool { return !t.leftOut && t.silence == "" && t.overlaps(*s) })
		switch {
		case !heard:
			s.leaveOut("No boot file: " + s.silence + ".")
		case !p.target.limits.silences(*s):
			s.leaveOut(fmt.Sprintf("LEFT OUT: %s cannot be told to say nothing to these (%s). "+
				"They get what the rules below say.", p.target.product, s.silence))
		}
	}
}

// alike reports whether steps differ in nothing but whom they speak to.
func (s step) alike(t step) bool {
	s.to = t.to
	return reflect.DeepEqual(s, t)
}
