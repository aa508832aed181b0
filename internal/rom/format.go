package rom

// The format of a boot file, recognised by its first bytes.

import (
	"bytes"
	"encoding/binary"
)

// format is the format of a boot file.
type format uint8

// The formats of files that people serve, on purpose or by mistake.
const (
	formatUnknown   format = iota // none of the others; a BIOS network boot program need not have any mark
	formatEFI                     // PE/COFF image: what every UEFI firmware starts
	formatNBP                     // BIOS network boot program (PXE 2.1, section 4.4): undionly.kpxe, ipxe.pxe, pxelinux.0
	formatKernel                  // x86 Linux boot protocol without a PE header: ipxe.lkrn; iPXE starts it, PXE firmware does not
	formatScript                  // text that begins with #!ipxe; only an iPXE runs it
	formatOptionROM               // PCI expansion ROM (.rom, .efirom, .mrom), for a card's flash memory
	formatDisk                    // image of a disk or CD with a boot sector: ipxe.iso, ipxe.usb
)

// formatNames are the formats in a form that can follow "is".
var formatNames = [...]string{
	formatUnknown:   "of no known format",
	formatEFI:       "an EFI image",
	formatNBP:       "a BIOS network boot program",
	formatKernel:    "a Linux-style kernel (.lkrn)",
	formatScript:    "an iPXE script",
	formatOptionROM: "a PCI option ROM",
	formatDisk:      "a disk image",
}

// String returns the format's name, to follow "is".
func (f format) String() string { return formatNames[f] }

// formatOf returns the format of a file that begins with head. The order
// matters: a kernel with an EFI stub has the marks of a kernel, an EFI image
// and a boot sector, and it is started from the network as an EFI image.
func formatOf(head []byte) format {
	_, isPE := parsePE(head)
	switch {
	case isPE:
		return formatEFI
	case bytes.HasPrefix(head, []byte("#!ipxe")):
		return formatScript
	case hasAt(head, 0, "\x55\xaa"):
		return formatOptionROM
	case hasAt(head, 0x202, "HdrS") && hasAt(head, 0x1fe, "\x55\xaa"):
		return formatKernel
	case isFarJump(head):
		return formatNBP
	case hasAt(head, 0x1fe, "\x55\xaa"), hasAt(head, 0x8001, "CD001"):
		return formatDisk
	}
	return formatUnknown
}

// hasAt reports whether data has the mark at offset.
func hasAt(data []byte, offset int, mark string) bool {
	return offset <= len(data) && bytes.HasPrefix(data[offset:], []byte(mark))
}

// isFarJump reports whether a file begins as the network boot programs of iPXE,
// PXELINUX and GRUB do: with a far jump to its own second instruction. The jump
// sets the code segment, because address 0x7c00 can be 07c0:0000 or 0000:7c00.
// The format has no mark of its own.
func isFarJump(head []byte) bool {
	if len(head) < 5 || head[0] != 0xea {
		return false
	}
	offset, segment := binary.LittleEndian.Uint16(head[1:]), binary.LittleEndian.Uint16(head[3:])
	const sector = 0x200
	return segment == 0x07c0 && offset < sector ||
		segment == 0 && offset >= 0x7c00 && offset < 0x7c00+sector
}

// biosMark is text in the part of every BIOS build of iPXE that is not packed:
// the message if there is no memory to unpack the rest (libprefix). The version
// is in the packed part.
var biosMark = []byte("Installation failed - cannot continue")

// kernelVersion returns the text that the kernel_version field at 0x20e points
// to (Linux Documentation/arch/x86/boot.rst), or "" if that is no version text.
func kernelVersion(head []byte) string {
	const field, base, longest = 0x20e, 0x200, 128
	if len(head) < field+2 {
		return ""
	}
	start := base + int(binary.LittleEndian.Uint16(head[field:]))
	if start == base || start > len(head) {
		return ""
	}
	text, _, ended := bytes.Cut(head[start:min(len(head), start+longest)], []byte{0})
	if !ended || !isVersionText(text) {
		return ""
	}
	return string(text)
}

// isVersionText reports whether text can be an iPXE's ${version}: printable
// ASCII that starts with a digit.
func isVersionText(text []byte) bool {
	if len(text) == 0 || text[0] < '0' || text[0] > '9' {
		return false
	}
	return !bytes.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}
