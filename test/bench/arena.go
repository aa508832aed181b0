package main

// The arena: two network namespaces of test/lab with one cable between them, a
// core for each, and the programs that run there. All of it ends with this
// process, however it ends.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// Names and addresses of the arena. The clients' network is behind the load's
// address, as if that were a router, so that thousands of clients need no ARP
// entries. Every address of it is local there.
const wire = "bench0"

var (
	serverAddress = netip.MustParseAddr("10.201.0.1")
	loadAddress   = netip.MustParseAddr("10.201.0.2")
	clients       = netip.MustParsePrefix("10.202.0.0/16")
)

const (
	serverMAC = "52:54:00:00:00:01"
	loadMAC   = "52:54:00:00:00:02"

	setupTimeout = 10 * time.Second
	stopTimeout  = 5 * time.Second
)

// arena is where servers and loads run. Servers use core 0, the load core 1.
type arena struct {
	self  string // this program
	dir   string // what is served, and scratch files
	nice  int    // of servers and loads
	group *group // of the servers
	lab   *lab.Lab
	hosts [2]*lab.Host
}

// side is one end of the cable.
type side int

const (
	serverSide side = iota
	loadSide
)

// openArena makes the namespaces and the cable.
func openArena(nice int) (_ *arena, err error) {
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
	if a.group, err = newGroup(); err != nil {
		return nil, err
	}
	if a.lab, err = lab.NewBare(); err != nil {
		return nil, err
	}
	a.dir = a.lab.Dir
	for s, name := range [...]string{serverSide: "server", loadSide: "load"} {
		if a.hosts[s], err = newHost(a.lab, name); err != nil {
			return nil, err
		}
	}
	return a, a.layWire()
}

// newHost makes one side. It accepts packets from any source address.
func newHost(l *lab.Lab, name string) (*lab.Host, error) {
	h, err := l.NewHost(name)
	if err != nil {
		return nil, err
	}
	return h, errors.Join(h.Sysctl("net/ipv4/conf/all/rp_filter", "0"), h.Sysctl("net/ipv4/conf/default/rp_filter", "0"))
}

// layWire connects the two sides.
func (a *arena) layWire() error {
	if err := a.hosts[serverSide].Connect(wire, a.hosts[loadSide], wire); err != nil {
		return err
	}
	for _, step := range []struct {
		side side
		args string
	}{
		{serverSide, "link set " + wire + " address " + serverMAC},
		{serverSide, "addr add " + serverAddress.String() + "/24 brd + dev " + wire},
		{serverSide, "neigh add " + loadAddress.String() + " lladdr " + loadMAC + " dev " + wire + " nud permanent"},
		{serverSide, "route add " + clients.String() + " via " + loadAddress.String()},
		{loadSide, "link set " + wire + " address " + loadMAC},
		{loadSide, "addr add " + loadAddress.String() + "/24 brd + dev " + wire},
		{loadSide, "neigh add " + serverAddress.String() + " lladdr " + serverMAC + " dev " + wire + " nud permanent"},
		{loadSide, "route add local " + clients.String() + " dev lo"},
	} {
		if err := a.hosts[step.side].IP(strings.Fields(step.args)...); err != nil {
			return err
		}
	}
	return nil
}

// command returns a program on one side, on that side's core. The programs
// before it in the command line replace themselves by it.
func (a *arena) command(ctx context.Context, s side, args ...string) *exec.Cmd {
	before := []string{"--net=" + a.hosts[s].NetNS(), "taskset", "-c", fmt.Sprint(int(s)), "nice", "-n", fmt.Sprint(a.nice)}
	cmd := exec.CommandContext(ctx, "nsenter", append(before, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	cmd.Dir = a.dir
	return cmd
}

// load runs one of this program's own loads: job is its input, result its
// output. It returns the processor time that it used.
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

// close ends both namespaces, and with them the cable.
func (a *arena) close() error {
	var errs []error
	if a.lab != nil {
		errs = append(errs, a.lab.Close())
	}
	if a.group != nil {
		errs = append(errs, a.group.close())
	}
	return errors.Join(errs...)
}
