package sockets

// The server under test runs in a process of its own: this test binary, started
// again inside a host's network namespace. All of its threads are inside, also
// those that open sockets when an interface comes back.

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/server"
	"github.com/pxesidecar/pxesidecar/test/lab"
)

// serverVariable holds the child's configuration, and marks it as the child.
const serverVariable = "PXESIDECAR_SOCKETS_TEST_SERVER"

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
	os.Exit(m.Run())
}

// setup is a server's configuration. Its policy gives every client the file of
// the first match.
type setup struct {
	Interfaces []server.Interface
	ProxyOnly  bool
	Relayed    bool
	Listen     bool // receive the answers of other servers
	Files      []fileOf
}

// fileOf is one rule: the boot file of the clients it matches.
type fileOf struct {
	Match proxydhcp.Match
	File  string
}

// event is one line that a server writes.
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

// serveChild is the server's main function. It ends at the end of its input,
// and writes its statistics for each line of input.
func serveChild(text string) error {
	var s setup
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	report := func(e event) { mu.Lock(); defer mu.Unlock(); out.Encode(e) }
	c := server.Config{Interfaces: s.Interfaces, ProxyOnly: s.ProxyOnly, Relayed: s.Relayed, Responder: proxydhcp.NewResponder(proxydhcp.ResponderConfig{Policy: s.policy()}), Events: eventsTo(report)}
	if !s.Listen {
		c.Events.Heard = nil
	}
	listening, err := server.Listen(c)
	if err != nil {
		return err
	}
	defer listening.Close()
	ctx, stop := context.WithCancel(context.Background())
	report(event{Kind: "ready", Links: listening.Links()})
	go func() {
		defer stop()
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			files, _ := os.ReadDir("/proc/self/fd")
			report(event{Kind: "stats", Files: len(files), Routines: runtime.NumGoroutine()})
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
func eventsTo(report func(event)) server.Events {
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
			report(e)
		},
		Heard: func(h server.Heard) {
			e := arrival("heard", h.Arrival)
			e.Payload = h.Payload
			report(e)
		},
		Link:  func(l server.Link) { report(event{Kind: "link", Interface: l.Interface, Link: &l}) },
		Error: func(e server.Error) { report(event{Kind: "error", Interface: e.Interface, Error: e.Err.Error()}) },
	}
}

// child is a running server in a process of its own.
type child struct {
	t       *testing.T
	program *lab.Program
	stdin   io.WriteCloser
	events  chan event
	ready   event
	all     []event // those that await skipped
}

// limit bounds everything that ought to happen soon.
const limit = 10 * time.Second

// command returns the command that starts a server.
func (s setup) command(t *testing.T) lab.Command {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return lab.Command{Name: "server", Path: self, Env: []string{serverVariable + "=" + string(text)}}
}

// start starts a server on a host and waits until it listens.
func start(t *testing.T, n *node, s setup) *child {
	t.Helper()
	v := &child{t: t, events: make(chan event, 1<<16)}
	c := s.command(t)
	// The child reads from a pipe of the operating system. A goroutine that
	// copies to it would keep Wait from returning.
	stdin, input, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	lines, output := io.Pipe()
	c.Stdin, c.Stdout, v.stdin = stdin, output, input
	if v.program, err = n.Start(c); err != nil {
		t.Fatal(err)
	}
	go func() { <-v.program.Ended(); output.Close() }()
	go v.read(lines)
	t.Cleanup(v.stop)
	v.ready = v.await("ready", func(e event) bool { return e.Kind == "ready" })
	return v
}

// read decodes what the child writes until it ends.
func (v *child) read(lines io.Reader) {
	defer close(v.events)
	for decoder := json.NewDecoder(lines); ; {
		var e event
		if decoder.Decode(&e) != nil {
			io.Copy(io.Discard, lines)
			return
		}
		v.events <- e
	}
}

// stop ends the child and waits for it.
func (v *child) stop() {
	v.stdin.Close()
	go func() {
		for range v.events { // the child must not wait for a reader
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := v.program.Wait(ctx); err != nil {
		v.t.Errorf("server: %v\n%s", err, v.program.Stderr)
	}
}

// await returns the next event that matches, and keeps those before it in all.
func (v *child) await(what string, is func(event) bool) event {
	v.t.Helper()
	e, ok := v.within(limit, is)
	if !ok {
		v.t.Fatalf("no %s; there was %+v\n%s", what, v.all, v.program.Stderr)
	}
	return e
}

// within is await with a limit. It reports whether the event arrived.
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

// stats asks the child for its statistics.
func (v *child) stats() event {
	v.t.Helper()
	io.WriteString(v.stdin, "\n")
	return v.await("stats", func(e event) bool { return e.Kind == "stats" })
}

// addr shortens the tests' tables.
func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// drain returns the events until there is none for a moment.
func drain(v *child) []event {
	v.t.Helper()
	before := len(v.all)
	v.within(200*time.Millisecond, func(event) bool { return false })
	return v.all[before:]
}

// startError starts a server that must fail, and returns what it writes.
func startError(t *testing.T, n *node, s setup) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	p, err := n.Run(ctx, s.command(t))
	if p == nil {
		t.Fatal(err)
	}
	text := strings.TrimSpace(p.Output.String())
	if err == nil {
		return "it started: " + text
	}
	return text
}
