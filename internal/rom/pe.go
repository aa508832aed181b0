package rom

// The PE/COFF headers of an EFI image, as far as they describe the image:
// Microsoft's PE format, and UEFI 2.10 section 2.1.1 for the machines and
// subsystems. All fields are little-endian.
//
// Go's debug/pe does not suffice. Up to Go 1.26 it returns "unrecognized PE
// machine: 0x1c2" for 32-bit ARM (THUMB), and the same for ARM (0x1c0),
// LoongArch 64 (0x6264) and EBC (0xebc). It also accepts files without an MZ
// header, and reads symbol and relocation tables of any size.

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// machine is the processor that an EFI image is built for, as in its COFF
// header.
type machine uint16

// The machines of UEFI 2.10, section 2.1.1.
const (
	machineI386    machine = 0x014c
	machineX64     machine = 0x8664
	machineARM     machine = 0x01c0
	machineThumb   machine = 0x01c2 // the one that UEFI defines for 32-bit ARM
	machineARMNT   machine = 0x01c4
	machineARM64   machine = 0xaa64
	machineRISCV32 machine = 0x5032
	machineRISCV64 machine = 0x5064
	machineLoong64 machine = 0x6264
	machineEBC     machine = 0x0ebc // EFI byte code, for any processor
)

// machinePlatforms are the platforms whose UEFI firmware runs a machine's code.
// EBC has none: iPXE is not built for it.
//
//exhaustive:ignore
var machinePlatforms = map[machine]proxydhcp.Platform{
	machineI386:    proxydhcp.IA32,
	machineX64:     proxydhcp.X64,
	machineARM:     proxydhcp.ARM32,
	machineThumb:   proxydhcp.ARM32,
	machineARMNT:   proxydhcp.ARM32,
	machineARM64:   proxydhcp.ARM64,
	machineRISCV32: proxydhcp.RISCV32,
	machineRISCV64: proxydhcp.RISCV64,
	machineLoong64: proxydhcp.Loong64,
}

// String returns the name of the machine's platform, or its number if it has
// none.
func (m machine) String() string {
	if platform, ok := machinePlatforms[m]; ok {
		return platform.String()
	}
	if m == machineEBC {
		return "ebc"
	}
	return fmt.Sprintf("machine 0x%04x", uint16(m))
}

// subsystem distinguishes an EFI application, which the firmware starts, from a
// driver, which stays loaded.
type subsystem uint16

// The subsystems of UEFI 2.10, section 2.1.1.
const (
	efiApplication   subsystem = 10
	efiBootDriver    subsystem = 11
	efiRuntimeDriver subsystem = 12
)

// Offsets and sizes in the headers.
const (
	peOffsetField     = 0x3c // in the DOS header: the offset of "PE\0\0"
	coffSize          = 4 + 20
	optionalHeaders   = 60 // the size of all headers
	optionalChecksum  = 64
	optionalSubsystem = 68
	directoriesPE32   = 96  // of the optional header, magic 0x10b
	directoriesPE32P  = 112 // magic 0x20b
	directorySecurity = 4   // the certificate table; alone among them it has a file offset
	sectionSize       = 40
	symbolSize        = 18
)

// Characteristics of sections.
const (
	sectionCode    = 0x00000020
	sectionData    = 0x00000040
	sectionExecute = 0x20000000
)

// maxScan is how many bytes of an image's data are searched for an iPXE. The
// largest iPXE has 2 MiB.
const maxScan = 32 << 20

// maxSections is how many sections an image may have. iPXE has 13.
const maxSections = 96

// peHeader is what parsePE returns.
type peHeader struct {
	machine     machine
	subsystem   subsystem
	size        int64 // of all headers, as they say
	checksum    span  // the field with the checksum
	security    span  // the directory's entry of the certificate table
	certificate span
	strings     int64 // where names of sections are that do not fit; 0 for nowhere
	sections    []peSection
}

// span is a range of bytes in a file.
type span struct{ offset, length int64 }

// peSection is one entry of the section table.
type peSection struct {
	name  string
	flags uint32
	span
}

// parsePE parses the headers in head, the beginning of a file. It is not ok if
// they are not those of a PE image or do not end within head.
func parsePE(head []byte) (header peHeader, ok bool) {
	if !hasAt(head, 0, "MZ") || len(head) < peOffsetField+4 {
		return peHeader{}, false
	}
	start := int64(binary.LittleEndian.Uint32(head[peOffsetField:]))
	if start > int64(len(head))-coffSize || !hasAt(head, int(start), "PE\x00\x00") {
		return peHeader{}, false
	}
	coff := head[start+4:]
	sections := int(binary.LittleEndian.Uint16(coff[2:]))
	optionalLen := int(binary.LittleEndian.Uint16(coff[16:]))
	rest := coff[20:]
	if optionalLen > len(rest) || sections > maxSections || sections*sectionSize > len(rest)-optionalLen {
		return peHeader{}, false
	}
	header.machine = machine(binary.LittleEndian.Uint16(coff))
	if !header.parseOptional(rest[:optionalLen], start+coffSize) {
		return peHeader{}, false
	}
	if symbols := int64(binary.LittleEndian.Uint32(coff[8:])); symbols != 0 {
		header.strings = symbols + symbolSize*int64(binary.LittleEndian.Uint32(coff[12:]))
	}
	header.parseSections(rest[optionalLen:][:sections*sectionSize])
	return header, true
}

