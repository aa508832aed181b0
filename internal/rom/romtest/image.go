package romtest

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Section is one section of an EFI image to build.
type Section struct {
	Name  string
	Flags uint32
	Data  string
}

// EFI describes an EFI image to build. The zero value is an x64 application
// without sections.
type EFI struct {
	Machine   uint16 // as in the COFF header
	Subsystem uint16
	Sections  []Section
	Signature string // the certificate table
}

// x64 and application are the machine and the subsystem of an image that does
// not say others.
const (
	x64         = 0x8664
	application = 10
)

// narrow are the 32-bit machines: i386, three of ARM, and RISC-V.
var narrow = []uint16{0x014c, 0x01c0, 0x01c2, 0x01c4, 0x5032}

// Build returns the image's bytes, with a PE32 header for the 32-bit machines
// and PE32+ for the others. Long names of sections are in a string table, as
// binutils writes it.
func (e EFI) Build() []byte {
	if e.Machine == 0 {
		e.Machine = x64
	}
	if e.Subsystem == 0 {
		e.Subsystem = application
	}
	magic, directories := uint16(0x20b), 112
	if slices.Contains(narrow, e.Machine) {
		magic, directories = 0x10b, 96
	}
	const header, coffHeader, sectionHeader = 0x80, 24, 40
	le := binary.LittleEndian
	headers := header + coffHeader + directories + 16*8 + sectionHeader*len(e.Sections)
	table, content, names := e.sections(headers)
	image := make([]byte, header)
	copy(image, "MZ")
	le.PutUint32(image[0x3c:], header)

	image = append(image, "PE\x00\x00"...)
	image = le.AppendUint16(image, e.Machine)
	image = le.AppendUint16(image, uint16(len(e.Sections)))
	image = append(image, make([]byte, 4)...)
	image = le.AppendUint32(image, uint32(headers+len(content))) // the symbol table, which is empty
	image = append(image, make([]byte, 4)...)
	image = le.AppendUint16(image, uint16(directories+16*8))
	image = le.AppendUint16(image, 0x0206)

	optional := make([]byte, directories+16*8)
	le.PutUint16(optional, magic)
	le.PutUint32(optional[60:], uint32(headers))
	le.PutUint16(optional[68:], e.Subsystem)
	le.PutUint32(optional[directories-4:], 16)
	content = append(content, names...)
	if e.Signature != "" {
		le.PutUint32(optional[directories+8*4:], uint32(headers+len(content)))
		le.PutUint32(optional[directories+8*4+4:], uint32(len(e.Signature)))
	}
	return slices.Concat(image, optional, table, content, []byte(e.Signature))
}

// sections returns the section table, what is in the sections, and the table
// with the long names. offset is where the first section begins.
func (e EFI) sections(offset int) (table, content, names []byte) {
	le := binary.LittleEndian
	names = make([]byte, 4)
	for _, s := range e.Sections {
		name := s.Name
		if len(name) > 8 {
			name = fmt.Sprintf("/%d", len(names))
			names = append(append(names, s.Name...), 0)
		}
		var entry [40]byte
		copy(entry[:8], name)
		le.PutUint32(entry[16:], uint32(len(s.Data)))
		le.PutUint32(entry[20:], uint32(offset+len(content)))
		le.PutUint32(entry[36:], s.Flags)
		table = append(table, entry[:]...)
		content = append(content, s.Data...)
	}
	le.PutUint32(names, uint32(len(names)))
	if len(names) == 4 {
		names = nil
	}
	return table, content, names
}
