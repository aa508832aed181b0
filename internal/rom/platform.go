package rom

import (
	"fmt"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// machines are the processors of the platforms with UEFI.
var machines = map[proxydhcp.Platform]Machine{
	proxydhcp.IA32: MachineI386, proxydhcp.X64: MachineX64, proxydhcp.ARM32: MachineThumb, proxydhcp.ARM64: MachineARM64,
	proxydhcp.RISCV32: MachineRISCV32, proxydhcp.RISCV64: MachineRISCV64, proxydhcp.Loong64: MachineLoong64,
}

// Fit says how well a boot file suits a platform's firmware.
type Fit uint8

// A BIOS network boot program has no mark that must be there, so for BIOS there is a doubt; an EFI image
// says everything.
const (
	Misfit  Fit = iota // this firmware cannot start it
	Perhaps            // nothing speaks against it
	Fits               // it says that it is made for this
)

// Fits says whether firmware of the platform can start this file as it comes from the network.
func (image Image) Fits(platform proxydhcp.Platform) Fit {
	switch {
	case platform == proxydhcp.BIOS && image.Format == NBP:
		return Fits
	case platform == proxydhcp.BIOS && image.Format == Unknown && image.Size > 0:
		return Perhaps
	case platform == proxydhcp.BIOS || image.Format != EFI || image.Subsystem != EFIApplication:
		return Misfit
	case image.Machine.String() == platform.String():
		return Fits
	}
	return Misfit
}

// String says what the image is in a few words, as part of a sentence: "an EFI image for arm64, iPXE 1.21.1".
func (image Image) String() string {
	if image.Size == 0 {
		return "empty"
	}
	text := image.Format.String()
	if image.Format == EFI {
		if image.Subsystem != EFIApplication {
			text = "an EFI driver"
		}
		text += " for " + image.Machine.String()
	}
	switch {
	case image.HasVersion:
		text += fmt.Sprintf(", iPXE %d.%d.%d", image.Version[0], image.Version[1], image.Version[2])
	case image.IPXE:
		text += ", an iPXE"
	}
	if image.Signed {
		text += ", signed"
	}
	return text
}
