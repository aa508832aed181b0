// Package config turns what the user wrote into what the program does: strings
// into the domain's types, a directory into ROMs, demands on an iPXE into a
// policy. Every problem is found before anything is opened, and all are told at
// once.
package config

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Settings are what the user wrote, each as text under the name of its flag,
// which is its key in the configuration file, too. The zero value is what a
// user gets who wrote nothing, but for the listening addresses, which the
// command line fills in.
type Settings struct {
	Answers
	Interfaces   []string      `toml:"interface"`
	VLANs        []string      `toml:"vlan"`    // ids and ranges, or a segment as in a flag
	Segments     []SegmentText `toml:"segment"` // answers of their own for parts of the network
	SegmentFlags []string      // --segment: the same, as KEY=VALUE pairs
	Rules        []RuleText    `toml:"rule"`   // rules before those that the flags make
	Servers      []string      `toml:"server"` // our address for clients, IP or INTERFACE=IP
	ProxyOnly    bool          `toml:"port-4011-only"`
	Relayed      bool          `toml:"relayed"`   // DHCP relays send requests here
	NoDHCP       bool          `toml:"no-dhcp"`   // answer no DHCP, serve files alone
	IPXETexts    []string      `toml:"ipxe-text"` // values of ${version} that the version check accepts, beside those of the ROMs

	AllowMACs []string `toml:"allow-mac"`
	DenyMACs  []string `toml:"deny-mac"`
	UBoot     bool     `toml:"u-boot"` // answer U-Boot, too
	DryRun    bool     `toml:"dry-run"`
	Override  bool     `toml:"override-dhcp-filename"`

	Menu        []string `toml:"menu"`         // items of a boot menu for PXE firmware: TEXT=FILE, TEXT=rom or TEXT=local-disk
	MenuPrompt  string   `toml:"menu-prompt"`  // shown before it
	MenuTimeout int      `toml:"menu-timeout"` // seconds until the first item is booted; 255 waits

	TFTP             string   `toml:"tftp"`               // where to listen, or "off"
	TFTPSinglePort   bool     `toml:"tftp-single-port"`   //
	TFTPPorts        string   `toml:"tftp-ports"`         // LOW-HIGH
	TFTPBlockSize    int      `toml:"tftp-block-size"`    // bytes, the largest granted; 0 for what the MTU allows
	TFTPWindow       int      `toml:"tftp-window-size"`   // blocks, the largest granted; 0 for the server's default
	TFTPMaxTransfers int      `toml:"tftp-max-transfers"` // 0 for the server's default
	TFTPCache        int      `toml:"tftp-cache"`         // MiB of file content kept in memory; 0 for the server's default
	TFTPAllow        []string `toml:"tftp-allow"`         // networks beside the private and attached ones
	HTTP             string   `toml:"http"`               // where to listen, "" for not at all
	TLSCert          string   `toml:"tls-cert"`           // PEM file; HTTP then speaks TLS
	TLSKey           string   `toml:"tls-key"`            // PEM file

	WatchConfig bool `toml:"watch-config"` // read this file again when it changes

	LogLevel  string `toml:"log-level"`
	LogFormat string `toml:"log-format"`

	origin func(key string) string // says where the value of a key was written; nil for flags
}

// Answers are the settings that a segment may have of its own.
type Answers struct {
	Root         string   `toml:"root,omitempty"`
	BootURL      string   `toml:"boot-url,omitempty"` // a URL, or a name in the boot file tree
	ROMs         []string `toml:"rom,omitempty"`      // ARCH=FILE, ARCH=URL, or ARCH=none
	IPXEVersion  string   `toml:"ipxe-version,omitempty"`
	IPXEFeatures []string `toml:"ipxe-feature,omitempty"`
	UserClass    string   `toml:"user-class,omitempty"`
	NextServer   string   `toml:"next-server,omitempty"`
}

// off is how a listener is switched off.
const off = "off"

