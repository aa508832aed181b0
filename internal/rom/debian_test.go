package rom

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// debianDir is where Debian's package ipxe installs boot files. The test
// command installs that package.
const debianDir = "/usr/lib/ipxe"

// The features of three Debian releases of iPXE. The first has neither HTTPS
// (20) nor VLAN (38). Only builds with drivers for it have SRP (27).
var (
	oldDebian      = []uint8{17, 18, 19, 21, 23, 27, 36, 39, 41}
	oldDebianSNP   = []uint8{17, 18, 19, 21, 23, 36, 39, 41}
	newDebian      = []uint8{17, 18, 19, 20, 21, 23, 27, 36, 38, 39, 41}
	newDebianSNP   = []uint8{17, 18, 19, 20, 21, 23, 36, 38, 39, 41}
	debianReleases = []debianRelease{
		{text: "1.0.0+git-20190125", version: [3]byte{1, 0, 0}, full: oldDebian, snp: oldDebianSNP},
		// Built outside a git clone, it does not know its version.
		{text: "1.21.1+git", version: [3]byte{1, 0, 0}, full: newDebian, snp: newDebianSNP},
		{text: "2.0.0+", version: [3]byte{2, 0, 0}, full: newDebian, snp: newDebianSNP},
	}
)

// debianRelease is one version of the package.
type debianRelease struct {
	text      string // how ${version} begins
	version   [3]byte
	full, snp []uint8 // features of ipxe*.efi and snponly.efi
}

// TestReadDebianPackage checks what is read from every boot file of the
// installed package.
func TestReadDebianPackage(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(debianDir, "*.*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no boot files in %s: install Debian's package ipxe, as make test does", debianDir)
	}
	kernel := readDebian(t, "ipxe.lkrn")
	release, ok := releaseOf(kernel.VersionText)
	if !ok {
		t.Fatalf("Debian's iPXE is %q: a release that debianReleases does not have", kernel.VersionText)
	}
	for _, path := range names {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			got := readDebian(t, name)
			want := release.expect(name, kernel.VersionText)
			want.Size = got.Size
			if diff := cmp.Diff(want, got, allUnexported); diff != "" {
				t.Errorf("ReadFile (-want +got):\n%s", diff)
			}
		})
	}
}

// readDebian reads a file of the package. It follows the package's absolute
// links, one of which leads to /boot.
func readDebian(t *testing.T, name string) Image {
	t.Helper()
	path, err := filepath.EvalSymlinks(filepath.Join(debianDir, name))
	if err != nil {
		t.Fatal(err)
	}
	var fsys fs.FS = os.DirFS("/")
	image, err := ReadFile(fsys, strings.TrimPrefix(path, "/"))
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// releaseOf returns the release whose ${version} is text.
func releaseOf(text string) (debianRelease, bool) {
	for _, release := range debianReleases {
		if strings.HasPrefix(text, release.text) {
			return release, true
		}
	}
	return debianRelease{}, false
}

// expect returns the Image of the release's file of that name.
func (r debianRelease) expect(name, text string) Image {
	switch filepath.Ext(name) {
	case ".kpxe", ".kkpxe", ".pxe":
		return Image{format: formatNBP, isIPXE: true}
	case ".lkrn":
		return Image{format: formatKernel, isIPXE: true, VersionText: text}
	case ".rom":
		return Image{format: formatOptionROM}
	case ".iso":
		return Image{format: formatDisk}
	}
	machine := map[string]machine{
		"ipxe-arm64.efi": machineARM64, "ipxe-riscv64.efi": machineRISCV64, "ipxe-loong64.efi": machineLoong64,
	}[name]
	if machine == 0 {
		machine = machineX64 // ipxe.efi, ipxe-amd64.efi, snponly.efi
	}
	features := r.full
	if name == "snponly.efi" {
		features = r.snp
	}
	return Image{
		format: formatEFI, machine: machine, subsystem: efiApplication, VersionText: text,
		isIPXE: true, HasVersion: true, Version: r.version, HasFeatures: true, Features: features,
	}
}

// TestFindDebianPackage checks that the package's files are found from the
// system's root, through any links.
func TestFindDebianPackage(t *testing.T) {
	choices := Find(os.DirFS("/"), WithShims)
	for platform, want := range map[proxydhcp.Platform]string{proxydhcp.BIOS: "usr/lib/ipxe/undionly.kpxe", proxydhcp.X64: "usr/lib/ipxe/snponly.efi"} {
		if got := choices[platform].best().Path(); got != want {
			t.Errorf("%s: %q, want %q", platform, got, want)
		}
	}
}
