package export

// What the steps of a plan do together, without the syntax of any server.

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// decide returns the step that takes a client, and whether it is answered. seen
// is the client as the server sees it.
func (p *plan) decide(seen proxydhcp.Client) (step, bool) {
	kind := pxeFirmware
	switch {
	case seen.IPXE.Present:
		kind = iPXEs
	case seen.Transport == proxydhcp.HTTP:
		kind = httpFirmware
	}
	for _, s := range p.steps {
		one := proxydhcp.Policy{Rules: []proxydhcp.Rule{{Match: s.match, Outcome: file("x")}}}
		if !s.leftOut && s.clients&kind != 0 && s.archs.has(seen.Arch) && one.Decide(seen, false).Kind == proxydhcp.BootFile {
			return s, s.silence == ""
		}
	}
	return step{}, false
}

// leftOutCase is a policy and the rules for iPXE in its export. A rule that was
// left out has a - before its name.
type leftOutCase struct {
	name, format string
	rules        []proxydhcp.Rule
	want         string
}

func leftOutCases() []leftOutCase {
	ipxe := func(m proxydhcp.IPXEMatch) proxydhcp.Match { return proxydhcp.Match{IPXE: &m} }
	vlan := proxydhcp.Match{VLANs: []uint16{20}, IPXE: &proxydhcp.IPXEMatch{}}
	roms := rom(proxydhcp.ROMs{proxydhcp.BIOS: {"undionly.kpxe"}})
	return []leftOutCase{
		{"a widened script takes all", "windows", []proxydhcp.Rule{
			{Name: "good", Match: ipxe(proxydhcp.IPXEMatch{Version: versions(">=2")}), Outcome: script("s")},
			{Name: "upgrade", Match: anyIPXE(), Outcome: roms},
		}, "good, -upgrade"},
		{"the policy itself takes all", "windows", []proxydhcp.Rule{
			{Name: "all", Match: anyIPXE(), Outcome: script("s")},
			{Name: "upgrade", Match: anyIPXE(), Outcome: roms},
		}, "all"},
		{"a build that is unsupported", "dnsmasq", []proxydhcp.Rule{
			{Name: "menu", Match: ipxe(proxydhcp.IPXEMatch{Version: versions("=1.21.1")}), Outcome: file("menu")},
			{Name: "good", Match: ipxe(proxydhcp.IPXEMatch{Features: https}), Outcome: script("s")},
			{Name: "upgrade", Match: anyIPXE(), Outcome: roms},
		}, "-menu, good, -upgrade"},
		{"a VLAN that is unsupported, and a script for all VLANs", "isc", []proxydhcp.Rule{
			{Name: "vlan", Match: vlan, Outcome: script("20")},
			{Name: "good", Match: ipxe(proxydhcp.IPXEMatch{Features: https}), Outcome: script("s")},
			{Name: "upgrade", Match: anyIPXE(), Outcome: roms},
		}, "-vlan, good, upgrade"},
		{"a VLAN that is unsupported, and a script for iPXEs that the ROM is not", "isc", []proxydhcp.Rule{
			{Name: "vlan", Match: vlan, Outcome: script("20")},
			{Name: "poor", Match: ipxe(proxydhcp.IPXEMatch{Lacks: https}), Outcome: script("s")},
			{Name: "upgrade", Match: anyIPXE(), Outcome: roms},
		}, "-vlan, poor, -upgrade"},
		{"a missing feature that is undermatched", "dnsmasq", []proxydhcp.Rule{
			{Name: "poor", Match: ipxe(proxydhcp.IPXEMatch{Lacks: https}), Outcome: script("s")},
			{Name: "upgrade", Match: anyIPXE(), Outcome: roms},
		}, "poor, -upgrade"},
		{"silence that cannot be configured", "windows", []proxydhcp.Rule{
			{Name: "not on BIOS", Match: proxydhcp.Match{Platforms: []proxydhcp.Platform{proxydhcp.BIOS}}},
			{Name: "upgrade", Match: anyIPXE(), Outcome: roms},
		}, "-not on BIOS, -upgrade"},
		{"silence that can be configured", "kea", []proxydhcp.Rule{
			{Name: "not on EBC", Match: proxydhcp.Match{Archs: []proxydhcp.Arch{proxydhcp.ArchEBC}}},
			{Name: "upgrade", Match: anyIPXE(), Outcome: rom(proxydhcp.ROMs{proxydhcp.X64: {"ipxe.efi"}})},
		}, "not on EBC, upgrade"},
		{"a placeholder that cannot be filled in", "kea", []proxydhcp.Rule{
			{Name: "relay", Match: anyIPXE(), Outcome: script("{relay}")},
			{Name: "upgrade", Match: anyIPXE(), Outcome: roms},
		}, "-relay, -upgrade"},
	}
}

