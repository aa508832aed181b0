package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"github.com/pxesidecar/pxesidecar/internal/script"
	"github.com/pxesidecar/pxesidecar/internal/tree"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/tftp"
)

// Host is what the settings are held against: the machine we run on.
type Host struct {
	Root       string // its file system; "/" but in tests
	Interfaces []Interface
	Version    string // our own, for the built-in script
}

// Config is what the program does: settings that were understood and found to
// be possible.
type Config struct {
	Interfaces []Interface
	DHCP       proxydhcp.Config // without its hooks
	TFTP       tftp.Config      // without its hooks
	TFTPOff    bool             // do not serve TFTP
	HTTP       netip.AddrPort   // where to serve HTTP; invalid for not at all
	Tree       *tree.Tree       // the boot file tree, open
	Script     string           // the boot script: a name in the tree, or a URL
	ROMs       []ROM            // in the order of the platforms
	NoROM      []proxydhcp.Platform
	Warnings   []string // what works, but probably not as meant
}

// builtinScript is the boot script's name where the user names none. A file of
// that name in the user's directory takes its place.
const builtinScript = "boot.ipxe"

// Load understands the settings, opens the boot file tree and makes the policy.
// The error joins everything that is wrong, a line each; nothing stays open
// then. The caller closes the tree.
func Load(s Settings, h Host) (_ *Config, err error) {
	c := &Config{Tree: &tree.Tree{}}
	defer func() {
		if err != nil {
			c.Tree.Close()
		}
	}()
	var p problems
	in := policyInputs{
		allow:      parseAll(&p, "allow-mac", s.AllowMACs, proxydhcp.ParseMACPrefix),
		deny:       parseAll(&p, "deny-mac", s.DenyMACs, proxydhcp.ParseMACPrefix),
		demands:    s.parseDemands(&p),
		nextServer: s.parseNextServer(&p),
	}
	c.Interfaces, err = ChooseInterfaces(s.Interfaces, h.Interfaces)
	if err != nil {
		p = append(p, err)
	}
	c.loadListeners(s, &p)
	rootOK := true
	if s.Root != "" {
		if err := c.Tree.AddDir(s.Root); err != nil {
			p.add("root", s.Root, errors.Unwrap(err))
			rootOK = false
		}
	}
	c.Tree.AddGenerated(map[string][]byte{builtinScript: script.Boot(script.Facts{Version: h.Version})})
	if rootOK {
		finder := romFinder{settings: s, host: h, tree: c.Tree, foreign: isForeign(in.nextServer, h)}
		c.ROMs = finder.find(&p)
		c.Warnings = append(c.Warnings, finder.warnings...)
		c.Script = c.loadScript(s, finder.foreign, &p)
	}
	in.roms, in.script = c.ROMs, c.Script
	policy := in.build()
	c.Warnings = append(c.Warnings, checkROMs(policy, c.ROMs, s, &p)...)
	if err := p.err(); err != nil {
		return nil, err
	}
	c.finish(s, policy)
	return c, nil
}

// finish fills in what follows from the rest.
func (c *Config) finish(s Settings, policy *proxydhcp.Policy) {
	for _, platform := range proxydhcp.Platforms() {
		if !slices.ContainsFunc(c.ROMs, func(r ROM) bool { return r.Platform == platform }) {
			c.NoROM = append(c.NoROM, platform)
		}
	}
	var names []string
	for _, i := range c.Interfaces {
		names = append(names, i.Name)
	}
	c.DHCP = proxydhcp.Config{
		Interfaces: names,
		Policy:     policy,
		Service:    proxydhcp.Service{HTTPPort: c.HTTP.Port(), OverrideFilename: s.Override},
		DryRun:     s.DryRun,
	}
	c.TFTP.FS = c.Tree
	if strings.HasPrefix(c.Script, "https://") && !strings.Contains(strings.Join(s.IPXEFeatures, ","), "https") {
		c.Warnings = append(c.Warnings, "the boot URL is https, and an iPXE without HTTPS cannot load it: --ipxe-feature https upgrades those first")
	}
}

// loadListeners reads where to listen, and the limits of TFTP.
func (c *Config) loadListeners(s Settings, p *problems) {
	var err error
	if s.HTTP != "" && s.HTTP != off {
		c.HTTP, err = parseListen(s.HTTP, 80)
		p.add("http", s.HTTP, err)
	}
	if c.TFTPOff = s.TFTP == off; !c.TFTPOff && s.TFTP != "" {
		c.TFTP.Addr, err = parseListen(s.TFTP, 69)
		p.add("tftp", s.TFTP, err)
	}
	c.TFTP.PortRange, err = parsePorts(s.TFTPPorts)
	p.add("tftp-ports", s.TFTPPorts, err)
	for _, limit := range []struct {
		flag        string
		value       int
		least, most int
		into        *int
	}{
		{"tftp-block-size", s.TFTPBlockSize, 512, 65464, &c.TFTP.MaxBlockSize},
		{"tftp-window-size", s.TFTPWindow, 1, 65535, &c.TFTP.MaxWindow},
		{"tftp-max-transfers", s.TFTPMaxTransfers, 1, 1 << 20, &c.TFTP.MaxTransfers},
	} {
		if limit.value != 0 && (limit.value < limit.least || limit.value > limit.most) {
			p.add(limit.flag, fmt.Sprint(limit.value), fmt.Errorf("not between %d and %d", limit.least, limit.most))
		}
		*limit.into = limit.value
	}
	c.TFTP.SinglePort = s.TFTPSinglePort
	allowed := append(privateNetworks(), parseAll(p, "tftp-allow", s.TFTPAllow, parseNetwork)...)
	for _, i := range c.Interfaces {
		allowed = append(allowed, i.Addresses...)
	}
	c.TFTP.Allow = func(a netip.Addr) bool {
		return slices.ContainsFunc(allowed, func(n netip.Prefix) bool { return n.Contains(a) })
	}
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

// loadScript finds the boot script.
func (c *Config) loadScript(s Settings, foreign bool, p *problems) string {
	if s.BootURL == "" {
		return builtinScript
	}
	name, err := parseBootName(s.BootURL)
	if err == nil && !foreign && !isURL(name) {
		if _, statErr := fs.Stat(c.Tree, name); statErr != nil {
			err = notFound(name, s.Root, statErr)
		}
	}
	p.add("boot-url", s.BootURL, err)
	return name
}

// isURL tells a URL from a name in the boot file tree.
func isURL(name string) bool { return strings.Contains(name, "://") }

// notFound says where a name of the boot file tree was looked for.
func notFound(name, root string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if root == "" {
		return fmt.Errorf("no such boot file; name the directory that has %q with --root", name)
	}
	return fmt.Errorf("not found in %s", root)
}

// isForeign reports whether the boot files come from another host's TFTP.
func isForeign(nextServer netip.Addr, h Host) bool {
	if !nextServer.IsValid() {
		return false
	}
	for _, i := range h.Interfaces {
		for _, a := range i.Addresses {
			if a.Addr() == nextServer {
				return false
			}
		}
	}
	return true
}
