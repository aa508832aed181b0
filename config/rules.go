package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// Rules as the user writes them in the file.

// RuleText is a rule before those that the flags make.
type RuleText struct {
	Name string `toml:"name,omitempty"`
	Scope

	Arch         []string `toml:"arch,omitempty"`     // names or numbers of architecture types, or of platforms
	Firmware     string   `toml:"firmware,omitempty"` // any, bios, uefi, uefi-http or no-ipxe
	IPXE         *bool    `toml:"ipxe,omitempty"`
	IPXEVersion  string   `toml:"ipxe-version,omitempty"`
	IPXEFeatures []string `toml:"ipxe-feature,omitempty"`
	IPXELacks    []string `toml:"ipxe-lacks,omitempty"`
	UserClass    string   `toml:"user-class,omitempty"`
	VendorClass  string   `toml:"vendor-class,omitempty"`
	MACs         []string `toml:"mac,omitempty"`
	UUIDs        []string `toml:"uuid,omitempty"`
	NICs         []string `toml:"nic,omitempty"`

	Outcome    string `toml:"outcome,omitempty"`   // rom, script, menu, local-disk or ignore
	BootFile   string `toml:"boot-file,omitempty"` // in place of an outcome: a name in the boot file tree, or a URL
	NextServer string `toml:"next-server,omitempty"`
}

// maxVLAN is the highest VLAN id (IEEE 802.1Q; 4095 is reserved).
const maxVLAN = 4094

// ParseVLANs reads VLAN ids and ranges joined by commas, such as "10,20,30-39";
// 0 or "untagged" is what carries no tag.
func ParseVLANs(s string) ([]uint16, error) {
	var ids []uint16
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		if part == "untagged" {
			part = "0"
		}
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		first, err := strconv.ParseUint(strings.TrimSpace(low), 10, 16)
		last, err2 := strconv.ParseUint(strings.TrimSpace(high), 10, 16)
		if err != nil || err2 != nil || last > maxVLAN {
			return nil, fmt.Errorf("%q is no VLAN id from 1 to %d, no range of them such as 30-39, and not untagged", part, maxVLAN)
		}
		if first > last {
			return nil, fmt.Errorf("the range %s ends before it begins", part)
		}
		for id := first; id <= last; id++ {
			ids = append(ids, uint16(id))
		}
	}
	return ids, nil
}

// rule understands one rule. everybody has the ROMs and the script that it may
// give.
func (t RuleText) rule(s Settings, everybody answers, p reporter) []proxydhcp.Rule {
	r := proxydhcp.Rule{Name: t.Name}
	t.Scope.parse(&r.Match, p)
	t.parseMatch(&r.Match, p)
	if r.Name == "" {
		p.add("name", "", errors.New("every rule needs a name, for the log"))
	}
	if t.Outcome == "menu" && t.BootFile == "" {
		return t.menuRules(r, s, everybody, p)
	}
	r.Outcome = t.outcome(everybody, p)
	return []proxydhcp.Rule{r}
}

// menuRules give the clients of a rule the boot menu, for each platform its
// own.
func (t RuleText) menuRules(r proxydhcp.Rule, s Settings, everybody answers, p reporter) []proxydhcp.Rule {
	if len(s.Menu) == 0 {
		p.add("outcome", t.Outcome, errors.New("there is no menu; its items are the key menu"))
	}
	scope := everybody
	scope.scope = r.Match
	rules := scope.menuRules(s)
	for i := range rules {
		rules[i].Name = r.Name
		rules[i].Match.Firmware = r.Match.Firmware
	}
	return rules
}

// parseMatch reads what the rule demands of the client itself.
func (t RuleText) parseMatch(m *proxydhcp.Match, p reporter) {
	for _, archs := range parseAll(p, "arch", t.Arch, parseArchs) {
		m.Archs = append(m.Archs, archs...)
	}
	var err error
	if t.Firmware != "" {
		m.Firmware, err = proxydhcp.ParseFirmware(t.Firmware)
		p.add("firmware", t.Firmware, err)
	}
	m.VendorClass = t.VendorClass
	m.MACs = parseAll(p, "mac", t.MACs, dhcp4.ParseMACPrefix)
	m.UUIDs = parseAll(p, "uuid", t.UUIDs, ParseUUID)
	m.NICs = parseAll(p, "nic", t.NICs, ParsePCIID)
	t.parseIPXE(m, p)
}

