package rom

// Which boot loader an EFI image is, beside iPXE: a shim or a GRUB.
//
// A shim has a section of its own for the certificate of its vendor; the
// programs that are built with it, MokManager and fallback, have not (shim's
// cert.S and Makefile). A GRUB has a section for its modules (grub-mkimage),
// and says what it is in its SBAT section.

import (
	"bytes"
	"iter"
)

// Names of sections.
const (
	sbatSection       = ".sbat"
	vendorCertSection = ".vendor_cert"
	modulesSection    = "mods"
)

// IsIPXE reports whether the file is an iPXE.
func (image Image) IsIPXE() bool { return image.isIPXE }

// IsShim reports whether the file is a shim: a loader that is signed by
// Microsoft, and starts another file that is signed by its own vendor.
func (image Image) IsShim() bool { return image.shim != nil }

// IsGRUB reports whether the file is a GRUB.
func (image Image) IsGRUB() bool { return image.isGRUB }

// readSBAT sets what an SBAT section says: which loader the image is, and the
// version in iPXE's own line.
func (image *Image) readSBAT(sbat []byte) {
	for fields := range sbatLines(sbat) {
		switch component := string(fields[0]); {
		case component == "ipxe" && isVersionText(fields[4]):
			image.VersionText = string(fields[4])
		case component == "grub":
			image.isGRUB = true
		}
	}
}

// sbatLines returns the fields of each entry of an SBAT section (shim,
// SBAT.md): component, generation, vendor, package, version, address.
func sbatLines(sbat []byte) iter.Seq[[][]byte] {
	sbat, _, _ = bytes.Cut(sbat, []byte{0})
	return func(yield func([][]byte) bool) {
		for line := range bytes.Lines(sbat) {
			fields := bytes.Split(bytes.TrimRight(line, "\r\n"), []byte{','})
			if len(fields) == 6 && !yield(fields) {
				return
			}
		}
	}
}