// TestRulesLeftOut checks which rules for iPXE are exported.
func TestRulesLeftOut(t *testing.T) {
	for _, tt := range leftOutCases() {
		t.Run(tt.name, func(t *testing.T) {
			i := slices.Index(Formats(), tt.format)
			plan, err := makePlan(&proxydhcp.Policy{Rules: tt.rules}, testFacts, targets()[i])
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range plan.steps {
				name := s.rule
				if s.leftOut {
					name = "-" + name
				}
				if s.clients&iPXEs != 0 && !slices.Contains(got, name) {
					got = append(got, name)
				}
			}
			if strings.Join(got, ", ") != tt.want {
				t.Errorf("%s, want %s", strings.Join(got, ", "), tt.want)
			}
		})
	}
}

// TestLimitsHaveReasons checks that the comments of every server can say why it
// does not match a criterion exactly.
func TestLimitsHaveReasons(t *testing.T) {
	for _, target := range targets() {
		for c, s := range target.limits.criteria {
			if (s.precision == exact) != (s.reason == "") {
				t.Errorf("%s, criterion %d: precision %d, reason %q", target.name, c, s.precision, s.reason)
			}
		}
	}
}

// randomRules returns a random policy. Its boot file names contain the names of
// the rules.
func randomRules(r *rand.Rand) []proxydhcp.Rule {
	pick := func(n int) bool { return r.IntN(n) == 0 }
	var rules []proxydhcp.Rule
	for i := range 2 + r.IntN(7) {
		rule := proxydhcp.Rule{Name: fmt.Sprintf("rule%d", i)}
		m := &rule.Match
		if pick(2) {
			m.IPXE = &proxydhcp.IPXEMatch{}
			if pick(3) {
				m.IPXE.Version = versions([]string{">=2.0.0", "<2.0.0", "=1.21.1"}[r.IntN(3)])
			}
			if pick(3) {
				m.IPXE.Features = https
			}
			if pick(5) {
				m.IPXE.Lacks = https.With(39)
			}
			if pick(6) {
				m.IPXE.UserClass = "site"
			}
		} else if pick(3) {
			m.Firmware = proxydhcp.Firmware(r.IntN(5))
		}
		if pick(5) {
			m.Platforms = []proxydhcp.Platform{proxydhcp.BIOS}
		}
		if pick(6) {
			m.MACs = macs("52:54:00")
		}
		if pick(6) {
			m.NotMACs = macs("52")
		}
		if pick(5) {
			m.VLANs = []uint16{20}
		}
		if pick(8) {
			m.Relays = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		}
		if pick(9) {
			m.UUIDs = []proxydhcp.UUID{{1}}
		}
		name := rule.Name + []string{"", "", "/{arch}", "/{vlan}", "/{relay}"}[r.IntN(5)]
		rule.Outcome = proxydhcp.Outcome{Kind: proxydhcp.OutcomeKind(r.IntN(5)), File: name,
			ROMs: proxydhcp.ROMs{proxydhcp.BIOS: {rule.Name + "/rom"}, proxydhcp.X64: {rule.Name + "/rom"}}}
		rules = append(rules, rule)
	}
	return rules
}

// randomClient returns a random client.
func randomClient(r *rand.Rand) proxydhcp.Client {
	c := proxydhcp.Client{
		Hardware:    proxydhcp.HardwareAddr{Type: 1, Len: 6, Bytes: [16]byte{0x52, []byte{0x54, 0x55}[r.IntN(2)]}},
		Arch:        []proxydhcp.Arch{0, 7, 9, 11, 16, 0x4242}[r.IntN(6)],
		VendorClass: "PXEClient",
		UUID:        proxydhcp.UUID{byte(r.IntN(2))},
		Segment:     proxydhcp.Segment{VLAN: []uint16{0, 20}[r.IntN(2)]},
	}
	if r.IntN(2) == 0 {
		c.Segment.Relay = netip.MustParseAddr("192.0.2.1")
	}
	switch r.IntN(5) {
	case 0:
		c.Transport, c.VendorClass = proxydhcp.HTTP, "HTTPClient"
	case 1:
	default:
		c.UserClass = []string{"iPXE", "iPXE,site"}[r.IntN(2)]
		c.IPXE = proxydhcp.IPXE{Present: true, HasVersion: true, Version: [...]proxydhcp.Version{{1, 0, 0}, {1, 21, 1}, {2, 0, 0}}[r.IntN(3)],
			HasFeatures: true, Features: proxydhcp.Features(r.Uint64()) & https.With(39)}
	}
	return c
}

