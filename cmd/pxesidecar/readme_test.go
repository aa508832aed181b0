package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/check"
	"github.com/pxesidecar/pxesidecar/internal/httpboot"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// The README keeps its word: its commands run, its configuration loads, its log
// lines are those of the journal, its flags are those that there are. Nothing
// here touches the network or wants root: serve and check are held against a
// host of this test's own (readme_host_test.go), the other commands run as they are.

// TestReadmeCommands runs every line of the README that a person can type.
func TestReadmeCommands(t *testing.T) {
	r := newReadme(t)
	for _, s := range r.snippets("sh") {
		for i, line := range strings.Split(s.text, "\n") {
			if err := r.typed(line); err != nil {
				t.Errorf("README.md:%d: %s: %v", s.line+i, strings.TrimSpace(line), err)
			}
		}
	}
	for _, span := range r.spans() {
		line := span
		switch {
		case placeholder.MatchString(span):
			continue
		case strings.HasPrefix(span, "--") && len(words(span)) > 1: // a flag with a value
			line = "pxesidecar serve --interface eth0 --root /srv/pxe " + span
		case !strings.HasPrefix(span, "make ") && !strings.HasPrefix(span, "pxesidecar "):
			continue
		}
		if err := r.typed(line); err != nil {
			t.Errorf("README.md: `%s`: %v", span, err)
		}
	}
}

// placeholder is a word that stands for a value, as in --rom ARCH=FILE.
var placeholder = regexp.MustCompile(`\b[A-Z]{2,}\b`)

// TestReadmeConsole runs the commands that are shown with what they print.
// "..." stands for any lines.
func TestReadmeConsole(t *testing.T) {
	r := newReadme(t)
	for _, s := range r.snippets("console") {
		var got []string
		for i, line := range strings.Split(s.text, "\n") {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				out, err := r.pxesidecar(words(command)[1:])
				if err != nil {
					t.Errorf("README.md:%d: %v", s.line+i, err)
				}
				got = strings.Split(out, "\n")
				continue
			}
			at := slices.Index(got, line)
			if line != "..." && at < 0 {
				t.Errorf("README.md:%d: %q is not printed; there is left:\n%s", s.line+i, line, strings.Join(got, "\n"))
			}
			got = got[at+1:]
		}
	}
}

// TestReadmeConfiguration loads the configuration files.
func TestReadmeConfiguration(t *testing.T) {
	r := newReadme(t)
	for _, s := range r.snippets("toml") {
		r.write("snippet.toml", s.text)
		if _, err := r.pxesidecar([]string{"serve", "--config", "snippet.toml"}); err != nil {
			t.Errorf("README.md:%d: %v", s.line, err)
		}
	}
	_, list, ok := strings.Cut(r.text, "A rule may demand ")
	if !ok {
		t.Fatal("README.md: the sentence that lists what a rule may demand is gone")
	}
	list, _, _ = strings.Cut(list, ".")
	want := []string{}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[config.RuleText]()) {
		key, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		if key != "" && !slices.Contains([]string{"name", "outcome", "boot-file", "next-server"}, key) {
			want = append(want, key)
		}
	}
	got := codeSpans(list)
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what a rule may demand (-config +README):\n%s", diff)
	}
}

// TestReadmeService holds the unit file against the command line, and its
// capabilities and setcap's against what we ask for where they are missing.
func TestReadmeService(t *testing.T) {
	r := newReadme(t)
	asked := advise(fs.ErrPermission, "udp", proxydhcp.PortProxy).Error()
	units := r.snippets("ini")
	if len(units) == 0 {
		t.Fatal("README.md: no unit file")
	}
	for _, s := range units {
		for key, value := range assignments(s.text) {
			switch key {
			case "ExecStart":
				if _, err := r.pxesidecar(words(value)[1:]); err != nil {
					t.Errorf("README.md:%d: %s: %v", s.line, value, err)
				}
			case "AmbientCapabilities":
				if list := strings.ToLower(strings.ReplaceAll(value, " ", ",")); !strings.Contains(asked, "setcap "+list+"=") {
					t.Errorf("README.md:%d: capabilities %s; we ask for them with %q", s.line, list, asked)
				}
			}
		}
	}
}

// assignments are the KEY=VALUE lines of a unit file.
func assignments(unit string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(unit) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			m[key] = value
		}
	}
	return m
}

// TestReadmePowerShell holds the commands for Windows servers against those
// that the log names.
func TestReadmePowerShell(t *testing.T) {
	r := newReadme(t)
	remedies := ""
	for _, f := range r.findings() {
		remedies += f.Remedy() + "\n"
	}
	for _, span := range r.spans() {
		if strings.HasPrefix(span, "-ScopeId") || strings.HasPrefix(span, "-PolicyName") {
			if !strings.Contains(remedies, span+" for ") {
				t.Errorf("README.md: `%s` is in no remedy:\n%s", span, remedies)
			}
		}
	}
	reading := []string{"Get-DhcpServerv4OptionValue", "Get-DhcpServerv4Scope", "Get-DhcpServerv4Policy"}
	for _, s := range r.snippets("powershell") {
		for i, line := range strings.Split(s.text, "\n") {
			if !slices.Contains(reading, strings.Fields(line)[0]) && !strings.Contains(remedies, line+";") {
				t.Errorf("README.md:%d: %q is in no remedy:\n%s", s.line+i, line, remedies)
			}
		}
	}
}

