package config

// Segments: parts of the network with answers of their own, by flag and by
// file. Everybody else is the last segment.

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Answers is what the machines of one part of the network get, as far as the
// settings say it. The rest depends on the boot files (see SegmentFiles).
type Answers struct {
	Name  string          // of the segment; "" for everybody else
	Scope proxydhcp.Match // the part of the network; the zero Match for everybody else
	Deny  bool            // nobody there is answered

	Text       AnswersText // as written, with everybody's where the segment has none
	Table      string      // of the file, for Problems.In
	Mount      string      // the directory of the boot file tree that has the files of Text.Root; "" for its root
	ROMs       []ROMChoice // the ROMs that are named
	Script     string      // the boot script that is named: a URL, or a name in the tree or on the next server; "" for the built-in one
	NextServer netip.Addr  // the TFTP server that has the boot files; invalid for ourselves
	Remote     bool        // NextServer is another host, so its files cannot be looked at

	demands demands
}

// ROMChoice is what the user names for a platform. If File and Name are empty,
// the platform gets no ROM.
type ROMChoice struct {
	Platform proxydhcp.Platform
	Text     string // as written
	File     string // a file of this host, in the boot files or by its path
	Name     string // a URL, or a name on the next server
}

// demands are what the settings demand of an iPXE before it gets the script.
type demands struct {
	match proxydhcp.IPXEMatch
	auto  bool // the version is that of each platform's ROM
}

// segmentKey is the flag of a segment and its table in the file.
const segmentKey = "segment"

// segments parses the segments of --vlan, of --segment and of the file, in this
// order. vlans are the VLANs to serve, those without answers of their own
// included, sorted.
func (p *parser) segments() (segments []Answers, vlans []uint16) {
	add := func(t SegmentText, in Problems) {
		if a, ok := p.segment(t, in); ok {
			segments = append(segments, a)
			vlans = append(vlans, a.Scope.VLANs...)
		}
	}
	for _, text := range p.settings.VLANs {
		ids, segment, err := parseVLANFlag(text)
		p.Add("vlan", text, err)
		vlans = append(vlans, ids...)
		if segment != nil {
			add(*segment, p.Problems)
		}
	}
	for _, text := range p.settings.SegmentFlags {
		segment, err := parseSegment(text)
		p.Add(segmentKey, text, err)
		if err == nil {
			add(segment, p.Problems)
		}
	}
	for i, t := range p.settings.Segments {
		add(t, p.In(fmt.Sprintf("%s[%d].", segmentKey, i)))
	}
	slices.Sort(vlans)
	return segments, slices.Compact(vlans)
}

// segment parses one segment. ok is false if it does not say which part of the
// network it is.
func (p *parser) segment(t SegmentText, in Problems) (a Answers, ok bool) {
	scope := parseScope(t.ScopeText, in)
	if len(t.Interfaces) == 0 && t.VLANs == "" && len(t.Relays) == 0 && len(t.Circuits) == 0 {
		in.Add("name", t.Name, errors.New("the segment says nowhere: give it interface, vlan, relay or circuit"))
		return Answers{}, false
	}
	if !t.Deny {
		mount := p.mount(t, in)
		a = p.answers(t.AnswersText.inherit(p.settings.AnswersText), in)
		a.Mount = mount
	}
	a.Name, a.Scope, a.Deny = t.label(), scope, t.Deny
	return a, true
}

// answers parses the answers of one segment, or everybody's.
func (p *parser) answers(t AnswersText, in Problems) Answers {
	a := Answers{Text: t, Table: in.table, demands: parseDemands(t.IPXEVersion, t.IPXEFeatures, t.UserClass, in)}
	a.NextServer = parseNextServer(t.NextServer, in)
	a.Remote = p.isForeign(a.NextServer)
	a.ROMs = parseROMs(t.ROMs, a.Remote, in)
	var err error
	a.Script, err = ParseBootName(t.BootURL)
	in.Add("boot-url", t.BootURL, err)
	return a
}

// autoVersion as a demanded version is that of the ROM that is served.
const autoVersion = "auto"

// parseDemands parses what is demanded of an iPXE.
func parseDemands(version string, features []string, userClass string, p Problems) demands {
	var d demands
	switch version {
	case "":
	case autoVersion:
		d.auto = true
	default:
		var err error
		d.match.Version, err = proxydhcp.ParseVersionRange(version)
		p.Add("ipxe-version", version, err)
	}
	for _, f := range parseAll(p, "ipxe-feature", features, proxydhcp.ParseFeature) {
		d.match.Features = d.match.Features.With(f)
	}
	if d.match.UserClass = userClass; strings.Contains(userClass, ",") {
		p.Add("user-class", userClass, errors.New("one class, without commas"))
	}
	return d
}

// parseNextServer parses the address of the TFTP server that has the files. It
// returns the zero Addr for "".
func parseNextServer(text string, p Problems) netip.Addr {
	if text == "" {
		return netip.Addr{}
	}
	a, err := parseHost(text)
	p.Add("next-server", text, err)
	return a
}

