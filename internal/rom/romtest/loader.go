package romtest

import (
	"encoding/binary"
	"unicode/utf16"
)

// Characteristics of sections with data.
const (
	writable = 0xc8000040
	readOnly = 0x40000040
)

// IPXE returns an EFI image of an iPXE that reports that version, and the
// features DNS, EFI, HTTP and HTTPS.
func IPXE(major, minor, patch byte) EFI {
	table := "\xeb\x03" + string([]byte{major, minor, patch}) + "\x17\x01\x01\x24\x01\x01\x13\x01\x01\x14\x01\x01"
	return EFI{Sections: []Section{{".data", writable, "\x26\xa0\x01\x00\x07\x00\x00\x00" + table + "\x03\x00\x00\x00"}}}
}

// otherNames are the texts in the data of a real shim beside the name of its
// second stage.
var otherNames = []string{`\fbx64.efi`, "Could not get image for bootx64.efi: %r\n", `\EFI\BOOT\fbx64.efi`, `\mmx64.efi`, "revocations_sku.efi", "shim_certificate_0.efi"}

// IPXEShimText is text in the data of iPXE's shim.
const IPXEShimText = "ipxe.efi\x00-shim\x00.efi\x00"

// Shim returns a shim with these UCS-2 texts and another text in its data,
// which accepts what the keys in authorised sign: a certificate, or signature
// lists.
func Shim(texts []string, text string, authorised []byte) EFI {
	head := make([]byte, 16)
	binary.LittleEndian.PutUint32(head[0:], uint32(len(authorised)))
	binary.LittleEndian.PutUint32(head[8:], uint32(len(head)))
	return EFI{Sections: []Section{
		{".data", writable, UCS2(append(otherNames[:len(otherNames):len(otherNames)], texts...)...) + text},
		{".vendor_cert", readOnly, string(append(head, authorised...))},
	}}
}

// UCS2 returns texts as an EFI image has them in its data.
func UCS2(texts ...string) string {
	var data []byte
	for _, text := range texts {
		for _, unit := range append(utf16.Encode([]rune(text)), 0) {
			data = binary.LittleEndian.AppendUint16(data, unit)
		}
	}
	return string(data)
}
