package proxydhcp

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/tools/txtar"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// Packets as golden files: what real firmware sent, under a policy, and the
// answer it must get. `go test ./proxydhcp -run Golden -update` rewrites the
// answers, and lays the requests out option by option.

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
		})
	}
}

// goldenCase is one golden file: where the request arrived, its bytes, the
// policy, what went before, and the answer.
type goldenCase struct {
	arrival, policy, before, want string
	request                       []byte
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
			c.request = parseHex(t, string(f.Data))
		case "answer":
			c.want = string(f.Data)
		default:
			t.Fatalf("unknown section %q", f.Name)
		}
	}
	return c
}

// parseHex reads bytes in hexadecimal, with comments behind #.
func parseHex(t *testing.T, text string) []byte {
	t.Helper()
	var digits strings.Builder
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
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
// URL", "rom x64 ipxe.efi", "http 8080", "override", and makes the rules that
// the command line makes.
func parsePolicy(t *testing.T, text string) (*Policy, ReplyOptions) {
	t.Helper()
	var s ReplyOptions
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
			roms[p] = file
		case "http":
			_, err = fmt.Sscan(rest, &s.HTTPPort)
		case "override":
			s.OverrideFilename = true
		case "u-boot":
			s.UBoot = true
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
	}...)}, s
}

// play lets the responder hear what went before, for example "0s discover",
// "500ms offer" (the DHCP server's), "4s request", "4s ack". A "new" in front
// of a time begins a transaction of its own. It returns the time of the last,
// and the transaction's first byte.
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
	policy, service := parsePolicy(t, c.policy)
	r := NewResponder(ResponderConfig{Policy: policy, Options: service})
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
		describe(t, &b, res.Reply)
	}
	return b.String()
}

// describe shows a reply field by field, as another implementation reads it.
func describe(t *testing.T, b *strings.Builder, reply []byte) {
	t.Helper()
	m, err := dhcpv4.FromBytes(reply)
	if err != nil {
		t.Fatalf("the reply does not parse: %v", err)
	}
	fmt.Fprintf(b, "%s %s xid %s, %d bytes, flags %#04x, hops %d, secs %d\n", m.OpCode, m.MessageType(), m.TransactionID, len(reply), m.Flags, m.HopCount, m.NumSeconds)
	fmt.Fprintf(b, "ciaddr %s, yiaddr %s, siaddr %s, giaddr %s\n", m.ClientIPAddr, m.YourIPAddr, m.ServerIPAddr, m.GatewayIPAddr)
	fmt.Fprintf(b, "chaddr %s, sname %q, file %q\n", m.ClientHWAddr, m.ServerHostName, m.BootFileName)
	fmt.Fprintf(b, "options in order:")
	for opts := reply[dhcp4.HeaderLen:]; opts[0] != uint8(dhcp4.OptionEnd); opts = opts[2+int(opts[1]):] {
		fmt.Fprintf(b, " %d", opts[0])
	}
	b.WriteString("\n")
	var codes []int
	for code := range m.Options {
		codes = append(codes, int(code))
	}
	sort.Ints(codes)
	for _, code := range codes {
		value := m.Options[uint8(code)]
		fmt.Fprintf(b, "%3d: % x  %q\n", code, value, value)
	}
}

// write lays the case out again.
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
		txtar.File{Name: "request", Data: []byte(annotate(c.request))},
		txtar.File{Name: "answer", Data: []byte(got)})
	if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

// annotate lays a DHCP message out, a field or an option a line.
func annotate(m []byte) string {
	var b strings.Builder
	line := func(from, to int, what string) {
		if from < to && to <= len(m) {
			fmt.Fprintf(&b, "%x # %s\n", m[from:to], what)
		}
	}
	line(0, 4, "op, htype, hlen, hops")
	line(4, 8, "xid")
	line(8, 12, "secs, flags")
	line(12, 28, "ciaddr, yiaddr, siaddr, giaddr")
	line(28, 44, "chaddr")
	line(44, 108, "sname")
	line(108, 236, "file")
	line(236, 240, "magic cookie")
	for at := dhcp4.HeaderLen; at < len(m); {
		if m[at] == uint8(dhcp4.OptionEnd) || at+1 >= len(m) || at+2+int(m[at+1]) > len(m) {
			line(at, len(m), "end and padding")
			break
		}
		if m[at] == 0 {
			at++
			continue
		}
		end := at + 2 + int(m[at+1])
		line(at, end, fmt.Sprintf("option %d %s", m[at], printable(m[at+2:end])))
		at = end
	}
	return b.String()
}

// printable shows a value as text where it is one.
func printable(value []byte) string {
	for _, c := range value {
		if c < ' ' || c > '~' || c == '#' {
			return ""
		}
	}
	if len(value) < 4 {
		return ""
	}
	return string(value)
}
