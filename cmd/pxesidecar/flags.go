package main

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/tftp"
)

// The flags, in the order in which people look for them, each with its
// environment variable.

// Categories of the help text.
const (
	catWhat  = "What is served"
	catIPXE  = "Which iPXE gets the boot script; another one gets a ROM first"
	catWho   = "To whom"
	catWhere = "Where"
	catFiles = "How files are served"
	catLog   = "Logging"
)

// env is a flag's environment variable: PXESIDECAR_BOOT_URL for --boot-url.
func env(flag string) []string {
	return []string{"PXESIDECAR_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))}
}

// text, list, truth and number make flags of the four kinds.
func text(name, category, value, usage string) cli.Flag {
	return &cli.StringFlag{Name: name, Category: category, Value: value, Usage: usage, EnvVars: env(name)}
}

func list(name, category, usage string, aliases ...string) cli.Flag {
	return &cli.StringSliceFlag{Name: name, Aliases: aliases, Category: category, Usage: usage, EnvVars: env(name)}
}

func truth(name, category, usage string) cli.Flag {
	return &cli.BoolFlag{Name: name, Category: category, Usage: usage, EnvVars: env(name), DisableDefaultText: true}
}

func number(name, category string, value int, usage string) cli.Flag {
	return &cli.IntFlag{Name: name, Category: category, Value: value, Usage: usage, EnvVars: env(name)}
}

// serveFlags are the flags of serve.
func serveFlags() []cli.Flag {
	return slices.Concat(policyFlags(), whereFlags(), fileFlags(), logFlags())
}

// policyFlags say who gets what.
func policyFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "read the configuration `FILE`; flags win over it", EnvVars: env("config")},

		list("allow-mac", catWho, "answer only machines whose MAC address begins with `MAC` (repeatable)"),
		list("deny-mac", catWho, "never answer machines whose MAC address begins with `MAC` (repeatable)"),
		list("segment", catWho, "give a part of the network answers of its own, `KEY=VALUE,...`, such as relay=10.2.0.0/16,boot-url=URL or interface=eth1,deny (repeatable)"),

		text("root", catWhat, "", "serve the boot files in `DIR`; ROMs of the usual names are found there"),
		text("boot-url", catWhat, "", "the boot script: a `URL`, or a name in the boot files (a built-in script by default)"),
		list("rom", catWhat, "the ROM for an architecture, `ARCH=FILE`, ARCH=URL or ARCH=none (repeatable; bios, ia32, x64, arm32, arm64, riscv32, riscv64, loong64)"),
		text("next-server", catWhat, "", "the boot files are on the TFTP server at `IP` (this host by default)"),
		truth("override-dhcp-filename", catWhat, "have iPXE prefer our file to one that the DHCP server names (sends 175.1 = 1)"),
		list("menu", catWhat, "an item of a boot menu that PXE firmware shows, `TEXT=FILE`, TEXT=rom or TEXT=local-disk (repeatable)"),
		text("menu-prompt", catWhat, "Press F8 for the boot menu", "the `TEXT` before the menu"),
		number("menu-timeout", catWhat, 10, "`SECONDS` until the first item is booted; 255 waits"),
		truth("u-boot", catWhat, "answer U-Boot, too, which does not say that it is a PXE client"),
		text("http", catWhat, "", "serve HTTP on `ADDRESS`, such as :80; UEFI HTTP boot needs it"),
		text("tls-cert", catWhat, "", "HTTP speaks TLS with the certificate chain in the PEM `FILE`, which clients must trust"),
		text("tls-key", catWhat, "", "the certificate's key in the PEM `FILE`"),

		text("ipxe-version", catIPXE, "", "demand an iPXE `VERSION`: =, !=, <, <=, > or >= with a version, several joined by commas, or auto for that of the ROM"),
		list("ipxe-feature", catIPXE, "demand an iPXE with `FEATURE`, such as https or vlan (repeatable)"),
		list("ipxe-text", catIPXE, "accept an iPXE whose ${version} is `TEXT` in the version check script (repeatable; the ROMs' own by default)"),
		text("user-class", catIPXE, "", "demand an iPXE that says user class `NAME`, a mark built into your ROM"),
	}
}

// whereFlags say where clients are answered, and how.
func whereFlags() []cli.Flag {
	return []cli.Flag{
		truth("watch-config", catWhere, "read the configuration file again when it changes, too, not only at SIGHUP"),
		list("interface", catWhere, "answer on interface `NAME` (repeatable; the only one with an address by default)", "i"),
		list("vlan", catWhere, "answer in the VLANs `IDS` on those interfaces, such as 10,20,30-39, or with answers of its own, such as id=20,boot-url=URL (repeatable)"),
		list("server", catWhere, "tell clients that this host is at `IP`, as behind NAT or on a trunk, or NAME=IP for those of one interface (repeatable; an address of the interface by default)"),
		truth("relayed", catWhere, "DHCP relays send requests here: hold port 67 open for them, so that they are not told that it is closed"),
		truth("port-4011-only", catWhere, "answer on port 4011 alone: the DHCP server of this host announces PXEClient (option 60)"),
		truth("no-dhcp", catWhere, "answer no DHCP at all, serve files alone: the DHCP server hands out our boot.ipxe, which upgrades by script"),
		truth("dry-run", catWhere, "decide and log, but send nothing"),
	}
}

