package proxydhcp

import (
	"slices"
	"strings"
)

// Boards: machines whose own boot loader asks, in the manner of PXE firmware
// but for other files than a PC's.

// Platform returns the platform on which c's boot ROM would run. It is that of the architecture
// type, except where a board says one that is not its own.
func (c Client) Platform() Platform {
	switch c.firmware() {
	case RaspberryPi:
		return NoPlatform // it says 0, and boots its own files
	case UBootFirmware:
		return uBootPlatform(c.Arch, c.VendorClass)
	}
	return c.Arch.Platform()
}

// uBootPlatform is the platform of a U-Boot: of its EFI loader, which can run
// what firmware of that processor runs. It says type 0 on x86, and 0xffff where
// its build left PXE out; then the vendor class still names an ARM processor.
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

// firstPiOUI is the vendor prefix of every Raspberry Pi up to the 3.
var firstPiOUI = [3]byte{0xb8, 0x27, 0xeb}

// piOUIs are the vendor prefixes of Raspberry Pis (IEEE's registry).
var piOUIs = [][3]byte{
	firstPiOUI, {0xdc, 0xa6, 0x32}, {0xe4, 0x5f, 0x01}, {0x28, 0xcd, 0xc1}, {0xd8, 0x3a, 0xdd}, {0x2c, 0xcf, 0x67}, {0x88, 0xa2, 0x9e},
}

// isRaspberryPi reports whether c is the boot ROM or the EEPROM loader of a
// Raspberry Pi. It says that it is a PC with a BIOS, so it is known by its MAC
// address, or by option 97, where "RPi" and a digit stand in for a UUID. UEFI
// firmware on such a board is UEFI firmware.
func (c *Client) isRaspberryPi() bool {
	switch {
	case c.Arch == ArchRPiBoot:
		return true
	case c.Arch != ArchBIOS || c.Transport != PXE:
		return false
	case strings.HasPrefix(string(c.UUID[:]), "RPi"):
		return true
	}
	mac, ok := c.Hardware.MAC()
	return ok && slices.Contains(piOUIs, [3]byte(mac[:3]))
}

// piMenu is the option 43 without which a Raspberry Pi does not take an OFFER:
// it looks for a menu entry of this name, and fetches its own files from siaddr
// whatever the OFFER says (bootcode.bin, then <serial number>/start.elf and so
// on). The ROM of the Raspberry Pi 3 wants three spaces behind the name.
func piMenu(c *Client) []byte {
	name := "Raspberry Pi Boot"
	if mac, ok := c.Hardware.MAC(); ok && [3]byte(mac[:3]) == firstPiOUI {
		name += "   "
	}
	menu := &Menu{Prompt: "PXE", Items: []MenuItem{{Text: name}}}
	return append(menu.encodeItems([]byte{subDiscovery, 1, noBroadcast | noMulticast}), optEnd)
}