// noROM as a platform's file leaves it without a ROM: --rom ia32=none.
const noROM = "none"

// parseROMs parses the values of --rom. A platform whose value is wrong gets no
// ROM.
func parseROMs(texts []string, remote bool, p Problems) []ROMChoice {
	var choices []ROMChoice
	for _, text := range parseAll(p, "rom", texts, func(s string) (string, error) { return s, nil }) {
		choice, err := parseROM(text, remote)
		p.Add("rom", text, err)
		if choice.Platform != proxydhcp.NoPlatform {
			choices = append(choices, choice)
		}
	}
	return choices
}

// parseROM parses one value of --rom.
func parseROM(text string, remote bool) (ROMChoice, error) {
	arch, value, ok := strings.Cut(text, "=")
	if !ok || value == "" {
		return ROMChoice{}, errors.New("write ARCH=FILE, such as x64=ipxe.efi, ARCH=URL, or ARCH=none")
	}
	c := ROMChoice{Text: text}
	var err error
	if c.Platform, err = proxydhcp.ParsePlatform(arch); err != nil || value == noROM {
		return c, err
	}
	if remote || IsURL(value) {
		c.Name, err = ParseBootName(value)
	} else {
		c.File = value
	}
	return c, err
}

// parseScope parses the part of the network that a segment or a rule is for.
func parseScope(t ScopeText, p Problems) proxydhcp.Match {
	m := proxydhcp.Match{Interfaces: t.Interfaces, Circuits: t.Circuits}
	var err error
	m.VLANs, err = parseVLANs(t.VLANs)
	p.Add("vlan", t.VLANs, err)
	m.Relays = parseAll(p, "relay", t.Relays, parseNetwork)
	return m
}

// mount is a directory of the boot file tree that has a segment's own files.
type mount struct {
	segment string // the segment's name
	root    string // where the files are
}

// mount reserves the directory of the boot file tree for a segment's own files
// and returns its name, "" if the segment has none. It is a problem if another
// segment has other files there.
func (p *parser) mount(t SegmentText, in Problems) string {
	if t.Root == "" || t.Root == p.settings.Root {
		return ""
	}
	name, own := mountName(t.label()), mount{t.label(), t.Root}
	if other, taken := p.mounts[name]; taken && other.root != own.root {
		in.Add("root", t.Root, fmt.Errorf("the segments %q and %q would both have their files in the directory %q of the boot file tree; give one of them another name",
			other.segment, own.segment, name))
		return name
	}
	p.mounts[name] = own
	return name
}

// mountName returns a segment's name as firmware can ask for it: a hyphen
// replaces each character that is not safe in a path, a URL or a script.
func mountName(segment string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || strings.ContainsRune(`/\%{}$?#"`, r) {
			return '-'
		}
		return r
	}, segment)
}

// label returns the segment's name: the user's, or else one made of its scope.
func (t SegmentText) label() string {
	switch {
	case t.Name != "":
		return t.Name
	case t.VLANs != "":
		return "vlan" + strings.ReplaceAll(t.VLANs, " ", "")
	case len(t.Interfaces) > 0:
		return strings.Join(t.Interfaces, "+")
	}
	plain := strings.NewReplacer("/", "-", " ", "")
	if len(t.Relays) == 0 {
		return "circuit" + plain.Replace(strings.Join(t.Circuits, "+"))
	}
	return "relay" + plain.Replace(strings.Join(t.Relays, "+"))
}

// parseVLANFlag reads one value of --vlan: ids alone, or a segment.
func parseVLANFlag(s string) (ids []uint16, segment *SegmentText, err error) {
	if !strings.Contains(s, "=") {
		ids, err = parseVLANs(s)
		return ids, nil, err
	}
	t, err := parseSegment(s)
	if err != nil {
		return nil, nil, err
	}
	if t.VLANs == "" {
		return nil, nil, errors.New("says no VLAN: begin with id=20")
	}
	ids, err = parseVLANs(t.VLANs)
	return ids, &t, err
}

// parseSegment reads a segment in the form of a flag: KEY=VALUE pairs joined by
// commas, such as "vlan=20,30-39,boot-url=http://...,rom=x64=a.efi" or
// "vlan=66,deny". A part without a key continues the value before it.
func parseSegment(s string) (SegmentText, error) {
	var t SegmentText
	fields := segmentFields(&t)
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
			return t, fmt.Errorf("%q is no KEY=VALUE of a segment: the keys are id, %s", part, strings.Join(tableKeys(reflect.TypeFor[SegmentText]()), ", "))
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

// segmentFields returns the fields of a segment by their keys. id is another
// name of vlan.
func segmentFields(t *SegmentText) map[string]reflect.Value {
	into := reflect.ValueOf(t).Elem()
	fields := map[string]reflect.Value{}
	for _, field := range reflect.VisibleFields(into.Type()) {
		if key := keyOf(field); key != "" {
			fields[key] = into.FieldByIndex(field.Index)
		}
	}
	fields["id"] = fields["vlan"]
	return fields
}
