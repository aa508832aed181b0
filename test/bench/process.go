package main

// A measured server: started for one run, observed from outside, stopped with
// its children.

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a running server.
type process struct {
	cmd    *exec.Cmd
	group  *group
	output bytes.Buffer
	ended  chan struct{}
}

// start starts a server and waits until it has opened its socket: a UDP port,
// or a packet socket if port is 0.
func (a *arena) start(ctx context.Context, args []string, port uint16) (*process, error) {
	p := &process{cmd: a.command(ctx, serverSide, args...), group: a.group, ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.SysProcAttr.UseCgroupFD, p.cmd.SysProcAttr.CgroupFD = true, int(a.group.dir.Fd())
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.cmd.Wait()
		close(p.ended)
	}()
	limit := time.Now().Add(setupTimeout)
	for !p.listens(port) {
		select {
		case <-p.ended:
			return nil, fmt.Errorf("%s: %s: %s", strings.Join(args, " "), p.cmd.ProcessState, bytes.TrimSpace(p.output.Bytes()))
		case <-ctx.Done():
			p.stop()
			return nil, context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(limit) {
			p.stop()
			return nil, fmt.Errorf("%s: no socket on port %d after %s", strings.Join(args, " "), port, setupTimeout)
		}
	}
	return p, nil
}

// listens reports whether the socket is open in the process's namespace.
func (p *process) listens(port uint16) bool {
	table := "udp"
	if port == 0 {
		table = "packet"
	}
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", p.cmd.Process.Pid, table))
	if err != nil {
		return false
	}
	if port == 0 {
		return bytes.Count(content, []byte("\n")) > 1
	}
	return bytes.Contains(content, fmt.Appendf(nil, ":%04X ", port))
}

// stop stops the server and its children.
func (p *process) stop() {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		syscall.Kill(-p.cmd.Process.Pid, signal)
		select {
		case <-p.ended:
			syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // children that outlived it
			return
		case <-time.After(stopTimeout):
		}
	}
	<-p.ended
}

// dead reports whether the server has ended by itself.
func (p *process) dead() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// outputEnd returns the end of the output.
func (p *process) outputEnd() string {
	text := strings.TrimSpace(p.output.String())
	const enough = 300
	return text[max(len(text)-enough, 0):]
}

// usage is what a server has used so far.
type usage struct {
	processor time.Duration // including all children
	peak      int64         // peak memory of the process itself, in bytes
}

// usage returns what the server has used.
func (p *process) usage() (u usage, err error) {
	if u.processor, err = p.group.processor(); err != nil || p.dead() {
		return u, err
	}
	u.peak, err = peakMemory(p.cmd.Process.Pid)
	return u, err
}

// peakMemory returns the peak of a process's resident memory.
func peakMemory(pid int) (int64, error) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(content)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("%s: no VmHWM", path)
}
