package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"

	"github.com/pxesidecar/pxesidecar/internal/bootfiles"
	"github.com/pxesidecar/pxesidecar/internal/ipxescript"
	"github.com/pxesidecar/pxesidecar/internal/netstate"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
	"github.com/pxesidecar/pxesidecar/proxydhcp/server"
	"github.com/pxesidecar/pxesidecar/tftp"
)

// Host is what the settings are held against: the machine we run on.
type Host struct {
	Root       string // its file system; "/" but in tests
	Interfaces []netstate.Interface
	Version    string // our own, for the built-in script
}

// Config is what the program does: settings that were understood and found to
// be possible.
type Config struct {
	Interfaces []netstate.Interface
	VLANs      []uint16 // the VLANs that are served on them; none for what carries no tag alone
	DHCP       DHCP
	TFTP       tftp.Config     // without its hooks
	NoDHCP     bool            // serve files alone
	TFTPOff    bool            // do not serve TFTP
	HTTP       netip.AddrPort  // where to serve HTTP; invalid for not at all
	TLS        *tls.Config     // HTTP speaks TLS; nil for plain
	Tree       *bootfiles.Tree // the boot file tree, open
	Segments   []Segment       // what is given where; the last is everybody's
	Warnings   []string        // what works, but probably not as meant

	hasRelays bool // a segment is behind a relay
}

// DHCP is what is answered, and where.
type DHCP struct {
	Interfaces []server.Interface
	ProxyOnly  bool
	Relayed    bool
	Policy     *proxydhcp.Policy
	Options    proxydhcp.ReplyOptions
	DryRun     bool
}

// Segment is what the machines of one part of the network are given.
type Segment struct {
	Name   string            // "" for everybody else
	Place  proxydhcp.Segment // a place in it
	Deny   bool              // nothing
	Script string            // a name in the tree, or a URL
	ROMs   []ROM             // in the order of the platforms
	NoROM  []proxydhcp.Platform
}

// localDiskScript is the name of the script that boots the local disk.
const localDiskScript = "local-disk.ipxe"

// Load understands the settings, opens the boot file tree and makes the policy.
// The error joins everything that is wrong, a line each; nothing stays open
// then. The caller closes the tree.
func Load(s Settings, h Host) (_ *Config, err error) {
	c := &Config{Tree: &bootfiles.Tree{}}
	defer func() {
		if err != nil {
			c.Tree.Close()
		}
	}()
	p := &problems{origin: s.origin}
	told := parseServers(s, p)
	if !s.NoDHCP {
		if c.Interfaces, err = chooseInterfaces(s.Interfaces, h.Interfaces, told); err != nil {
			p.note(err)
		}
		told.check(c.Interfaces, p)
	}
	c.loadListeners(s, p)
	policy := c.loadPolicy(s, h, p)
	c.Warnings = append(c.Warnings, told.warnings(h)...)
	if err := p.err(); err != nil {
		return nil, err
	}
	c.DHCP = DHCP{
		Policy:  policy,
		Options: proxydhcp.ReplyOptions{HTTPPort: c.HTTP.Port(), HTTPS: c.TLS != nil, OverrideFilename: s.Override, UBoot: s.UBoot},
		DryRun:  s.DryRun,

		ProxyOnly: s.ProxyOnly,
		Relayed:   s.Relayed || c.hasRelays,
	}
	for _, i := range c.Interfaces {
		c.DHCP.Interfaces = append(c.DHCP.Interfaces, c.place(i.Name, len(s.VLANs) > 0, told.of(i.Name)))
	}
	c.NoDHCP = s.NoDHCP
	c.TFTP.FS = c.Tree
	return c, nil
}

// place is an interface with its VLANs, and what its clients are told is our
// address. Where VLANs are asked for by flag, what carries no tag is served only
// if it is asked for, too.
func (c *Config) place(name string, byFlag bool, told netip.Addr) server.Interface {
	tagged := slices.DeleteFunc(slices.Clone(c.VLANs), func(id uint16) bool { return id == 0 })
	return server.Interface{Name: name, VLANs: tagged, TaggedOnly: byFlag && len(tagged) == len(c.VLANs), Server: told}
}

