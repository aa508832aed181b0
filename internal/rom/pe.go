package rom

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// The PE/COFF headers of an EFI image, as far as they say what the image is: Microsoft's PE format, and
// UEFI 2.10 section 2.1.1 for the machines and subsystems. All fields are little-endian.

// Machine is the processor an EFI image is built for, as in its COFF header.
type Machine uint16

// The machines of UEFI 2.10, section 2.1.1.
const (
	MachineI386    Machine = 0x014c
	MachineX64     Machine = 0x8664
	MachineARM     Machine = 0x01c0
	MachineThumb   Machine = 0x01c2 // what UEFI firmware for 32-bit ARM runs
	MachineARMNT   Machine = 0x01c4
	MachineARM64   Machine = 0xaa64
	MachineRISCV32 Machine = 0x5032
	MachineRISCV64 Machine = 0x5064
	MachineLoong64 Machine = 0x6264
	MachineEBC     Machine = 0x0ebc // EFI byte code, for any processor
)

// String returns the machine's platform name, or its number where it has none.
func (m Machine) String() string {
	switch m {
	case MachineARM, MachineThumb, MachineARMNT:
		return proxydhcp.ARM32.String()
	case MachineEBC:
		return "ebc"
	}
	for platform, machine := range machines {
		if m == machine {
			return platform.String()
		}
	}
	return fmt.Sprintf("machine 0x%04x", uint16(m))
}

// Subsystem tells an EFI application, which firmware starts, from drivers, which it keeps.
type Subsystem uint16

// The subsystems of UEFI 2.10, section 2.1.1.
const (
	EFIApplication   Subsystem = 10
	EFIBootDriver    Subsystem = 11
	EFIRuntimeDriver Subsystem = 12
)

// Offsets and sizes in the headers.
const (
	peOffsetField     = 0x3c // in the DOS header: where "PE\0\0" stands
	coffSize          = 4 + 20
	optionalSubsystem = 68
	directoriesPE32   = 96  // of the optional header, magic 0x10b
	directoriesPE32P  = 112 // magic 0x20b
	directorySecurity = 4   // the certificate table; alone among them it has a file offset
	sectionSize       = 40
)

// Characteristics of sections.
const (
	sectionCode    = 0x00000020
	sectionData    = 0x00000040
	sectionExecute = 0x20000000
)

// maxScan is how many bytes of an image's data are searched for an iPXE, and maxSections in how many
// sections: the largest iPXE has 2 MiB in 13. What is beyond is some other program's.
const (
	maxScan     = 32 << 20
	maxSections = 96
)

// peHeader is what parsePE reads.
type peHeader struct {
	machine     Machine
	subsystem   Subsystem
	certificate span
	sections    []peSection
}

// span is a range of bytes in a file.
type span struct{ offset, length int64 }

// peSection is a section that has bytes in the file.
type peSection struct {
	name  string
	flags uint32
	span
}

// parsePE reads the headers in head, the beginning of a file. It is not ok where they are not those of a
// PE image or do not end within head.
func parsePE(head []byte) (header peHeader, ok bool) {
	if !at(head, 0, "MZ") || len(head) < peOffsetField+4 {
		return peHeader{}, false
	}
	start := int64(binary.LittleEndian.Uint32(head[peOffsetField:]))
	if start > int64(len(head))-coffSize || !at(head, int(start), "PE\x00\x00") {
		return peHeader{}, false
	}
	coff := head[start+4:]
	sections := int(binary.LittleEndian.Uint16(coff[2:]))
	optionalLen := int(binary.LittleEndian.Uint16(coff[16:]))
	rest := coff[20:]
	if optionalLen > len(rest) || sections > maxSections || sections*sectionSize > len(rest)-optionalLen {
		return peHeader{}, false
	}
	header.machine = Machine(binary.LittleEndian.Uint16(coff))
	if !header.parseOptional(rest[:optionalLen]) {
		return peHeader{}, false
	}
	header.parseSections(rest[optionalLen:][:sections*sectionSize])
	return header, true
}

// parseOptional reads the optional header, which is not optional in an image.
func (h *peHeader) parseOptional(optional []byte) (ok bool) {
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
	h.subsystem = Subsystem(binary.LittleEndian.Uint16(optional[optionalSubsystem:]))
	if len(optional) < directories {
		return false
	}
	count := binary.LittleEndian.Uint32(optional[directories-4:])
	security := optional[directories:]
	if count > directorySecurity && len(security) >= 8*(directorySecurity+1) {
		security = security[8*directorySecurity:]
		h.certificate = span{int64(binary.LittleEndian.Uint32(security)), int64(binary.LittleEndian.Uint32(security[4:]))}
	}
	return true
}

// parseSections reads the section table.
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

// isData reports whether a section holds initialised data and no code. iPXE's tables are in such a
// section, and code holds every short byte sequence by chance.
func (s peSection) isData() bool {
	return s.flags&sectionData != 0 && s.flags&(sectionCode|sectionExecute) == 0
}

// readEFI reads what the PE image with that head says about itself.
func (image *Image) readEFI(r io.ReaderAt, head []byte) error {
	header, _ := parsePE(head)
	image.Machine, image.Subsystem = header.machine, header.subsystem
	image.Signed = header.certificate.length > 0 && header.certificate.within(image.Size)

	var found []announcement
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
		found = append(found, findAnnouncements(data)...)
		image.IPXE = image.IPXE || bytes.Contains(data, dhcpMark)
		if section.name == ".sbat" {
			image.VersionText = sbatVersion(data)
		}
	}
	image.announce(found)
	return nil
}

// within reports whether a span lies in a file of that size.
func (s span) within(size int64) bool {
	return s.offset <= size && s.length <= size-s.offset
}

// sbatVersion returns the version in iPXE's own line of an SBAT section (shim, SBAT.md): component,
// generation, vendor, package, version, address.
func sbatVersion(sbat []byte) string {
	sbat, _, _ = bytes.Cut(sbat, []byte{0})
	for line := range bytes.Lines(sbat) {
		fields := bytes.Split(bytes.TrimRight(line, "\r\n"), []byte{','})
		if len(fields) == 6 && string(fields[0]) == "ipxe" && isVersionText(fields[4]) {
			return string(fields[4])
		}
	}
	return ""
}