// parseIPXE reads what the rule demands of an iPXE.
func (t RuleText) parseIPXE(m *proxydhcp.Match, p reporter) {
	demands := Answers{IPXEVersion: t.IPXEVersion, IPXEFeatures: t.IPXEFeatures, UserClass: t.UserClass}.parseDemands(p)
	if demands.auto {
		p.add("ipxe-version", t.IPXEVersion, errors.New("a rule needs a version; auto is for the flags"))
	}
	for _, f := range parseAll(p, "ipxe-lacks", t.IPXELacks, proxydhcp.ParseFeature) {
		demands.match.Lacks = demands.match.Lacks.With(f)
	}
	switch demanding := demands.match != (proxydhcp.IPXEMatch{}); {
	case t.IPXE != nil && !*t.IPXE && (demanding || m.Firmware != proxydhcp.AnyClient):
		p.add("ipxe", "false", errors.New("contradicts what else the rule demands"))
	case t.IPXE != nil && !*t.IPXE:
		m.Firmware = proxydhcp.NoIPXE
	case demanding || t.IPXE != nil:
		m.IPXE = &demands.match
	}
}

// outcome reads what the rule gives.
func (t RuleText) outcome(everybody answers, p reporter) proxydhcp.Outcome {
	next := Answers{NextServer: t.NextServer}.parseNextServer(p)
	if t.BootFile != "" {
		name, err := parseBootName(t.BootFile)
		p.add("boot-file", t.BootFile, err)
		if t.Outcome != "" {
			p.add("outcome", t.Outcome, errors.New("the rule has a boot-file already; one of the two"))
		}
		return proxydhcp.Outcome{Kind: proxydhcp.BootFile, File: name, NextServer: next}
	}
	if t.NextServer != "" {
		p.add("next-server", t.NextServer, errors.New("goes with boot-file only"))
	}
	switch t.Outcome {
	case "rom":
		return everybody.romOutcome()
	case "script":
		return everybody.scriptOutcome()
	case "local-disk":
		return proxydhcp.Outcome{Kind: proxydhcp.LocalDisk, File: localDiskScript}
	case "ignore":
		return proxydhcp.Outcome{Kind: proxydhcp.Ignore}
	}
	p.add("outcome", t.Outcome, errors.New("one of rom, script, menu, local-disk, ignore; or name a boot-file"))
	return proxydhcp.Outcome{}
}

// parseArchs reads an architecture type, or a platform for all its types.
func parseArchs(s string) ([]proxydhcp.Arch, error) {
	if platform, err := proxydhcp.ParsePlatform(s); err == nil {
		return platform.Archs(), nil
	}
	a, err := proxydhcp.ParseArch(s)
	return []proxydhcp.Arch{a}, err
}

// ParseUUID reads a machine's UUID as its firmware shows it.
func ParseUUID(s string) (proxydhcp.UUID, error) {
	var u proxydhcp.UUID
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != len(u) {
		return u, errors.New("not a UUID: write for example 00112233-4455-6677-8899-aabbccddeeff")
	}
	// The wire has the first three fields with their bytes the other way round.
	for i, from := range []int{3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15} {
		u[i] = b[from]
	}
	return u, nil
}

// ParsePCIID reads a card's vendor and device.
func ParsePCIID(s string) (proxydhcp.PCIID, error) {
	vendor, device, _ := strings.Cut(s, ":")
	v, err := strconv.ParseUint(vendor, 16, 16)
	d, err2 := strconv.ParseUint(device, 16, 16)
	if err != nil || err2 != nil {
		return proxydhcp.PCIID{}, errors.New("not a PCI id: write for example 8086:1521")
	}
	return proxydhcp.PCIID{Vendor: uint16(v), Device: uint16(d)}, nil
}

// parseNetwork reads an IPv4 network, or a single address.
func parseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	n, err := netip.ParsePrefix(s)
	if err != nil || !n.Addr().Is4() {
		return n, errors.New("not an IPv4 network: write for example 203.0.113.0/24")
	}
	return n, nil
}