// loadPolicy finds the files of every segment, makes the rules, and holds the
// one against the other.
func (c *Config) loadPolicy(s Settings, h Host, p *problems) *proxydhcp.Policy {
	r := resolver{host: h, tree: c.Tree, mounts: map[string]mount{}}
	in := policyInputs{
		allow:     parseAll(p, "allow-mac", s.AllowMACs, dhcp4.ParseMACPrefix),
		deny:      parseAll(p, "deny-mac", s.DenyMACs, dhcp4.ParseMACPrefix),
		everybody: r.resolve(s.Answers, "", p),
		settings:  s,
		has:       func(name string) bool { _, err := fs.Stat(c.Tree, name); return err == nil },
	}
	s.checkMenu(p)
	for _, t := range c.flagSegments(s, p) {
		in.segments = append(in.segments, r.resolveSegment(t, s.Answers, p))
	}
	for i, t := range s.Segments {
		in.segments = append(in.segments, r.resolveSegment(t, s.Answers, p.in(fmt.Sprintf("segment[%d].", i))))
	}
	for _, a := range in.segments {
		c.VLANs = append(c.VLANs, a.scope.VLANs...)
		c.hasRelays = c.hasRelays || len(a.scope.Relays) > 0 || len(a.scope.Circuits) > 0
	}
	slices.Sort(c.VLANs)
	c.VLANs = slices.Compact(c.VLANs)
	for i, t := range s.Rules {
		in.rules = append(in.rules, t.rule(s, in.everybody, p.in(fmt.Sprintf("rule[%d].", i)))...)
	}
	c.Tree.AddGenerated(generated(s, h, in.everybody, p))
	if p.failed() {
		return nil
	}
	policy := in.build()
	c.Warnings = r.warnings
	for _, a := range append(in.segments, in.everybody) {
		for _, w := range checkROMs(policy, a, p) {
			if !slices.Contains(c.Warnings, w) {
				c.Warnings = append(c.Warnings, w)
			}
		}
		c.Segments = append(c.Segments, a.segment())
	}
	return policy
}

// flagSegments reads the segments of --vlan and --segment, and the VLANs that
// are served without answers of their own.
func (c *Config) flagSegments(s Settings, p reporter) []SegmentText {
	var segments []SegmentText
	for _, text := range s.VLANs {
		ids, segment, err := parseVLANFlag(text)
		p.add("vlan", text, err)
		c.VLANs = append(c.VLANs, ids...)
		if segment != nil {
			segments = append(segments, *segment)
		}
	}
	for _, text := range s.SegmentFlags {
		segment, err := parseSegment(text)
		p.add("segment", text, err)
		if err == nil {
			segments = append(segments, segment)
		}
	}
	return segments
}

// generated are the scripts that are served where the user has none of the
// name. The version check is made where upgrades go by script: where we answer
// no DHCP, or where its versions are named.
func generated(s Settings, h Host, a answers, p reporter) map[string][]byte {
	files := map[string][]byte{localDiskScript: ipxescript.LocalDisk()}
	upgrade := ipxescript.Upgrade{Accepted: s.IPXETexts, ROMs: map[proxydhcp.Platform]ipxescript.Replacement{}}
	for _, r := range a.roms {
		text := r.Image.VersionText
		if text != "" && len(s.IPXETexts) == 0 && !slices.Contains(upgrade.Accepted, text) {
			upgrade.Accepted = append(upgrade.Accepted, text)
		}
		upgrade.ROMs[r.Platform] = ipxescript.Replacement{URL: r.Name, Version: text}
	}
	check := len(s.IPXETexts) > 0 || s.NoDHCP && len(upgrade.Accepted) > 0
	if check {
		text, err := ipxescript.VersionCheck(upgrade)
		if err != nil {
			p.note(err)
		}
		files[ipxescript.CheckName] = text
	}
	files[builtinScript] = ipxescript.Boot(ipxescript.Facts{Version: h.Version, Check: check})
	return files
}

