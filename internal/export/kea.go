package export

// Kea: a client class for each step.
//
// A client is in every class whose test it passes, and the settings of its
// classes are merged. So each test excludes the earlier steps that may take the
// same client. Expressions do not order numbers: versions are compared by the
// first digits of their hexadecimal text.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// keaLimits are the limits of Kea.
var keaLimits = limits{
	criteria:    byExpressions,
	canFill:     fillsOnlyFixed,
	canGiveNone: always,
}

// keaPrefix begins the names of all classes of this export.
const keaPrefix = "pxesidecar-"

// keaKinds are the classes for kinds of clients, and their tests.
var keaKinds = [...]struct {
	kind       clientKinds
	name, test string
}{
	{iPXEs, "ipxe", "(substring(option[60].hex, 0, 9) == 'PXEClient' or substring(option[60].hex, 0, 10) == 'HTTPClient') and " +
		"(option[175].exists or option[77].hex == 'iPXE' or substring(option[77].hex, 1, 4) == 'iPXE')"},
	{httpFirmware, "http", "substring(option[60].hex, 0, 10) == 'HTTPClient' and not member('" + keaPrefix + "ipxe')"},
	{pxeFirmware, "pxe", "substring(option[60].hex, 0, 9) == 'PXEClient' and not member('" + keaPrefix + "ipxe')"},
}

// keaClass is a client class.
type keaClass struct {
	comment []string
	members []string // lines of JSON; none if only the comment is written
}

// keaWriter collects the classes.
type keaWriter struct {
	plan    *plan
	helpers []keaClass // that the classes of steps refer to
	known   map[string]bool
	classes []keaClass // of steps
}

// writeKea writes members of "Dhcp4".
func writeKea(w *writer, p *plan) {
	k := &keaWriter{plan: p, known: map[string]bool{}}
	for i := range p.steps {
		k.step(i)
	}
	w.header("//", p,
		"Paste this between the braces of \"Dhcp4\" in kea-dhcp4.conf, followed by a comma, or save it as a file and include it there:",
		"\t<?include \"/etc/kea/pxesidecar.json\"?>,",
		"If your file already has option-def or client-classes, move the entries into those lists, before yours. "+
			"Test it, then restart Kea:",
		"\tkea-dhcp4 -t /etc/kea/kea-dhcp4.conf",
		"Host reservations have priority: remove boot-file-name and next-server there. "+
			"User classes are compared as a whole, as plain text or as one counted string.")
	w.line("// What an iPXE reports in option 175.")
	w.line(`"option-def": [`)
	defs := []string{`{ "name": "ipxe-encap-opts", "code": 175, "space": "dhcp4", "type": "empty", "encapsulate": "ipxe" }`}
	for _, sub := range []struct {
		name string
		code int
	}{{"bus-id", 177}, {"version", 235}} {
		defs = append(defs, keaDefinition(sub.name, sub.code))
	}
	for f := range p.features().All() {
		defs = append(defs, keaDefinition(f.String(), int(f)))
	}
	w.line("    %s", strings.Join(defs, ",\n    "))
	w.line("],")
	w.line(`"client-classes": [`)
	w.keaClasses(append(k.helpers, k.classes...))
	w.line("]")
}

// keaDefinition returns the definition of a sub-option of option 175.
func keaDefinition(name string, code int) string {
	return fmt.Sprintf(`{ "name": %q, "code": %d, "space": "ipxe", "type": "binary" }`, name, code)
}

// keaClasses writes the list of classes. A class without members is written as
// a comment.
func (w *writer) keaClasses(classes []keaClass) {
	last := -1
	for i, c := range classes {
		if len(c.members) > 0 {
			last = i
		}
	}
	for i, c := range classes {
		for _, text := range c.comment {
			w.comment("    //", text)
		}
		if len(c.members) == 0 {
			continue
		}
		end := ","
		if i == last {
			end = ""
		}
		w.line("    { %s }%s", strings.Join(c.members, ",\n      "), end)
	}
}

