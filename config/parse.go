package config

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/pxesidecar/pxesidecar/internal/netstate"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// Config is what settings say, parsed.
type Config struct {
	DHCP        DHCP
	TFTP        TFTP
	HTTP        HTTP
	Log         Log
	WatchConfig bool      // reload when the configuration file changes
	Autoexec    bool      // make an autoexec.ipxe for EFI iPXEs
	Segments    []Answers // the parts of the network; the last is everybody else
	IPXETexts   []string  // values of ${version} that the version check accepts, beside those of the ROMs
	SecureBoot  SecureBoot
	ROMFallback ROMFallback
	Warnings    []string // what works, but probably not as meant
	Lacks       []error  // what the host lacks now of the interfaces to serve: the settings are right, but it has to be waited for

	settings    Settings
	allow, deny []proxydhcp.MACPrefix
	rules       []rule // of the file
	menu        *menu  // nil if there is none
}

// DHCP is where requests are answered, and how.
type DHCP struct {
	Off        bool // answer none, serve files alone
	Interfaces []Interface
	Chosen     bool     // nobody named the interface
	VLANs      []uint16 // 802.1Q ids that are answered on the interfaces
	TaggedOnly bool     // answer in the VLANs alone, not what arrives untagged
	ProxyOnly  bool     // on port 4011 alone
	Relayed    bool     // DHCP relays send requests here
	DryRun     bool     // decide and log, but send nothing
	Options    proxydhcp.ReplyOptions
}

// Interface is an interface on which clients are answered.
type Interface struct {
	Name   string
	Server netip.Addr // the address that clients are told; the zero Addr for one of the interface
}

// Parse parses settings. host are the interfaces of this host; if nothing is
// served it is nil, and no interface is chosen. The error joins all problems, a
// line each. The configuration is not nil even then: it has what could be
// parsed, so that its files can be checked too. What the host lacks now is in
// its Lacks, and no error.
func Parse(s Settings, host []netstate.Interface) (*Config, error) {
	p := &parser{Problems: newProblems(&s), settings: s, host: host, mounts: map[string]mount{}}
	c := &Config{settings: s, WatchConfig: s.WatchConfig, Autoexec: !s.NoAutoexec, IPXETexts: s.IPXETexts}
	servers := p.servers()
	chosen := p.interfaces(servers)
	c.HTTP = p.http()
	c.TFTP = p.tftp()
	c.Log = p.log()
	c.SecureBoot = parseChoice[SecureBoot](p, "secure-boot", s.SecureBoot, secureBootNames)
	c.ROMFallback = parseChoice[ROMFallback](p, "rom-fallback", s.ROMFallback, romFallbackNames)
	c.allow = parseAll(p.Problems, "allow-mac", s.AllowMACs, dhcp4.ParseMACPrefix)
	c.deny = parseAll(p.Problems, "deny-mac", s.DenyMACs, dhcp4.ParseMACPrefix)
	everybody := p.answers(s.AnswersText, p.Problems)
	segments, vlans := p.segments()
	c.Segments = append(segments, everybody)
	c.menu = p.menu(c.Segments)
	c.rules = p.rules()
	c.DHCP = p.dhcp(c, chosen, vlans, servers)
	c.Warnings, c.Lacks = p.foreignServers(servers), p.lacks
	return c, p.Err()
}

// Problems returns a new, empty list for problems with the settings.
func (c *Config) Problems() Problems { return newProblems(&c.settings) }

// parser parses the parts of settings. It collects problems.
type parser struct {
	Problems
	settings Settings
	host     []netstate.Interface
	lacks    []error          // as Config.Lacks
	mounts   map[string]mount // directories of the boot file tree that segments have, by name
}

// dhcp puts together where requests are answered, and how. vlans are the VLANs
// to serve.
func (p *parser) dhcp(c *Config, chosen []netstate.Interface, vlans []uint16, told servers) DHCP {
	s := p.settings
	d := DHCP{
		Off: s.NoDHCP, Chosen: len(s.Interfaces) == 0, ProxyOnly: s.ProxyOnly, Relayed: s.Relayed, DryRun: s.DryRun,
		Options: proxydhcp.ReplyOptions{HTTPPort: c.HTTP.Addr.Port(), HTTPS: c.HTTP.CertFile != "", YieldToFilename: p.yieldsToFilename(), UBoot: s.UBoot},
	}
	for _, a := range c.Segments {
		d.Relayed = d.Relayed || len(a.Scope.Relays) > 0 || len(a.Scope.Circuits) > 0
	}
	for _, i := range chosen {
		d.Interfaces = append(d.Interfaces, Interface{i.Name, told.of(i.Name)})
	}
	d.VLANs = slices.DeleteFunc(slices.Clone(vlans), func(id uint16) bool { return id == 0 })
	// If VLANs are asked for by flag, what carries no tag is answered only if
	// it is asked for too.
	d.TaggedOnly = len(s.VLANs) > 0 && len(d.VLANs) == len(vlans)
	return d
}

// yieldsToFilename reports whether an iPXE may prefer a file that the DHCP
// server names. --override-dhcp-filename is the default, and was a flag before:
// a file that says it is false means the opposite.
func (p *parser) yieldsToFilename() bool {
	const override, yield = "override-dhcp-filename", "yield-to-dhcp-filename"
	s := &p.settings
	if s.Override && s.Yield {
		p.Note(fmt.Errorf("%s and %s are opposites: leave one of them out (the first is the default)", s.place("", override), s.place("", yield)))
	}
	return s.Yield || s.isGiven(override) && !s.Override
}

// Names returns the names of the interfaces.
func (d DHCP) Names() (names []string) {
	for _, i := range d.Interfaces {
		names = append(names, i.Name)
	}
	return names
}
