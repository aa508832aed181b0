package ipxescript

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// machine runs scripts the way iPXE does, as far as ours need it: enough to see
// where each path through a script ends, on builds that lack commands.
type machine struct {
	t        *testing.T
	lacks    []string          // commands that this build does not have
	settings map[string]string // to begin with
	keys     []string          // what a person chooses, one per menu or prompt; then nobody is there
	starts   bool              // whether images given to chain start
	dhcp     bool              // whether a DHCP server answers
	failures int               // how many times nothing can be loaded, before it can
	disk     bool              // whether there is a local disk to boot
	log      []string          // what the machine did
	script   string
	depth    int
	answer   string // of the server to a Want; "" if it has none
}

// ended is how a script ended: by exit, by a failing line, by its last line, or
// with the machine gone.
type ended struct {
	status int
	gone   bool
}

// setting matches a setting to expand: the innermost one.
var setting = regexp.MustCompile(`\$\{([^${}]*)\}`)

// expand puts settings into a word, from the innermost to the outermost.
func (m *machine) expand(word string) string {
	for setting.MatchString(word) {
		word = setting.ReplaceAllStringFunc(word, func(match string) string {
			name, _, _ := strings.Cut(match[2:len(match)-1], ":")
			value := m.settings[name]
			if value == "26:26" {
				return "&&"
			}
			return value
		})
	}
	return word
}

// run runs a script to its end.
func (m *machine) run(script string) ended {
	m.t.Helper()
	if m.depth++; m.depth > 5 {
		m.t.Fatalf("scripts start each other without end:\n%s", strings.Join(m.log, "\n"))
	}
	lines := strings.Split(script, "\n")
	for at, steps := 0, 0; at < len(lines); at++ {
		if steps++; steps > 1000 {
			m.t.Fatalf("the script does not end:\n%s", strings.Join(m.log, "\n"))
		}
		status, target, end := m.line(lines[at])
		switch {
		case end != nil:
			return *end
		case target != "":
			if at = slices.Index(lines, ":"+target); at < 0 {
				m.t.Fatalf("line %q: no label %q", lines[at], target)
			}
		case status != 0:
			m.log = append(m.log, "failed: "+lines[at])
			return ended{status: status}
		}
	}
	return ended{}
}

// line runs the commands of a line.
func (m *machine) line(line string) (status int, target string, end *ended) {
	if strings.HasPrefix(line, ":") {
		return 0, "", nil
	}
	var command []string
	process := true
	for _, word := range append(strings.Fields(line), ";") {
		if strings.HasPrefix(word, "#") {
			word = ";"
		}
		if word != "&&" && word != "||" && word != ";" {
			command = append(command, word)
			continue
		}
		if process && len(command) > 0 {
			for i := range command {
				command[i] = m.expand(command[i])
			}
			status, target, end = m.command(command)
			if target != "" || end != nil {
				return status, target, end
			}
		} else if process {
			status = 0 // an empty command succeeds
		}
		if word == ";" {
			break
		}
		process, command = (word == "&&") == (status == 0), nil
	}
	return status, "", nil
}

// key returns what the person does next.
func (m *machine) key() string {
	if len(m.keys) == 0 {
		return ""
	}
	key := m.keys[0]
	m.keys = m.keys[1:]
	return key
}

// truth is the status of a command that tests something.
func truth(ok bool) int {
	if ok {
		return 0
	}
	return 1
}

// command runs one command.
func (m *machine) command(words []string) (status int, target string, end *ended) {
	name, args := words[0], words[1:]
	switch {
	case slices.Contains(m.lacks, name):
		return 1, "", nil
	case name == "exit":
		var code int
		if len(args) > 0 {
			fmt.Sscan(args[0], &code)
		}
		return code, "", &ended{status: code}
	case name == "goto":
		if args[0] == "" || !strings.Contains("\n"+m.script, "\n:"+args[0]+"\n") {
			return 1, "", nil
		}
		return 0, args[0], nil
	case name == "sanboot" && m.disk:
		m.log = append(m.log, strings.Join(words, " "))
		return 0, "", &ended{gone: true}
	case name == "chain" && strings.HasPrefix(args[len(args)-1], wantDir):
		m.log = append(m.log, "said "+args[len(args)-1])
		if m.answer == "" {
			return 1, "", nil
		}
		return m.run(m.answer).status, "", nil
	case name == "chain" && slices.Contains(args, "--replace") && m.failures == 0:
		return m.act(name, args), "", &ended{gone: true}
	case slices.Contains([]string{"dhcp", "ifopen", "iflinkwait", "choose", "prompt", "shell", "autoboot", "sanboot", "chain"}, name):
		return m.act(name, args), "", nil
	}
	return m.compute(name, args), "", nil
}

// compute runs a command that only works on settings.
func (m *machine) compute(name string, args []string) int {
	switch name {
	case "echo", "item", "menu":
		return 0
	case "set":
		name, _, _ := strings.Cut(args[0], ":")
		m.settings[name] = strings.Join(args[1:], " ")
		return 0
	case "inc":
		n, err := strconv.Atoi(m.settings[args[0]])
		m.settings[args[0]] = strconv.Itoa(n + 1)
		return truth(err == nil)
	case "clear":
		_, ok := m.settings[args[0]]
		delete(m.settings, args[0])
		return truth(ok)
	case "isset":
		return truth(args[0] != "")
	case "iseq":
		if len(args) != 2 {
			m.t.Fatalf("iseq with %d arguments: %q", len(args), args)
		}
		return truth(args[0] == args[1])
	case "cpuid":
		return truth(m.settings["cpu"] == "64")
	}
	m.t.Fatalf("a command that not every iPXE has: %s %q", name, args)
	return 1
}

// act runs a command that a person or another program has a part in.
func (m *machine) act(name string, args []string) int {
	switch name {
	case "choose":
		key := m.key()
		switch key {
		case "":
			key = args[slices.Index(args, "--default")+1]
		case "escape":
			return 1
		}
		m.log = append(m.log, "chose "+key)
		m.settings[args[len(args)-1]] = key
		return 0
	case "prompt":
		return truth(m.key() == "shell")
	}
	m.log = append(m.log, strings.Join(append([]string{name}, args...), " "))
	switch name {
	case "shell":
		return 0
	case "autoboot":
		return m.run(m.script).status
	case "chain":
		if m.failures > 0 {
			m.failures--
			return 1
		}
		return truth(m.starts)
	case "dhcp":
		return truth(m.dhcp)
	case "ifopen", "iflinkwait":
		return 0
	}
	return 1 // sanboot without a disk
}
