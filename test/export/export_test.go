// Package export_test checks the exports of internal/export with the real DHCP
// servers. Each server loads its export and runs on a network of its own, where
// clients send requests. It must answer as pxesidecar would.
package export_test

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/internal/export"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/test/lab"
)

// stock is set by TestMain before the first test and does not change after.
var stock *lab.Stock

// limit is the time limit for one server with all clients of one policy.
const limit = 3 * time.Minute

// TestMain opens the stock. The tests need root and Debian's packages, and fail
// without them.
func TestMain(m *testing.M) {
	var err error
	stock, err = lab.OpenStock(context.Background(), func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) })
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	stock.Close()
	os.Exit(code)
}

// The addresses of the lab's first segment that are used here.
var (
	sidecar = netip.MustParseAddr("10.213.0.2") // has the boot files
	foreign = netip.MustParseAddr("10.213.0.9") // another TFTP server
	relay   = netip.MustParseAddr("10.213.0.250")
)

// httpPort is where pxesidecar serves HTTP.
const httpPort = 8080

// answer is what a client boots.
type answer struct {
	File  string // "" if it gets no boot file
	Next  string
	Class string // option 60, if it is that of HTTP boot
}

// TestServersAnswerAsPxesidecar checks the answer of every server to every
// client, for every policy.
func TestServersAnswerAsPxesidecar(t *testing.T) {
	for _, policy := range policies() {
		for _, server := range servers() {
			t.Run(policy.name+"/"+server.name, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(context.Background(), limit)
				defer cancel()
				expected := policy.rules
				if weaker, ok := policy.weaker[server.name]; ok {
					expected = weaker
				}
				s := start(ctx, t, server, policy.rules)
				for _, c := range clients() {
					got, err := s.ask(ctx, c)
					if err != nil {
						t.Fatalf("%s: %v\n%s", c.name, err, s.program.Output)
					}
					if server.coarse && c.coarse != nil {
						c.option175 = c.coarse
					}
					if diff := cmp.Diff(expectedAnswer(t, expected, c), got); diff != "" {
						t.Errorf("%s (-pxesidecar +%s):\n%s", c.name, server.name, diff)
					}
				}
				if t.Failed() {
					t.Logf("the export:\n%s", s.text)
				}
			})
		}
	}
}

// expectedAnswer returns the answer of pxesidecar to a client: that on port
// 4011, because its OFFER to UEFI only refers to that port. An iPXE loads our
// files by TFTP, as from a pxesidecar without HTTP: no server can be told which
// builds have HTTP for every rule.
func expectedAnswer(t *testing.T, rules []proxydhcp.Rule, c client) answer {
	t.Helper()
	options := proxydhcp.ReplyOptions{HTTPPort: httpPort}
	if c.userClass != "" || c.option175 != nil {
		options.HTTPPort = 0
	}
	r := proxydhcp.NewResponder(proxydhcp.ResponderConfig{Policy: &proxydhcp.Policy{Rules: rules}, Options: options})
	res := r.Respond(nil, c.request(typeRequest, 1), proxydhcp.Arrival{
		Port: proxydhcp.PortProxy,
		From: netip.MustParseAddrPort("10.213.0.50:4011"),
		To:   sidecar,
		Ours: []netip.Prefix{netip.PrefixFrom(sidecar, 24)},
	}, time.Unix(1_800_000_000, 0))
	if res.Err != nil || res.Reply == nil {
		if res.Err != nil || res.Reason == proxydhcp.Answerable || res.Reason == proxydhcp.Malformed {
			t.Fatalf("%s: %s, %v", c.name, res.Reason, res.Err)
		}
		return answer{}
	}
	return read(res.Reply, c)
}

// running is a server with an export.
type running struct {
	program *lab.Program
	host    *lab.Host // on which the clients run
	text    string    // the export
	xid     uint32
}

// start starts a server with the export of a policy.
func start(ctx context.Context, t *testing.T, s server, rules []proxydhcp.Rule) *running {
	t.Helper()
	var text bytes.Buffer
	facts := export.Facts{Server: sidecar, HTTPPort: httpPort, Source: "a test", Program: "pxesidecar test"}
	if err := export.Write(s.format, &text, &proxydhcp.Policy{Rules: rules}, facts); err != nil {
		t.Fatal(err)
	}
	l, err := lab.New(lab.Options{Stock: stock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	host, clients := join(t, l, "dhcp", l.LAN.Address(1)), join(t, l, "clients", relay)
	if err := clients.IP("route", "add", "255.255.255.255/32", "dev", "eth0"); err != nil {
		t.Fatal(err)
	}
	config, err := s.write(l, text.String())
	if err != nil {
		t.Fatal(err)
	}
	program, err := s.program(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := host.Run(ctx, lab.Command{Path: program, Args: s.check(config), Env: s.env(l)}); err != nil {
		t.Fatalf("the server refuses the export: %v\n%s", err, text.String())
	}
	p, err := host.Start(lab.Command{Path: program, Args: s.serve(l, config), Env: s.env(l)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Output.Await(ctx, s.ready); err != nil {
		t.Fatalf("%v\n%s", err, p.Output)
	}
	return &running{program: p, host: clients, text: text.String()}
}

// join adds a host to the lab's segment.
func join(t *testing.T, l *lab.Lab, name string, a netip.Addr) *lab.Host {
	t.Helper()
	h, err := l.NewHost(name)
	if err == nil {
		_, err = h.Join(l.LAN, a)
	}
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// ask sends a client's DISCOVER until the server sends an OFFER, and returns
// its answer.
func (r *running) ask(ctx context.Context, c client) (answer, error) {
	from, to := netip.MustParseAddrPort("0.0.0.0:68"), netip.MustParseAddrPort("255.255.255.255:67")
	if c.relayed {
		from, to = netip.AddrPortFrom(relay, 67), netip.MustParseAddrPort("10.213.0.1:67")
	}
	conn, err := r.host.UDP(from)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	buffer := make([]byte, 2048)
	for ctx.Err() == nil {
		r.xid++
		discover := c.request(typeDiscover, r.xid)
		if _, err := conn.WriteToUDPAddrPort(discover, to); err != nil {
			return answer{}, err
		}
		conn.SetReadDeadline(time.Now().Add(2 * time.Second))
		for {
			n, _, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				break
			}
			if n > offOptions && buffer[0] == 2 && bytes.Equal(buffer[4:8], discover[4:8]) {
				return read(buffer[:n], c), nil
			}
		}
	}
	return answer{}, fmt.Errorf("no OFFER: %w", context.Cause(ctx))
}

// read returns what a client boots by a message: iPXE prefers the header, and
// firmware option 67; no server here sends both. iPXE's settings are expanded.
func read(b []byte, c client) answer {
	var a answer
	cString := func(b []byte) string { return strings.TrimRight(string(b), "\x00") }
	a.File = cString(b[108:236])
	for opts := b[offOptions:]; len(opts) > 1 && opts[0] != 255; {
		if opts[0] == 0 {
			opts = opts[1:]
			continue
		}
		value := opts[2 : 2+int(opts[1])]
		switch {
		case opts[0] == 67 && a.File == "":
			a.File = cString(value)
		case opts[0] == 67:
			a.File += " and option 67 " + cString(value)
		case opts[0] == 60 && strings.HasPrefix(string(value), "HTTPClient"):
			a.Class = string(value)
		}
		opts = opts[2+len(value):]
	}
	if a.File == "" {
		return answer{Class: a.Class}
	}
	a.Next = netip.AddrFrom4([4]byte(b[20:24])).String()
	a.File = c.expand(a.File)
	return a
}
