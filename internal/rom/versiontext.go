package rom

// The full text of ${version} in the data of an iPXE that has no SBAT section:
// a BIOS build once it is unpacked, or an EFI build from before 2021.
//
// The text is a constant of the same object file as the product's short name,
// and follows it: the name and a NUL, padding up to a boundary, the text and a
// NUL (iPXE src/core/version.c, product_short_name and product_version; so in
// the packages of Debian 12, 13 and sid). A data section is padded with NULs,
// code with no-ops. The name occurs elsewhere, too, with other texts behind it.
// A build under another product's name (src/config/branding.h) tells no text.

import (
	"bytes"
	"regexp"
)

// shortName is the product's short name with the NUL that ends it.
var shortName = []byte("iPXE\x00")

// maxPadding bounds the padding in bytes. Compilers align a constant to 32
// bytes at most.
const maxPadding = 31

// release matches the release that a version's text begins with.
var release = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+`)

// versionTextsIn returns the texts in data that can be the ${version} of an
// iPXE.
func versionTextsIn(data []byte) (texts []string) {
	for {
		_, rest, found := bytes.Cut(data, shortName)
		if !found {
			return texts
		}
		data = rest
		if text, _, ended := bytes.Cut(afterPadding(data), []byte{0}); ended && release.Match(text) && isVersionText(text) {
			texts = append(texts, string(text))
		}
	}
}

// afterPadding returns data without the NULs and the no-ops (90, and 66 before
// it) that it begins with.
func afterPadding(data []byte) []byte {
	padding := func(b byte) bool { return b == 0 || b == 0x66 || b == 0x90 }
	n := 0
	for n < min(len(data), maxPadding) && padding(data[n]) {
		n++
	}
	return data[n:]
}

// setVersionText sets ${version} if nothing better told it and the texts that
// were found agree.
func (image *Image) setVersionText(found []string) {
	if image.VersionText != "" || !image.isIPXE || len(found) == 0 {
		return
	}
	for _, other := range found[1:] {
		if other != found[0] {
			return
		}
	}
	image.VersionText = found[0]
}
