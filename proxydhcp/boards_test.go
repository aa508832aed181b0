package proxydhcp

import (
	"encoding/binary"
	"testing"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// TestBoards checks who is a Raspberry Pi, and on which platform boards run
// boot ROMs.
func TestBoards(t *testing.T) {
	pi3, pi4 := hardware([6]byte{0xb8, 0x27, 0xeb, 1, 2, 3}), hardware([6]byte{0xdc, 0xa6, 0x32, 1, 2, 3})
	pc := hardware(testMAC)
	rpi4 := UUID{'R', 'P', 'i', '4', 0x11, 0x31}
	for _, tt := range []struct {
		name     string
		client   Client
		firmware Firmware
		platform Platform
		text     string
	}{
		{"Pi 3 by its MAC", Client{Hardware: pi3}, RaspberryPi, NoPlatform, "Raspberry Pi"},
		{"Pi 4 by its MAC", Client{Hardware: pi4}, RaspberryPi, NoPlatform, "Raspberry Pi"},
		{"Pi behind another card, by option 97", Client{Hardware: pc, UUID: rpi4}, RaspberryPi, NoPlatform, "Raspberry Pi"},
		{"Pi by its own type", Client{Hardware: pc, Arch: ArchRPiBoot}, RaspberryPi, NoPlatform, "Raspberry Pi"},
		{"UEFI on a Pi", Client{Hardware: pi4, Arch: ArchARM64}, UEFIFirmware, ARM64, "PXE firmware"},
		{"UEFI HTTP boot on a Pi", Client{Hardware: pi4, Arch: ArchARM64HTTP, Transport: HTTP}, HTTPBootFirmware, ARM64, "HTTP firmware"},
		{"iPXE on a Pi", Client{Hardware: pi4, Arch: ArchARM64, IPXE: IPXE{Present: true}}, AnyClient, ARM64, "iPXE of unknown version"},
		{"HTTP boot of a BIOS's type", Client{Hardware: pi4, Transport: HTTP}, HTTPBootFirmware, BIOS, "HTTP firmware"},
		{"a PC", Client{Hardware: pc}, BIOSFirmware, BIOS, "PXE firmware"},
		{"no MAC", Client{Hardware: HardwareAddr{Type: 1, Len: 16, Bytes: [16]byte{0xb8, 0x27, 0xeb}}}, BIOSFirmware, BIOS, "PXE firmware"},
		{"U-Boot", Client{Hardware: pc, Arch: ArchARM64UBoot, VendorClass: "U-Boot.armv8"}, UBootFirmware, ARM64, "U-Boot"},
		{"U-Boot on a Pi", Client{Hardware: pi3, Arch: ArchARM32UBoot, VendorClass: "U-Boot.armv7"}, UBootFirmware, ARM32, "U-Boot"},
		{"U-Boot without PXE, 64 bits", Client{Arch: noArch, VendorClass: "U-Boot.armv8"}, UBootFirmware, ARM64, "U-Boot"},
		{"U-Boot without PXE, 32 bits", Client{Arch: noArch, VendorClass: "U-Boot.arm"}, UBootFirmware, ARM32, "U-Boot"},
		{"U-Boot on x86 is no BIOS", Client{Arch: ArchBIOS, VendorClass: "U-Boot"}, UBootFirmware, NoPlatform, "U-Boot"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.client.firmware(); got != tt.firmware {
				t.Errorf("%s, want %s", got, tt.firmware)
			}
			if got := tt.client.Platform(); got != tt.platform {
				t.Errorf("platform %s, want %s", got, tt.platform)
			}
			if got := tt.client.String(); got != tt.text {
				t.Errorf("%q, want %q", got, tt.text)
			}
			if holds := (&Match{Firmware: NoIPXE}).mismatch(&tt.client, false) == matches; holds == tt.client.IPXE.Present {
				t.Errorf("no-ipxe holds: %v", holds)
			}
		})
	}
}

// TestNoBIOSForPi checks that a Raspberry Pi is not taken for the PC it claims
// to be.
func TestNoBIOSForPi(t *testing.T) {
	in := discover(ArchBIOS)
	copy(in[offCHAddr:], []byte{0xdc, 0xa6, 0x32})
	res := NewResponder(ResponderConfig{Policy: shapePolicy()}).Respond(nil, in, onServerPort(), testTime)
	if res.Reason != NoROM {
		t.Errorf("%s, %s", res.Reason, res.Decision.File)
	}
}

// TestUBootWhereServed checks that U-Boot is answered only where the service
// says so, and Apple's clients nowhere.
func TestUBootWhereServed(t *testing.T) {
	classed := func(class string, arch Arch) []byte {
		list := binary.BigEndian.AppendUint16(nil, uint16(arch))
		return request(testMAC, opt(dhcp4.OptionDHCPMessageType, "\x01"), option{dhcp4.OptionClientSystemArchitectureType, list}, opt(dhcp4.OptionClassIdentifier, class))
	}
	for _, tt := range []struct {
		name  string
		in    []byte
		uBoot bool
		want  Reason
	}{
		{"U-Boot", classed("U-Boot.armv8", ArchARM64UBoot), true, Answerable},
		{"U-Boot without an architecture", request(testMAC, opt(dhcp4.OptionDHCPMessageType, "\x01"), opt(dhcp4.OptionClassIdentifier, "U-Boot.armv8")), true, Answerable},
		{"U-Boot that nobody asked for", classed("U-Boot.armv8", ArchARM64UBoot), false, NotBooting},
		{"Apple", classed("AAPLBSDPC/i386", ArchIA32), true, NotBooting},
		{"Apple, U-Boot not served", classed("AAPLBSDPC/i386", ArchIA32), false, NotBooting},
	} {
		res := NewResponder(ResponderConfig{Policy: shapePolicy(), Options: ReplyOptions{UBoot: tt.uBoot}}).Respond(nil, tt.in, onServerPort(), testTime)
		if res.Reason != tt.want || (res.Reply != nil) != (tt.want == Answerable) {
			t.Errorf("%s: %s, want %s", tt.name, res.Reason, tt.want)
		}
	}
}
