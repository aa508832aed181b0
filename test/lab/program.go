package lab

// Programs in a host: their output is kept, they never outlive the lab, and
// every wait for them is bounded.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// stopGrace is how long a program may take to end after SIGTERM before it is
// killed.
const stopGrace = 5 * time.Second

// Command describes a program to start.
type Command struct {
	// Name is the program's name in logs and errors; empty means the name of
	// the file.
	Name string
	// Path is looked up in PATH if it has no slash.
	Path string
	Args []string
	// Env is added to this process's environment.
	Env []string
	// Dir is the working directory; empty means the lab's folder.
	Dir string
	// Credential runs the program as another user than root, and Capabilities
	// are the capabilities that it keeps.
	Credential   *syscall.Credential
	Capabilities []uintptr
	Stdin        io.Reader
	// Stdout receives a copy of the standard output; nil means no copy.
	Stdout io.Writer
}

// Program is a started program.
type Program struct {
	Name string
	// Output is stdout and stderr together; Stdout and Stderr are each alone.
	Output, Stdout, Stderr *Transcript
	Started                time.Time

	cmd   *exec.Cmd
	ended chan struct{}
	err   error
	at    time.Time
}

// Start runs a command in the host.
func (h *Host) Start(c Command) (*Program, error) {
	name := c.Name
	if name == "" {
		name = filepath.Base(c.Path)
	}
	path, err := exec.LookPath(c.Path)
	if err != nil {
		return nil, fmt.Errorf("start %s in %s: %w", name, h.Name, err)
	}
	p := &Program{Name: name, ended: make(chan struct{})}
	p.Output = newTranscript(func(l Line) { h.lab.noteLine(p, l) })
	p.Stdout, p.Stderr = newTranscript(nil), newTranscript(nil)
	cmd := exec.Command(path, c.Args...)
	cmd.Env = append(cmd.Environ(), c.Env...)
	cmd.Dir = c.Dir
	if cmd.Dir == "" {
		cmd.Dir = h.lab.Dir
	}
	cmd.Stdin = c.Stdin
	cmd.Stdout = io.MultiWriter(p.Stdout, p.Output)
	if c.Stdout != nil {
		cmd.Stdout = io.MultiWriter(p.Stdout, p.Output, c.Stdout)
	}
	cmd.Stderr = io.MultiWriter(p.Stderr, p.Output)
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true,
		Credential: c.Credential, AmbientCaps: c.Capabilities}
	p.cmd = cmd
	p.Started = time.Now()
	if err := h.ns.do(cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s in %s: %w", name, h.Name, err)
	}
	go func() {
		p.err = cmd.Wait()
		p.at = time.Now()
		close(p.ended)
	}()
	h.lab.onClose(func() error { p.Stop(); return nil })
	return p, nil
}

// Run starts a command and waits for its end. The error of a program that
// failed contains its output.
func (h *Host) Run(ctx context.Context, c Command) (*Program, error) {
	p, err := h.Start(c)
	if err != nil {
		return nil, err
	}
	if err := p.Wait(ctx); err != nil {
		return p, fmt.Errorf("%s %s in %s: %w\n%s", p.Name, strings.Join(c.Args, " "), h.Name, err, p.Output)
	}
	return p, nil
}

// Wait waits until the program ends. If the context ends first, the program is
// killed.
func (p *Program) Wait(ctx context.Context) error {
	select {
	case <-p.ended:
		return p.err
	case <-ctx.Done():
		p.kill(syscall.SIGKILL)
		<-p.ended
		return fmt.Errorf("%s did not end: %w", p.Name, context.Cause(ctx))
	}
}

// PID returns the program's process id.
func (p *Program) PID() int { return p.cmd.Process.Pid }

// Ended returns a channel that is closed when the program has ended.
func (p *Program) Ended() <-chan struct{} { return p.ended }

// ExitCode returns the exit code of a program that has ended, or -1 for one
// that runs or was killed by a signal.
func (p *Program) ExitCode() int {
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	default:
		return -1
	}
}

// Ran returns how long a program ran that has ended.
func (p *Program) Ran() time.Duration {
	<-p.ended
	return p.at.Sub(p.Started)
}

// Signal sends a signal to the program alone.
func (p *Program) Signal(s syscall.Signal) error {
	return p.cmd.Process.Signal(s)
}

// Stop ends the program and its children: SIGTERM, and SIGKILL after a while.
// It returns when the program has ended.
func (p *Program) Stop() {
	select {
	case <-p.ended:
		return
	default:
	}
	p.kill(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopGrace):
		p.kill(syscall.SIGKILL)
		<-p.ended
	}
}

// kill sends a signal to the program's process group.
func (p *Program) kill(s syscall.Signal) {
	if err := syscall.Kill(-p.cmd.Process.Pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		p.cmd.Process.Signal(s)
	}
}
