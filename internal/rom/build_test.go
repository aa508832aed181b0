package rom

// Boot files that the tests build.

import (
	"encoding/binary"
	"slices"
)

// section is one section of an EFI image to build.
type section struct {
	name  string
	flags uint32
	data  string
}

// The characteristics of iPXE's own sections.
const (
	flagsText = 0x68000020
	flagsData = 0xc8000040
)

// efi describes an EFI image to build. The zero value is an x64 application
// without sections.
type efi struct {
	machine   machine
	subsystem subsystem
	sections  []section
	signature string
}

// build returns the image's bytes, with a PE32 header for the 32-bit machines
// and PE32+ for the others.
func (e efi) build() []byte {
	if e.machine == 0 {
		e.machine = machineX64
	}
	if e.subsystem == 0 {
		e.subsystem = efiApplication
	}
	magic, directories := uint16(0x20b), directoriesPE32P
	if slices.Contains([]machine{machineI386, machineThumb, machineARM, machineARMNT, machineRISCV32}, e.machine) {
		magic, directories = 0x10b, directoriesPE32
	}
	const header = 0x80
	le := binary.LittleEndian
	image := make([]byte, header)
	copy(image, "MZ")
	le.PutUint32(image[peOffsetField:], header)

	image = append(image, "PE\x00\x00"...)
	image = le.AppendUint16(image, uint16(e.machine))
	image = le.AppendUint16(image, uint16(len(e.sections)))
	image = append(image, make([]byte, 12)...)
	image = le.AppendUint16(image, uint16(directories+16*8))
	image = le.AppendUint16(image, 0x0206)

	optional := make([]byte, directories+16*8)
	le.PutUint16(optional, magic)
	le.PutUint16(optional[optionalSubsystem:], uint16(e.subsystem))
	le.PutUint32(optional[directories-4:], 16)
	content := len(image) + len(optional) + sectionSize*len(e.sections)
	end := content
	for _, s := range e.sections {
		end += len(s.data)
	}
	if e.signature != "" {
		le.PutUint32(optional[directories+8*directorySecurity:], uint32(end))
		le.PutUint32(optional[directories+8*directorySecurity+4:], uint32(len(e.signature)))
	}
	image = append(image, optional...)
	for _, s := range e.sections {
		var entry [sectionSize]byte
		copy(entry[:8], s.name)
		le.PutUint32(entry[16:], uint32(len(s.data)))
		le.PutUint32(entry[20:], uint32(content))
		le.PutUint32(entry[36:], s.flags)
		content += len(s.data)
		image = append(image, entry[:]...)
	}
	for _, s := range e.sections {
		image = append(image, s.data...)
	}
	return append(image, e.signature...)
}

// The feature tables of an iPXE 1.21.1 and an iPXE 2.0.0 with DNS, EFI, HTTP
// and HTTPS.
const (
	someFeatures = "\x17\x01\x01\x24\x01\x01\x13\x01\x01\x14\x01\x01"
	table1211    = "\xeb\x03\x01\x15\x01" + someFeatures
	table200     = "\xeb\x03\x02\x00\x00" + someFeatures
)

// data returns a .data section with content between other bytes, as a linker
// lays it out.
func data(content string) section {
	return section{".data", flagsData, "\x26\xa0\x01\x00\x07\x00\x00\x00" + content + "\x03\x00\x00\x00\xac\x3e\x09\x00"}
}

// sector returns a boot sector or kernel: 1 KiB of zeros, with each text at its
// offset.
func sector(texts map[int]string) []byte {
	image := make([]byte, 1024)
	for offset, text := range texts {
		copy(image[offset:], text)
	}
	return image
}
