package rom

import (
	"bytes"
	"encoding/binary"
	"path"
	"strings"
	"testing"

	"github.com/pxesidecar/pxesidecar/internal/rom/romtest"
)

// TestSecondStage checks which file a shim is said to load. The names of iPXE's
// shim follow from ipxe/shim's shim.c.
func TestSecondStage(t *testing.T) {
	debian := romtest.Shim([]string{`\\grubx64.efi`}, "", nil)
	ipxes := romtest.Shim([]string{"ipxe.efi"}, romtest.IPXEShimText, nil)
	for _, tt := range []struct {
		name string
		file romtest.EFI
		path string
		want string
	}{
		{"Debian's", debian, "shimx64.efi", "grubx64.efi"},
		{"Debian's in a directory", debian, "efi/debian/shimx64.efi", "efi/debian/grubx64.efi"},
		{"Debian's under iPXE's name", debian, "sb/snponly-shim.efi", "sb/grubx64.efi"},
		{"SUSE's", romtest.Shim([]string{`\grub.efi`}, "", nil), "a/shim.efi", "a/grub.efi"},
		{"iPXE's", ipxes, "x86_64-sb/snponly-shim.efi", "x86_64-sb/snponly.efi"},
		{"iPXE's with the processor", ipxes, "ipxe-shimx64.efi", "ipxe.efi"},
		{"iPXE's under a short name", ipxes, "sb/shimx64.efi", "sb/ipxe.efi"},
		{"iPXE's in capitals", ipxes, "SNPONLY-SHIM.EFI", "SNPONLY.EFI"},
		{"iPXE's with a long processor", ipxes, "sb/snponly-shimaarch64.efi", "sb/ipxe.efi"},
		{"iPXE's with a hyphen behind", ipxes, "sb/snponly-shim-2.efi", "sb/ipxe.efi"},
		{"two names that it could be", romtest.Shim([]string{"one.efi", "two.efi"}, "", nil), "shimx64.efi", ""},
		{"no name", romtest.Shim(nil, "", nil), "shimx64.efi", ""},
		{"a path", romtest.Shim([]string{`\EFI\acme\boot.efi`}, "", nil), "shimx64.efi", ""},
		{"a long name", romtest.Shim([]string{strings.Repeat("x", longestLoader) + ".efi"}, "", nil), "shimx64.efi", ""},
		{"no shim", romtest.EFI{Sections: []romtest.Section{{Name: ".data", Flags: flagsData, Data: romtest.UCS2("grubx64.efi") + romtest.IPXEShimText}}}, "snponly-shim.efi", ""},
	} {
		if got := mustRead(t, tt.file.Build()).secondStage(tt.path); got != tt.want {
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
		carrier := mustRead(t, romtest.Shim([]string{"grubx64.efi"}, "", tt.authorised).Build())
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
	table := func(authorised []byte) []byte { return []byte(romtest.Shim(nil, "", authorised).Sections[1].Data) }
	key := romtest.NewKey(f, named("CA"), nil).Certificate.Raw
	f.Add([]byte(romtest.UCS2(`\\grubx64.efi`)), table(key), "shimx64.efi")
	f.Add([]byte(romtest.UCS2("ipxe.efi")+"-shim\x00"), table(signatureList(x509Type, key)), "a/snponly-shimx64.efi")
	f.Fuzz(func(t *testing.T, content, table []byte, name string) {
		image := mustRead(t, efi{sections: []section{{".data", flagsData, string(content)}, {vendorCertSection, flagsData, string(table)}}}.build())
		if !image.IsShim() {
			t.Fatal("no shim")
		}
		second := image.secondStage(path.Clean(name))
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
