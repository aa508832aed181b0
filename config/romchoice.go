package config

// How ROMs are chosen, beside those that --rom names.

import (
	"fmt"
	"slices"
	"strings"
)

// SecureBoot is which ROMs are chosen with regard to Secure Boot.
type SecureBoot uint8

// The choices.
const (
	SecureBootAuto    SecureBoot = iota // a shim with a signed iPXE comes before a file without a shim
	SecureBootRequire                   // EFI files that are not signed are refused
	SecureBootOff                       // no shim is chosen, unless it is named
)

// secureBootNames are the choices as they are written.
var secureBootNames = []string{
	SecureBootAuto:    "auto",
	SecureBootRequire: "require",
	SecureBootOff:     "off",
}

// String returns the choice as it is written.
func (s SecureBoot) String() string { return secureBootNames[s] }

// ROMFallback is which machines get another ROM of their platform at the next
// boot, after they have loaded one and did not start it.
type ROMFallback uint8

// The choices.
const (
	ROMFallbackAuto   ROMFallback = iota // those whose ROM --rom does not name
	ROMFallbackAlways                    // those whose ROM --rom names, too: they get what they would get without --rom
	ROMFallbackNever
)

// romFallbackNames are the choices as they are written.
var romFallbackNames = []string{
	ROMFallbackAuto:   "auto",
	ROMFallbackAlways: "always",
	ROMFallbackNever:  "never",
}

// String returns the choice as it is written.
func (f ROMFallback) String() string { return romFallbackNames[f] }

// parseChoice parses one of a list of names, that of each value at its index.
// "" is the first one, the default.
func parseChoice[T ~uint8](p *parser, flag, text string, names []string) T {
	at := slices.Index(names, text)
	if at < 0 && text != "" {
		p.Add(flag, text, fmt.Errorf("one of %s", strings.Join(names, ", ")))
	}
	return T(max(0, at))
}
