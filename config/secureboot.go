package config

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

// secureBoot parses which ROMs are chosen. "" is the default.
func (p *parser) secureBoot() SecureBoot {
	text := p.settings.SecureBoot
	if text == "" {
		return SecureBootAuto
	}
	at := slices.Index(secureBootNames, text)
	if at < 0 {
		p.Add("secure-boot", text, fmt.Errorf("one of %s", strings.Join(secureBootNames, ", ")))
		return SecureBootAuto
	}
	return SecureBoot(at)
}
