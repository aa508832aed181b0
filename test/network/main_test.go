package network_test

// The server in these tests is a process of its own: this test binary, started again inside a network namespace. All of
// its threads are then inside, also those that open sockets when an interface comes back.

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/server"
)

// serverVariable holds the child's configuration, and marks it as the child.
const serverVariable = "PXESIDECAR_NETWORK_TEST_SERVER"

// TestMain runs the tests, or the server.
func TestMain(m *testing.M) {
	if text := os.Getenv(serverVariable); text != "" {
		if err := serveChild(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests need root, for network namespaces")
		os.Exit(1)
	}
	sweep()
	os.Exit(m.Run())
}

// setup is what a server is told. Its policy gives every client the file of the first match.
type setup struct {
	Interfaces []server.Interface
	ProxyOnly  bool
	Relayed    bool
	Listen     bool // to other servers' answers
	Files      []fileOf
}

// fileOf is one rule: the boot file of the clients it matches.
type fileOf struct {
	Match proxydhcp.Match
	File  string
}

// event is one line of what a server tells.
type event struct {
	Kind      string // "ready", "request", "heard", "link", "error", "stats"
	Interface string
	VLAN      uint16
	Port      uint16
	From, To  string
	Server    string
	Reason    string
	File      string
	Error     string
	Payload   []byte
	Link      *server.Link
	Links     []server.Link
	Files     int
	Routines  int
}

// serveChild is the server's main function. It ends at the end of its input, and tells its stats for each line of it.
func serveChild(text string) error {
	var s setup
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	tell := func(e event) { mu.Lock(); defer mu.Unlock(); out.Encode(e) }
	c := server.Config{Interfaces: s.Interfaces, ProxyOnly: s.ProxyOnly, Relayed: s.Relayed, Responder: proxydhcp.NewResponder(proxydhcp.ResponderConfig{Policy: s.policy()}), Events: eventsTo(tell)}
	if !s.Listen {
		c.Events.Heard = nil
	}
	listening, err := server.Listen(c)
	if err != nil {
		return err
	}
	defer listening.Close()
	ctx, stop := context.WithCancel(context.Background())
	tell(event{Kind: "ready", Links: listening.Links()})
	go func() {
		defer stop()
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			files, _ := os.ReadDir("/proc/self/fd")
			tell(event{Kind: "stats", Files: len(files), Routines: runtime.NumGoroutine()})
		}
	}()
	return listening.Serve(ctx)
}

func (s setup) policy() *proxydhcp.Policy {
	p := &proxydhcp.Policy{}
	for _, f := range s.Files {
		p.Rules = append(p.Rules, proxydhcp.Rule{
			Name: f.File, Match: f.Match, Outcome: proxydhcp.Outcome{Kind: proxydhcp.BootFile, File: f.File},
		})
	}
	return p
}

// eventsTo turns the server's hooks into events.
func eventsTo(tell func(event)) server.Events {
	arrival := func(kind string, a proxydhcp.Arrival) event {
		return event{
			Kind: kind, Interface: a.Segment.Interface, VLAN: a.Segment.VLAN, Port: a.Port,
			From: a.From.String(), To: a.To.String(), Server: a.Server.String(),
		}
	}
	return server.Events{
		Request: func(r proxydhcp.Result) {
			e := arrival("request", r.Arrival)
			e.Reason, e.File = r.Reason.String(), r.Decision.File
			if r.Err != nil {
				e.Error = r.Err.Error()
			}
			tell(e)
		},
		Heard: func(h server.Heard) {
			e := arrival("heard", h.Arrival)
			e.Payload = h.Payload
			tell(e)
		},
		Link:  func(l server.Link) { tell(event{Kind: "link", Interface: l.Interface, Link: &l}) },
		Error: func(e server.Error) { tell(event{Kind: "error", Interface: e.Interface, Error: e.Err.Error()}) },
	}
}

// child is a running server: a process of its own.
type child struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	events chan event
	ready  event
	all    []event // those that await went past
}

// limit bounds everything that ought to happen soon.
const limit = 10 * time.Second

// start starts a server in a namespace and waits until it listens.
func start(t *testing.T, n *netns, s setup) *child {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ip", "netns", "exec", n.name, os.Args[0])
	cmd.Env = append(os.Environ(), serverVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	v := &child{t: t, cmd: cmd, events: make(chan event, 1<<16)}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if v.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	// The kernel kills the child when the thread that started it ends.
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(v.events)
		for lines := json.NewDecoder(stdout); ; {
			var e event
			if lines.Decode(&e) != nil {
				return
			}
			v.events <- e
		}
	}()
	t.Cleanup(v.stop)
	v.ready = v.await("ready", func(e event) bool { return e.Kind == "ready" })
	return v
}

// stop ends the child and waits for it.
func (v *child) stop() {
	v.stdin.Close()
	kill := time.AfterFunc(limit, func() { v.cmd.Process.Kill() })
	defer kill.Stop()
	for range v.events {
	}
	if err := v.cmd.Wait(); err != nil {
		v.t.Errorf("server: %v", err)
	}
}

// await returns the next event that is wanted, and keeps those before it.
func (v *child) await(what string, is func(event) bool) event {
	v.t.Helper()
	e, ok := v.within(limit, is)
	if !ok {
		v.t.Fatalf("no %s; there was %+v", what, v.all)
	}
	return e
}

// within is await that may fail.
func (v *child) within(d time.Duration, is func(event) bool) (event, bool) {
	timeout := time.After(d)
	for {
		select {
		case e, ok := <-v.events:
			if !ok {
				return event{}, false
			}
			if is(e) {
				return e, true
			}
			v.all = append(v.all, e)
		case <-timeout:
			return event{}, false
		}
	}
}

// stats asks the child for its numbers.
func (v *child) stats() event {
	v.t.Helper()
	io.WriteString(v.stdin, "\n")
	return v.await("stats", func(e event) bool { return e.Kind == "stats" })
}

// addr shortens the tests' tables.
func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// startError runs a server that does not start, and returns what it says.
func (n *netns) startError(s setup) string {
	n.t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", n.name, os.Args[0])
	cmd.Env = append(os.Environ(), serverVariable+"="+string(text))
	out, err := cmd.CombinedOutput()
	if err == nil {
		return "it started: " + string(out)
	}
	return strings.TrimSpace(string(out))
}
