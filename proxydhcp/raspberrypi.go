package proxydhcp

import (
	"slices"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// firstPiOUI is the vendor prefix of every Raspberry Pi up to the 3.
var firstPiOUI = [3]byte{0xb8, 0x27, 0xeb}

// piOUIs are the vendor prefixes of Raspberry Pis (IEEE's registry).
var piOUIs = [][3]byte{
	firstPiOUI, {0xdc, 0xa6, 0x32}, {0xe4, 0x5f, 0x01}, {0x28, 0xcd, 0xc1}, {0xd8, 0x3a, 0xdd}, {0x2c, 0xcf, 0x67}, {0x88, 0xa2, 0x9e},
}

// isRaspberryPi reports whether c is the boot ROM or the EEPROM loader of a
// Raspberry Pi. It claims to be a PC with a BIOS, so it is recognised by its
// MAC address, or by option 97, which has "RPi" and a digit in place of a UUID.
// UEFI firmware on such a board is UEFI firmware.
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

// piMenu returns the option 43 without which a Raspberry Pi does not take an
// OFFER: it looks for a menu entry of this name, and then fetches its own files
// from siaddr whatever the OFFER names (bootcode.bin, then
// <serial number>/start.elf and so on). The ROM of the Raspberry Pi 3 expects
// three spaces after the name.
func piMenu(c *Client) []byte {
	name := "Raspberry Pi Boot"
	if mac, ok := c.Hardware.MAC(); ok && [3]byte(mac[:3]) == firstPiOUI {
		name += "   "
	}
	menu := &Menu{Prompt: "PXE", Items: []MenuItem{{Text: name}}}
	return append(menu.encodeItems([]byte{subDiscovery, 1, noBroadcast | noMulticast}), uint8(dhcp4.OptionEnd))
}
