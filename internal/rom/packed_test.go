package rom

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ulikunitz/xz/lzma"
)

// pack returns a network boot program whose packed part is content.
func pack(t testing.TB, content string) []byte {
	t.Helper()
	var stream bytes.Buffer
	w, err := lzma.WriterConfig{Properties: &lzma.Properties{LC: 2}, EOSMarker: true}.NewWriter(&stream)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file := make([]byte, 0x140)
	copy(file, "\xea\x05\x00\xc0\x07")
	copy(file[0x40:], biosMark)
	body := stream.Bytes()[len(lzmaHeader):]
	return append(binary.LittleEndian.AppendUint32(file, uint32(len(body))), body...)
}

func TestReadPacked(t *testing.T) {
	text := strings.Repeat("nothing to see here ", 100)
	whole := pack(t, text+"\x07\x00"+table1211+"\x03"+text)
	plainNBP := Image{format: formatNBP, isIPXE: true}
	unpacked := Image{format: formatNBP, isIPXE: true, HasVersion: true, Version: [3]byte{1, 21, 1}, HasFeatures: true, Features: someFeatureList}
	withText := unpacked
	withText.VersionText = "1.21.1+ (g6ba67)"
	moved := append(bytes.Clone(whole[:0x130]), whole[0x138:]...)
	broken := bytes.Clone(whole)
	broken[len(broken)-20] ^= 0xff
	tests := map[string]struct {
		file []byte
		want Image
	}{
		"packed":           {whole, unpacked},
		"with its text":    {pack(t, text+table1211+"\xc3\x66\x90iPXE\x00\x66\x90\x901.21.1+ (g6ba67)\x00devices\x00"+text), withText},
		"nothing in it":    {pack(t, text), plainNBP},
		"cut":              {whole[:len(whole)-1], plainNBP},
		"longer":           {append(bytes.Clone(whole), 0), plainNBP},
		"off the boundary": {moved, plainNBP},
		"broken":           {broken, plainNBP},
		"not an iPXE":      {[]byte("\xea\x05\x00\xc0\x07"), Image{format: formatNBP}},
		"not packed":       {[]byte("\xea\x05\x00\xc0\x07" + string(biosMark) + table1211), plainNBP},
		"EFI":              {efi{sections: []section{data(table1211)}}.build(), Image{format: formatEFI, machine: machineX64, subsystem: efiApplication, isIPXE: true, HasVersion: true, Version: [3]byte{1, 21, 1}, HasFeatures: true, Features: someFeatureList}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ReadPacked(bytes.NewReader(test.file), int64(len(test.file)))
			if err != nil {
				t.Fatal(err)
			}
			test.want.Size = int64(len(test.file))
			if diff := cmp.Diff(test.want, got, allUnexported); diff != "" {
				t.Errorf("ReadPacked (-want +got):\n%s", diff)
			}
			plain, err := read(bytes.NewReader(test.file), int64(len(test.file)))
			if err != nil || plain.format == formatNBP && plain.HasVersion {
				t.Errorf("Read = %v, %v: looks into packed files", plain, err)
			}
		})
	}
}

// TestReadPackedDebianPackage checks that the real BIOS builds have the version
// and the features of the EFI builds in the same package, except for the image
// formats of the platform and the protocols of drivers.
func TestReadPackedDebianPackage(t *testing.T) {
	text := readDebian(t, "ipxe.lkrn").VersionText
	release, ok := releaseOf(text)
	if !ok {
		t.Fatal("a release of Debian's iPXE that debianReleases does not have")
	}
	for _, name := range []string{"undionly.kpxe", "undionly.kkpxe", "ipxe.pxe", "ipxe.lkrn"} {
		file, err := os.ReadFile(filepath.Join(debianDir, name))
		if err != nil {
			t.Fatal(err)
		}
		image, err := ReadPacked(bytes.NewReader(file), int64(len(file)))
		if image.VersionText != text {
			t.Errorf("%s: calls itself %q, want %q", name, image.VersionText, text)
		}
		if err != nil || image.Version != release.version || !image.HasVersion {
			t.Errorf("%s: version %v (%v), want %v, error %v", name, image.Version, image.HasVersion, release.version, err)
		}
		for _, feature := range release.snp {
			const efiImage = 36
			if feature != efiImage && !bytes.Contains(image.Features, []byte{feature}) {
				t.Errorf("%s: features %v lack %d", name, image.Features, feature)
			}
		}
	}
}

// FuzzReadPacked checks that no packed part makes reading fail.
func FuzzReadPacked(f *testing.F) {
	f.Add(pack(f, strings.Repeat("text ", 50)+table200))
	f.Fuzz(func(t *testing.T, file []byte) {
		image, err := ReadPacked(bytes.NewReader(file), int64(len(file)))
		if err != nil || image.Size != int64(len(file)) {
			t.Errorf("%v, error %v", image, err)
		}
	})
}
