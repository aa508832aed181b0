package proxydhcp

import (
	"fmt"
	"slices"
	"strings"
)

// Firmware is the kind of program that asks before any iPXE runs. An iPXE is
// not firmware, even if it is in a card's flash.
type Firmware uint8

// The kinds of firmware.
const (
	AnyClient        Firmware = iota // no kind in particular; an iPXE
	BIOSFirmware                     // a PC's BIOS PXE ROM
	UEFIFirmware                     // UEFI PXE
	HTTPBootFirmware                 // UEFI HTTP boot
	NoIPXE                           // any kind: whatever is not an iPXE
	RaspberryPi                      // the boot ROM or EEPROM of a Raspberry Pi
	UBootFirmware                    // U-Boot, if it is served
)

// firmwareNames are the names of the kinds in the configuration file.
var firmwareNames = [...]string{
	AnyClient: "any", BIOSFirmware: "bios", UEFIFirmware: "uefi", HTTPBootFirmware: "uefi-http",
	NoIPXE: "no-ipxe", RaspberryPi: "raspberry-pi", UBootFirmware: "u-boot",
}

// FirmwareNames returns the names of the kinds in the configuration file.
func FirmwareNames() []string { return slices.Clone(firmwareNames[:]) }

// String returns the name of f in the configuration file.
func (f Firmware) String() string { return enumName(firmwareNames[:], f, "firmware") }

// ParseFirmware reads the name of a kind of firmware. The error lists them.
func ParseFirmware(s string) (Firmware, error) {
	if i := slices.Index(firmwareNames[:], s); i >= 0 {
		return Firmware(i), nil
	}
	return AnyClient, fmt.Errorf("unknown firmware %q: one of %s", s, strings.Join(firmwareNames[:], ", "))
}

// firmware returns the kind of firmware that c is, AnyClient for an iPXE.
//
// A quirk of a single firmware is handled where it matters, in a function of
// its own. docs/architecture.md has the table of them, with symptoms and
// sources.
func (c *Client) firmware() Firmware {
	switch {
	case c.IPXE.Present:
		return AnyClient
	case isUBoot([]byte(c.VendorClass)):
		return UBootFirmware
	case c.isRaspberryPi():
		return RaspberryPi
	case c.Transport == HTTP:
		return HTTPBootFirmware
	case c.Arch.Platform() == BIOS:
		return BIOSFirmware
	}
	return UEFIFirmware
}

// knowsMenus reports whether the client is firmware that shows a boot menu.
func (c *Client) knowsMenus() bool {
	firmware := c.firmware()
	return firmware == BIOSFirmware || firmware == UEFIFirmware
}