// helper adds a class that tests refer to, unless it exists, and returns the
// reference.
func (k *keaWriter) helper(name, test, comment string) string {
	name = keaPrefix + name
	if !k.known[name] {
		k.known[name] = true
		k.helpers = append(k.helpers, keaClass{[]string{comment}, []string{`"name": ` + jsonText(name), `"test": ` + jsonText(test)}})
	}
	return keaMember(name)
}

// keaMember returns the test that a client is in a class.
func keaMember(name string) string { return "member('" + name + "')" }

// step adds the class of the i-th step.
func (k *keaWriter) step(i int) {
	s := k.plan.steps[i]
	c := keaClass{comment: s.remarks()}
	if s.leftOut {
		k.classes = append(k.classes, c)
		return
	}
	all := k.condition(s)
	for _, earlier := range k.plan.steps[:i] {
		if !earlier.leftOut && earlier.overlaps(s) {
			all = append(all, "not "+keaMember(keaPrefix+earlier.id()))
		}
	}
	c.members = []string{`"name": ` + jsonText(keaPrefix+s.id()), `"test": ` + jsonText(strings.Join(all, " and "))}
	if s.silence == "" {
		c.members = append(c.members, keaAnswer(s.answer)...)
	}
	k.classes = append(k.classes, c)
}

// keaAnswer returns the members of a class with its answer.
func keaAnswer(a answer) []string {
	members := []string{`"next-server": ` + jsonText(a.next.String())}
	var options []string
	if file := a.file.static(); len(file) <= maxFileField {
		members = append(members, `"boot-file-name": `+jsonText(file))
	} else {
		// The name is too long for the header, so it is in option 67:
		// in hexadecimal, because a comma would split text.
		options = append(options, fmt.Sprintf(`{ "name": "boot-file-name", "data": "%x", "csv-format": false, "always-send": true }`, file))
	}
	if a.class != "" {
		options = append(options, fmt.Sprintf(`{ "name": "vendor-class-identifier", "data": %s, "always-send": true }`, jsonText(a.class)))
	}
	if len(options) > 0 {
		members = append(members, `"option-data": [ `+strings.Join(options, ", ")+" ]")
	}
	return members
}

// condition returns the conditions of a step.
func (k *keaWriter) condition(s step) []string {
	var all, kinds []string
	for _, class := range keaKinds {
		// All are added: the tests of firmware refer to the class of
		// iPXE.
		ref := k.helper(class.name, class.test, "Kind of client: "+class.kind.String()+".")
		if s.clients&class.kind != 0 {
			kinds = append(kinds, ref)
		}
	}
	all = appendAny(all, "", kinds, func(ref string) string { return ref })
	if archs := s.archs.only; len(archs) > 0 {
		all = append(all, k.archs(archs))
	}
	if archs := s.archs.except; len(archs) > 0 {
		all = append(all, "not "+k.archs(archs))
	}
	all = appendAny(all, "", s.match.MACs, keaMAC)
	all = appendAny(all, "not ", s.match.NotMACs, keaMAC)
	all = appendAny(all, "", s.match.Relays, keaNetwork)
	if c := s.match.VendorClass; c != "" {
		all = append(all, fmt.Sprintf("substring(option[60].hex, 0, %d) == %s", len(c), keaText(c)))
	}
	all = appendAny(all, "", s.match.UUIDs, func(u proxydhcp.UUID) string { return "option[97].hex == 0x00" + hexBytes(u[:], "") })
	all = appendAny(all, "", s.match.NICs, func(id proxydhcp.PCIID) string {
		return fmt.Sprintf("option[175].option[177].hex == 0x01%04x%04x", id.Vendor, id.Device)
	})
	if x := s.match.IPXE; x != nil {
		all = append(all, k.build(x)...)
	}
	return all
}

// archs returns a reference to the class of some architecture types.
func (k *keaWriter) archs(archs []proxydhcp.Arch) string {
	test := appendAny(nil, "", archs, func(a proxydhcp.Arch) string { return fmt.Sprintf("option[93].hex == 0x%04x", uint16(a)) })
	return k.helper("arch-"+archsName(archs), test[0], "Architecture types: "+joinArchs(archs)+".")
}

