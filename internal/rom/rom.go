// Package rom knows boot files: what a file is, for which machines, which iPXE is inside it, and where
// the distributions' packages put theirs.
//
// Reading is strict. A fact that is not plainly in the file is reported as absent, never guessed: the
// responder holds these facts against its policy before it starts, and a wrong version there is a
// machine that loads ROMs for ever.
package rom

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Format is the kind of a boot file, told from its first bytes.
type Format uint8

// The formats of files that people serve, or serve by mistake.
const (
	Unknown   Format = iota // none of the others; a BIOS network boot program need not have any mark
	EFI                     // PE/COFF image: what every UEFI firmware starts
	NBP                     // BIOS network boot program (PXE 2.1, section 4.4): undionly.kpxe, ipxe.pxe, pxelinux.0
	Kernel                  // x86 Linux boot protocol without a PE header: ipxe.lkrn; iPXE starts it, PXE firmware does not
	Script                  // text that begins with #!ipxe; only an iPXE runs it
	OptionROM               // PCI expansion ROM (.rom, .efirom, .mrom), for a card's flash
	Disk                    // image of a disk or CD with a boot sector: ipxe.iso, ipxe.usb
)

// String returns the format in words that fit behind "is".
func (f Format) String() string {
	switch f {
	case EFI:
		return "an EFI image"
	case NBP:
		return "a BIOS network boot program"
	case Kernel:
		return "a Linux-style kernel (.lkrn)"
	case Script:
		return "an iPXE script"
	case OptionROM:
		return "a PCI option ROM"
	case Disk:
		return "a disk image"
	}
	return "of no known format"
}

// Image is what a boot file says about itself. The zero value is an empty file.
type Image struct {
	Format Format
	Size   int64

	// Machine and Subsystem are those of the PE header, zero for every other format.
	Machine   Machine
	Subsystem Subsystem

	// Signed tells that the PE certificate table is not empty, which Secure Boot demands. Whose
	// certificate it is, and whether it holds, is not looked at.
	Signed bool

	// IPXE tells that the file is an iPXE. It is also true where its version cannot be read: the
	// BIOS builds are packed (see ReadPacked).
	IPXE bool

	// Version is what this iPXE will say of itself in DHCP sub-option 175.235, if HasVersion.
	HasVersion bool
	Version    [3]byte

	// Features are the feature sub-options of option 175 (16 to 79) it will announce, ascending,
	// if HasFeatures. An empty list with HasFeatures does not occur.
	HasFeatures bool
	Features    []uint8

	// VersionText is the full text of ${version}, such as "1.21.1+ (g6ba67)"; empty where it cannot
	// be read. iPXE's EFI builds carry it since 2021 (in their SBAT section), .lkrn always.
	VersionText string
}

// maxHead is how much of a file's beginning is looked at to tell its format: it covers the headers of
// every format, the uncompressed start of iPXE's BIOS images, and the volume descriptor of a CD.
const maxHead = 64 << 10

// ReadFile reads the boot file called name in fsys. Errors are those of opening and reading it.
func ReadFile(fsys fs.FS, name string) (Image, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return Image{}, fmt.Errorf("boot file %q: %w", name, err)
	}
	defer f.Close()
	image, err := readOpen(f)
	if err != nil {
		return Image{}, fmt.Errorf("boot file %q: %w", name, err)
	}
	return image, nil
}

// errDirectory is the way out for whoever names a folder where a file is wanted.
var errDirectory = errors.New("is a directory, name a file in it")

// readOpen reads a boot file out of an open file, from memory if it cannot be read at an offset.
func readOpen(f fs.File) (Image, error) {
	info, err := f.Stat()
	if err != nil {
		return Image{}, err
	}
	if info.IsDir() {
		return Image{}, errDirectory
	}
	if r, ok := f.(io.ReaderAt); ok {
		return Read(r, info.Size())
	}
	data, err := io.ReadAll(io.LimitReader(f, maxScan+1))
	if err != nil {
		return Image{}, err
	}
	return Read(bytes.NewReader(data), int64(len(data)))
}

// Read says what the boot file of that size in r is. The only errors are those of reading from r: a
// file that cannot be made out is an Image of format Unknown.
func Read(r io.ReaderAt, size int64) (Image, error) {
	head, err := readRange(r, 0, min(size, maxHead))
	if err != nil {
		return Image{}, err
	}
	image := Image{Format: formatOf(head), Size: size}
	switch image.Format {
	case EFI:
		err = image.readEFI(r, head)
	case NBP:
		image.IPXE = bytes.Contains(head, biosMark)
	case Kernel:
		if image.IPXE = bytes.Contains(head, biosMark); image.IPXE {
			image.VersionText = kernelVersion(head)
		}
	}
	if err != nil {
		return Image{}, err
	}
	return image, nil
}

// readRange returns length bytes of r from offset, fewer where r ends.
func readRange(r io.ReaderAt, offset, length int64) ([]byte, error) {
	if length <= 0 {
		return nil, nil
	}
	data := make([]byte, length)
	n, err := r.ReadAt(data, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return data[:n], nil
}

// biosMark is what the uncompressed part of every BIOS build of iPXE says when it finds no memory to
// unpack the rest into (libprefix). The version is in the packed rest.
var biosMark = []byte("Installation failed - cannot continue")

// formatOf tells the format from a file's beginning. The order matters: a kernel with an EFI stub has
// the marks of a kernel, an EFI image and a boot sector, and what starts it from the network is EFI.
func formatOf(head []byte) Format {
	_, isPE := parsePE(head)
	switch {
	case isPE:
		return EFI
	case bytes.HasPrefix(head, []byte("#!ipxe")):
		return Script
	case at(head, 0, "\x55\xaa"):
		return OptionROM
	case at(head, 0x202, "HdrS") && at(head, 0x1fe, "\x55\xaa"):
		return Kernel
	case isFarJump(head):
		return NBP
	case at(head, 0x1fe, "\x55\xaa"), at(head, 0x8001, "CD001"):
		return Disk
	}
	return Unknown
}

// at reports whether mark stands at offset in data.
func at(data []byte, offset int, mark string) bool {
	return offset <= len(data) && bytes.HasPrefix(data[offset:], []byte(mark))
}

// isFarJump reports whether a network boot program begins as iPXE's, pxelinux's and GRUB's do: with a
// jump to its own second instruction that settles which of the two names of address 0x7c00 the code
// segment has, 07c0:0000 or 0000:7c00. The format has no mark of its own, so this is all there is.
func isFarJump(head []byte) bool {
	if len(head) < 5 || head[0] != 0xea {
		return false
	}
	offset, segment := binary.LittleEndian.Uint16(head[1:]), binary.LittleEndian.Uint16(head[3:])
	const sector = 0x200
	return segment == 0x07c0 && offset < sector ||
		segment == 0 && offset >= 0x7c00 && offset < 0x7c00+sector
}

// kernelVersion returns the text that the kernel_version field at 0x20e points to (Linux
// Documentation/arch/x86/boot.rst), or nothing where it points to no printable text.
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

// isVersionText reports whether text can be an iPXE's ${version}: printable ASCII that starts with a digit.
func isVersionText(text []byte) bool {
	if len(text) == 0 || text[0] < '0' || text[0] > '9' {
		return false
	}
	return !bytes.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}
