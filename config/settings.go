package config

// The settings as text: what flags, environment and file say, before anything
// is parsed.

import (
	"reflect"
)

// Settings are what the user wrote. Each field is the text of one flag (see
// Flags), which is also a key of the configuration file. The defaults of the
// flags are filled in by the command line.
type Settings struct {
	AnswersText
	Interfaces   []string      `toml:"interface"`
	VLANs        []string      `toml:"vlan"`    // ids and ranges, or a segment as in a flag
	Segments     []SegmentText `toml:"segment"` // parts of the network with answers of their own
	SegmentFlags []string      // --segment: the same, as KEY=VALUE pairs
	Rules        []RuleText    `toml:"rule"`   // rules before those that the flags make
	Servers      []string      `toml:"server"` // our address for clients, IP or INTERFACE=IP
	ProxyOnly    bool          `toml:"port-4011-only"`
	Relayed      bool          `toml:"relayed"`   // DHCP relays send requests here
	NoWait       bool          `toml:"no-wait"`   // end if an interface cannot be served now
	NoDHCP       bool          `toml:"no-dhcp"`   // answer no DHCP, serve files alone
	IPXETexts    []string      `toml:"ipxe-text"` // values of ${version} that the version check accepts, beside those of the ROMs

	AllowMACs []string `toml:"allow-mac"`
	DenyMACs  []string `toml:"deny-mac"`
	UBoot     bool     `toml:"u-boot"` // answer U-Boot, too
	DryRun    bool     `toml:"dry-run"`
	Yield     bool     `toml:"yield-to-dhcp-filename"` // let iPXE prefer the DHCP server's file
	Override  bool     `toml:"override-dhcp-filename"` // the opposite, and the default

	NoAutoexec bool `toml:"no-autoexec"` // generate no autoexec.ipxe

	SecureBoot  string `toml:"secure-boot"`  // one of secureBootNames
	ROMFallback string `toml:"rom-fallback"` // one of romFallbackNames

	Menu        []string `toml:"menu"`         // items of a boot menu for PXE firmware: TEXT=FILE, TEXT=rom or TEXT=local-disk
	MenuPrompt  string   `toml:"menu-prompt"`  // shown before the menu
	MenuTimeout int      `toml:"menu-timeout"` // seconds until the first item is booted; 255 waits

	TFTP             string   `toml:"tftp"` // where to listen, or "off"
	TFTPSinglePort   bool     `toml:"tftp-single-port"`
	TFTPPorts        string   `toml:"tftp-ports"`         // LOW-HIGH
	TFTPBlockSize    int      `toml:"tftp-block-size"`    // bytes, the largest granted; 0 for what the MTU allows
	TFTPWindow       int      `toml:"tftp-window-size"`   // blocks, the largest granted; 0 for the server's default
	TFTPMaxTransfers int      `toml:"tftp-max-transfers"` // 0 for the server's default
	TFTPCache        int      `toml:"tftp-cache"`         // MiB of file content kept in memory; 0 for the server's default
	TFTPAllow        []string `toml:"tftp-allow"`         // networks beside the private and attached ones
	HTTP             string   `toml:"http"`               // where to listen; "" or "off" for not at all
	TLSCert          string   `toml:"tls-cert"`           // PEM file; HTTP then uses TLS
	TLSKey           string   `toml:"tls-key"`            // PEM file

	WatchConfig bool `toml:"watch-config"` // read this file again when it changes

	LogLevel  string `toml:"log-level"`
	LogFormat string `toml:"log-format"`

	sources map[string]Source // of the values, by key
	file    *File             // the configuration file; nil if there is none
}

// AnswersText are the settings that a segment may have of its own.
type AnswersText struct {
	Root         string   `toml:"root,omitempty"`
	BootURL      string   `toml:"boot-url,omitempty"` // a URL, or a name in the boot file tree
	ROMs         []string `toml:"rom,omitempty"`      // ARCH=FILE, ARCH=URL, or ARCH=none
	IPXEVersion  string   `toml:"ipxe-version,omitempty"`
	IPXEFeatures []string `toml:"ipxe-feature,omitempty"`
	UserClass    string   `toml:"user-class,omitempty"`
	NextServer   string   `toml:"next-server,omitempty"`
}

// ScopeText is the part of the network that a segment or a rule is for.
type ScopeText struct {
	Interfaces []string `toml:"interface,omitempty"`
	VLANs      string   `toml:"vlan,omitempty"`    // ids and ranges joined by commas; 0 is untagged
	Relays     []string `toml:"relay,omitempty"`   // networks that have the relay's address, or the link that it selects
	Circuits   []string `toml:"circuit,omitempty"` // circuit ids of option 82, as text or 0x and hexadecimal
}

// SegmentText is a part of the network with answers of its own. What it does
// not set is as for everybody.
type SegmentText struct {
	Name string `toml:"name,omitempty"`
	ScopeText
	AnswersText
	Deny bool `toml:"deny,omitempty"` // answer nobody there
}

// RuleText is a rule of the file. It comes before those that the flags make.
type RuleText struct {
	Name string `toml:"name,omitempty"`
	ScopeText

	Arch         []string `toml:"arch,omitempty"`     // names or numbers of architecture types, or of platforms
	Firmware     string   `toml:"firmware,omitempty"` // one of proxydhcp.FirmwareNames
	IPXE         *bool    `toml:"ipxe,omitempty"`
	IPXEVersion  string   `toml:"ipxe-version,omitempty"`
	IPXEFeatures []string `toml:"ipxe-feature,omitempty"`
	IPXELacks    []string `toml:"ipxe-lacks,omitempty"`
	UserClass    string   `toml:"user-class,omitempty"`
	VendorClass  string   `toml:"vendor-class,omitempty"`
	MACs         []string `toml:"mac,omitempty"`
	UUIDs        []string `toml:"uuid,omitempty"`
	NICs         []string `toml:"nic,omitempty"`

	Outcome    string `toml:"outcome,omitempty"`   // one of ruleOutcomes
	BootFile   string `toml:"boot-file,omitempty"` // instead of an outcome: a name in the boot file tree, or a URL
	NextServer string `toml:"next-server,omitempty"`
}

// Source is how the command line got the value of a setting. A source wins over
// those before it.
type Source uint8

// The sources.
const (
	NotGiven    Source = iota // neither by environment nor by flag: the file's value, or the default
	Environment               // an environment variable
	CommandLine               // a flag
)

// SetSource notes the source of the value of a key. The others are NotGiven.
func (s *Settings) SetSource(key string, source Source) {
	if s.sources == nil {
		s.sources = map[string]Source{}
	}
	s.sources[key] = source
}

// isGiven reports whether the value of a key is not the default: a flag, the
// environment or the file gives it.
func (s *Settings) isGiven(key string) bool {
	return s.sources[key] != NotGiven || s.file != nil && s.file.has(key)
}

// inherit returns a segment's answers with everybody's where the segment has
// none.
func (a AnswersText) inherit(everybody AnswersText) AnswersText {
	own, all := reflect.ValueOf(&a).Elem(), reflect.ValueOf(everybody)
	for i := range own.NumField() {
		if own.Field(i).IsZero() {
			own.Field(i).Set(all.Field(i))
		}
	}
	return a
}
