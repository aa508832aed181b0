package docs

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestCommands types every line that a person can type: the shell blocks, and
// commands in the running text.
func TestCommands(t *testing.T) {
	t.Parallel()
	docs := documents(t)
	m := newMachine(t, newLab(t))
	m.configure(docs)
	for _, b := range blocksOf(docs, "sh") {
		if b.doc.name == secureBootPage {
			continue // TestSecureBoot needs their results
		}
		for i, line := range strings.Split(b.text, "\n") {
			if err := m.typed(line); err != nil {
				t.Errorf("%s: %s: %v", b.at(i), strings.TrimSpace(line), err)
			}
			m.configure(docs)
		}
	}
	for _, d := range docs {
		for _, s := range d.spans() {
			line, ok := commandOf(s.text)
			if !ok {
				continue
			}
			if err := m.typed(line); err != nil {
				t.Errorf("%s: `%s`: %v", s.at(), s.text, err)
			}
		}
	}
}

// configure writes the configuration file of the documents: the commands that
// follow it are about it, whatever a command before them wrote there.
func (m *machine) configure(docs []*document) {
	m.t.Helper()
	for _, b := range blocksOf(docs, "toml")[:1] {
		m.write("home/pxesidecar.toml", b.text)
		m.write("etc/pxesidecar/pxesidecar.toml", b.text)
	}
}

// placeholder is a word that stands for a value, as in --rom ARCH=FILE.
var placeholder = regexp.MustCompile(`\b[A-Z]{2,}\b`)

// windowsProgram is the program as it is called on Windows, in a file system
// whose root is its working directory.
var windowsProgram = regexp.MustCompile(`"C:\\(pxesidecar)\.exe ([^"]*)"`)

