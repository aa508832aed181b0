package proxydhcp

import "strings"

// uBootClass begins U-Boot's option 60: a class of its own, by which it does
// not say that it boots from the network.
const uBootClass = "U-Boot"

// isUBoot reports whether a vendor class is that of U-Boot.
func isUBoot(vendorClass []byte) bool { return strings.HasPrefix(string(vendorClass), uBootClass) }

// uBootPlatform returns the platform of U-Boot's EFI loader, which runs what
// firmware of that processor runs. U-Boot sends type 0 on x86, and 0xffff if it
// was built without PXE; then the vendor class still names an ARM processor.
func uBootPlatform(arch Arch, vendorClass string) Platform {
	switch {
	case arch != ArchBIOS && arch.Platform() != NoPlatform:
		return arch.Platform()
	case strings.HasPrefix(vendorClass, "U-Boot.armv8"):
		return ARM64
	case strings.HasPrefix(vendorClass, "U-Boot.arm"):
		return ARM32
	}
	return NoPlatform
}
