package docs

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// logs are what the program logged, by scene.
type logs map[string][]string

// playAll plays every scene.
func playAll(t *testing.T) logs {
	t.Helper()
	all := logs{}
	var mu sync.Mutex
	t.Run("scenes", func(t *testing.T) {
		for _, s := range scenes {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				lines := s.perform(t)
				mu.Lock()
				defer mu.Unlock()
				all[s.name] = lines
			})
		}
	})
	return all
}

// has reports whether a line of any scene is found.
func (all logs) has(found func(line string) bool) bool {
	for _, lines := range all {
		if slices.ContainsFunc(lines, found) {
			return true
		}
	}
	return false
}

// TestLog has machines boot, and compares what the program logs with what the
// documents say of it.
func TestLog(t *testing.T) {
	t.Parallel()
	docs := documents(t)
	all := playAll(t)
	if t.Failed() {
		return
	}
	t.Run("quoted lines", func(t *testing.T) { checkQuotes(t, docs, all) })
	t.Run("quoted attributes", func(t *testing.T) { checkAttributes(t, docs, all) })
	t.Run("PowerShell", func(t *testing.T) { checkPowerShell(t, docs, all) })
	t.Run("log.md", func(t *testing.T) { checkReference(t, documentNamed(t, docs, "docs/log.md"), all) })
}

// checkQuotes looks for the lines of each block in one scene, in their order.
func checkQuotes(t *testing.T, docs []*document, all logs) {
	for _, b := range blocksOf(docs, "log") {
		best, where := 0, ""
		quoted := strings.Split(b.text, "\n")
		for scene, lines := range all {
			if n := follow(quoted, lines); n > best || where == "" {
				best, where = n, scene
			}
		}
		if best < len(quoted) {
			t.Errorf("%s: %s\nis not logged; there is\n%s", b.at(best), quoted[best], strings.Join(all[where], "\n"))
		}
	}
}

// follow returns how many of the quoted lines are in the log, in this order.
func follow(quoted, lines []string) (n int) {
	for _, line := range lines {
		if n < len(quoted) && isQuoted(quoted[n], line) {
			n++
		}
	}
	return n
}

// isQuoted reports whether a line is the one that is quoted. "..." stands for
// any text, and a duration for any other.
func isQuoted(quoted, line string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(quoted), `\.\.\.`, ".*")
	pattern = regexp.MustCompile(`duration=[^ ]+`).ReplaceAllString(pattern, `duration=[^ ]+`)
	return regexp.MustCompile("^" + pattern + "$").MatchString(line)
}

// checkAttributes looks for the attributes that the text speaks of.
func checkAttributes(t *testing.T, docs []*document, all logs) {
	attribute := regexp.MustCompile(`^(msg|reason|conflict)=.`)
	for _, d := range docs {
		for _, s := range d.spans() {
			if attribute.MatchString(s.text) && !all.has(func(line string) bool { return strings.Contains(line+" ", " "+s.text+" ") }) {
				t.Errorf("%s: `%s` is not logged", s.at(), s.text)
			}
		}
	}
}

// checkPowerShell looks for the commands for Windows servers in the remedies
// that the log names. Those that only read are not there.
func checkPowerShell(t *testing.T, docs []*document, all logs) {
	reading := []string{"Get-DhcpServerv4OptionValue", "Get-DhcpServerv4Scope", "Get-DhcpServerv4Policy"}
	inRemedy := func(text string) bool {
		return all.has(func(line string) bool { return strings.Contains(attributesOf(line).get("remedy"), text) })
	}
	for _, b := range blocksOf(docs, "powershell") {
		for i, line := range strings.Split(b.text, "\n") {
			if !slices.Contains(reading, strings.Fields(line)[0]) && !inRemedy(line+";") {
				t.Errorf("%s: %q is in no remedy", b.at(i), line)
			}
		}
	}
	for _, d := range docs {
		for _, s := range d.spans() {
			if (strings.HasPrefix(s.text, "-ScopeId") || strings.HasPrefix(s.text, "-PolicyName")) && !inRemedy(s.text+" for ") {
				t.Errorf("%s: `%s` is in no remedy", s.at(), s.text)
			}
		}
	}
}

// attribute is a key with its value.
type attribute struct{ key, value string }

// attributes are those of a line, in order.
type attributes []attribute

// get returns the value of a key, "" if it is absent.
func (a attributes) get(key string) string {
	for _, x := range a {
		if x.key == key {
			return x.value
		}
	}
	return ""
}

// attributesOf reads a line of the log.
func attributesOf(line string) attributes {
	var list attributes
	for line != "" {
		key, rest, _ := strings.Cut(line, "=")
		value, after, _ := strings.Cut(rest, " ")
		if quoted, err := strconv.QuotedPrefix(rest); err == nil {
			value, _ = strconv.Unquote(quoted)
			after = strings.TrimPrefix(rest[len(quoted):], " ")
		}
		list = append(list, attribute{key, value})
		line = after
	}
	return list
}

// reference is what docs/log.md says.
type reference struct {
	keys     map[string]keyRow
	messages []messageRow
}

// keyRow is a row of the table of keys.
type keyRow struct {
	row
	kind      string
	carriedBy []string
}

// messageRow is a row of a table of messages.
type messageRow struct {
	row
	group  string
	text   string
	levels []string
	keys   []string
}

// groups are the sections of messages, by their headings.
var groups = map[string]string{
	"DHCP": "DHCP", "ROMs that machines have loaded": "ROMs", "Conflicts with other DHCP servers": "conflicts", "Interfaces": "interfaces", "TFTP": "TFTP", "HTTP": "HTTP", "Lines that were left out": "left out", "Start, reload and end": "start",
}

