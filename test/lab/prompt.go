package lab

// Prompts: machines that wait for commands on their serial console, and get them typed.

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
)

// Prompt is a machine that waits for commands.
type Prompt struct {
	machine *Machine
	// text is the whole line behind which the machine waits.
	text string
	keys net.Conn
}

// Prompt waits for a text on the machine's screen, answers it with a key, and then waits for the prompt.
func (m *Machine) Prompt(ctx context.Context, before, key, prompt string) (*Prompt, error) {
	keys, err := m.plugKeyboard(ctx)
	if err != nil {
		return nil, err
	}
	// The screen comes this way, too, and the machine stops where nobody takes it.
	go io.Copy(io.Discard, keys)
	m.lab.onClose(keys.Close)
	if err := m.AwaitConsole(ctx, before); err != nil {
		return nil, err
	}
	p := &Prompt{machine: m, text: prompt, keys: keys}
	if err := p.press(key); err != nil {
		return nil, err
	}
	_, err = p.await(ctx, 0)
	return p, err
}

// keyboard is the name of the socket that takes what is typed on the machine's serial console. It is no file, but a
// name in the segment's network namespace.
func (m *Machine) keyboard() string { return "keyboard-" + m.Name }

// plugKeyboard connects to QEMU, once it listens.
func (m *Machine) plugKeyboard(ctx context.Context) (keys net.Conn, err error) {
	err = poll(ctx, "the keyboard of "+m.Name, func() (bool, error) {
		if m.exited() {
			return false, errGuestEnded
		}
		// Until then nobody has the name.
		dialled := m.Segment.Host.Do(func() (err error) { keys, err = net.Dial("unix", "@"+m.keyboard()); return err })
		return dialled == nil, nil
	})
	return keys, err
}

// press sends keys.
func (p *Prompt) press(keys string) error {
	if _, err := io.WriteString(p.keys, keys); err != nil {
		return fmt.Errorf("the keyboard of %s: %w", p.machine.Name, err)
	}
	return nil
}

// Type types a command, and does not wait for its end.
func (p *Prompt) Type(command string) error { return p.press(command + "\r") }

// Run types a command and waits for the prompt after it. It returns the lines that the command wrote, the last of which
// must be whole.
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

// await waits until the prompt is the last line on the screen, after so many others. It returns all lines.
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
