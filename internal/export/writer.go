package export

// What the files of several servers have in common: lines, comments, the header
// and parts of conditions.

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// writer collects the lines of an export.
type writer struct{ bytes.Buffer }

// line writes one line.
func (w *writer) line(format string, args ...any) {
	fmt.Fprintf(&w.Buffer, format+"\n", args...)
}

// comment writes text after a comment mark, wrapped into lines.
func (w *writer) comment(mark, text string) {
	const width = 100
	line := mark
	for word := range strings.FieldsSeq(printable(text)) {
		if len(line)+1+len(word) > width && line != mark {
			w.line("%s", line)
			line = mark
		}
		line += " " + word
	}
	w.line("%s", line)
}

// printable replaces control characters by spaces, so that a comment ends where
// its line does.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, s)
}

// header writes the comments that begin every export: its source, how to
// install it, and what it does not contain. A line of usage that begins with a
// tab is a command or a line of configuration and is not wrapped.
func (w *writer) header(mark string, p *plan, usage ...string) {
	program, source := p.facts.Program, p.facts.Source
	if program == "" {
		program = "pxesidecar"
	}
	if source != "" {
		source = " from " + source
	}
	w.comment(mark, fmt.Sprintf("Network boot for %s, written by %s%s.", p.target.product, program, source))
	w.line("%s", mark)
	for _, text := range usage {
		if strings.HasPrefix(text, "\t") {
			w.line("%s    %s", mark, text[1:])
			continue
		}
		w.comment(mark, text)
	}
	w.line("%s", mark)
	http := ""
	if port := p.facts.HTTPPort; port != 0 {
		http = fmt.Sprintf(", and by HTTP on port %d", port)
	}
	w.comment(mark, fmt.Sprintf("The boot files stay where they are: %s continues to serve them by TFTP%s.", p.facts.Server, http))
	w.comment(mark, "The first rule that matches a machine decides, as in pxesidecar. pxesidecar's guard against boot loops is not exported: "+
		"every ROM that is named here must be an iPXE that the script's rule matches. Otherwise the machine loads the ROM again and again.")
	if slices.ContainsFunc(p.steps, func(s step) bool { return s.leftOut || len(s.notes) > 0 }) {
		w.comment(mark, "Look for NOTE and LEFT OUT below: they mark what differs from the policy.")
	}
	w.line("")
}

// title writes the remarks of a step.
func (w *writer) title(mark string, s step) {
	for _, text := range s.remarks() {
		w.comment(mark, text)
	}
}

// render renders each value as text.
func render[T any](values []T, text func(T) string) []string {
	var list []string
	for _, v := range values {
		list = append(list, text(v))
	}
	return list
}

// appendAny appends the condition that one of some values matches, or that none
// does, if not is "not ". It appends nothing if there are no values.
func appendAny[T any](all []string, not string, values []T, condition func(T) string) []string {
	if len(values) == 0 {
		return all
	}
	any := render(values, condition)
	text := strings.Join(any, " or ")
	if len(any) > 1 || not != "" {
		text = not + "(" + text + ")"
	}
	return append(all, text)
}

// macLen returns how many bytes a prefix has.
func macLen(m proxydhcp.MACPrefix) int { return strings.Count(m.String(), ":") + 1 }

// hexBytes returns bytes in hexadecimal, with a separator between them.
func hexBytes(b []byte, separator string) string {
	var parts []string
	for _, x := range b {
		parts = append(parts, fmt.Sprintf("%02x", x))
	}
	return strings.Join(parts, separator)
}
