package rom

import (
	"bytes"
	"encoding/binary"
	"path"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/pxesidecar/pxesidecar/internal/rom/romtest"
)

// ucs2 returns texts as a shim has them in its data.
func ucs2(texts ...string) string {
	var data []byte
	for _, text := range texts {
		for _, unit := range append(utf16.Encode([]rune(text)), 0) {
			data = binary.LittleEndian.AppendUint16(data, unit)
		}
	}
	return string(data)
}

// otherNames are the names in the data of a real shim beside that of its second
// stage.
var otherNames = []string{`\fbx64.efi`, "Could not get image for bootx64.efi: %r\n", `\EFI\BOOT\fbx64.efi`, `\mmx64.efi`, "revocations_sku.efi", "shim_certificate_0.efi"}

// certTable returns the content of a .vendor_cert section.
func certTable(authorised []byte) string {
	var head [certTableSize]byte
	binary.LittleEndian.PutUint32(head[0:], uint32(len(authorised)))
	binary.LittleEndian.PutUint32(head[8:], certTableSize)
	return string(head[:]) + string(authorised)
}

// shimImage returns a shim for x64 with these UCS-2 texts and other bytes in
// its data, which accepts what authorised signs.
func shimImage(texts []string, other string, authorised []byte) efi {
	return efi{sections: []section{
		{".data", flagsData, ucs2(append(otherNames, texts...)...) + other},
		{vendorCertSection, 0x40000040, certTable(authorised)},
	}}
}

// TestSecondStage checks which file a shim is said to load. The names of iPXE's
// shim follow from ipxe/shim's shim.c.
func TestSecondStage(t *testing.T) {
	const mark = "ipxe.efi\x00-shim\x00.efi\x00"
	debian := shimImage([]string{`\\grubx64.efi`}, "", nil)
	ipxes := shimImage([]string{"ipxe.efi"}, mark, nil)
	for _, tt := range []struct {
		name string
		file efi
		path string
		want string
	}{
		{"Debian's", debian, "shimx64.efi", "grubx64.efi"},
		{"Debian's in a directory", debian, "efi/debian/shimx64.efi", "efi/debian/grubx64.efi"},
		{"Debian's under iPXE's name", debian, "sb/snponly-shim.efi", "sb/grubx64.efi"},
		{"SUSE's", shimImage([]string{`\grub.efi`}, "", nil), "a/shim.efi", "a/grub.efi"},
		{"iPXE's", ipxes, "x86_64-sb/snponly-shim.efi", "x86_64-sb/snponly.efi"},
		{"iPXE's with the processor", ipxes, "ipxe-shimx64.efi", "ipxe.efi"},
		{"iPXE's under a short name", ipxes, "sb/shimx64.efi", "sb/ipxe.efi"},
		{"iPXE's in capitals", ipxes, "SNPONLY-SHIM.EFI", "SNPONLY.EFI"},
		{"iPXE's with a long processor", ipxes, "sb/snponly-shimaarch64.efi", "sb/ipxe.efi"},
		{"iPXE's with a hyphen behind", ipxes, "sb/snponly-shim-2.efi", "sb/ipxe.efi"},
		{"two names that it could be", shimImage([]string{"one.efi", "two.efi"}, "", nil), "shimx64.efi", ""},
		{"no name", shimImage(nil, "", nil), "shimx64.efi", ""},
		{"a path", shimImage([]string{`\EFI\acme\boot.efi`}, "", nil), "shimx64.efi", ""},
		{"a long name", shimImage([]string{strings.Repeat("x", longestLoader) + ".efi"}, "", nil), "shimx64.efi", ""},
		{"no shim", efi{sections: []section{{".data", flagsData, ucs2("grubx64.efi") + mark}}}, "snponly-shim.efi", ""},
	} {
		if got := mustRead(t, tt.file.build()).SecondStage(tt.path); got != tt.want {
			t.Errorf("%s: %s loads %q, want %q", tt.name, tt.path, got, tt.want)
		}
	}
}

// signatureList returns a list of a signature database.
func signatureList(kind []byte, entries ...[]byte) []byte {
	var list []byte
	for _, entry := range entries {
		list = append(append(list, make([]byte, signatureOwner)...), entry...)
	}
	head := bytes.Clone(kind)
	for _, n := range []int{signatureListSize + len(list), 0, signatureOwner + len(entries[0])} {
		head = binary.LittleEndian.AppendUint32(head, uint32(n))
	}
	return append(head, list...)
}

// TestCarries checks whose signatures behind a shim need no other key.
func TestCarries(t *testing.T) {
	ca := romtest.NewKey(t, named("CA"), nil)
	signer := romtest.NewKey(t, named("Signer"), ca)
	// It has the same name as the authority, but another key.
	stranger := romtest.NewKey(t, named("Leaf"), romtest.NewKey(t, named("CA"), nil))
	image := efi{sections: []section{data(table200)}}.build()
	by := func(key *romtest.Key) []byte { return romtest.Sign(t, image, key) }
	damaged := by(signer)
	damaged[len(image)-1]++
	sha256Type := append([]byte{0x26}, x509Type[1:]...)
	lists := append(signatureList(sha256Type, make([]byte, 32)), signatureList(x509Type, ca.Certificate.Raw)...)
	for _, tt := range []struct {
		name       string
		authorised []byte
		file       []byte
		want       bool
	}{
		{"the signer's", signer.Certificate.Raw, by(signer), true},
		{"its authority's", ca.Certificate.Raw, by(signer), true},
		{"in lists", lists, by(signer), true},
		{"another of the same name", ca.Certificate.Raw, by(stranger), false},
		{"unsigned", ca.Certificate.Raw, image, false},
		{"damaged", ca.Certificate.Raw, damaged, false},
		{"two signatures", ca.Certificate.Raw, romtest.Sign(t, image, stranger, signer), true},
		{"none", nil, by(signer), false},
		{"garbage", []byte("not a certificate, and longer than the head of a list"), by(signer), false},
		{"cut", lists[:len(lists)-1], by(signer), false},
	} {
		carrier := mustRead(t, shimImage([]string{"grubx64.efi"}, "", tt.authorised).build())
		if got := carrier.Carries(mustRead(t, tt.file)); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	if mustRead(t, by(signer)).Carries(mustRead(t, by(signer))) {
		t.Error("a file that is no shim carries a key")
	}
}

// FuzzShim checks that no content of a shim's sections makes reading fail, or
// lets it load a file from elsewhere.
func FuzzShim(f *testing.F) {
	f.Add([]byte(ucs2(`\\grubx64.efi`)), []byte(certTable([]byte("x"))), "shimx64.efi")
	f.Add([]byte(ucs2("ipxe.efi")+"-shim\x00"), []byte(certTable(signatureList(x509Type, []byte("x")))), "a/snponly-shimx64.efi")
	f.Fuzz(func(t *testing.T, content, table []byte, name string) {
		image := mustRead(t, efi{sections: []section{{".data", flagsData, string(content)}, {vendorCertSection, flagsData, string(table)}}}.build())
		if !image.IsShim() {
			t.Fatal("no shim")
		}
		second := image.SecondStage(path.Clean(name))
		if second != "" && (path.Dir(second) != path.Dir(path.Clean(name)) || !strings.HasSuffix(strings.ToLower(second), ".efi")) {
			t.Errorf("%q loads %q", name, second)
		}
		for _, key := range image.shim.keys {
			if !bytes.Contains(table, key.Raw) {
				t.Errorf("the key of %v is not in the file", key.Subject)
			}
		}
	})
}