// TestExactServerDecidesAsPolicy checks that a server that matches every
// criterion exactly decides as the policy does.
func TestExactServerDecidesAsPolicy(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, target := range targets()[:2] {
		all := target
		all.limits.canFill = func(string, clientKinds) bool { return true }
		for c := range all.limits.criteria {
			all.limits.criteria[c].precision = exact
		}
		for range 500 {
			rules := randomRules(r)
			plan, err := makePlan(&proxydhcp.Policy{Rules: rules}, testFacts, all)
			if err != nil {
				t.Fatal(err)
			}
			for range 40 {
				c := randomClient(r)
				want := (&proxydhcp.Policy{Rules: rules}).Decide(c, false)
				request := proxydhcp.Request{Client: c, Arrival: proxydhcp.Arrival{Port: proxydhcp.PortProxy, Server: testFacts.Server}}
				reply, reason := proxydhcp.Compose(&request, want, proxydhcp.FixedShape, proxydhcp.ReplyOptions{HTTPPort: testFacts.HTTPPort})
				s, answered := plan.decide(c)
				var got string
				if answered {
					for _, part := range s.answer.file {
						got += part.plain
						if part.key != "" {
							got += proxydhcp.Expand("{"+part.key+"}", c)
						}
					}
				}
				file := reply.File
				if want.Reason != proxydhcp.Answerable || reason != proxydhcp.Answerable {
					file = ""
				}
				if got != file {
					t.Fatalf("%+v gets %q by step %+v, want %q of rule %q\n%+v", c, got, s, file, want.Rule, rules)
				}
			}
		}
	}
}

// TestExportMakesNoLoop checks for every server that an iPXE whose boot the
// policy ends gets no ROM from the export, even if a rule could not be exported
// or the server finds features in option 175 that are not there. The iPXEs meet
// the requirements of every script, as a ROM must.
func TestExportMakesNoLoop(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	checked := map[string]int{}
	for _, target := range targets() {
		for range 500 {
			rules := randomRules(r)
			policy := &proxydhcp.Policy{Rules: rules}
			plan, err := makePlan(policy, testFacts, target)
			if err != nil {
				t.Fatal(err)
			}
			for range 40 {
				c := randomClient(r)
				want := policy.Decide(c, false)
				if !c.IPXE.Present || want.Rule == "" || want.Kind == proxydhcp.BootROM || want.Reason == proxydhcp.NoROM || !meetsScripts(rules, c) {
					continue
				}
				seen := c
				if target.limits.criteria[byFeatures].precision == overmatches && r.IntN(2) == 0 {
					seen.IPXE.Features = seen.IPXE.Features.With(20) // found by chance
				}
				s, answered := plan.decide(seen)
				if !answered {
					continue
				}
				checked[target.name]++
				if text := s.answer.file.static(); strings.HasSuffix(text, "/rom") {
					t.Fatalf("%s: %+v gets %q by step %+v, and the policy says %+v\n%+v\n%+v", target.name, seen, text, s, want, rules, plan.steps)
				}
			}
		}
	}
	for _, target := range targets() {
		if checked[target.name] < 300 {
			t.Errorf("%s: only %d answers were checked", target.name, checked[target.name])
		}
	}
}

// meetsScripts reports whether an iPXE meets what every rule of a script
// requires of its build.
func meetsScripts(rules []proxydhcp.Rule, c proxydhcp.Client) bool {
	for _, r := range rules {
		if r.Outcome.Kind != proxydhcp.BootROM && r.Match.IPXE != nil && r.Match.IPXE.Unmet(c) != (proxydhcp.Unmet{}) {
			return false
		}
	}
	return true
}

// FuzzParseText checks that names are parsed as proxydhcp.Expand parses them.
func FuzzParseText(f *testing.F) {
	for _, s := range []string{"", "a", "{mac}", "${mac}", "{}", "{no}{mac}", "{a{mac}", "x{uuid}y{arch}z", "{mac", "$${mac}{", "{{mac}}"} {
		f.Add(s)
	}
	c := proxydhcp.Client{Arch: 7, Hardware: proxydhcp.HardwareAddr{Type: 1, Len: 6, Bytes: [16]byte{2}}, UUID: proxydhcp.UUID{7}}
	f.Fuzz(func(t *testing.T, name string) {
		var got string
		for _, p := range parseText(name) {
			got += p.plain
			if p.key != "" {
				got += proxydhcp.Expand("{"+p.key+"}", c)
			}
		}
		if want := proxydhcp.Expand(name, c); got != want {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
	})
}
