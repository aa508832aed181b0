package main

// The arena: two network namespaces with one wire between them, a core for either, and the programs that run there. The
// namespaces have no names: each is held by a child process and ends with it, however this one ends.

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Names and addresses of the arena. The clients' network is behind the load's address, as if that were a router, so that
// thousands of them need no neighbour entries; every address of it is local there.
const wire = "bench0"

var (
	serverAddress = netip.MustParseAddr("10.201.0.1")
	loadAddress   = netip.MustParseAddr("10.201.0.2")
	clients       = netip.MustParsePrefix("10.202.0.0/16")
)

const (
	serverMAC = "52:54:00:00:00:01"
	loadMAC   = "52:54:00:00:00:02"

	setupPatience = 10 * time.Second
	stopPatience  = 5 * time.Second
)

// arena is the place of a run. Servers are on core 0, the load on core 1.
type arena struct {
	self    string // this program
	dir     string // what is served, and scratch files
	nice    int    // of servers and loads
	group   *group // of the servers
	holders [2]*exec.Cmd
	inputs  [2]io.WriteCloser // a holder ends when its input does
}

// side is one end of the wire.
type side int

const (
	serverSide side = iota
	loadSide
)

// openArena makes the namespaces and the wire.
func openArena(ctx context.Context, nice int) (_ *arena, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("root is needed, for network namespaces and packet sockets")
	}
	a := &arena{nice: nice}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	if a.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if a.dir, err = os.MkdirTemp("", "pxesidecar-bench-"); err != nil {
		return nil, err
	}
	if a.group, err = newGroup(); err != nil {
		return nil, err
	}
	// Servers that run as somebody else must get in.
	if err := os.Chmod(a.dir, 0o755); err != nil {
		return nil, err
	}
	for s := range a.holders {
		if err := a.hold(side(s)); err != nil {
			return nil, fmt.Errorf("network namespace: %w", err)
		}
	}
	return a, a.layWire(ctx)
}

// hold starts the child that keeps a namespace.
func (a *arena) hold(s side) error {
	cmd := exec.Command(a.self, workHold)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	a.holders[s], a.inputs[s] = cmd, input
	_, err = bufio.NewReader(output).ReadString('\n')
	return err
}

// hold is what that child does: it quiets its namespace, and stays until its input ends.
func hold() error {
	for name, value := range map[string]string{
		"ipv6/conf/all/disable_ipv6": "1", "ipv6/conf/default/disable_ipv6": "1",
		"ipv4/conf/all/rp_filter": "0", "ipv4/conf/default/rp_filter": "0",
	} {
		if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	fmt.Println("ready")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// layWire connects the two.
func (a *arena) layWire(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, setupPatience)
	defer cancel()
	pid := func(s side) string { return fmt.Sprint(a.holders[s].Process.Pid) }
	link := []string{"link", "add", wire, "address", serverMAC, "netns", pid(serverSide),
		"type", "veth", "peer", "name", wire, "address", loadMAC, "netns", pid(loadSide)}
	if out, err := exec.CommandContext(ctx, "ip", link...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(link, " "), err, bytes.TrimSpace(out))
	}
	for _, step := range []struct {
		side side
		args string
	}{
		{serverSide, "link set lo up"},
		{serverSide, "addr add " + serverAddress.String() + "/24 brd + dev " + wire},
		{serverSide, "link set " + wire + " up"},
		{serverSide, "neigh add " + loadAddress.String() + " lladdr " + loadMAC + " dev " + wire + " nud permanent"},
		{serverSide, "route add " + clients.String() + " via " + loadAddress.String()},
		{loadSide, "link set lo up"},
		{loadSide, "addr add " + loadAddress.String() + "/24 brd + dev " + wire},
		{loadSide, "link set " + wire + " up"},
		{loadSide, "neigh add " + serverAddress.String() + " lladdr " + serverMAC + " dev " + wire + " nud permanent"},
		{loadSide, "route add local " + clients.String() + " dev lo"},
	} {
		out, err := a.command(ctx, step.side, append([]string{"ip"}, strings.Fields(step.args)...)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", step.args, err, bytes.TrimSpace(out))
		}
	}
	return nil
}

// command is a program on one side, on that side's core. Its process is the program itself: none of those before it stays.
func (a *arena) command(ctx context.Context, s side, args ...string) *exec.Cmd {
	namespace := fmt.Sprintf("--net=/proc/%d/ns/net", a.holders[s].Process.Pid)
	before := []string{namespace, "taskset", "-c", fmt.Sprint(int(s)), "nice", "-n", fmt.Sprint(a.nice)}
	cmd := exec.CommandContext(ctx, "nsenter", append(before, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	cmd.Dir = a.dir
	return cmd
}

// load runs one of this program's own loads: job is its input, result its output. It returns the processor time it took.
func (a *arena) load(ctx context.Context, work string, job, result any) (time.Duration, error) {
	input, err := json.Marshal(job)
	if err != nil {
		return 0, err
	}
	cmd := a.command(ctx, loadSide, a.self, work)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.Stdin = bytes.NewReader(input)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	output, err := cmd.Output()
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w: %s", work, err, bytes.TrimSpace(errs.Bytes()))
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), json.Unmarshal(output, result)
}

// close ends both namespaces, and with them the wire.
func (a *arena) close() error {
	var errs []error
	for s, holder := range a.holders {
		if holder != nil {
			a.inputs[s].Close()
			errs = append(errs, holder.Wait())
		}
	}
	if a.group != nil {
		errs = append(errs, a.group.close())
	}
	if a.dir != "" {
		errs = append(errs, os.RemoveAll(a.dir))
	}
	return errors.Join(errs...)
}
