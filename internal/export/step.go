package export

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// step is one branch of an export.
type step struct {
	number   int // from 1, unique
	index    int // of the rule in the policy
	rule     string
	clients  clientKinds
	platform proxydhcp.Platform // if the step is for one platform only
	archs    archSet
	match    proxydhcp.Match // what else is required, all of which the server supports
	answer   answer
	silence  string   // why there is no answer; "" if there is one
	notes    []string // how the step differs from its rule
	leftOut  bool     // the step is only a comment
	widened  bool     // it takes more clients than its rule
}

// description says which clients a step takes.
func (s step) description() string {
	text := s.clients.String()
	switch {
	case s.platform != proxydhcp.NoPlatform:
		text += " on " + s.platform.String()
	case len(s.archs.only) > 0:
		text += " on " + joinArchs(s.archs.only)
	case slices.Equal(s.archs.except, platformArchs(proxydhcp.Platforms()...)):
		text += " on architectures without an iPXE"
	case len(s.archs.except) > 0:
		text += " on any architecture but " + joinArchs(s.archs.except)
	}
	for _, r := range requirementsOf(s.match) {
		text += ", " + r.text
	}
	return text
}

// id returns a unique name for the step, of letters, digits and hyphens.
func (s step) id() string {
	words := strings.FieldsFunc(strings.ToLower(s.rule), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	name := strings.Join(words, "-")
	const longest = 24 // names of Windows policies have at most 64 characters
	return strings.TrimRight(fmt.Sprintf("%d-%s", s.number, name[:min(len(name), longest)]), "-")
}

// remarks returns the comments of a step: its rule, which clients it takes, and
// how it differs from the rule.
func (s step) remarks() []string {
	texts := append([]string{fmt.Sprintf("Rule %q: %s.", s.rule, s.description())}, s.notes...)
	if s.silence != "" {
		texts = append(texts, "No boot file: "+s.silence+".")
	}
	return texts
}

// overlaps reports whether both steps may take the same client.
func (s step) overlaps(t step) bool {
	return s.clients&t.clients != 0 && !s.archs.disjoint(t.archs)
}

// equalButClients reports whether the steps differ at most in the kinds of
// clients.
func (s step) equalButClients(t step) bool {
	s.clients = t.clients
	return reflect.DeepEqual(s, t)
}

// note adds a note.
func (s *step) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// leaveOut reduces the step to a comment.
func (s *step) leaveOut(format string, args ...any) {
	s.leftOut, s.silence, s.answer = true, "", answer{}
	s.note(format, args...)
}

// widen makes the step of a script take also iPXEs that do not meet a
// requirement, or notes that it does so already.
func (s *step) widen(r requirement, c support) {
	s.widened = true
	if c.precision == overmatches {
		s.note("NOTE %s: %s. If in doubt, the iPXE gets the script, not a ROM again.", r.text, c.reason)
		return
	}
	r.criterion.waive(&s.match)
	s.note("NOTE %s: %s. It is treated as met, so that an iPXE gets the script, not a ROM again.", r.text, c.reason)
}