// commandOf makes a piece of code in the text a command, if it is one: a
// command of ours with arguments, or flags with values for serve.
func commandOf(text string) (line string, ok bool) {
	if m := windowsProgram.FindStringSubmatch(text); m != nil {
		return m[1] + " " + strings.ReplaceAll(m[2], `C:\`, ""), true
	}
	switch arguments := words(text); {
	case placeholder.MatchString(text):
		return "", false
	case strings.HasPrefix(text, "--") && len(arguments) > 1:
		return "pxesidecar serve --interface eth0 --root /srv/pxe " + text, true
	case strings.HasPrefix(text, "make "):
		return text, true
	case strings.HasPrefix(text, "pxesidecar ") && len(arguments) == 2 && !strings.HasPrefix(arguments[1], "-"):
		return text + " --help", true
	case strings.HasPrefix(text, "pxesidecar "):
		return text, true
	}
	return "", false
}

// foreign are commands that are not ours; the shell of machine.run replaces
// them.
var foreign = []string{"git", "cd", "cp", "install", "tcpdump"}

// typed tries one line of a shell.
func (m *machine) typed(line string) error {
	arguments := words(line)
	if len(arguments) == 0 {
		return nil
	}
	switch command := arguments[0]; {
	case command == "pxesidecar" && slices.Contains(arguments, "serve") && !slices.Contains(arguments, "--help"):
		return m.serve(line)
	case isFetch(line):
		_, err := m.run(m.fetches(line))
		return err
	case command == "pxesidecar", slices.Contains(foreign, command):
		_, err := m.run(line)
		return err
	case command == "source":
		inner := regexp.MustCompile(`<\((.*)\)`).FindStringSubmatch(line)
		if inner == nil {
			return errors.New("this test does not know what it sources")
		}
		_, err := m.run(inner[1] + " | grep -q .")
		_, again := m.run(line)
		return errors.Join(err, again)
	case command == "make":
		return makes(arguments[1:])
	case command == "setcap":
		if advice, err := m.advice(); err != nil || !strings.Contains(advice, "setcap "+arguments[1]+" ") {
			return fmt.Errorf("without capabilities the program says %q, %w", advice, err)
		}
		return nil
	}
	return errors.New("this test does not know how to try it")
}

// makes checks that the targets of a make command exist. Those of iPXE's own
// Makefile begin with "bin-".
func makes(arguments []string) error {
	for _, target := range arguments {
		if strings.Contains(target, "=") || strings.HasPrefix(target, "bin-") {
			continue
		}
		if out, err := exec.Command("make", "-n", "-C", root, target).CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
	}
	return nil
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

// TestConsole runs the commands that are shown with what they print. "..."
// stands for any lines.
func TestConsole(t *testing.T) {
	t.Parallel()
	docs := documents(t)
	m := newMachine(t, newLab(t))
	m.configure(docs)
	for _, b := range blocksOf(docs, "console") {
		var left []string
		for i, line := range strings.Split(b.text, "\n") {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				out, err := m.run(command)
				if err != nil {
					t.Errorf("%s: %v", b.at(i), err)
				}
				left = strings.Split(out, "\n")
				continue
			}
			at := slices.Index(left, line)
			if line != "..." && at < 0 {
				t.Errorf("%s: %q is not printed; there is left:\n%s", b.at(i), line, strings.Join(left, "\n"))
			}
			left = left[at+1:]
		}
	}
}

// TestConfiguration serves with every configuration file, and with the example
// that the program prints.
func TestConfiguration(t *testing.T) {
	t.Parallel()
	m := newMachine(t, newLab(t))
	for _, b := range blocksOf(documents(t), "toml") {
		m.write("home/block.toml", b.text)
		if err := m.serve("pxesidecar serve --config block.toml"); err != nil {
			t.Errorf("%s: %v", b.at(0), err)
		}
	}
	if _, err := m.run("pxesidecar check --example > example.toml"); err != nil {
		t.Fatal(err)
	}
	if err := m.serve("pxesidecar serve --interface eth0 --config example.toml"); err != nil {
		t.Errorf("the example: %v", err)
	}
}

// nobody is a user without any rights.
const nobody = "65534"

// asNobody runs a command as somebody who has no rights but these capabilities.
func asNobody(capabilities []string, command ...string) []string {
	list := "-all"
	for _, c := range capabilities {
		list += ",+" + c
	}
	args := []string{"setpriv", "--reuid", nobody, "--regid", nobody, "--clear-groups", "--no-new-privs",
		"--bounding-set", list, "--inh-caps", list, "--ambient-caps", list}
	return append(args, command...)
}

// advice is what the program says when it lacks the rights to serve.
func (m *machine) advice() (string, error) {
	m.t.Helper()
	p := m.start(asNobody(nil, "pxesidecar", "serve", "--interface", "eth0")...)
	if err := p.Wait(bounded(m.t)); err == nil || p.ExitCode() != 1 {
		return "", fmt.Errorf("without rights it ends with code %d, %w", p.ExitCode(), err)
	}
	return p.Output.String(), nil
}

// TestService runs the commands of unit files, with the capabilities that they
// give and no others: serving, reloading, stopping.
func TestService(t *testing.T) {
	t.Parallel()
	docs := documents(t)
	m := newMachine(t, newLab(t))
	m.configure(docs)
	units := blocksOf(docs, "ini")
	if len(units) == 0 {
		t.Fatal("no unit file")
	}
	for _, b := range units {
		unit := assignments(b.text)
		var capabilities []string
		for _, c := range strings.Fields(unit["AmbientCapabilities"]) {
			capabilities = append(capabilities, strings.ToLower(strings.TrimPrefix(c, "CAP_")))
		}
		d := m.start(asNobody(capabilities, strings.Fields(unit["ExecStart"])...)...)
		if err := ready(bounded(t), d); err != nil {
			t.Errorf("%s: %s: %v", b.at(0), unit["ExecStart"], err)
			continue
		}
		reload := strings.ReplaceAll(unit["ExecReload"], "$MAINPID", itoa(d.PID()))
		if out, err := exec.Command("sh", "-c", reload).CombinedOutput(); err != nil {
			t.Errorf("%s: %s: %v: %s", b.at(0), reload, err, out)
		}
		if _, err := d.Output.Await(bounded(t), `msg="configuration reloaded"`); err != nil {
			t.Errorf("%s: %s: %v\n%s", b.at(0), reload, err, d.Output)
		}
		if err := end(bounded(t), d); err != nil {
			t.Errorf("%s: %v", b.at(0), err)
		}
	}
}

// assignments are the KEY=VALUE lines of a unit file.
func assignments(unit string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(unit) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			values[key] = value
		}
	}
	return values
}

// TestTemplates serves the templates of scripts by HTTP, and fetches them as
// machines do.
func TestTemplates(t *testing.T) {
	t.Parallel()
	blocks := blocksOf(documents(t), "ipxe")
	if len(blocks) == 0 {
		t.Fatal("no template")
	}
	for _, b := range blocks {
		l := newLab(t)
		m := newMachine(t, l)
		m.write("srv/pxe/machine.ipxe.tmpl", b.text)
		d := m.start(shellOf("pxesidecar serve --interface eth0 --root /srv/pxe")...)
		if err := ready(bounded(t), d); err != nil {
			t.Fatal(err)
		}
		client := newClient(t, l)
		for query, want := range map[string]string{
			"?mac=52:54:00:12:34:56": "#!ipxe\nchain http://192.0.2.2:8067/special.ipxe\n",
			"?mac=52:54:00:00:00:01": "#!ipxe\nchain http://192.0.2.2:8067/install.ipxe?from=192.0.2.50\n",
		} {
			if got := client.curl("http://192.0.2.2:8067/machine.ipxe" + query); strings.TrimRight(got, "\n") != strings.TrimRight(want, "\n") {
				t.Errorf("%s: %s gives %q, want %q", b.at(0), query, got, want)
			}
		}
		if err := end(bounded(t), d); err != nil {
			t.Error(err)
		}
	}
}