// TestReadmeTemplates fills the templates of scripts.
func TestReadmeTemplates(t *testing.T) {
	r := newReadme(t)
	for _, s := range r.snippets("ipxe") {
		tree := fstest.MapFS{"boot.ipxe.tmpl": &fstest.MapFile{Data: []byte(s.text)}}
		handler := httpboot.Handler(func(netip.Addr) fs.FS { return tree }, nil)
		for query, want := range map[string]string{
			"?mac=52:54:00:12:34:56": "#!ipxe\nchain http://192.0.2.2/special.ipxe\n",
			"?mac=52:54:00:00:00:01": "#!ipxe\nchain http://192.0.2.2/install.ipxe?from=192.0.2.50\n",
		} {
			request := httptest.NewRequest("GET", "http://192.0.2.2/boot.ipxe"+query, nil)
			request.RemoteAddr = "192.0.2.50:1024"
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, request)
			if diff := cmp.Diff(want, answer.Body.String()); diff != "" {
				t.Errorf("README.md:%d: %s (-want +got):\n%s", s.line, query, diff)
			}
		}
	}
}

// TestReadmeLog compares every quoted line, message, reason and fault with what
// is logged.
func TestReadmeLog(t *testing.T) {
	r := newReadme(t)
	logged := r.logged()
	has := func(found func(line string) bool) bool { return slices.ContainsFunc(logged, found) }
	for _, s := range r.snippets("log") {
		for i, quoted := range strings.Split(s.text, "\n") {
			begin, cut := strings.CutSuffix(quoted, "...")
			begin = strings.TrimSpace(begin)
			if !has(func(line string) bool { return line == quoted || cut && strings.HasPrefix(line, begin) }) {
				t.Errorf("README.md:%d: %s\nis not logged; there is\n%s", s.line+i, quoted, strings.Join(logged, "\n"))
			}
		}
	}
	attribute := regexp.MustCompile(`^(msg|reason|conflict)=.`)
	for _, span := range r.spans() {
		if attribute.MatchString(span) && !has(func(line string) bool { return strings.Contains(line+" ", " "+span+" ") }) {
			t.Errorf("README.md: `%s` is not logged; there is\n%s", span, strings.Join(logged, "\n"))
		}
	}
}

// TestReadmeNames checks that the flags, environment variables, placeholders
// and headings that the text speaks of exist, and that it speaks of every flag
// of serve and check.
func TestReadmeNames(t *testing.T) {
	r := newReadme(t)
	known := map[string]bool{"help": true, "autofree": true} // the latter is iPXE's, in `chain --autofree`
	spoken := map[string]bool{}
	mention := regexp.MustCompile(`(?:^|[^\w-])--([a-z][a-z0-9-]*)`)
	for _, m := range mention.FindAllStringSubmatch(r.text, -1) {
		spoken[m[1]] = true
	}
	for _, command := range newApp(io.Discard, io.Discard).Commands {
		for _, f := range command.Flags {
			name := f.Names()[0]
			known[name] = true
			if (command.Name == "serve" || command.Name == "check") && !spoken[name] {
				t.Errorf("README.md: nothing of --%s", name)
			}
		}
	}
	for name := range spoken {
		if !known[name] {
			t.Errorf("README.md: there is no --%s", name)
		}
	}
	for _, name := range regexp.MustCompile(`PXESIDECAR_[A-Z_]+`).FindAllString(r.text, -1) {
		if flag := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, "PXESIDECAR_"), "_", "-")); !known[flag] {
			t.Errorf("README.md: there is no %s", name)
		}
	}
	for _, name := range regexp.MustCompile("`({[a-z-]+})`").FindAllStringSubmatch(r.text, -1) {
		if err := proxydhcp.CheckPlaceholders(name[1]); err != nil {
			t.Errorf("README.md: %v", err)
		}
	}
	for _, link := range regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(r.text, -1) {
		heading := regexp.MustCompile(`(?im)^#+ ` + strings.ReplaceAll(regexp.QuoteMeta(link[1]), "-", "[, -]+") + `\??$`)
		if !heading.MatchString(r.text) {
			t.Errorf("README.md: no heading for #%s", link[1])
		}
	}
}

// readme is the README, with a host to try it on.
type readme struct {
	t        *testing.T
	text     string
	host     host
	makefile string
	dir      string // holds what the README has under / and in its own directory
}

// snippet is a fenced block.
type snippet struct {
	line int // of its first line
	text string
}

var fence = regexp.MustCompile("^( *)```([a-z]*)$")

