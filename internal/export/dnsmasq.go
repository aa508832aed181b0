package export

// dnsmasq: tags.
//
// The lines with tag-if are evaluated from top to bottom, so a tag that every
// step sets and the next one checks makes "the first match decides".
//
// dhcp-match compares whole options: the beginning of the option if the value
// is bytes, and any byte of the option if the value is a number of one byte. It
// cannot match single sub-options of option 175 (encap: is refused there).

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// dnsmasqLimits are the limits of dnsmasq.
var dnsmasqLimits = limits{
	criteria: [numCriteria]support{
		byVersion:         {unsupported, "dnsmasq cannot compare values inside option 175, where iPXE's version is sub-option 235"},
		byFeatures:        {overmatches, "dnsmasq looks for the feature's number anywhere in option 175, and may find it there by chance"},
		byLackingFeatures: {undermatches, "dnsmasq looks for the feature's number anywhere in option 175, and may find it there by chance"},
		byUserClass:       {overmatches, "dnsmasq looks for this text anywhere in the user class"},
		byVendorClass:     {precision: exact},
		byUUID:            {precision: exact},
		byNIC:             {unsupported, "dnsmasq cannot match the network card, sub-option 177 of option 175"},
		byInterface:       noInterface,
		byVLAN:            noInterface,
		byRelay:           {unsupported, "dnsmasq has no match for a relay's address; set a tag in the dhcp-range of that network instead"},
		byCircuit:         noCircuit,
	},
	canFill:     fillsOnlyFixed,
	canGiveNone: always,
}

// The tags of this export. tagTaken is set after a step has taken the client.
const (
	tagPrefix = "pxesidecar-"
	tagTaken  = tagPrefix + "taken"
	tagIPXE   = tagPrefix + "ipxe"
	tagPXE    = tagPrefix + "pxe"
	tagHTTP   = tagPrefix + "http"
	tagOpt175 = tagPrefix + "option175"
	tagBoots  = tagPrefix + "boots"
	tagSays   = tagPrefix + "says-ipxe"
)

// tagWriter collects the lines that set the tags which the steps check.
type tagWriter struct {
	lines []string
	known map[string]bool
}

// writeDnsmasq writes a configuration file.
func writeDnsmasq(w *writer, p *plan) {
	w.header("#", p,
		"Save this as a file in /etc/dnsmasq.d, or paste it into dnsmasq.conf, after your own lines. Test it, then restart dnsmasq:",
		"\tdnsmasq --test",
		"Remove other dhcp-boot and pxe-service lines. The lines below have tags and so have priority over lines without tags, "+
			"but a machine that gets no boot file here would get one from such a line. "+
			"dnsmasq looks for the user class and the architecture anywhere in the option that a machine sends.")
	t := &tagWriter{known: map[string]bool{}}
	var steps writer
	for _, s := range p.steps {
		steps.line("")
		steps.title("#", s)
		if !s.leftOut {
			steps.dnsmasqStep(t, s)
		}
	}
	w.comment("#", "How machines identify themselves: option 60 begins with PXEClient or HTTPClient, and an iPXE has the user class iPXE or option 175.")
	w.line("dhcp-match=set:%s,60,%s", tagPXE, hexBytes([]byte("PXEClient"), ":"))
	w.line("dhcp-match=set:%s,60,%s", tagHTTP, hexBytes([]byte("HTTPClient"), ":"))
	w.line("tag-if=set:%s,tag:%s", tagBoots, tagPXE)
	w.line("tag-if=set:%s,tag:%s", tagBoots, tagHTTP)
	w.line("dhcp-match=set:%s,175", tagOpt175)
	w.line("dhcp-userclass=set:%s,iPXE", tagSays)
	w.line("tag-if=set:%s,tag:%s", tagSays, tagOpt175)
	w.line("tag-if=set:%s,tag:%s,tag:%s", tagIPXE, tagBoots, tagSays)
	for _, line := range t.lines {
		w.line("%s", line)
	}
	w.Write(steps.Bytes())
}

// dnsmasqStep writes the lines of a step: the tag of the clients that it takes,
// the tag that excludes them from the steps below, and their answer.
func (w *writer) dnsmasqStep(t *tagWriter, s step) {
	tag := tagPrefix + s.id()
	for _, conditions := range t.conditions(s) {
		line := "tag-if=set:" + tag + ",tag:!" + tagTaken
		for _, c := range conditions {
			line += ",tag:" + c
		}
		w.line("%s", line)
	}
	w.line("tag-if=set:%s,tag:%s", tagTaken, tag)
	if s.silence != "" {
		return
	}
	file := s.answer.file.static()
	if len(file) <= maxFileField {
		w.line("dhcp-boot=tag:%s,%s,,%s", tag, dnsmasqQuote(file), s.answer.next)
	} else {
		w.comment("#", "This name is too long for the header of a message. It is always sent in option 67, even if not requested.")
		w.line("dhcp-boot=tag:%s,,,%s", tag, s.answer.next)
		w.line("dhcp-option-force=tag:%s,67,%s", tag, dnsmasqQuote(file))
	}
	if s.answer.class != "" {
		w.line("dhcp-option-force=tag:%s,60,%s", tag, dnsmasqQuote(s.answer.class))
	}
}

