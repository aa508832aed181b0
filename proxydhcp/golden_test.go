package proxydhcp

// Packets as golden files: what real firmware sent, under a policy, and the
// answer it must get. `go test ./proxydhcp -run Golden -update` rewrites the
// answers, and the meanings beside the requests' bytes.

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/tools/txtar"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c := parseCase(t, archive)
			got := c.run(t)
			if *update {
				c.write(t, file, archive.Comment, got)
				return
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(layOut(c.request), c.requestText); diff != "" {
				t.Errorf("the request's text says something else than its bytes (-want +got):\n%s", diff)
			}
		})
	}
}

// goldenCase is one golden file: where the request arrived, its bytes, the
// policy, the packets before it, and the answer.
type goldenCase struct {
	arrival, policy, before, want string
	request                       []byte
	requestText                   string
}

func parseCase(t *testing.T, a *txtar.Archive) goldenCase {
	t.Helper()
	var c goldenCase
	for _, f := range a.Files {
		switch f.Name {
		case "arrival":
			c.arrival = string(f.Data)
		case "policy":
			c.policy = string(f.Data)
		case "before":
			c.before = string(f.Data)
		case "request":
			c.requestText = string(f.Data)
			c.request = parsePacket(t, c.requestText)
		case "answer":
			c.want = string(f.Data)
		default:
			t.Fatalf("unknown section %q", f.Name)
		}
	}
	return c
}

// words calls f with each line's first word and the rest.
func words(text string, f func(key, rest string)) {
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		if key, rest, _ := strings.Cut(strings.TrimSpace(lines.Text()), " "); key != "" {
			f(key, strings.TrimSpace(rest))
		}
	}
}

// parseArrival reads for example "port 67", "from 0.0.0.0:68", "interface
// eth0", "ours 192.0.2.10/24".
func parseArrival(t *testing.T, text string) Arrival {
	t.Helper()
	a := Arrival{
		Port: PortServer, From: netip.MustParseAddrPort("0.0.0.0:68"), To: Broadcast,
		Segment: Segment{Interface: "eth0"}, Ours: []netip.Prefix{netip.MustParsePrefix("192.0.2.10/24")},
	}
	words(text, func(key, rest string) {
		switch key {
		case "port":
			fmt.Sscan(rest, &a.Port)
		case "from":
			a.From = netip.MustParseAddrPort(rest)
		case "to":
			a.To = netip.MustParseAddr(rest)
		case "interface":
			a.Segment.Interface = rest
		case "ours":
			a.Ours = []netip.Prefix{netip.MustParsePrefix(rest)}
		default:
			t.Fatalf("unknown arrival %q", key)
		}
	})
	return a
}

// parsePolicy reads for example "version >=2.0.0", "feature https", "script
// URL", "rom x64 ipxe.efi", "http 8080", "yield", and makes the rules that
// the command line makes.
func parsePolicy(t *testing.T, text string) (*Policy, ReplyOptions) {
	t.Helper()
	var o ReplyOptions
	demands := &IPXEMatch{}
	roms := ROMs{}
	script := Outcome{Kind: BootScript, File: "boot.ipxe"}
	menu := &Menu{}
	var first []Rule
	var next netip.Addr
	words(text, func(key, rest string) {
		var err error
		switch key {
		case "version":
			demands.Version, err = ParseVersionRange(rest)
		case "feature":
			var f Feature
			f, err = ParseFeature(rest)
			demands.Features = demands.Features.With(f)
		case "user-class":
			demands.UserClass = rest
		case "script":
			script.File = rest
		case "next-server":
			next, err = netip.ParseAddr(rest)
		case "rom":
			name, file, _ := strings.Cut(rest, " ")
			var p Platform
			p, err = ParsePlatform(name)
			roms[p] = []string{file}
		case "http":
			_, err = fmt.Sscan(rest, &o.HTTPPort)
		case "yield":
			o.YieldToFilename = true
		case "u-boot":
			o.UBoot = true
		case "raspberry-pi":
			first = append(first, Rule{Name: key, Match: Match{Firmware: RaspberryPi}, Outcome: Outcome{Kind: BootFile, File: rest}})
		case "local-disk":
			first = append(first, Rule{Name: key, Outcome: Outcome{Kind: LocalDisk, File: rest}})
		case "menu":
			seconds, prompt, _ := strings.Cut(rest, " ")
			_, err = fmt.Sscan(seconds, &menu.Timeout)
			menu.Prompt = prompt
			first = append(first, Rule{Name: key, Match: Match{Firmware: NoIPXE}, Outcome: Outcome{Kind: BootMenu, Menu: menu}})
		case "item":
			var item MenuItem
			_, err = fmt.Sscan(rest, &item.Type)
			_, rest, _ = strings.Cut(rest, " ")
			item.File, item.Text, _ = strings.Cut(rest, " ")
			if item.Type == LocalDiskItem {
				item.File, item.Text = "", rest
			}
			if host, file, ok := strings.Cut(item.File, ":"); ok {
				item.NextServer, item.File = netip.MustParseAddr(host), file
			}
			menu.Items = append(menu.Items, item)
		default:
			t.Fatalf("unknown policy line %q", key)
		}
		if err != nil {
			t.Fatalf("policy line %q: %v", key, err)
		}
	})
	script.NextServer = next
	rom := Outcome{Kind: BootROM, ROMs: roms, NextServer: next}
	if len(menu.Items) > 0 {
		if err := menu.Check(); err != nil {
			t.Fatal(err)
		}
	}
	return &Policy{Rules: append(first, []Rule{
		{Name: "script", Match: Match{IPXE: demands}, Outcome: script},
		{Name: "upgrade", Match: Match{IPXE: &IPXEMatch{}}, Outcome: rom},
		{Name: "script-as-is", Match: Match{IPXE: &IPXEMatch{}}, Outcome: script},
		{Name: "rom", Outcome: rom},
	}...)}, o
}

