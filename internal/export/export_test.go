package export

// What is written, as golden files.
//
// `go test ./internal/export -update` rewrites them. test/export checks the
// same kinds of policies with real servers.

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestWriteMatchesGoldenFiles checks every format of every policy.
func TestWriteMatchesGoldenFiles(t *testing.T) {
	for name, policy := range policies() {
		for _, format := range Formats() {
			t.Run(name+"/"+format, func(t *testing.T) {
				var got bytes.Buffer
				if err := Write(format, &got, policy, testFacts); err != nil {
					t.Fatal(err)
				}
				path := filepath.Join("testdata", name+"."+format)
				if *update {
					if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
						t.Fatal(err)
					}
					return
				}
				want, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), got.String()); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestWithoutHTTP checks that without an HTTP port, no format contains a URL of
// this server for UEFI HTTP boot.
func TestWithoutHTTP(t *testing.T) {
	facts := testFacts
	facts.HTTPPort = 0
	for _, format := range Formats() {
		var out bytes.Buffer
		if err := Write(format, &out, policies()["flags"], facts); err != nil {
			t.Fatal(err)
		}
		if text := out.String(); strings.Contains(text, "http://") || !strings.Contains(text, "No boot file: HTTP boot client, and the boot file has no URL.") {
			t.Errorf("%s:\n%s", format, text)
		}
	}
}

// TestWriteErrors checks the errors, and that nothing is written with them.
func TestWriteErrors(t *testing.T) {
	rule := func(o proxydhcp.Outcome) *proxydhcp.Policy {
		return &proxydhcp.Policy{Rules: []proxydhcp.Rule{{Name: "r", Outcome: o}}}
	}
	for _, tt := range []struct {
		name, format string
		policy       *proxydhcp.Policy
		facts        Facts
		want         string
	}{
		{"format", "ics", &proxydhcp.Policy{}, testFacts, `unknown format "ics": one of isc, kea, dnsmasq, windows`},
		{"no server", "isc", &proxydhcp.Policy{}, Facts{}, "export: the address of the server that has the boot files is not known: name one IPv4 address"},
		{"IPv6 server", "isc", &proxydhcp.Policy{}, Facts{Server: netip.MustParseAddr("2001:db8::1")}, "export: the address of the server that has the boot files is not known: name one IPv4 address"},
		{"control character", "kea", rule(file("a\nb")), testFacts, `export for Kea: rule "r": boot file name "a\nb" has a control character`},
		{"no name", "windows", rule(file("")), testFacts, `export for Windows DHCP Server: rule "r": no boot file name`},
		{"too long", "dnsmasq", rule(file(strings.Repeat("x", 255))), testFacts,
			fmt.Sprintf(`export for dnsmasq: rule "r": boot file name %q has up to 273 bytes, and DHCP carries 254`, strings.Repeat("x", 255))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			err := Write(tt.format, &out, tt.policy, tt.facts)
			if err == nil || err.Error() != tt.want || out.Len() > 0 {
				t.Errorf("%v, wrote %d bytes; want %s", err, out.Len(), tt.want)
			}
		})
	}
}

// TestKeaIsJSON checks that an export is JSON apart from its comments, also if
// it has no class.
func TestKeaIsJSON(t *testing.T) {
	for name, policy := range policies() {
		var text, plain bytes.Buffer
		if err := Write("kea", &text, policy, testFacts); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(text.String()) {
			if !strings.HasPrefix(strings.TrimSpace(line), "//") {
				plain.WriteString(line)
			}
		}
		var got struct {
			Defs    []map[string]any `json:"option-def"`
			Classes []map[string]any `json:"client-classes"`
		}
		if err := json.Unmarshal([]byte("{"+plain.String()+"}"), &got); err != nil {
			t.Errorf("%s: %v\n%s", name, err, plain.String())
		}
	}
}

// TestQuotesAreEscaped checks names with every quote that a server supports.
func TestQuotesAreEscaped(t *testing.T) {
	const name = `a'b"c\d‘e’f‚g‛h` + "`$x"
	for _, tt := range []struct {
		server, got, want string
	}{
		{"ISC", iscQuote(name), `"a'b\"c\\d‘e’f‚g‛h` + "`$x\""},
		{"dnsmasq", dnsmasqQuote(name), `"a'b\"c\\d‘e’f‚g‛h` + "`$x\""},
		{"Kea, JSON", jsonText(name + "<&>"), `"a'b\"c\\d‘e’f‚g‛h` + "`$x<&>\""},
		{"Kea, expression", keaText("plain text-1"), `'plain text-1'`},
		{"Kea, expression with a quote", keaText(`it's`), "0x69742773"},
		{"Kea, expression with a backslash", keaText(`a\b`), "0x615c62"},
		{"PowerShell", psQuote(name), `'a''b"c\d‘‘e’’f‚‚g‛‛h` + "`$x'"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %s, want %s", tt.server, tt.got, tt.want)
		}
	}
}
