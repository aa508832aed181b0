package check

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/rom"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// chain returns in one line what firmware loads, what that loads, and who
// signed each. image is the ROM's.
func (in Input) chain(r config.ROM, image rom.Image) string {
	text := fmt.Sprintf("%s (%s)", r.Name, loader(image, r))
	if second, ok := in.Files.Image(r.SecondStage); ok && r.SecondStage != "" {
		text += fmt.Sprintf(" -> %s (%s)", path.Base(r.SecondStage), loader(second, r))
	}
	return text
}

// loader returns which boot loader an image is, and who signed it. A BIOS looks
// at no signature.
func loader(image rom.Image, r config.ROM) string {
	kind := image.Kind()
	switch {
	case image.IsShim():
		kind = "shim"
	case r.IPXE.HasVersion && image.IsIPXE():
		kind = "iPXE " + r.IPXE.Version.String()
	case image.IsIPXE():
		kind = "iPXE"
	}
	if r.Platform == proxydhcp.BIOS {
		return kind
	}
	return kind + ", " + signers(image)
}

// signers returns who signed an image, each once.
func signers(image rom.Image) string {
	var names []string
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, s := range image.Signatures {
		switch {
		case s.Broken:
			add("a signature of another file")
		case s.Authority == rom.AuthorityUnknown:
			add("a signature that cannot be read")
		case s.Authority == rom.Microsoft2011, s.Authority == rom.Microsoft2023, s.Authority == rom.MicrosoftOptionROM2023:
			add(s.Authority.String())
		case s.Authority == rom.TestKey:
			add("signed by " + s.Signer + ", a test key")
		case s.Authority == rom.VendorKey:
			add("signed by " + s.Signer + " of " + s.Issuer)
		default:
			add("signed by " + s.Signer)
		}
	}
	if len(names) == 0 {
		return "not signed"
	}
	return strings.Replace(strings.Join(names, " and "), "2011 and Microsoft 2023", "2011+2023", 1)
}