// fileFlags say how files are served.
func fileFlags() []cli.Flag {
	return []cli.Flag{
		text("tftp", catFiles, ":69", "serve TFTP on `ADDRESS`, or off"),
		truth("tftp-single-port", catFiles, "send everything from the port that is asked, for NAT and firewalls"),
		text("tftp-ports", catFiles, "", "send files from the ports `LOW-HIGH`, for firewalls"),
		number("tftp-block-size", catFiles, 65464, "the largest block granted, in `BYTES`; never more than the interface's MTU holds"),
		number("tftp-window-size", catFiles, tftp.DefaultMaxWindow, "the largest window granted, in `BLOCKS`"),
		number("tftp-max-transfers", catFiles, tftp.DefaultMaxTransfers, "how many `TRANSFERS` may run at once"),
		number("tftp-cache", catFiles, tftp.DefaultCacheBytes>>20, "how much of the files is kept in memory, in `MEBIBYTES`"),
		list("tftp-allow", catFiles, "serve clients in `NETWORK`, too (repeatable; private and attached networks are served anyway)"),
	}
}

// logFlags say what is logged.
func logFlags() []cli.Flag {
	return []cli.Flag{
		text("log-level", catLog, "info", "log from `LEVEL` on: debug, info, warn or error"),
		text("log-format", catLog, "text", "log as `FORMAT`: text or json"),
	}
}

// settings gathers what the flags, the environment and the configuration file
// say.
func settings(c *cli.Context) (config.Settings, error) {
	s := flagSettings(c)
	path := c.String("config")
	if path == "" {
		return s, nil
	}
	file, err := config.ReadFile(path)
	if err != nil {
		return s, err
	}
	return file.Under(s, c.IsSet), nil
}

// flagSettings gathers what the flags and the environment say.
func flagSettings(c *cli.Context) config.Settings {
	return config.Settings{
		Answers: config.Answers{
			Root:         c.String("root"),
			BootURL:      c.String("boot-url"),
			ROMs:         c.StringSlice("rom"),
			IPXEVersion:  c.String("ipxe-version"),
			IPXEFeatures: c.StringSlice("ipxe-feature"),
			UserClass:    c.String("user-class"),
			NextServer:   c.String("next-server"),
		},
		Interfaces:       c.StringSlice("interface"),
		VLANs:            c.StringSlice("vlan"),
		SegmentFlags:     c.StringSlice("segment"),
		Servers:          c.StringSlice("server"),
		ProxyOnly:        c.Bool("port-4011-only"),
		Relayed:          c.Bool("relayed"),
		NoDHCP:           c.Bool("no-dhcp"),
		IPXETexts:        c.StringSlice("ipxe-text"),
		AllowMACs:        c.StringSlice("allow-mac"),
		DenyMACs:         c.StringSlice("deny-mac"),
		Menu:             c.StringSlice("menu"),
		MenuPrompt:       c.String("menu-prompt"),
		MenuTimeout:      c.Int("menu-timeout"),
		UBoot:            c.Bool("u-boot"),
		DryRun:           c.Bool("dry-run"),
		Override:         c.Bool("override-dhcp-filename"),
		TFTP:             c.String("tftp"),
		TFTPSinglePort:   c.Bool("tftp-single-port"),
		TFTPPorts:        c.String("tftp-ports"),
		TFTPBlockSize:    c.Int("tftp-block-size"),
		TFTPWindow:       c.Int("tftp-window-size"),
		TFTPMaxTransfers: c.Int("tftp-max-transfers"),
		TFTPCache:        c.Int("tftp-cache"),
		TFTPAllow:        c.StringSlice("tftp-allow"),
		WatchConfig:      c.Bool("watch-config"),
		HTTP:             c.String("http"),
		TLSCert:          c.String("tls-cert"),
		TLSKey:           c.String("tls-key"),
		LogLevel:         c.String("log-level"),
		LogFormat:        c.String("log-format"),
	}
}

// newLogger makes the log that the settings ask for.
func newLogger(s config.Settings, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		return nil, usageError{fmt.Errorf("--log-level %q: one of debug, info, warn, error", s.LogLevel)}
	}
	options := &slog.HandlerOptions{Level: level}
	switch s.LogFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, usageError{fmt.Errorf("--log-format %q: one of text, json", s.LogFormat)}
}