// ROMNames lists the names of all ROMs.
func (c *Config) ROMNames() []string {
	var names []string
	for _, s := range c.Segments {
		for _, r := range s.ROMs {
			names = append(names, r.Name)
		}
	}
	return names
}

// segment describes the answers for the start-up report.
func (a answers) segment() Segment {
	s := Segment{Name: a.label, Place: a.scope.Segment(), Deny: a.deny, Script: a.script, ROMs: a.roms}
	for _, platform := range proxydhcp.Platforms() {
		if !slices.ContainsFunc(a.roms, func(r ROM) bool { return r.Platform == platform }) {
			s.NoROM = append(s.NoROM, platform)
		}
	}
	return s
}

// loadListeners reads where to listen, and the limits of TFTP.
func (c *Config) loadListeners(s Settings, p reporter) {
	var err error
	if s.HTTP != "" && s.HTTP != off {
		c.HTTP, err = parseListen(s.HTTP, 80)
		p.add("http", s.HTTP, err)
	}
	c.loadTLS(s, p)
	if c.TFTPOff = s.TFTP == off; !c.TFTPOff && s.TFTP != "" {
		c.TFTP.Addr, err = parseListen(s.TFTP, 69)
		p.add("tftp", s.TFTP, err)
	}
	c.TFTP.PortRange, err = parsePorts(s.TFTPPorts)
	p.add("tftp-ports", s.TFTPPorts, err)
	var cache int // MiB
	for _, limit := range []struct {
		flag        string
		value       int
		least, most int
		into        *int
	}{
		{"tftp-block-size", s.TFTPBlockSize, 512, 65464, &c.TFTP.MaxBlockSize},
		{"tftp-window-size", s.TFTPWindow, 1, 65535, &c.TFTP.MaxWindow},
		{"tftp-max-transfers", s.TFTPMaxTransfers, 1, 1 << 20, &c.TFTP.MaxTransfers},
		{"tftp-cache", s.TFTPCache, 1, 1 << 20, &cache},
	} {
		if limit.value != 0 && (limit.value < limit.least || limit.value > limit.most) {
			p.add(limit.flag, fmt.Sprint(limit.value), fmt.Errorf("not between %d and %d", limit.least, limit.most))
		}
		*limit.into = limit.value
	}
	c.TFTP.CacheBytes = int64(cache) << 20
	c.TFTP.SinglePort = s.TFTPSinglePort
	allowed := append(privateNetworks(), parseAll(p, "tftp-allow", s.TFTPAllow, parseNetwork)...)
	for _, i := range c.Interfaces {
		allowed = append(allowed, i.Addresses...)
	}
	c.TFTP.Allow = func(a netip.Addr) bool {
		return slices.ContainsFunc(allowed, func(n netip.Prefix) bool { return n.Contains(a) })
	}
}

// loadTLS reads the certificate of HTTP.
func (c *Config) loadTLS(s Settings, p reporter) {
	switch {
	case s.TLSCert == "" && s.TLSKey == "":
		return
	case s.TLSCert == "" || s.TLSKey == "" || !c.HTTP.IsValid():
		p.add("tls-cert", s.TLSCert, errors.New("--tls-cert, --tls-key and --http go together"))
		return
	}
	certificate, err := tls.LoadX509KeyPair(s.TLSCert, s.TLSKey)
	p.add("tls-cert", s.TLSCert, err)
	c.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
}

// privateNetworks are the addresses that TFTP always serves: those that nobody
// on the Internet can forge towards us and be sent our answers (RFC 1918, 3927,
// 6598, and loopback).
func privateNetworks() []netip.Prefix {
	var list []netip.Prefix
	for _, s := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "127.0.0.0/8"} {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}