// newReadme reads the README and changes into a directory that has the files it
// speaks of.
func newReadme(t *testing.T) *readme {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	r := &readme{t: t, text: string(text), makefile: string(makefile), dir: t.TempDir()}
	r.furnish()
	return r
}

// snippets are the fenced blocks of a kind. A block of an unknown kind is an
// error: nobody would try it.
func (r *readme) snippets(kind string) []snippet {
	var found []snippet
	var indent, open string
	inside := false
	for i, line := range strings.Split(r.text, "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case m != nil && !inside:
			inside, indent, open = true, m[1], m[2]
			if !slices.Contains([]string{"sh", "console", "toml", "ini", "powershell", "ipxe", "log"}, open) {
				r.t.Errorf("README.md:%d: a block of kind %q, which no test tries", i+1, open)
			}
			if open == kind {
				found = append(found, snippet{line: i + 2})
			}
		case m != nil:
			inside = false
			if open == kind {
				last := &found[len(found)-1]
				last.text = strings.TrimSuffix(last.text, "\n")
			}
		case inside && open == kind:
			found[len(found)-1].text += strings.TrimPrefix(line, indent) + "\n"
		}
	}
	return found
}

// spans are the pieces of code in the running text and in tables.
func (r *readme) spans() []string {
	var prose strings.Builder
	inside := false
	for line := range strings.Lines(r.text) {
		if fence.MatchString(strings.TrimRight(line, "\n")) {
			inside = !inside
		} else if !inside {
			prose.WriteString(line)
		}
	}
	return codeSpans(prose.String())
}

// codeSpans are the pieces between backticks.
func codeSpans(text string) []string {
	var spans []string
	for i, part := range strings.Split(text, "`") {
		if i%2 == 1 {
			spans = append(spans, part)
		}
	}
	return spans
}

// typed tries one line of a shell.
func (r *readme) typed(line string) error {
	if inner := regexp.MustCompile(`<\((.*)\)`).FindStringSubmatch(line); inner != nil {
		line = inner[1] // source <(pxesidecar completion bash)
	}
	args := words(line)
	if len(args) == 0 {
		return nil
	}
	switch args[0] {
	case "pxesidecar":
		_, err := r.pxesidecar(args[1:])
		return err
	case "make":
		ours := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(args[1]) + `:`).MatchString(r.makefile)
		if !ours && !strings.HasPrefix(args[1], "bin-") { // iPXE's own targets begin so
			return errors.New("no such target in the Makefile")
		}
		return nil
	case "setcap":
		if asked := advise(fs.ErrPermission, "udp", proxydhcp.PortProxy).Error(); !strings.Contains(asked, "setcap "+args[1]+" ") {
			return errors.New("we say " + asked)
		}
		return nil
	case "git", "cd", "cp", "tcpdump":
		return nil // not ours
	}
	return errors.New("this test does not know how to try it")
}

// words splits a command line as a shell does, up to a comment, a pipe or a
// redirection.
func words(line string) []string {
	var list []string
	for _, m := range regexp.MustCompile(`(?:'[^']*'|"[^"]*"|[^\s'"])+`).FindAllString(line, -1) {
		if strings.ContainsAny(m[:1], "#|>") {
			break
		}
		list = append(list, strings.NewReplacer(`'`, "", `"`, "").Replace(m))
	}
	return list
}

// pxesidecar runs the program with args and returns what it prints. serve
// loads what it would serve, and check reports it, for the README's host.
func (r *readme) pxesidecar(args []string) (string, error) {
	args = append([]string{"pxesidecar"}, args...)
	for i := range args {
		args[i] = r.here(args[i])
	}
	var out bytes.Buffer
	app := newApp(&out, io.Discard)
	for _, command := range app.Commands {
		switch {
		case command.Name == "serve":
			command.Action = func(c *cli.Context) error { return r.load(c, nil) }
		case command.Name == "check" && !slices.Contains(args, "--example") && !slices.Contains(args, "--print"):
			command.Action = func(c *cli.Context) error { return r.load(c, &out) }
		}
	}
	err := app.Run(args)
	return r.there(out.String()), err
}

// load understands a command's flags as serve does, and writes what check finds
// to out, where that is not nil.
func (r *readme) load(c *cli.Context, out io.Writer) error {
	s, err := settings(c, config.Flags())
	if err != nil {
		return err
	}
	l, err := load(s, r.host)
	if err != nil {
		return err
	}
	defer l.files.Close()
	if out == nil {
		return nil
	}
	return check.Run(l.checked()).Write(out)
}

// here puts the README's absolute paths under the test's directory, and there
// takes them out of it.
func (r *readme) here(s string) string {
	for _, path := range []string{"/srv/pxe", "/etc/pxesidecar"} {
		s = strings.ReplaceAll(s, path, r.dir+path)
	}
	return s
}

func (r *readme) there(s string) string { return strings.ReplaceAll(s, r.dir, "") }

// write puts a text into a file, with the paths of here.
func (r *readme) write(name, text string) {
	r.t.Helper()
	file := filepath.Join(r.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(r.here(text)), 0o644)); err != nil {
		r.t.Fatal(err)
	}
}
