package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Kea: a client class for each step. A client is in every class whose test
// holds, and what its classes say is merged; so each test excludes the steps
// before it that may take the same client. Expressions know no order of
// numbers: versions are compared by the beginnings of their digits.

// keaLimits are those of Kea.
var keaLimits = limits{
	sight: [aspects]sight{ofVersion: exact, ofFeatures: exact, ofLack: exact, ofUserClass: exact,
		ofVendorClass: exact, ofUUID: exact, ofNIC: exact, ofRelay: exact},
	why:      [aspects]string{ofInterface: elsewhere, ofVLAN: elsewhere, ofCircuit: "circuits of relays are not exported"},
	fills:    staticFills,
	silences: always,
}

// keaPrefix begins the names of our classes.
const keaPrefix = "pxesidecar-"

// The names of the classes for kinds of clients, and their tests.
var keaKinds = []struct {
	to         audience
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
	members []string // lines of JSON
}

// keaWriter gathers the classes, those that the steps refer to first.
type keaWriter struct {
	plan    *plan
	helpers []keaClass
	known   map[string]bool
	classes []keaClass
}

// writeKea writes members of "Dhcp4".
func writeKea(w *writer, p *plan) {
	k := &keaWriter{plan: p, known: map[string]bool{}}
	for i := range p.steps {
		k.step(i)
	}
	w.header("//", p,
		"Paste this between the braces of \"Dhcp4\" in kea-dhcp4.conf, with a comma behind, or save it as a file and write there:",
		"\t<?include \"/etc/kea/pxesidecar.json\"?>,",
		"Where your file has option-def or client-classes already, move the entries into those lists, before yours. "+
			"Test it, then restart Kea:",
		"\tkea-dhcp4 -t /etc/kea/kea-dhcp4.conf",
		"What a host reservation says wins: remove boot-file-name and next-server there. User classes are compared whole, bare or as one counted string.")
	w.line("// What an iPXE tells of itself in option 175.")
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

func keaDefinition(name string, code int) string {
	return fmt.Sprintf(`{ "name": %q, "code": %d, "space": "ipxe", "type": "binary" }`, name, code)
}

// keaClasses writes the list; comments of a rule without a class stand alone.
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

// helper makes a class that tests refer to, once, and returns the reference.
func (k *keaWriter) helper(name, test, comment string) string {
	name = keaPrefix + name
	if !k.known[name] {
		k.known[name] = true
		k.helpers = append(k.helpers, keaClass{[]string{comment}, []string{`"name": ` + jsonText(name), `"test": ` + jsonText(test)}})
	}
	return keaMember(name)
}

func keaMember(name string) string { return "member('" + name + "')" }

// step makes the class of the i-th step.
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

// keaAnswer is what a class says.
func keaAnswer(a answer) []string {
	members := []string{`"next-server": ` + jsonText(a.next.String())}
	var options []string
	if file := a.file.static(); len(file) <= maxFileField {
		members = append(members, `"boot-file-name": `+jsonText(file))
	} else {
		// Too long for the header: option 67, in hexadecimal, because a comma
		// would divide its text.
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

// condition is whom a step takes.
func (k *keaWriter) condition(s step) []string {
	var all []string
	var to []string
	for _, kind := range keaKinds {
		// The tests of firmware refer to iPXE's.
		ref := k.helper(kind.name, kind.test, "What runs: "+kind.to.String()+".")
		if s.to&kind.to != 0 {
			to = append(to, ref)
		}
	}
	all = appendAny(all, "", to, func(ref string) string { return ref })
	if archs := s.archs.only; len(archs) > 0 {
		all = append(all, k.archs(archs))
	}
	if archs := s.archs.none; len(archs) > 0 {
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

// archs refers to the class of some architecture types.
func (k *keaWriter) archs(archs []proxydhcp.Arch) string {
	test := appendAny(nil, "", archs, func(a proxydhcp.Arch) string { return fmt.Sprintf("option[93].hex == 0x%04x", uint16(a)) })
	return k.helper("arch-"+archsName(archs), test[0], "Architecture types: "+joinArchs(archs)+".")
}

// build is what is demanded of an iPXE's build.
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

// term compares a version.
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
	behind, ok := next(t.version)
	switch {
	case t.op == "<=" && ok:
		return k.before(behind)
	case t.op == ">" && ok:
		return "not " + k.before(behind)
	case t.op == "<=":
		return "'all' == 'all'"
	}
	return "'none' == 'some'"
}

// before refers to the class of the iPXEs older than v.
func (k *keaWriter) before(v proxydhcp.Version) string {
	heads := below(v)
	if len(heads) == 0 {
		return "('none' == 'some')"
	}
	test := appendAny(nil, "", heads, func(head string) string {
		return fmt.Sprintf("substring(hexstring(option[175].option[235].hex, ''), 0, %d) == '%s'", len(head), head)
	})
	return k.helper("before-"+v.String(), "option[175].option[235].exists and "+test[0],
		fmt.Sprintf("An iPXE older than %s, by the first digits of its version in hexadecimal.", v))
}

// keaMAC compares the beginning of the MAC address.
func keaMAC(m proxydhcp.MACPrefix) string {
	return fmt.Sprintf("substring(pkt4.mac, 0, %d) == 0x%s", macLen(m), strings.ReplaceAll(m.String(), ":", ""))
}

// keaNetwork compares the relay's address with a network.
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

// keaText writes a string of an expression, which knows no escapes: where there
// is more than plain letters, in hexadecimal.
func keaText(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == '\'' || r == '"' || r == '\\' }) {
		return fmt.Sprintf("0x%x", s)
	}
	return "'" + s + "'"
}

// jsonText writes a string of JSON.
func jsonText(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(s) // to memory, a string: it cannot fail
	return strings.TrimSpace(b.String())
}
