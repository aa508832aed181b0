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
// Quirks of single firmwares are handled where they matter, each in a function
// of its own:
//
//	firmware                 quirk                                            function
//	edk2 before April 2017   drops a proxy's OFFER with 43.6 to 43.10         shapes (shape.go)
//	edk2, UEFI PXE           asks port 4011 of siaddr if there is no 43       compose (reply.go)
//	edk2, menu               takes an answer only from a listed server        Menu.encode (menu.go)
//	BIOS PXE ROMs            PXE-E74 without a prompt in 43                   bootOfferedFileInfo (reply.go)
//	old BIOS ROMs, relays    drop messages shorter than 300 bytes             dhcp4.Reply.Append
//	firmware in general      an empty option 97 upsets it                     dhcp4.AppendOption
//	x64 firmware             sends type 9, EBC (RFC 4578, erratum 4624)       archTable (arch.go)
//	iPXE                     prefers another server's name over a bare one    Decision.bootFile (reply.go)
//	iPXE 1.x releases        report version 1.0.0                             guard.go, config's remark
//	iPXE                     writes bare text into option 77                  readUserClass (request.go)
//	Raspberry Pi             claims to be a BIOS, wants a menu entry          raspberrypi.go
//	U-Boot                   does not say that it boots, type 0 or 0xffff     uboot.go
//	Windows boot manager     asks again with option 250                       ReadRequest (request.go)
//
// docs/architecture.md has the same list with symptoms and sources.
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