// problems gathers everything that is wrong.
type problems struct {
	errs   []error
	origin func(key string) string
}

// in is the same list for the keys of a table in the file, such as "rule[2].".
func (p *problems) in(prefix string) reporter { return &nested{p, prefix} }

// nested adds problems of one table to the list of all.
type nested struct {
	all    *problems
	prefix string
}

// reporter is where problems of settings go.
type reporter interface {
	add(key, value string, err error)
	note(err error)
}

func (n *nested) note(err error) { n.all.note(err) }

func (n *nested) add(key, value string, err error) { n.all.add(n.prefix+key, value, err) }

// add notes a problem with a value, naming where it was written.
func (p *problems) add(key, value string, err error) {
	if err == nil {
		return
	}
	where := "--" + key
	if p.origin != nil {
		where = p.origin(key)
	}
	p.errs = append(p.errs, fmt.Errorf("%s %q: %w", where, value, err))
}

// note adds a problem that is of no single value.
func (p *problems) note(err error) { p.errs = append(p.errs, err) }

func (p *problems) failed() bool { return len(p.errs) > 0 }

func (p *problems) err() error { return errors.Join(p.errs...) }

// parseAll parses each value of a repeatable flag. Values may be joined by
// commas, as in an environment variable.
func parseAll[T any](p reporter, key string, values []string, parse func(string) (T, error)) []T {
	var all []T
	for _, value := range values {
		for part := range strings.SplitSeq(value, ",") {
			part = strings.TrimSpace(part)
			if part == "" {
				continue
			}
			v, err := parse(part)
			p.add(key, part, err)
			if err == nil {
				all = append(all, v)
			}
		}
	}
	return all
}

// autoVersion asks for at least the version of the ROM that is served.
const autoVersion = "auto"

// demands are what the settings ask of an iPXE before it gets the script.
type demands struct {
	match proxydhcp.IPXEMatch
	auto  bool // the version is that of each platform's ROM
}

// parseDemands reads the demands on an iPXE.
func (s Answers) parseDemands(p reporter) demands {
	var d demands
	switch s.IPXEVersion {
	case "":
	case autoVersion:
		d.auto = true
	default:
		var err error
		d.match.Version, err = proxydhcp.ParseVersionRange(s.IPXEVersion)
		p.add("ipxe-version", s.IPXEVersion, err)
	}
	for _, f := range parseAll(p, "ipxe-feature", s.IPXEFeatures, proxydhcp.ParseFeature) {
		d.match.Features = d.match.Features.With(f)
	}
	if d.match.UserClass = s.UserClass; strings.Contains(s.UserClass, ",") {
		p.add("user-class", s.UserClass, errors.New("one class, without commas"))
	}
	return d
}

// parseNextServer reads the address of the TFTP server that has the files,
// zero for ourselves.
func (s Answers) parseNextServer(p reporter) netip.Addr {
	if s.NextServer == "" {
		return netip.Addr{}
	}
	a, err := parseHost(s.NextServer)
	p.add("next-server", s.NextServer, err)
	return a
}

// parseHost reads the address of a host.
func parseHost(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() || a.IsUnspecified() || a.IsMulticast() {
		return netip.Addr{}, errors.New("not the IPv4 address of a host")
	}
	return a, nil
}

// maxName bounds a boot file name: what DHCP can carry beside a server's name.
const maxName = 200

// parseBootName checks a name in the boot file tree, or a URL, as firmware will
// get it, and returns the name without a leading slash.
func parseBootName(name string) (string, error) {
	if strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return "", errors.New("has a space or a control character, which firmware does not take")
	}
	if len(name) > maxName {
		return "", fmt.Errorf("%d bytes long, and DHCP has room for %d", len(name), maxName)
	}
	if err := proxydhcp.CheckPlaceholders(name); err != nil {
		return "", err
	}
	scheme, _, isURL := strings.Cut(name, "://")
	if !isURL {
		return strings.TrimLeft(name, "/"), nil
	}
	switch scheme {
	case "http", "https", "tftp", "nfs", "ftp":
	default:
		return "", fmt.Errorf("%s:// is no scheme that iPXE loads from: use http, https, tftp, nfs or ftp", scheme)
	}
	u, err := url.Parse(withoutBraces(name))
	switch {
	case err != nil:
		return "", err
	case u.Host == "":
		return "", errors.New("has no host")
	}
	return name, nil
}