// play sends the responder what came before the request, for example "0s
// discover", "500ms offer" (the DHCP server's), "4s request", "4s ack". A "new"
// in front of a time begins a transaction of its own. It returns the time of
// the last, and the transaction's first byte.
func (c goldenCase) play(t *testing.T, r *Responder, a Arrival) (now time.Time, transaction byte) {
	t.Helper()
	now = testTime
	words(c.before, func(key, rest string) {
		if key == "new" {
			transaction++
			key, rest, _ = strings.Cut(rest, " ")
		}
		after, err := time.ParseDuration(key)
		if err != nil {
			t.Fatal(err)
		}
		now = testTime.Add(after)
		xid := [4]byte(c.request[offXID : offXID+4])
		xid[0] += transaction
		hw := [6]byte(c.request[offCHAddr:])
		switch rest {
		case "discover":
			again := bytes.Clone(c.request)
			again[offXID] = xid[0]
			r.Respond(nil, again, a, now)
		case "offer":
			r.Heard(a, answer(hw, xid, dhcp4.MessageTypeOffer), now)
		case "ack":
			r.Heard(a, answer(hw, xid, dhcp4.MessageTypeAck), now)
		case "request":
			r.Respond(nil, leaseRequest(hw, xid), a, now)
		case "then": // the request itself
		default:
			t.Fatalf("unknown step %q", rest)
		}
	})
	return now, transaction
}

// run answers the request and describes how it ended.
func (c goldenCase) run(t *testing.T) string {
	t.Helper()
	policy, options := parsePolicy(t, c.policy)
	r := NewResponder(ResponderConfig{Policy: policy, Options: options})
	a := parseArrival(t, c.arrival)
	now, transaction := c.play(t, r, a)
	in := bytes.Clone(c.request)
	in[offXID] += transaction
	res := r.Respond(nil, in, a, now)
	var b strings.Builder
	if res.Client.VendorClass != "" {
		fmt.Fprintf(&b, "client: %s, %s, %s\n", res.Client.Hardware, res.Client.Arch, res.Client)
		if res.Client.IPXE.Present {
			fmt.Fprintf(&b, "features: %s\nnic: %s\n", res.Client.IPXE.Features, res.Client.IPXE.NIC)
		}
		if res.Client.UUID != (UUID{}) {
			fmt.Fprintf(&b, "uuid: %s\n", res.Client.UUID)
		}
	}
	switch {
	case res.Err != nil:
		fmt.Fprintf(&b, "failed: %v\n", res.Err)
	case res.Reason != Answerable:
		fmt.Fprintf(&b, "ignored: %s\n", res.Reason)
	default:
		fmt.Fprintf(&b, "rule: %s\nto: %s from port %d\n", res.Decision.Rule, res.To.To, res.To.FromPort)
		if res.Stepped {
			fmt.Fprintf(&b, "another shape: %s\n", res.Shape)
		}
		b.WriteString(describe(t, res.Reply))
	}
	return b.String()
}

// describe returns a reply as text that holds all of its bytes. The reply must
// parse in another implementation.
func describe(t *testing.T, reply []byte) string {
	t.Helper()
	if _, err := dhcpv4.FromBytes(reply); err != nil {
		t.Fatalf("the reply does not parse: %v", err)
	}
	text := layOut(reply)
	if diff := cmp.Diff(reply, parsePacket(t, text)); diff != "" {
		t.Fatalf("the reply and its text (-want +got):\n%s", diff)
	}
	return fmt.Sprintf("%d bytes:\n%s", len(reply), text)
}

// write writes the case again.
func (c goldenCase) write(t *testing.T, file string, comment []byte, got string) {
	t.Helper()
	archive := &txtar.Archive{Comment: comment, Files: []txtar.File{
		{Name: "arrival", Data: []byte(c.arrival)},
		{Name: "policy", Data: []byte(c.policy)},
	}}
	if c.before != "" {
		archive.Files = append(archive.Files, txtar.File{Name: "before", Data: []byte(c.before)})
	}
	archive.Files = append(archive.Files,
		txtar.File{Name: "request", Data: []byte(layOut(c.request))},
		txtar.File{Name: "answer", Data: []byte(got)})
	if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}
