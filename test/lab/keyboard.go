package lab

// What is typed on a machine's serial console: commands at a prompt, and Enter
// where iPXE waits for a key.

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
)

// ipxeHint is what iPXE writes before it waits two seconds for a user who wants
// its command line.
const ipxeHint = "Press Ctrl-B for the iPXE command line"

// Prompt is a machine that waits for commands.
type Prompt struct {
	machine *Machine
	// text is the whole line after which the machine waits.
	text string
}

// Prompt waits for a text on the machine's screen, answers it with a key, and
// then waits for the prompt.
func (m *Machine) Prompt(ctx context.Context, before, key, prompt string) (*Prompt, error) {
	if err := m.AwaitConsole(ctx, before); err != nil {
		return nil, err
	}
	p := &Prompt{machine: m, text: prompt}
	if err := m.Press(key); err != nil {
		return nil, err
	}
	_, err := p.await(ctx, 0)
	return p, err
}

// keyboard returns the name of the socket for input to the machine's serial
// console. It is not a file, but a name in the segment's network namespace.
func (m *Machine) keyboard() string { return "keyboard-" + m.Name }

// plugKeyboard connects to QEMU once it listens, and skips iPXE's waits for its
// command line.
func (m *Machine) plugKeyboard(ctx context.Context) error {
	err := poll(ctx, "the keyboard of "+m.Name, func() (bool, error) {
		if m.exited() {
			return false, errGuestEnded
		}
		// Until then the socket does not exist.
		err := m.Segment.Host.Do(func() (err error) { m.keys, err = net.Dial("unix", "@"+m.keyboard()); return err })
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("guest %s: %w\n%s", m.Name, err, m.Trouble())
	}
	m.lab.onClose(m.keys.Close)
	go m.skipHints()
	return nil
}

// skipHints reads the screen until the machine ends, and presses Enter where
// iPXE waits for another key.
func (m *Machine) skipHints() {
	// Escape sequences may stand between the letters.
	const most = 16 * len(ipxeHint)
	var screen []byte
	buffer := make([]byte, 4096)
	for {
		n, err := m.keys.Read(buffer)
		if err != nil {
			return
		}
		screen = append(screen, buffer[:n]...)
		if strings.Contains(escapes.ReplaceAllString(string(screen), ""), ipxeHint) {
			screen = nil
			// An error means that the machine was switched off.
			m.Press("\r")
		}
		screen = screen[max(0, len(screen)-most):]
	}
}

// Press presses keys.
func (m *Machine) Press(keys string) error {
	if _, err := io.WriteString(m.keys, keys); err != nil {
		return fmt.Errorf("the keyboard of %s: %w", m.Name, err)
	}
	return nil
}

// Type types a command, and does not wait for its end.
func (p *Prompt) Type(command string) error { return p.machine.Press(command + "\r") }

// Run types a command and waits for the prompt after it. It returns the lines
// that the command wrote. Its last line must be complete.
func (p *Prompt) Run(ctx context.Context, command string) ([]string, error) {
	before, err := p.await(ctx, 0)
	if err != nil {
		return nil, err
	}
	if err := p.Type(command); err != nil {
		return nil, err
	}
	lines, err := p.await(ctx, len(before))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	return lines[len(before) : len(lines)-1], nil
}

// await waits until the prompt is the last line on the screen, after at least
// so many others. It returns all lines.
func (p *Prompt) await(ctx context.Context, after int) (lines []string, err error) {
	err = poll(ctx, fmt.Sprintf("the prompt of %s", p.machine.Name), func() (bool, error) {
		if p.machine.exited() {
			return false, errGuestEnded
		}
		lines = strings.Split(strings.TrimSuffix(p.machine.Console(), "\n"), "\n")
		return len(lines) > after && lines[len(lines)-1] == p.text, nil
	})
	return lines, err
}