// withoutBraces replaces iPXE's ${settings} and our {placeholders} in a URL, so
// that the rest can be checked.
func withoutBraces(name string) string {
	for {
		before, rest, ok := strings.Cut(strings.ReplaceAll(name, "${", "{"), "{")
		_, after, closed := strings.Cut(rest, "}")
		if !ok || !closed {
			return name
		}
		name = before + "x" + after
	}
}

// parseListen reads where to listen: ADDRESS:PORT, ADDRESS, :PORT or PORT.
func parseListen(s string, port uint16) (netip.AddrPort, error) {
	const form = "write ADDRESS:PORT, such as 192.0.2.1:%d, or :%d for every address"
	host, digits := s, ""
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		host, digits = s[:i], s[i+1:]
	} else if _, err := strconv.Atoi(s); err == nil {
		host, digits = "", s
	}
	addr := netip.IPv4Unspecified()
	if host != "" {
		var err error
		if addr, err = netip.ParseAddr(host); err != nil || !addr.Is4() {
			return netip.AddrPort{}, fmt.Errorf("%q is no IPv4 address: "+form, host, port, port)
		}
	}
	if digits == "" {
		return netip.AddrPortFrom(addr, port), nil
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 {
		return netip.AddrPort{}, fmt.Errorf("%q is no port: "+form, digits, port, port)
	}
	return netip.AddrPortFrom(addr, uint16(n)), nil
}

// parsePorts reads a range of ports, LOW-HIGH; the zero range for "".
func parsePorts(s string) ([2]uint16, error) {
	var r [2]uint16
	if s == "" {
		return r, nil
	}
	low, high, ok := strings.Cut(s, "-")
	if !ok {
		high = low
	}
	for i, text := range []string{low, high} {
		n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 16)
		if err != nil || n == 0 {
			return [2]uint16{}, fmt.Errorf("%q is no port: write LOW-HIGH, such as 20000-20015", text)
		}
		r[i] = uint16(n)
	}
	if r[0] > r[1] {
		return [2]uint16{}, fmt.Errorf("the range ends (%d) before it begins (%d)", r[1], r[0])
	}
	return r, nil
}

// Print writes the settings that were given, as a configuration file, each with
// where it comes from. written tells of a key whether a flag or the environment
// gave it, "" for neither.
func (s Settings) Print(w io.Writer, written func(key string) string) error {
	value := reflect.ValueOf(s)
	for _, field := range reflect.VisibleFields(value.Type()) {
		key := keyOf(field)
		v := value.FieldByIndex(field.Index)
		if key == "" || key == "segment" || key == "rule" || v.IsZero() {
			continue
		}
		from := written(key)
		if from == "" {
			from = "default"
			if s.origin != nil && !strings.HasPrefix(s.origin(key), "--") {
				from = strings.TrimSuffix(s.origin(key), ": "+key)
			}
		}
		text, err := toml.Marshal(map[string]any{key: v.Interface()})
		if err != nil {
			return fmt.Errorf("printing %s: %w", key, err)
		}
		if _, err := fmt.Fprintf(w, "%s # %s\n", strings.TrimSpace(string(text)), from); err != nil {
			return err
		}
	}
	tables := struct {
		Segments []SegmentText `toml:"segment,omitempty"`
		Rules    []RuleText    `toml:"rule,omitempty"`
	}{s.Segments, s.Rules}
	text, err := toml.Marshal(tables)
	if err != nil {
		return fmt.Errorf("printing segments and rules: %w", err)
	}
	_, err = w.Write(text)
	return err
}