// build returns the conditions on an iPXE's build.
func (k *keaWriter) build(x *proxydhcp.IPXEMatch) []string {
	var all []string
	if !x.Version.IsZero() {
		all = append(all, "option[175].option[235].exists")
	}
	for _, t := range termsOf(x.Version) {
		all = append(all, k.term(t))
	}
	has := func(features proxydhcp.Features) string {
		var each []string
		for f := range features.All() {
			test := fmt.Sprintf("option[175].option[%d].exists and not (substring(option[175].option[%d].hex, 0, 1) == 0x00)", f, f)
			each = append(each, k.helper("has-"+f.String(), test, "An iPXE with "+f.String()+"."))
		}
		return strings.Join(each, " and ")
	}
	if x.Features != 0 {
		all = append(all, "(not option[175].exists or ("+has(x.Features)+"))")
	}
	if x.Lacks != 0 {
		all = append(all, "option[175].exists and not ("+has(x.Lacks)+")")
	}
	if c := x.UserClass; c != "" {
		all = append(all, fmt.Sprintf("(option[77].hex == %s or option[77].hex == 0x%02x%x)", keaText(c), len(c), c))
	}
	return all
}

// term returns the condition that an iPXE's version matches a term.
func (k *keaWriter) term(t term) string {
	same := fmt.Sprintf("option[175].option[235].hex == 0x%02x%02x%02x", t.version[0], t.version[1], t.version[2])
	switch t.op {
	case "=":
		return same
	case "!=":
		return "not (" + same + ")"
	case "<":
		return k.before(t.version)
	case ">=":
		return "not " + k.before(t.version)
	}
	next, ok := nextVersion(t.version)
	switch {
	case t.op == "<=" && ok:
		return k.before(next)
	case t.op == ">" && ok:
		return "not " + k.before(next)
	case t.op == "<=":
		return "'all' == 'all'"
	}
	return "'none' == 'some'"
}

// before returns a reference to the class of the iPXEs older than v.
func (k *keaWriter) before(v proxydhcp.Version) string {
	prefixes := prefixesBefore(v)
	if len(prefixes) == 0 {
		return "('none' == 'some')"
	}
	test := appendAny(nil, "", prefixes, func(prefix string) string {
		return fmt.Sprintf("substring(hexstring(option[175].option[235].hex, ''), 0, %d) == '%s'", len(prefix), prefix)
	})
	return k.helper("before-"+v.String(), "option[175].option[235].exists and "+test[0],
		fmt.Sprintf("An iPXE older than %s, by the first digits of its version in hexadecimal.", v))
}

// keaMAC returns the condition that a MAC address has a prefix.
func keaMAC(m proxydhcp.MACPrefix) string {
	return fmt.Sprintf("substring(pkt4.mac, 0, %d) == 0x%s", macLen(m), strings.ReplaceAll(m.String(), ":", ""))
}

// keaNetwork returns the condition that the relay's address is in a network.
func keaNetwork(n netip.Prefix) string {
	b := n.Masked().Addr().As4()
	digits := hexBytes(b[:], "")
	whole, rest := n.Bits()/4, n.Bits()%4
	test := fmt.Sprintf("substring(hexstring(pkt4.giaddr, ''), 0, %d) == '%s'", whole, digits[:whole])
	if n.Bits() == 0 {
		return "not (pkt4.giaddr == 0.0.0.0)"
	}
	if rest == 0 {
		return test
	}
	var any []string
	var first int
	fmt.Sscanf(digits[whole:whole+1], "%x", &first)
	for d := first; d < first+1<<(4-rest); d++ {
		any = append(any, fmt.Sprintf("substring(hexstring(pkt4.giaddr, ''), 0, %d) == '%s%x'", whole+1, digits[:whole], d))
	}
	return "(" + strings.Join(any, " or ") + ")"
}

// keaText returns a string of an expression. Expressions have no escapes, so
// text with control characters, quotes or backslashes is in hexadecimal.
func keaText(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == '\'' || r == '"' || r == '\\' }) {
		return fmt.Sprintf("0x%x", s)
	}
	return "'" + s + "'"
}

// jsonText returns a JSON string.
func jsonText(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(s) // a string, to memory: it cannot fail
	return strings.TrimSpace(b.String())
}
