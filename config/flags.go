package config

// The flags. This table is the only place where one is declared: the command
// line, the configuration file, "check --print" and the reload of a
// configuration follow it.

import (
	"reflect"
	"slices"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Flag is a flag of the command line, an environment variable, and a key of the
// configuration file.
type Flag struct {
	Name     string // of the flag and the key, such as "boot-url"
	Aliases  []string
	Category string // in the help text
	Usage    string // with the name of the value in backquotes
	Default  any    // of the type that Field points to; nil for its zero value
	Policy   bool   // it says who gets what: explain, export and script take it too
	Restart  bool   // a change takes effect at a restart only

	// Field returns a pointer to the flag's field: *string, *[]string, *bool
	// or *int. A list's flag may be repeated.
	Field func(*Settings) any

	// inUse returns what NeedRestart compares, if that is not the text in
	// Field: what belongs to open sockets, wherever in the settings it comes
	// from.
	inUse func(*Config) any
}

// Env returns the name of the environment variable.
func (f Flag) Env() string {
	return "PXESIDECAR_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
}

// The categories of the help text.
const (
	catWhat  = "What is served"
	catIPXE  = "Which iPXE gets the boot script; another one gets a ROM first"
	catWho   = "To whom"
	catWhere = "Where"
	catFiles = "How files are served"
	catLog   = "Logging"
)

// Flags returns the flags in the order of check --print. The help text sorts
// them by category and name.
func Flags() []Flag { return slices.Clone(flags) }

// flags is the table of the flags.
var flags = []Flag{
	{Name: "allow-mac", Category: catWho, Policy: true,
		Usage: "answer only machines whose MAC address begins with `MAC` (repeatable)",
		Field: func(s *Settings) any { return &s.AllowMACs }},
	{Name: "deny-mac", Category: catWho, Policy: true,
		Usage: "never answer machines whose MAC address begins with `MAC` (repeatable)",
		Field: func(s *Settings) any { return &s.DenyMACs }},
	{Name: "segment", Category: catWho, Policy: true,
		Usage: "give a part of the network answers of its own, `KEY=VALUE,...`, such as relay=10.2.0.0/16,boot-url=URL or interface=eth1,deny (repeatable)",
		Field: func(s *Settings) any { return &s.SegmentFlags }},

	{Name: "root", Category: catWhat, Policy: true,
		Usage: "serve the boot files in `DIR`; ROMs of the usual names are found there",
		Field: func(s *Settings) any { return &s.Root }},
	{Name: "boot-url", Category: catWhat, Policy: true,
		Usage: "the boot script: a `URL`, or a name in the boot files (a built-in script by default)",
		Field: func(s *Settings) any { return &s.BootURL }},
	{Name: "rom", Category: catWhat, Policy: true,
		Usage: "the ROM for an architecture, `ARCH=FILE`, ARCH=URL or ARCH=none (repeatable; " + joined(proxydhcp.Platforms()) + ")",
		Field: func(s *Settings) any { return &s.ROMs }},
	{Name: "secure-boot", Category: catWhat, Policy: true, Default: SecureBootAuto.String(),
		Usage: "`WHICH` ROMs are chosen: auto, a shim with a signed iPXE before others; require, signed ones alone; off, no shim",
		Field: func(s *Settings) any { return &s.SecureBoot }},
	{Name: "rom-fallback", Category: catWhat, Policy: true, Default: ROMFallbackAuto.String(),
		Usage: "`WHEN` a machine that did not start its ROM gets another one at its next boot: auto, unless --rom names it; always; or never",
		Field: func(s *Settings) any { return &s.ROMFallback }},
	{Name: "next-server", Category: catWhat, Policy: true,
		Usage: "the boot files are on the TFTP server at `IP` (this host by default)",
		Field: func(s *Settings) any { return &s.NextServer }},
	{Name: "yield-to-dhcp-filename", Category: catWhat, Policy: true, Restart: true,
		Usage: "let iPXE prefer a file that the DHCP server names to ours (does not send 175.1 = 1)",
		Field: func(s *Settings) any { return &s.Yield }},
	{Name: "override-dhcp-filename", Category: catWhat, Policy: true, Restart: true,
		Usage: "have iPXE prefer our file to one that the DHCP server names: the default, and the opposite of --yield-to-dhcp-filename",
		Field: func(s *Settings) any { return &s.Override }},
	{Name: "no-autoexec", Category: catWhat, Policy: true,
		Usage: "make no autoexec.ipxe, which takes an EFI iPXE to its boot script without asking DHCP again",
		Field: func(s *Settings) any { return &s.NoAutoexec }},
	{Name: "menu", Category: catWhat, Policy: true,
		Usage: "an item of a boot menu that PXE firmware shows, `TEXT=FILE`, TEXT=rom or TEXT=local-disk (repeatable)",
		Field: func(s *Settings) any { return &s.Menu }},
	{Name: "menu-prompt", Category: catWhat, Policy: true, Default: "Press F8 for the boot menu",
		Usage: "the `TEXT` before the menu",
		Field: func(s *Settings) any { return &s.MenuPrompt }},
	{Name: "menu-timeout", Category: catWhat, Policy: true, Default: 10,
		Usage: "`SECONDS` until the first item is booted; 255 waits",
		Field: func(s *Settings) any { return &s.MenuTimeout }},
	{Name: "u-boot", Category: catWhat, Policy: true, Restart: true,
		Usage: "answer U-Boot, too, which does not say that it is a PXE client",
		Field: func(s *Settings) any { return &s.UBoot }},
	{Name: "http", Category: catWhat, Policy: true, Default: defaultHTTP, Restart: true,
		Usage: "serve HTTP on `ADDRESS`, such as :80, or off; UEFI HTTP boot needs it, and iPXE prefers it",
		Field: func(s *Settings) any { return &s.HTTP }},
	{Name: "tls-cert", Category: catWhat, Policy: true, Restart: true,
		Usage: "serve HTTP over TLS, with the certificate chain in the PEM `FILE`, which clients must trust",
		Field: func(s *Settings) any { return &s.TLSCert }},
	{Name: "tls-key", Category: catWhat, Policy: true, Restart: true,
		Usage: "the certificate's key in the PEM `FILE`",
		Field: func(s *Settings) any { return &s.TLSKey }},

	{Name: "ipxe-version", Category: catIPXE, Policy: true,
		Usage: "demand an iPXE `VERSION`: =, !=, <, <=, > or >= with a version, several joined by commas, or auto for that of the ROM",
		Field: func(s *Settings) any { return &s.IPXEVersion }},
	{Name: "ipxe-feature", Category: catIPXE, Policy: true,
		Usage: "demand an iPXE with `FEATURE`, such as https or vlan (repeatable)",
		Field: func(s *Settings) any { return &s.IPXEFeatures }},
	{Name: "ipxe-text", Category: catIPXE, Policy: true,
		Usage: "accept an iPXE whose ${version} is `TEXT` in the version check script (repeatable; the ROMs' own by default)",
		Field: func(s *Settings) any { return &s.IPXETexts }},
	{Name: "user-class", Category: catIPXE, Policy: true,
		Usage: "demand an iPXE that sends user class `NAME`, which is built into your ROM",
		Field: func(s *Settings) any { return &s.UserClass }},

	{Name: "watch-config", Category: catWhere, Restart: true,
		Usage: "read the configuration file again when it changes, too, not only at SIGHUP",
		Field: func(s *Settings) any { return &s.WatchConfig }},
	{Name: "interface", Aliases: []string{"i"}, Category: catWhere, Restart: true,
		Usage: "answer on interface `NAME` (repeatable; the only one with an address by default)",
		Field: func(s *Settings) any { return &s.Interfaces },
		inUse: func(c *Config) any { return c.DHCP.Names() }},
	{Name: "vlan", Category: catWhere, Restart: true,
		Usage: "answer in the VLANs `IDS` on those interfaces, such as 10,20,30-39, or with answers of its own, such as id=20,boot-url=URL (repeatable)",
		Field: func(s *Settings) any { return &s.VLANs },
		inUse: func(c *Config) any { return [2]any{c.DHCP.VLANs, c.DHCP.TaggedOnly} }},
	{Name: "server", Category: catWhere, Restart: true,
		Usage: "tell clients that this host is at `IP`, as behind NAT or on a trunk, or NAME=IP for those of one interface (repeatable; an address of the interface by default)",
		Field: func(s *Settings) any { return &s.Servers }},
	{Name: "relayed", Category: catWhere, Restart: true,
		Usage: "DHCP relays send requests here: hold port 67 open for them, so that they are not told that it is closed",
		Field: func(s *Settings) any { return &s.Relayed },
		inUse: func(c *Config) any { return c.DHCP.Relayed }},
	{Name: "no-wait", Category: catWhere, Restart: true,
		Usage: "end with an error if an interface is missing at the start or has no address, instead of waiting for it",
		Field: func(s *Settings) any { return &s.NoWait }},
	{Name: "port-4011-only", Category: catWhere, Restart: true,
		Usage: "answer on port 4011 alone: the DHCP server of this host announces PXEClient (option 60)",
		Field: func(s *Settings) any { return &s.ProxyOnly }},
	{Name: "no-dhcp", Category: catWhere, Restart: true,
		Usage: "answer no DHCP at all, serve files alone: the DHCP server hands out our boot.ipxe, which upgrades by script",
		Field: func(s *Settings) any { return &s.NoDHCP }},
	{Name: "dry-run", Category: catWhere, Restart: true,
		Usage: "decide and log, but send nothing",
		Field: func(s *Settings) any { return &s.DryRun }},

	{Name: "tftp", Category: catFiles, Default: ":69", Restart: true,
		Usage: "serve TFTP on `ADDRESS`, or off",
		Field: func(s *Settings) any { return &s.TFTP }},
	{Name: "tftp-single-port", Category: catFiles, Restart: true,
		Usage: "send everything from the port that is asked, for NAT and firewalls",
		Field: func(s *Settings) any { return &s.TFTPSinglePort }},
	{Name: "tftp-ports", Category: catFiles, Restart: true,
		Usage: "send files from the ports `LOW-HIGH`, for firewalls",
		Field: func(s *Settings) any { return &s.TFTPPorts }},
	{Name: "tftp-block-size", Category: catFiles, Default: maxBlockSize, Restart: true,
		Usage: "the largest block granted, in `BYTES`; never more than the interface's MTU holds",
		Field: func(s *Settings) any { return &s.TFTPBlockSize }},
	{Name: "tftp-window-size", Category: catFiles, Default: 64, Restart: true,
		Usage: "the largest window granted, in `BLOCKS`",
		Field: func(s *Settings) any { return &s.TFTPWindow }},
	{Name: "tftp-max-transfers", Category: catFiles, Default: 4096, Restart: true,
		Usage: "how many `TRANSFERS` may run at once",
		Field: func(s *Settings) any { return &s.TFTPMaxTransfers }},
	{Name: "tftp-cache", Category: catFiles, Default: 16, Restart: true,
		Usage: "how much of the files is kept in memory, in `MEBIBYTES`",
		Field: func(s *Settings) any { return &s.TFTPCache }},
	{Name: "tftp-allow", Category: catFiles,
		Usage: "serve clients in `NETWORK` by TFTP and HTTP, too (repeatable; private and attached networks are served anyway)",
		Field: func(s *Settings) any { return &s.TFTPAllow }},

	{Name: "log-level", Category: catLog, Default: "info",
		Usage: "log from `LEVEL` on: " + either(logLevels),
		Field: func(s *Settings) any { return &s.LogLevel }},
	{Name: "log-format", Category: catLog, Default: "text", Restart: true,
		Usage: "log as `FORMAT`: " + either(logFormats),
		Field: func(s *Settings) any { return &s.LogFormat }},
}

// value returns the flag's value in the settings.
func (f Flag) value(s *Settings) reflect.Value { return reflect.ValueOf(f.Field(s)).Elem() }

// NeedRestart returns the keys whose values next has changed, but which take
// effect at a restart only.
func (c *Config) NeedRestart(next *Config) []string {
	var keys []string
	for _, f := range flags {
		if f.Restart && !reflect.DeepEqual(f.compared(c), f.compared(next)) {
			keys = append(keys, f.Name)
		}
	}
	return keys
}

// compared returns what of a configuration NeedRestart compares.
func (f Flag) compared(c *Config) any {
	if f.inUse != nil {
		return f.inUse(c)
	}
	return f.value(&c.settings).Interface()
}
