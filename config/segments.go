package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Segments: parts of the network with answers of their own, by flag and by
// file.

// Scope is the part of the network that a segment or a rule is about.
type Scope struct {
	Interfaces []string `toml:"interface,omitempty"`
	VLANs      string   `toml:"vlan,omitempty"`    // ids and ranges joined by commas; 0 is untagged
	Relays     []string `toml:"relay,omitempty"`   // networks that have the relay's address, or the link that it selects
	Circuits   []string `toml:"circuit,omitempty"` // circuit ids of option 82, as text or 0x and hexadecimal
}

// SegmentText is a part of the network with answers of its own; what it does
// not say is as for everybody.
type SegmentText struct {
	Name string `toml:"name,omitempty"`
	Scope
	Answers
	Deny bool `toml:"deny,omitempty"` // answer nobody there
}

// parseSegment reads a segment as a flag has it: KEY=VALUE pairs joined by
// commas, such as "vlan=20,30-39,boot-url=http://...,rom=x64=a.efi" or
// "vlan=66,deny". What has no key goes on with the value before it.
func parseSegment(s string) (SegmentText, error) {
	var t SegmentText
	into := reflect.ValueOf(&t).Elem()
	fields := map[string]reflect.Value{}
	for _, field := range reflect.VisibleFields(into.Type()) {
		if key := keyOf(field); key != "" {
			fields[key] = into.FieldByIndex(field.Index)
		}
	}
	fields["id"] = fields["vlan"]
	last := ""
	for part := range strings.SplitSeq(s, ",") {
		key, value, pair := strings.Cut(part, "=")
		field, known := fields[key]
		switch {
		case part == "deny":
			t.Deny = true
			continue
		case pair && known && key != "deny":
			last = key
		case last == "" || pair && last != "rom":
			return t, fmt.Errorf("%q is no KEY=VALUE of a segment: the keys are id, %s", part, strings.Join(segmentKeys(), ", "))
		default:
			field, value = fields[last], part
		}
		switch {
		case field.Kind() == reflect.Slice:
			field.Set(reflect.Append(field, reflect.ValueOf(value)))
		case pair && known || field.String() == "":
			field.SetString(value)
		default:
			field.SetString(field.String() + "," + value)
		}
	}
	return t, nil
}

// segmentKeys lists the keys of a segment.
func segmentKeys() []string { return tableKeys(reflect.TypeFor[SegmentText]()) }

// keyOf is the key of a field in the file, "" where it has none.
func keyOf(field reflect.StructField) string {
	key, _, _ := strings.Cut(field.Tag.Get("toml"), ",")
	return key
}

// tableKeys lists the keys of a table of the file, sorted.
func tableKeys(table reflect.Type) []string {
	var keys []string
	for _, field := range reflect.VisibleFields(table) {
		if key := keyOf(field); key != "" {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// parseVLANFlag reads one --vlan: ids alone, or a segment.
func parseVLANFlag(s string) (ids []uint16, segment *SegmentText, err error) {
	if !strings.Contains(s, "=") {
		ids, err = ParseVLANs(s)
		return ids, nil, err
	}
	t, err := parseSegment(s)
	if err != nil {
		return nil, nil, err
	}
	if t.VLANs == "" {
		return nil, nil, errors.New("says no VLAN: begin with id=20")
	}
	ids, err = ParseVLANs(t.VLANs)
	return ids, &t, err
}

// parse understands the scope and adds it to a match.
func (s Scope) parse(m *proxydhcp.Match, p reporter) {
	m.Interfaces = s.Interfaces
	var err error
	m.VLANs, err = ParseVLANs(s.VLANs)
	p.add("vlan", s.VLANs, err)
	m.Relays = parseAll(p, "relay", s.Relays, parseNetwork)
	m.Circuits = s.Circuits
}

// label names the segment: as the user named it, else by what it is about.
func (s SegmentText) label() string {
	switch {
	case s.Name != "":
		return s.Name
	case s.VLANs != "":
		return "vlan" + strings.ReplaceAll(s.VLANs, " ", "")
	case len(s.Interfaces) > 0:
		return strings.Join(s.Interfaces, "+")
	}
	plain := strings.NewReplacer("/", "-", " ", "")
	if len(s.Relays) == 0 {
		return "circuit" + plain.Replace(strings.Join(s.Circuits, "+"))
	}
	return "relay" + plain.Replace(strings.Join(s.Relays, "+"))
}

// mountName is the directory of the boot file tree that has a segment's own
// files: its name as firmware can ask for it, without blanks or slashes.
func mountName(label string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || strings.ContainsRune(`/\%{}$?#"`, r) {
			return '-'
		}
		return r
	}, label)
}

// mount is a directory of the boot file tree that has a segment's own files.
type mount struct {
	segment string // the segment's label
	root    string // where the files are
}

// claim takes a directory of the tree for a segment. The error says which other
// segment has it for other files.
func (r *resolver) claim(name string, m mount) error {
	other, taken := r.mounts[name]
	if taken && other.root != m.root {
		return fmt.Errorf("the segments %q and %q would both have their files in the directory %q of the boot file tree; give one of them another name",
			other.segment, m.segment, name)
	}
	r.mounts[name] = m
	return nil
}

// inherit returns the segment's answers with everybody's where it says nothing.
func (a Answers) inherit(everybody Answers) Answers {
	own, all := reflect.ValueOf(&a).Elem(), reflect.ValueOf(everybody)
	for i := range own.NumField() {
		if own.Field(i).IsZero() {
			own.Field(i).Set(all.Field(i))
		}
	}
	return a
}

// resolveSegment understands one segment.
func (r *resolver) resolveSegment(s SegmentText, everybody Answers, p reporter) answers {
	out := answers{label: s.label(), deny: s.Deny}
	s.parse(&out.scope, p)
	if len(s.Interfaces) == 0 && s.VLANs == "" && len(s.Relays) == 0 && len(s.Circuits) == 0 {
		p.add("name", s.Name, errors.New("the segment says nowhere: give it interface, vlan, relay or circuit"))
		return out
	}
	if s.Deny {
		return out
	}
	own := ""
	if s.Root != "" && s.Root != everybody.Root {
		own = mountName(out.label)
		p.add("root", s.Root, r.claim(own, mount{out.label, s.Root}))
	}
	resolved := r.resolve(s.Answers.inherit(everybody), own, p)
	resolved.label, resolved.scope = out.label, out.scope
	return resolved
}
