package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// rule is a rule of the file, parsed. What it gives depends on the boot files.
type rule struct {
	name       string
	match      proxydhcp.Match
	gives      proxydhcp.OutcomeKind
	file       string     // for BootFile: a name in the boot file tree, or a URL
	nextServer netip.Addr // for BootFile: the TFTP server that has it; invalid for ourselves
}

// ruleOutcomes are the outcomes that a rule can name. BootFile is given by
// naming a boot-file.
var ruleOutcomes = []proxydhcp.OutcomeKind{proxydhcp.BootROM, proxydhcp.BootScript, proxydhcp.BootMenu, proxydhcp.LocalDisk, proxydhcp.Ignore}

// rules parses the rules of the file.
func (p *parser) rules() []rule {
	var rules []rule
	for i, t := range p.settings.Rules {
		in := p.In(fmt.Sprintf("rule[%d].", i))
		r := rule{name: t.Name, match: parseScope(t.ScopeText, in)}
		t.parseMatch(&r.match, in)
		if t.Name == "" {
			in.Add("name", "", errors.New("every rule needs a name, for the log"))
		}
		t.parseOutcome(&r, in)
		if r.gives == proxydhcp.BootMenu && len(p.settings.Menu) == 0 {
			in.Add("outcome", t.Outcome, errors.New("there is no menu; its items are the key menu"))
		}
		rules = append(rules, r)
	}
	return rules
}

// parseMatch parses what the rule demands of the client itself.
func (t RuleText) parseMatch(m *proxydhcp.Match, p Problems) {
	for _, archs := range parseAll(p, "arch", t.Arch, parseArchs) {
		m.Archs = append(m.Archs, archs...)
	}
	if t.Firmware != "" {
		var err error
		m.Firmware, err = proxydhcp.ParseFirmware(t.Firmware)
		p.Add("firmware", t.Firmware, err)
	}
	m.VendorClass = t.VendorClass
	m.MACs = parseAll(p, "mac", t.MACs, dhcp4.ParseMACPrefix)
	m.UUIDs = parseAll(p, "uuid", t.UUIDs, ParseUUID)
	m.NICs = parseAll(p, "nic", t.NICs, ParsePCIID)
	t.parseIPXE(m, p)
}

// parseIPXE parses what the rule demands of an iPXE.
func (t RuleText) parseIPXE(m *proxydhcp.Match, p Problems) {
	demands := parseDemands(t.IPXEVersion, t.IPXEFeatures, t.UserClass, p)
	if demands.auto {
		p.Add("ipxe-version", t.IPXEVersion, errors.New("a rule needs a version; auto is for the flags"))
	}
	for _, f := range parseAll(p, "ipxe-lacks", t.IPXELacks, proxydhcp.ParseFeature) {
		demands.match.Lacks = demands.match.Lacks.With(f)
	}
	switch demanding := demands.match != (proxydhcp.IPXEMatch{}); {
	case t.IPXE != nil && !*t.IPXE && (demanding || m.Firmware != proxydhcp.AnyClient):
		p.Add("ipxe", "false", errors.New("contradicts what else the rule demands"))
	case t.IPXE != nil && !*t.IPXE:
		m.Firmware = proxydhcp.NoIPXE
	case demanding || t.IPXE != nil:
		m.IPXE = &demands.match
	}
}

// parseOutcome parses what the rule gives.
func (t RuleText) parseOutcome(r *rule, p Problems) {
	r.nextServer = parseNextServer(t.NextServer, p)
	if t.BootFile != "" {
		var err error
		r.gives = proxydhcp.BootFile
		r.file, err = ParseBootName(t.BootFile)
		p.Add("boot-file", t.BootFile, err)
		if t.Outcome != "" {
			p.Add("outcome", t.Outcome, errors.New("the rule has a boot-file already; one of the two"))
		}
		return
	}
	if t.NextServer != "" {
		p.Add("next-server", t.NextServer, errors.New("goes with boot-file only"))
	}
	at := slices.IndexFunc(ruleOutcomes, func(kind proxydhcp.OutcomeKind) bool { return kind.String() == t.Outcome })
	if at < 0 {
		p.Add("outcome", t.Outcome, fmt.Errorf("one of %s; or name a boot-file", joined(ruleOutcomes)))
		return
	}
	r.gives = ruleOutcomes[at]
}
