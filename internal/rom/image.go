package rom

import (
	"fmt"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Image is what a boot file says about itself. The zero value is an empty file.
type Image struct {
	Size   int64
	format format

	// machine and subsystem are those of the PE header, zero for every
	// other format.
	machine   machine
	subsystem subsystem

	// Signatures are the entries of the PE certificate table, in its order.
	// Secure Boot requires one that the machine accepts.
	Signatures []Signature

	// shim is what a shim says about the file that it loads; nil for every
	// other file.
	shim *shim

	// isGRUB reports whether the file is a GRUB.
	isGRUB bool

	// isIPXE reports whether the file is an iPXE. It is true also if the
	// version cannot be read: the BIOS builds are packed (see ReadPacked).
	isIPXE bool

	// Version is what this iPXE will report in DHCP sub-option 175.235, if
	// HasVersion.
	HasVersion bool
	Version    [3]byte

	// Features are the feature sub-options of option 175 (16 to 79) that it
	// will report, ascending, if HasFeatures. The list is then not empty.
	HasFeatures bool
	Features    []uint8

	// VersionText is the full text of ${version}; empty if it cannot be
	// read. An example is "1.21.1+ (g6ba67)". iPXE's EFI builds have it in
	// their SBAT section since 2021, .lkrn in its header; in the others it
	// is searched for (versiontext.go).
	VersionText string
}

// Fits reports whether firmware of the platform can start this file when it
// loads it from the network. For BIOS it returns true also for a file of no
// known format: a network boot program need not have any mark.
func (image Image) Fits(platform proxydhcp.Platform) bool {
	switch image.format {
	case formatEFI:
		p, ok := machinePlatforms[image.machine]
		return ok && p == platform && image.subsystem == efiApplication
	case formatNBP:
		return platform == proxydhcp.BIOS
	case formatUnknown:
		return platform == proxydhcp.BIOS && image.Size > 0
	case formatKernel, formatScript, formatOptionROM, formatDisk:
	}
	return false
}

// Kind returns the format and the machine of the image, to follow "is": "an EFI
// image for arm64".
func (image Image) Kind() string {
	switch {
	case image.Size == 0:
		return "empty"
	case image.format != formatEFI:
		return image.format.String()
	case image.subsystem != efiApplication:
		return "an EFI driver for " + image.machine.String()
	}
	return image.format.String() + " for " + image.machine.String()
}

// String returns the kind of the image and what else is known of it: "an EFI
// image for arm64, iPXE 1.21.1, signed".
func (image Image) String() string {
	text := image.Kind()
	switch {
	case image.HasVersion:
		text += fmt.Sprintf(", iPXE %d.%d.%d", image.Version[0], image.Version[1], image.Version[2])
	case image.isIPXE:
		text += ", an iPXE"
	case image.shim != nil:
		text += ", a shim"
	case image.isGRUB:
		text += ", a GRUB"
	}
	if image.Signed() {
		text += ", signed"
	}
	return text
}
