package bootfiles

// What Secure Boot has to do with the choice of ROMs, and what a person should
// know about those that were chosen.

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/rom"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// withSecureBoot returns those of a platform's files that may be served. If
// signed ones are required and there are none, that is a problem.
func (f *romFinder) withSecureBoot(platform proxydhcp.Platform, files []romFile, problems config.Problems) []romFile {
	if f.secureBoot != config.SecureBootRequire || platform == proxydhcp.BIOS {
		return files
	}
	signed := slices.DeleteFunc(slices.Clone(files), func(r romFile) bool { return r.unsigned() != "" })
	if len(signed) == 0 && len(files) > 0 {
		problems.Add("secure-boot", f.secureBoot.String(), fmt.Errorf("%s (%s) %s: sign it, name a signed one (--rom %s=FILE), or leave the platform out (--rom %s=none)",
			files[0].source, platform, files[0].unsigned(), platform, platform))
	}
	return signed
}

// unsigned returns what keeps every machine with Secure Boot from starting a
// ROM, to follow its name, or "" if nothing is known that does. A file that is
// not on this host is not known.
func (r romFile) unsigned() string {
	switch {
	case r.source == "":
		return ""
	case !r.image.Signed():
		return "is not signed"
	case r.image.Broken():
		return "was changed after it was signed"
	case r.second.source == "":
		return ""
	case !r.second.image.Signed():
		return fmt.Sprintf("loads %s, which is not signed", r.second.source)
	case r.second.image.Broken():
		return fmt.Sprintf("loads %s, which was changed after it was signed", r.second.source)
	}
	return ""
}

// warn warns of what keeps some or all machines from starting a ROM that was
// chosen. That a file without a shim is not signed is no surprise: hardly any
// iPXE is.
func (f *romFinder) warn(platform proxydhcp.Platform, r romFile) {
	if r.source == "" || platform == proxydhcp.BIOS {
		return
	}
	warn := func(format string, args ...any) {
		f.set.warn("ROM %s (%s) %s", r.source, platform, fmt.Sprintf(format, args...))
	}
	second := r.second
	if second.source != "" && !second.image.Fits(platform) {
		warn("loads %s, which is %s and does not start on %s", second.source, second.image, platform)
	}
	if f.secureBoot == config.SecureBootOff {
		return
	}
	if text := r.unsigned(); text != "" && (r.image.Signed() || r.image.IsShim()) {
		warn("%s: machines with Secure Boot refuse it", text)
		return
	}
	if r.image.SignedBy(rom.Microsoft2011) && !r.image.SignedBy(rom.Microsoft2023) {
		warn("is signed by Microsoft's authority of 2011 alone: machines with Secure Boot that have only that of 2023 refuse it")
	}
	if name := onlyTestKey(r.image); name != "" {
		warn("is signed with a test key, %s: whoever has that key can sign what machines that accept it start", name)
	}
	if second.source == "" {
		return
	}
	if name := onlyTestKey(second.image); name != "" {
		warn("loads %s, which is signed with a test key, %s: whoever has that key can sign what machines that accept it start", second.source, name)
	} else if signers := foreignSigners(r.image, second.image); len(signers) > 0 {
		warn("loads %s, which is signed by %s, whose key the shim does not carry: with Secure Boot, it starts only on machines where that key is enrolled",
			second.source, strings.Join(signers, " and "))
	}
}

// onlyTestKey returns the name of the key, if test keys alone signed an image.
func onlyTestKey(image rom.Image) (name string) {
	for _, s := range image.Signatures {
		if s.Authority != rom.TestKey {
			return ""
		}
		name = s.Signer
	}
	return name
}

// foreignSigners returns the names of those who signed a second stage, if a
// machine needs a key for it that neither the shim nor Microsoft brings. There
// are none if a key signed it that its owner must have enrolled anyhow.
func foreignSigners(shim, second rom.Image) (names []string) {
	if shim.Carries(second) {
		return nil
	}
	for _, s := range second.Signatures {
		switch s.Authority {
		case rom.Microsoft2011, rom.Microsoft2023, rom.OwnKey:
			return nil
		case rom.VendorKey, rom.MicrosoftOptionROM2023, rom.TestKey, rom.AuthorityUnknown:
			if s.Signer != "" {
				names = append(names, s.Signer)
			}
		}
	}
	return names
}