// parseOptional parses the optional header, which is not optional in an image.
// start is its offset in the file.
func (h *peHeader) parseOptional(optional []byte, start int64) (ok bool) {
	if len(optional) < optionalSubsystem+2 {
		return false
	}
	directories := 0
	switch binary.LittleEndian.Uint16(optional) {
	case 0x10b:
		directories = directoriesPE32
	case 0x20b:
		directories = directoriesPE32P
	default:
		return false
	}
	h.subsystem = subsystem(binary.LittleEndian.Uint16(optional[optionalSubsystem:]))
	h.size = int64(binary.LittleEndian.Uint32(optional[optionalHeaders:]))
	h.checksum = span{start + optionalChecksum, 4}
	if len(optional) < directories {
		return false
	}
	count := binary.LittleEndian.Uint32(optional[directories-4:])
	security := optional[directories:]
	if count > directorySecurity && len(security) >= 8*(directorySecurity+1) {
		security = security[8*directorySecurity:]
		h.security = span{start + int64(directories) + 8*directorySecurity, 8}
		h.certificate = span{int64(binary.LittleEndian.Uint32(security)), int64(binary.LittleEndian.Uint32(security[4:]))}
	}
	return true
}

// parseSections parses the section table.
func (h *peHeader) parseSections(table []byte) {
	for ; len(table) > 0; table = table[sectionSize:] {
		name, _, _ := bytes.Cut(table[:8], []byte{0})
		h.sections = append(h.sections, peSection{
			name:  string(name),
			flags: binary.LittleEndian.Uint32(table[36:]),
			span:  span{int64(binary.LittleEndian.Uint32(table[20:])), int64(binary.LittleEndian.Uint32(table[16:]))},
		})
	}
}

// isData reports whether a section has initialised data and no code. iPXE's
// tables are in such a section. In code, any short byte sequence occurs by
// chance.
func (s peSection) isData() bool {
	return s.flags&sectionData != 0 && s.flags&(sectionCode|sectionExecute) == 0
}

// readEFI sets what the PE image with that head says about itself.
func (image *Image) readEFI(r io.ReaderAt, head []byte) error {
	header, _ := parsePE(head)
	image.machine, image.subsystem = header.machine, header.subsystem
	if err := header.readNames(r); err != nil {
		return err
	}
	if header.has(vendorCertSection) {
		image.shim = &shim{}
	}
	image.isGRUB = header.has(modulesSection)
	if err := image.readSections(r, header); err != nil {
		return err
	}
	return image.readSignatures(r, header)
}

// readSections sets what the image's data says.
func (image *Image) readSections(r io.ReaderAt, header peHeader) error {
	var tables []featureTable
	var loaders loaderNames
	var texts []string
	budget := int64(maxScan)
	for _, section := range header.sections {
		if !section.isData() || !section.within(image.Size) || section.length > budget {
			continue
		}
		budget -= section.length
		data, err := readRange(r, section.offset, section.length)
		if err != nil {
			return err
		}
		tables = append(tables, findFeatureTables(data)...)
		texts = append(texts, versionTextsIn(data)...)
		image.isIPXE = image.isIPXE || bytes.Contains(data, dhcpMark)
		if section.name == sbatSection {
			image.readSBAT(data)
		}
		if image.shim != nil {
			loaders.find(data)
			if section.name == vendorCertSection {
				image.shim.keys = vendorKeys(data)
			}
		}
	}
	image.setFeatures(tables)
	image.setVersionText(texts)
	if image.shim != nil {
		image.shim.loader, image.shim.derives = loaders.answer()
	}
	return nil
}

// readNames reads the names of sections that have more than 8 bytes. The
// section table has "/" and a decimal offset in the string table instead.
func (h *peHeader) readNames(r io.ReaderAt) error {
	const longest = 32
	for i := range h.sections {
		s := &h.sections[i]
		offset, isLong := strings.CutPrefix(s.name, "/")
		at, err := strconv.ParseUint(offset, 10, 32)
		if !isLong || err != nil || h.strings == 0 {
			continue
		}
		text, err := readRange(r, h.strings+int64(at), longest)
		if err != nil {
			return err
		}
		if name, _, ended := bytes.Cut(text, []byte{0}); ended {
			s.name = string(name)
		}
	}
	return nil
}

// has reports whether there is a section of that name.
func (h peHeader) has(name string) bool {
	return slices.ContainsFunc(h.sections, func(s peSection) bool { return s.name == name })
}

// within reports whether a span lies in a file of that size.
func (s span) within(size int64) bool {
	return s.offset <= size && s.length <= size-s.offset
}
