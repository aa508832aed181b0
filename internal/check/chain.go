package check

import (
	"fmt"
	"path"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/rom"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// chain returns in one line what firmware loads, what that loads, and who
// signed each. image is the ROM's, second that of its second stage.
func chain(r config.ROM, image, second rom.Image) string {
	text := fmt.Sprintf("%s (%s)", r.Name, loader(image, r))
	if r.SecondStage != "" {
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
	return kind + ", " + image.Signers()
}
