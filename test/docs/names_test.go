package docs

import (
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// program is what the program says of itself.
type program struct {
	commands  []string
	flags     map[string]bool // of any command
	daemon    map[string]bool // of serve and check
	variables map[string]bool // environment variables
}

// mention is a flag in a text.
var mention = regexp.MustCompile(`(?:^|[^\w-])--([a-z][a-z0-9-]*)`)

// variable is an environment variable of ours in a text.
var variable = regexp.MustCompile(`PXESIDECAR_[A-Z0-9_]+`)

// askProgram reads the program's help.
func (m *machine) askProgram() program {
	m.t.Helper()
	p := program{flags: map[string]bool{"help": true}, daemon: map[string]bool{}, variables: map[string]bool{}}
	help, err := m.run("pxesidecar --help")
	if err != nil {
		m.t.Fatal(err)
	}
	for _, f := range mention.FindAllStringSubmatch(help, -1) {
		p.flags[f[1]] = true
	}
	p.commands = commandsIn(help)
	for _, command := range p.commands {
		for _, sub := range commandsIn(m.helpOf(command)) {
			p.commands = append(p.commands, command+" "+sub)
		}
	}
	for _, command := range p.commands {
		_, help, _ = strings.Cut(m.helpOf(command), "OPTIONS:")
		for line := range strings.Lines(help) {
			// The flag itself stands at the beginning of its line.
			f := mention.FindStringSubmatch(line)
			if f == nil || !strings.HasPrefix(strings.TrimSpace(line), "--") {
				continue
			}
			p.flags[f[1]] = true
			if command == "serve" || command == "check" {
				p.daemon[f[1]] = true
			}
			for _, v := range variable.FindAllString(line, -1) {
				p.variables[v] = true
			}
		}
	}
	return p
}

// helpOf is the help of a command.
func (m *machine) helpOf(command string) string {
	m.t.Helper()
	help, err := m.run("pxesidecar " + command + " --help")
	if err != nil {
		m.t.Fatal(err)
	}
	return help
}

// commandsIn lists the commands of the program's help, or of a command's.
func commandsIn(help string) []string {
	_, list, _ := strings.Cut(help, "COMMANDS:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	var commands []string
	for line := range strings.Lines(list) {
		if name, _, _ := strings.Cut(strings.TrimSpace(line), " "); name != "help," {
			commands = append(commands, name)
		}
	}
	return commands
}

// others are programs whose flags are not ours, at the beginning of a line.
// TestSecureBoot runs them as they are written.
var others = regexp.MustCompile(`^ *(sbsign|sbverify|virt-fw-vars|mokutil) `)

// TestNames checks that the flags and the environment variables of the
// documents exist, and that the documents speak of every command, and of every
// flag of serve and check.
func TestNames(t *testing.T) {
	t.Parallel()
	p := newMachine(t, newLab(t)).askProgram()
	p.flags["autofree"] = true // iPXE's, in `chain --autofree`
	spoken, shown := map[string]bool{}, ""
	for _, d := range documents(t) {
		shown += d.text
		for i, line := range strings.Split(d.text, "\n") {
			if d.name == secureBootPage && others.MatchString(line) {
				continue
			}
			for _, f := range mention.FindAllStringSubmatch(line, -1) {
				spoken[f[1]] = true
				if !p.flags[f[1]] {
					t.Errorf("%s: there is no --%s", d.at(i+1), f[1])
				}
			}
			for _, v := range variable.FindAllString(line, -1) {
				if !p.variables[v] {
					t.Errorf("%s: there is no %s", d.at(i+1), v)
				}
			}
		}
	}
	for name := range p.daemon {
		if !spoken[name] && name != "help" {
			t.Errorf("no document speaks of --%s", name)
		}
	}
	for _, command := range p.commands {
		if !strings.Contains(shown, "pxesidecar "+command+" ") && !strings.Contains(shown, "pxesidecar "+command+"`") {
			t.Errorf("no document shows pxesidecar %s", command)
		}
	}
	if len(p.daemon) < 40 {
		t.Errorf("only %d flags were found in the help", len(p.daemon))
	}
}

// TestRules checks that docs/rules.md lists what a rule may demand, as the
// example of the program does, and the placeholders that there are.
func TestRules(t *testing.T) {
	t.Parallel()
	m := newMachine(t, newLab(t))
	rules := documentNamed(t, documents(t), "docs/rules.md")
	example, err := m.run("pxesidecar check --example")
	if err != nil {
		t.Fatal(err)
	}
	told := regexp.MustCompile(`\([^)]*\)`).ReplaceAllString(demands(t, strings.ReplaceAll(example, "\n# ", " "), ";"), "")
	want := strings.FieldsFunc(strings.ReplaceAll(told, " and ", ","), func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
	got := codeIn(demands(t, rules.prose, "."))
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(got))); diff != "" {
		t.Errorf("what a rule may demand (-example +%s):\n%s", rules.name, diff)
	}

	m.write("home/placeholder.toml", "boot-url = \"http://boot.example.com/{no-such}\"\n")
	out, err := m.run("pxesidecar explain --config placeholder.toml")
	if err == nil {
		t.Fatalf("an unknown placeholder is accepted:\n%s", out)
	}
	known := regexp.MustCompile(`{[a-z-]+}`)
	wanted := known.FindAllString(strings.NewReplacer("${settings}", "", "{no-such}", "").Replace(err.Error()), -1)
	var listed []string
	for _, s := range rules.spans() {
		if known.FindString(s.text) == s.text {
			listed = append(listed, s.text)
		}
	}
	if diff := cmp.Diff(slices.Compact(slices.Sorted(slices.Values(wanted))), slices.Compact(slices.Sorted(slices.Values(listed)))); diff != "" {
		t.Errorf("placeholders (-program +%s):\n%s", rules.name, diff)
	}
}

// demands is the sentence that lists what a rule may demand.
func demands(t *testing.T, text, end string) string {
	t.Helper()
	_, list, ok := strings.Cut(text, "A rule may demand ")
	if !ok {
		t.Fatalf("the sentence that lists what a rule may demand is not in\n%s", text)
	}
	list, _, _ = strings.Cut(list, end)
	return list
}

// link is a link of Markdown.
var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestLinks checks that what is linked exists: files, and headings in them.
func TestLinks(t *testing.T) {
	t.Parallel()
	docs := documents(t)
	for _, d := range docs {
		for i, line := range strings.Split(d.prose, "\n") {
			for _, m := range link.FindAllStringSubmatch(line, -1) {
				if err := d.follow(docs, m[1]); err != "" {
					t.Errorf("%s: %s: %s", d.at(i+1), m[1], err)
				}
			}
		}
	}
}

// follow says what is wrong with a link of the document, "" for nothing.
func (d *document) follow(docs []*document, target string) string {
	if strings.Contains(target, "://") {
		return ""
	}
	file, anchor, _ := strings.Cut(target, "#")
	name := d.name
	if file != "" {
		name = path.Join(path.Dir(d.name), file)
	}
	if _, err := os.Stat(path.Join(root, name)); err != nil {
		return "no such file"
	}
	if anchor == "" {
		return ""
	}
	i := slices.IndexFunc(docs, func(o *document) bool { return o.name == name })
	if i < 0 || !slices.Contains(docs[i].anchors(), anchor) {
		return "no such heading"
	}
	return ""
}

// anchors are the names under which GitHub links the headings of a document.
func (d *document) anchors() []string {
	var list []string
	for line := range strings.Lines(d.prose) {
		if text, ok := strings.CutPrefix(strings.TrimLeft(strings.TrimSpace(line), "#"), " "); ok && strings.HasPrefix(line, "#") {
			list = append(list, anchorOf(text))
		}
	}
	return list
}

// anchorOf is the anchor of a heading: lower case, hyphens for spaces, nothing
// else but letters and digits.
func anchorOf(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}
