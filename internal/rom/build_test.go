package rom

// Boot files that the tests build.

import (
	"github.com/pxesidecar/pxesidecar/internal/rom/romtest"
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

// build returns the image's bytes.
func (e efi) build() []byte {
	image := romtest.EFI{Machine: uint16(e.machine), Subsystem: uint16(e.subsystem), Signature: e.signature}
	for _, s := range e.sections {
		image.Sections = append(image.Sections, romtest.Section{Name: s.name, Flags: s.flags, Data: s.data})
	}
	return image.Build()
}

// The feature tables of an iPXE 1.21.1 and an iPXE 2.0.0 with DNS, EFI, HTTP
// and HTTPS.
const (
	someFeatures = "\x17\x01\x01\x24\x01\x01\x13\x01\x01\x14\x01\x01"
	table1211    = "\xeb\x03\x01\x15\x01" + someFeatures
	table200     = "\xeb\x03\x02\x00\x00" + someFeatures
)

// shortNameText returns the product's short name and a text of ${version} as a
// compiler lays them out.
func shortNameText(version string) string {
	return "\x00iPXE\x00\x00\x00\x00" + version + "\x00\x00"
}

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
