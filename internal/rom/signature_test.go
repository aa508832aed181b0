package rom

import (
	"bytes"
	"crypto"
	"crypto/x509/pkix"
	"encoding/asn1"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/smallstep/pkcs7"

	"github.com/pxesidecar/pxesidecar/internal/rom/romtest"
)

// withoutChain leaves out the certificates where signatures are compared.
var withoutChain = cmp.Options{cmp.AllowUnexported(Signature{}), cmpopts.IgnoreFields(Signature{}, "chain")}

// allUnexported compares images with all that they have.
var allUnexported = cmp.AllowUnexported(Image{}, Signature{}, shim{})

// mustRead reads a file that was built.
func mustRead(t testing.TB, file []byte) Image {
	t.Helper()
	image, err := read(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// named returns a name of a certificate with that common name.
func named(common string) pkix.Name { return pkix.Name{CommonName: common} }

// microsoft returns a name of a certificate of Microsoft's.
func microsoft(common string) pkix.Name {
	return pkix.Name{Organization: []string{"Microsoft Corporation"}, CommonName: common}
}

// TestAuthority checks who is said to stand behind a key, all of whose
// certificates ended long ago.
func TestAuthority(t *testing.T) {
	key := func(name pkix.Name, issuer *romtest.Key) *romtest.Key { return romtest.NewKey(t, name, issuer) }
	root := key(named("Some Root"), nil)
	for _, tt := range []struct {
		name string
		key  *romtest.Key
		want Signature
	}{
		{"Microsoft 2011", key(microsoft("Publisher"), key(microsoft("Microsoft Corporation UEFI CA 2011"), root)),
			Signature{Signer: "Publisher", issuer: "Microsoft Corporation UEFI CA 2011", Authority: Microsoft2011}},
		{"Microsoft 2023, through another", key(named("Leaf"), key(named("Between"), key(microsoft("Microsoft UEFI CA 2023"), root))),
			Signature{Signer: "Leaf", issuer: "Between", Authority: Microsoft2023}},
		{"option ROMs", key(named("Leaf"), key(microsoft("Microsoft Option ROM UEFI CA 2023"), nil)),
			Signature{Signer: "Leaf", issuer: "Microsoft Option ROM UEFI CA 2023", Authority: MicrosoftOptionROM2023}},
		{"Microsoft's name, not its organisation", key(named("Leaf"), key(named("Microsoft UEFI CA 2023"), nil)),
			Signature{Signer: "Leaf", issuer: "Microsoft UEFI CA 2023", Authority: VendorKey}},
		{"vendor", key(named("Distribution Signer"), key(named("Distribution CA"), nil)),
			Signature{Signer: "Distribution Signer", issuer: "Distribution CA", Authority: VendorKey}},
		{"own", key(named("Contest Ltd."), nil), Signature{Signer: "Contest Ltd.", issuer: "Contest Ltd.", Authority: OwnKey}},
		{"elliptic curve", romtest.NewECKey(t, named("Curve")), Signature{Signer: "Curve", issuer: "Curve", Authority: OwnKey}},
		{"test", key(named("Acme test key"), nil), Signature{Signer: "Acme test key", issuer: "Acme test key", Authority: TestKey}},
		{"snakeoil", key(named("PkKek-1-snakeoil"), nil), Signature{Signer: "PkKek-1-snakeoil", issuer: "PkKek-1-snakeoil", Authority: TestKey}},
		{"issued by a test key", key(named("Leaf"), key(named("DO NOT TRUST - Sample PK"), nil)),
			Signature{Signer: "Leaf", issuer: "DO NOT TRUST - Sample PK", Authority: TestKey}},
		{"no common name", key(pkix.Name{Organization: []string{"Acme"}}, nil), Signature{Signer: "Acme", issuer: "Acme", Authority: OwnKey}},
		{"nothing of both", key(pkix.Name{Country: []string{"CH"}}, nil), Signature{Signer: "C=CH", issuer: "C=CH", Authority: OwnKey}},
		{"escape sequences", key(named("a\x1b[2Jb\nc"+strings.Repeat("d", longestName)), nil), Signature{
			Signer: "a?[2Jb?c" + strings.Repeat("d", longestName-11) + "...", issuer: "a?[2Jb?c" + strings.Repeat("d", longestName-11) + "...", Authority: OwnKey}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := mustRead(t, romtest.Sign(t, efi{sections: []section{data(table200)}}.build(), tt.key)).Signatures
			if diff := cmp.Diff([]Signature{tt.want}, got, withoutChain); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestSignatures checks files with several signatures, and with broken ones.
func TestSignatures(t *testing.T) {
	old := romtest.NewKey(t, named("Old"), romtest.NewKey(t, microsoft("Microsoft Corporation UEFI CA 2011"), nil))
	current := romtest.NewKey(t, named("Current"), romtest.NewKey(t, microsoft("Microsoft UEFI CA 2023"), nil))
	plain := efi{sections: []section{data(table200), {".more", flagsData, strings.Repeat("content ", 100)}}}.build()
	plain32 := efi{machine: machineI386, sections: []section{data(table200)}}.build()
	both := romtest.Sign(t, plain, old, current)
	changed := func(file []byte, change func(file []byte)) []byte {
		file = bytes.Clone(file)
		change(file)
		return file
	}
	afterSigned := func(file []byte, text string) int { return bytes.Index(file, []byte(text)) }
	type brief struct {
		Authorities string
		Broken      bool // of the image
	}
	for _, tt := range []struct {
		name string
		file []byte
		want brief
	}{
		{"none", plain, brief{}},
		{"two", both, brief{Authorities: "Microsoft 2011, Microsoft 2023"}},
		{"32-bit", romtest.Sign(t, plain32, old), brief{Authorities: "Microsoft 2011"}},
		{"signed again", romtest.Sign(t, both, current), brief{Authorities: "Microsoft 2023"}},
		{"patched afterwards", changed(both, func(f []byte) { f[afterSigned(f, "content")]++ }), brief{"broken Microsoft 2011, broken Microsoft 2023", true}},
		{"checksum set afterwards", changed(both, func(f []byte) { f[0x80+coffSize+optionalChecksum]++ }), brief{Authorities: "Microsoft 2011, Microsoft 2023"}},
		{"one of two for another file", replaceFirst(t, both, romtest.Sign(t, plain32, old)), brief{Authorities: "broken Microsoft 2011, Microsoft 2023"}},
		{"signature damaged", changed(romtest.Sign(t, plain, old), func(f []byte) { f[len(f)-64]++ }), brief{"broken Microsoft 2011", true}},
		{"table cut by the file's end", both[:len(both)-8], brief{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			image := mustRead(t, tt.file)
			var authorities []string
			for _, s := range image.Signatures {
				text := s.Authority.String()
				if s.broken {
					text = "broken " + text
				}
				authorities = append(authorities, text)
			}
			if diff := cmp.Diff(tt.want, brief{strings.Join(authorities, ", "), image.Broken()}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, s := range image.Signatures {
				if image.SignedBy(s.Authority) == s.broken {
					t.Errorf("SignedBy(%v) of a signature that is broken: %v", s.Authority, s.broken)
				}
			}
		})
	}
}

// replaceFirst returns a signed file whose first signature is replaced by that
// of another file.
func replaceFirst(t *testing.T, file, other []byte) []byte {
	t.Helper()
	table := func(file []byte) int {
		header, _ := parsePE(file)
		return int(header.certificate.offset)
	}
	first := func(file []byte) []byte { return certificates(file[table(file):])[0] }
	if len(first(file)) != len(first(other)) {
		t.Fatalf("signatures of %d and %d bytes", len(first(file)), len(first(other)))
	}
	replaced := bytes.Clone(file)
	copy(replaced[table(file)+certificateHead:], first(other))
	return replaced
}

// TestSectionsWithGaps checks that a signature by either reading of the format
// is accepted for a file whose sections do not follow one another.
func TestSectionsWithGaps(t *testing.T) {
	file := efi{sections: []section{{".data", flagsData, "first and second and third and fourth"}}, signature: "12345678"}.build()
	header, _ := parsePE(file)
	sums := func(file []byte, header peHeader) [][]byte {
		t.Helper()
		d := digests{file: bytes.NewReader(file), size: int64(len(file)), header: header}
		sums, err := d.of(crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		for _, sum := range append(sums, make([]byte, 32)) {
			content, err := asn1.Marshal(digestInfo{pkix.AlgorithmIdentifier{Algorithm: pkcs7.OIDDigestAlgorithmSHA256}, sum})
			if err != nil {
				t.Fatal(err)
			}
			contradicts, err := d.contradict(append([]byte{asn1.TagNull, 0}, content...))
			if want := bytes.Equal(sum, make([]byte, 32)); err != nil || contradicts != want {
				t.Errorf("digest %x: %v, %v, want %v", sum, contradicts, err, want)
			}
		}
		return sums
	}
	if s := sums(file, header); !bytes.Equal(s[0], s[1]) {
		t.Error("the readings differ for a file without gaps")
	}
	header.sections[0].offset, header.sections[0].length = header.sections[0].offset+16, 16
	if s := sums(file, header); bytes.Equal(s[0], s[1]) {
		t.Error("the readings are the same for a file with a gap")
	}
	header.sections = slices.Repeat(header.sections, 20)
	if s := sums(file, header); s[1] != nil {
		t.Error("sections that together are longer than the file were hashed")
	}
}

// TestMessageLimits checks that a message that would take long is not parsed.
func TestMessageLimits(t *testing.T) {
	nested := []byte{}
	for range maxNesting + 2 {
		nested, _ = asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: nested})
	}
	if !tooDeep(nested, maxNesting) || tooDeep(nested[4:], maxNesting) {
		t.Errorf("a value nested %d deep: %v, and one less: %v", maxNesting+2, tooDeep(nested, maxNesting), tooDeep(nested[4:], maxNesting))
	}
	table := bytes.Repeat(romtest.Entry([]byte("x")), maxCertificates+1)
	if got := len(certificates(table)); got != maxCertificates {
		t.Errorf("%d of %d entries", got, maxCertificates+1)
	}
}

// TestDebianSignatures checks what is read of the boot loaders that Debian
// signs, and Microsoft for Debian.
func TestDebianSignatures(t *testing.T) {
	debian := Signature{Signer: "Debian Secure Boot Signer 2022 - grub2", issuer: "Debian Secure Boot CA", Authority: VendorKey}
	old := Signature{Signer: "Microsoft Windows UEFI Driver Publisher", issuer: "Microsoft Corporation UEFI CA 2011", Authority: Microsoft2011}
	current := Signature{Signer: "Microsoft UEFI CA 2023 signer", issuer: "Microsoft UEFI CA 2023", Authority: Microsoft2023}
	readAll := func(name string, patterns ...string) map[string]Image {
		images := map[string]Image{}
		for _, pattern := range patterns {
			files, err := filepath.Glob(filepath.Join(romtest.DebianPackage(t, name), pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				image, err := ReadFile(os.DirFS(filepath.Dir(file)), filepath.Base(file))
				if err != nil {
					t.Fatal(err)
				}
				images[filepath.Base(file)] = image
			}
		}
		if len(images) == 0 {
			t.Fatalf("%s has no %v", name, patterns)
		}
		return images
	}
	shim, ok := readAll("shim-signed", "usr/lib/shim/*.signed")["shimx64.efi.signed"]
	if !ok || !shim.IsShim() || shim.secondStage("efi/shimx64.efi") != "efi/grubx64.efi" || shim.shim.derives || shim.isIPXE || shim.isGRUB {
		t.Errorf("shim: %v, loads %q", shim, shim.secondStage("efi/shimx64.efi"))
	}
	// Packages before 16.1 have one signature.
	want := []Signature{old, current}[:min(max(len(shim.Signatures), 1), 2)]
	if diff := cmp.Diff(want, shim.Signatures, withoutChain); diff != "" {
		t.Errorf("shim (-want +got):\n%s", diff)
	}
	for name, image := range readAll("grub-efi-amd64-signed", "usr/lib/grub/x86_64-efi-signed/*.signed") {
		if !image.IsGRUB() || image.IsShim() || image.IsIPXE() {
			t.Errorf("%s is %v", name, image)
		}
		if diff := cmp.Diff([]Signature{debian}, image.Signatures, withoutChain); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if !shim.Carries(image) {
			t.Errorf("the shim does not carry the key of %s", name)
		}
	}
	for name, image := range readAll("shim-unsigned", "usr/lib/shim/*.efi") {
		if image.IsShim() != strings.HasPrefix(name, "shim") || image.Signed() || image.secondStage(name) != "" && name != "shimx64.efi" {
			t.Errorf("%s is %v, loads %q", name, image, image.secondStage(name))
		}
	}
}

// FuzzSignatures checks that no certificate table makes reading fail, or names
// somebody in characters that a terminal obeys.
func FuzzSignatures(f *testing.F) {
	key := romtest.NewKey(f, named("Key"), romtest.NewKey(f, microsoft("Microsoft UEFI CA 2023"), nil))
	file := romtest.Sign(f, efi{}.build(), key, key)
	header, _ := parsePE(file)
	f.Add(file[header.certificate.offset:])
	f.Add(romtest.Entry([]byte("\x30\x80\x30\x80\x00\x00")))
	f.Fuzz(func(t *testing.T, table []byte) {
		image := mustRead(t, efi{signature: string(table)}.build())
		if len(image.Signatures) > maxCertificates {
			t.Errorf("%d signatures", len(image.Signatures))
		}
		for _, s := range image.Signatures {
			readable := s.Authority != AuthorityUnknown
			if readable != (len(s.chain) > 0) || readable != (s.Signer != "" && s.issuer != "") {
				t.Errorf("%v of %d certificates, signer %q, issuer %q", s.Authority, len(s.chain), s.Signer, s.issuer)
			}
			if len(s.chain) > maxCertChain {
				t.Errorf("a chain of %d", len(s.chain))
			}
			for _, name := range []string{s.Signer, s.issuer} {
				if len(name) > longestName || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' }) {
					t.Errorf("name %q", name)
				}
			}
		}
	})
}