// elsewhere are messages that no scene brings about: of other systems, and of
// failures that cannot be made to happen here.
var elsewhere = []string{"network fault", "interface not served yet", "log lines were lost, nobody read them in time", "lines were left out"}

// unseen are keys of a group that no scene brings about, for the same reasons:
// an interface for a VLAN needs a kernel that makes them.
var unseen = []string{"interfaces vlan", "start vlan"}

// readReference reads docs/log.md.
func readReference(t *testing.T, d *document) reference {
	t.Helper()
	ref := reference{keys: map[string]keyRow{}}
	for _, r := range d.tables("key", "type", "meaning", "example", "carried by") {
		for _, key := range codeIn(r.cells[0]) {
			ref.keys[key] = keyRow{row: r, kind: r.cells[1], carriedBy: strings.Split(r.cells[4], ", ")}
		}
	}
	lines := strings.Split(d.prose, "\n")
	for _, r := range d.tables("message", "level", "keys") {
		heading := ""
		for i := r.line - 1; i >= 0 && heading == ""; i-- {
			heading, _ = strings.CutPrefix(lines[i], "### ")
			if !strings.HasPrefix(lines[i], "### ") {
				heading = ""
			}
		}
		ref.messages = append(ref.messages, messageRow{
			row: r, group: groups[heading], text: codeIn(r.cells[0])[0], levels: strings.Split(r.cells[1], ", "), keys: codeIn(r.cells[2]),
		})
	}
	if len(ref.keys) == 0 || len(ref.messages) == 0 {
		t.Fatalf("%s: no keys, or no messages", d.name)
	}
	return ref
}

// checkReference compares docs/log.md with what was logged: every message with
// its level and its keys, in their order; and nothing that there is not.
func checkReference(t *testing.T, d *document, all logs) {
	ref := readReference(t, d)
	seenMessages, seenKeys := map[string]bool{}, map[string]bool{}
	for _, lines := range all {
		for _, line := range lines {
			m, ok := ref.rowOf(line)
			if !ok {
				t.Errorf("%s: no row for the line %s", d.name, line)
				continue
			}
			seenMessages[m.text+" "+attributesOf(line).get("level")] = true
			for _, a := range attributesOf(line)[min(2, len(attributesOf(line))):] {
				seenKeys[m.group+" "+a.key] = true
				ref.checkValue(t, a)
			}
		}
	}
	for _, m := range ref.messages {
		for _, level := range m.levels {
			if !seenMessages[m.text+" "+level] && !slices.Contains(elsewhere, m.text) {
				t.Errorf("%s: %q is not logged with level %s", m.at(), m.text, level)
			}
		}
		for _, key := range m.keys {
			if !seenKeys[m.group+" "+key] && !slices.Contains(elsewhere, m.text) && !slices.Contains(unseen, m.group+" "+key) {
				t.Errorf("%s: no line of %s has %s", m.at(), m.group, key)
			}
		}
	}
	ref.checkKeys(t)
}

// rowOf returns the row of a line: its message, level and keys are there. A
// warning about the configuration has no row, and no keys.
func (ref reference) rowOf(line string) (messageRow, bool) {
	a := attributesOf(line)
	for _, m := range ref.messages {
		left := m.keys
		fits := m.text == a.get("msg") && slices.Contains(m.levels, a.get("level"))
		for _, x := range a[min(2, len(a)):] {
			at := slices.Index(left, x.key)
			fits = fits && at >= 0
			left = left[at+1:]
		}
		if fits {
			return m, true
		}
	}
	return messageRow{group: "start"}, a.get("level") == "WARN" && len(a) == 2
}

// checkValue checks a value against the type of its key.
func (ref reference) checkValue(t *testing.T, a attribute) {
	k, ok := ref.keys[a.key]
	if !ok {
		t.Errorf("no row for the key %s", a.key)
	} else if !hasType(a.value, k.kind) {
		t.Errorf("%s: %s=%q is no %s", k.at(), a.key, a.value, k.kind)
	}
}

// hasType reports whether a value has a type of the table of keys.
func hasType(value, kind string) bool {
	var err error
	switch kind {
	case "text", "list":
	case "number":
		_, err = strconv.Atoi(value)
	case "address":
		_, err = netip.ParseAddr(value)
	case "duration":
		_, err = time.ParseDuration(value)
	case "boolean":
		_, err = strconv.ParseBool(value)
	default:
		return false
	}
	return err == nil
}

// checkKeys compares the table of keys with the tables of messages.
func (ref reference) checkKeys(t *testing.T) {
	want := map[string][]string{}
	for _, m := range ref.messages {
		for _, key := range m.keys {
			if !slices.Contains(want[key], m.group) {
				want[key] = append(want[key], m.group)
			}
		}
	}
	for key, k := range ref.keys {
		if diff := cmp.Diff(slices.Sorted(slices.Values(want[key])), slices.Sorted(slices.Values(k.carriedBy))); diff != "" {
			t.Errorf("%s: %s is carried by (-messages +keys):\n%s", k.at(), key, diff)
		}
		for _, example := range codeIn(k.cells[3]) {
			if !hasType(example, k.kind) {
				t.Errorf("%s: the example %q is no %s", k.at(), example, k.kind)
			}
		}
	}
	for key := range want {
		if _, ok := ref.keys[key]; !ok {
			t.Errorf("no row for the key %s", key)
		}
	}
}
