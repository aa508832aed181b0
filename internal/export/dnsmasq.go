package export

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// dnsmasq: tags. tag-if lines are run through from top to bottom, so one tag
// that every step sets and the next one asks for makes a chain of them.
//
// dhcp-match looks at whole options: at the beginning of one where the value is
// bytes, and for a number of one byte at any of its bytes. It does not look
// into option 175 sub-option by sub-option (encap: is refused there).

// dnsmasqLimits are those of dnsmasq.
var dnsmasqLimits = limits{
	sight: [aspects]sight{ofFeatures: overtakes, ofLack: overlooks, ofUserClass: overtakes, ofVendorClass: exact, ofUUID: exact},
	why: [aspects]string{
		ofVersion:   "dnsmasq cannot compare what is inside option 175, where iPXE's version is sub-option 235",
		ofFeatures:  "dnsmasq looks for the feature's number anywhere in option 175, and may meet it there by chance",
		ofLack:      "dnsmasq looks for the feature's number anywhere in option 175, and may meet it there by chance",
		ofUserClass: "dnsmasq looks for this text anywhere in the user class",
		ofNIC:       "dnsmasq cannot look at the network card, sub-option 177 of option 175",
		ofInterface: elsewhere,
		ofVLAN:      elsewhere,
		ofCircuit:   "circuits of relays are not exported",
		ofRelay:     "dnsmasq has no match for a relay's address; set a tag in the dhcp-range of that network instead",
	},
	fills:    staticFills,
	silences: always,
}

// The tags of ours. tagTaken is set once a step has taken the client.
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

// tagWriter gathers the lines that set the tags which the steps ask for.
type tagWriter struct {
	lines []string
	known map[string]bool
}

// writeDnsmasq writes a configuration file.
func writeDnsmasq(w *writer, p *plan) {
	w.header("#", p,
		"Save this as a file in /etc/dnsmasq.d, or paste it into dnsmasq.conf, behind your own lines. Test it, then restart dnsmasq:",
		"\tdnsmasq --test",
		"Remove other dhcp-boot and pxe-service lines: what is decided here has tags, which win over lines without, "+
			"but machines that get no boot file here would get theirs. User class and architecture may stand anywhere in what a machine tells.")
	t := &tagWriter{known: map[string]bool{}}
	var steps writer
	for _, s := range p.steps {
		steps.line("")
		steps.title("#", s)
		if !s.leftOut {
			steps.dnsmasqStep(t, s)
		}
	}
	w.line("# What a machine tells of itself: option 60 begins with PXEClient or HTTPClient, and an iPXE says so.")
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

// dnsmasqStep writes the lines of a step: who is meant, what they get, and that
// the steps below are not for them.
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
		w.comment("#", "Too long for the header of a message, so it goes into option 67, unasked.")
		w.line("dhcp-boot=tag:%s,,,%s", tag, s.answer.next)
		w.line("dhcp-option-force=tag:%s,67,%s", tag, dnsmasqQuote(file))
	}
	if s.answer.class != "" {
		w.line("dhcp-option-force=tag:%s,60,%s", tag, dnsmasqQuote(s.answer.class))
	}
}

// set makes sure that a tag is set by the lines given, and returns it.
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

// conditions are whom a step takes: lists of tags, of which one whole list must
// hold. A tag with ! before it must not be set.
func (t *tagWriter) conditions(s step) [][]string {
	var ways [][]string
	for _, kind := range []struct {
		to   audience
		tags []string
	}{
		{everybody, []string{tagBoots}},
		{iPXEs, []string{tagIPXE}},
		{pxeFirmware, []string{tagPXE, "!" + tagIPXE}},
		{httpFirmware, []string{tagHTTP, "!" + tagIPXE}},
	} {
		if s.to&kind.to == kind.to && (len(ways) == 0 || s.to != everybody) {
			ways = append(ways, kind.tags)
		}
	}
	ways = both(ways, [][]string{t.facts(s)})
	if x := s.match.IPXE; x != nil {
		ways = both(ways, t.build(x))
	}
	return ways
}

// both combines two lists of ways: one of each must hold.
func both(a, b [][]string) [][]string {
	var ways [][]string
	for _, x := range a {
		for _, y := range b {
			ways = append(ways, append(slices.Clone(x), y...))
		}
	}
	return ways
}

// facts are the tags for everything but kind and build.
func (t *tagWriter) facts(s step) []string {
	var all []string
	archs := func(archs []proxydhcp.Arch) string {
		return t.set("arch-"+archsName(archs), "dhcp-match=set:%s,option:client-arch,%s", texts(archs, func(a proxydhcp.Arch) string { return fmt.Sprint(uint16(a)) })...)
	}
	macs := func(word string, macs []proxydhcp.MACPrefix) string {
		return t.set(s.id()+word, "dhcp-mac=set:%s,%s", texts(macs, func(m proxydhcp.MACPrefix) string {
			return m.String() + strings.Repeat(":*", 6-macLen(m))
		})...)
	}
	if len(s.archs.only) > 0 {
		all = append(all, archs(s.archs.only))
	}
	if len(s.archs.none) > 0 {
		all = append(all, "!"+archs(s.archs.none))
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
		all = append(all, t.set(s.id()+"-machine", "dhcp-match=set:%s,97,%s", texts(s.match.UUIDs, func(u proxydhcp.UUID) string {
			return "00:" + hexBytes(u[:], ":")
		})...))
	}
	return all
}

// texts words every value.
func texts[T any](values []T, word func(T) string) []string {
	var list []string
	for _, v := range values {
		list = append(list, word(v))
	}
	return list
}

// build is what is demanded of an iPXE's build, as ways of which one must hold.
func (t *tagWriter) build(x *proxydhcp.IPXEMatch) [][]string {
	has := func(f proxydhcp.Feature) string {
		return t.set("has-"+f.String(), "dhcp-match=set:%s,175,%s", fmt.Sprint(uint8(f)))
	}
	ways := [][]string{nil}
	if x.Features != 0 {
		var all []string
		for f := range x.Features.All() {
			all = append(all, has(f))
		}
		ways = [][]string{all, {"!" + tagOpt175}}
	}
	if x.Lacks != 0 {
		var any [][]string
		for f := range x.Lacks.All() {
			any = append(any, []string{tagOpt175, "!" + has(f)})
		}
		ways = both(ways, any)
	}
	if c := x.UserClass; c != "" {
		ways = both(ways, [][]string{{t.set("class-"+fmt.Sprintf("%x", c), "dhcp-userclass=set:%s,%s", dnsmasqQuote(c))}})
	}
	return ways
}

// dnsmasqQuote writes a value in quotes, inside which commas, spaces and # are
// themselves and a backslash escapes.
func dnsmasqQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