// set adds lines that set a tag, one for each value, unless it has them
// already. It returns the tag.
func (t *tagWriter) set(name string, format string, values ...string) string {
	tag := tagPrefix + name
	if !t.known[tag] {
		t.known[tag] = true
		for _, v := range values {
			t.lines = append(t.lines, fmt.Sprintf(format, tag, v))
		}
	}
	return tag
}

// conditions returns the condition of a step as alternatives: lists of tags, of
// which one list must hold completely. A tag with ! before it must not be set.
func (t *tagWriter) conditions(s step) [][]string {
	var alternatives [][]string
	for _, kind := range []struct {
		clients clientKinds
		tags    []string
	}{
		{everybody, []string{tagBoots}},
		{iPXEs, []string{tagIPXE}},
		{pxeFirmware, []string{tagPXE, "!" + tagIPXE}},
		{httpFirmware, []string{tagHTTP, "!" + tagIPXE}},
	} {
		if s.clients&kind.clients == kind.clients && (len(alternatives) == 0 || s.clients != everybody) {
			alternatives = append(alternatives, kind.tags)
		}
	}
	alternatives = combine(alternatives, [][]string{t.facts(s)})
	if x := s.match.IPXE; x != nil {
		alternatives = combine(alternatives, t.build(x))
	}
	return alternatives
}

// combine returns the alternatives of which one of a and one of b must hold.
func combine(a, b [][]string) [][]string {
	var alternatives [][]string
	for _, x := range a {
		for _, y := range b {
			alternatives = append(alternatives, append(slices.Clone(x), y...))
		}
	}
	return alternatives
}

// facts returns the tags for everything but the kind of client and the build of
// an iPXE.
func (t *tagWriter) facts(s step) []string {
	var all []string
	archs := func(archs []proxydhcp.Arch) string {
		return t.set("arch-"+archsName(archs), "dhcp-match=set:%s,option:client-arch,%s", render(archs, func(a proxydhcp.Arch) string { return fmt.Sprint(uint16(a)) })...)
	}
	macs := func(suffix string, macs []proxydhcp.MACPrefix) string {
		return t.set(s.id()+suffix, "dhcp-mac=set:%s,%s", render(macs, func(m proxydhcp.MACPrefix) string {
			return m.String() + strings.Repeat(":*", 6-macLen(m))
		})...)
	}
	if len(s.archs.only) > 0 {
		all = append(all, archs(s.archs.only))
	}
	if len(s.archs.except) > 0 {
		all = append(all, "!"+archs(s.archs.except))
	}
	if len(s.match.MACs) > 0 {
		all = append(all, macs("-mac", s.match.MACs))
	}
	if len(s.match.NotMACs) > 0 {
		all = append(all, "!"+macs("-not-mac", s.match.NotMACs))
	}
	if c := s.match.VendorClass; c != "" {
		all = append(all, t.set(s.id()+"-vendor", "dhcp-match=set:%s,60,%s", hexBytes([]byte(c), ":")))
	}
	if len(s.match.UUIDs) > 0 {
		all = append(all, t.set(s.id()+"-machine", "dhcp-match=set:%s,97,%s", render(s.match.UUIDs, func(u proxydhcp.UUID) string {
			return "00:" + hexBytes(u[:], ":")
		})...))
	}
	return all
}

// build returns the condition on an iPXE's build, as alternatives.
func (t *tagWriter) build(x *proxydhcp.IPXEMatch) [][]string {
	has := func(f proxydhcp.Feature) string {
		return t.set("has-"+f.String(), "dhcp-match=set:%s,175,%s", fmt.Sprint(uint8(f)))
	}
	alternatives := [][]string{nil}
	if x.Features != 0 {
		var all []string
		for f := range x.Features.All() {
			all = append(all, has(f))
		}
		alternatives = [][]string{all, {"!" + tagOpt175}}
	}
	if x.Lacks != 0 {
		var any [][]string
		for f := range x.Lacks.All() {
			any = append(any, []string{tagOpt175, "!" + has(f)})
		}
		alternatives = combine(alternatives, any)
	}
	if c := x.UserClass; c != "" {
		alternatives = combine(alternatives, [][]string{{t.set("class-"+fmt.Sprintf("%x", c), "dhcp-userclass=set:%s,%s", dnsmasqQuote(c))}})
	}
	return alternatives
}

// dnsmasqQuote returns a value in quotes. Inside them, commas, spaces and #
// have no special meaning, and a backslash escapes.
func dnsmasqQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
