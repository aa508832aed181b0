package rom

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// bootProgram is a BIOS network boot program.
var bootProgram = &fstest.MapFile{Data: []byte("\xea\x05\x00\xc0\x07" + string(biosMark))}

// packageFiles are the file lists of distributions' packages, and the file of
// each that must be served.
var packageFiles = map[string]struct {
	files fstest.MapFS
	want  map[proxydhcp.Platform]string
}{
	"Debian 12": {
		files: fstest.MapFS{
			"usr/lib/ipxe/undionly.kpxe": bootProgram, "usr/lib/ipxe/undionly.kkpxe": bootProgram, "usr/lib/ipxe/ipxe.pxe": bootProgram,
			"usr/lib/ipxe/ipxe.efi": efiFile(proxydhcp.X64), "usr/lib/ipxe/snponly.efi": efiFile(proxydhcp.X64), "boot/ipxe.efi": efiFile(proxydhcp.X64),
		},
		want: map[proxydhcp.Platform]string{proxydhcp.BIOS: "usr/lib/ipxe/undionly.kpxe", proxydhcp.X64: "usr/lib/ipxe/snponly.efi"},
	},
	"Debian 13": {
		files: fstest.MapFS{
			"usr/lib/ipxe/undionly.kpxe": bootProgram, "usr/lib/ipxe/ipxe.pxe": bootProgram, "usr/lib/ipxe/ipxe.efi": efiFile(proxydhcp.X64),
			"usr/lib/ipxe/snponly.efi": efiFile(proxydhcp.X64), "usr/lib/ipxe/ipxe-amd64.efi": efiFile(proxydhcp.X64), "usr/lib/ipxe/ipxe-arm64.efi": efiFile(proxydhcp.ARM64),
			"usr/lib/ipxe/ipxe-loong64.efi": efiFile(proxydhcp.Loong64), "usr/lib/ipxe/ipxe-riscv64.efi": efiFile(proxydhcp.RISCV64),
		},
		want: map[proxydhcp.Platform]string{
			proxydhcp.BIOS: "usr/lib/ipxe/undionly.kpxe", proxydhcp.X64: "usr/lib/ipxe/snponly.efi", proxydhcp.ARM64: "usr/lib/ipxe/ipxe-arm64.efi",
			proxydhcp.Loong64: "usr/lib/ipxe/ipxe-loong64.efi", proxydhcp.RISCV64: "usr/lib/ipxe/ipxe-riscv64.efi",
		},
	},
	"Ubuntu with arm64 in /boot": {
		files: fstest.MapFS{"usr/lib/ipxe/undionly.kpxe": bootProgram, "usr/lib/ipxe/ipxe.efi": efiFile(proxydhcp.X64), "boot/ipxe-arm64.efi": efiFile(proxydhcp.ARM64)},
		want:  map[proxydhcp.Platform]string{proxydhcp.BIOS: "usr/lib/ipxe/undionly.kpxe", proxydhcp.X64: "usr/lib/ipxe/ipxe.efi", proxydhcp.ARM64: "boot/ipxe-arm64.efi"},
	},
	"Fedora": {
		files: fstest.MapFS{
			"usr/share/ipxe/undionly.kpxe": bootProgram, "usr/share/ipxe/ipxe-i386.efi": efiFile(proxydhcp.IA32), "usr/share/ipxe/ipxe-x86_64.efi": efiFile(proxydhcp.X64),
			"usr/share/ipxe/ipxe-snponly-x86_64.efi": efiFile(proxydhcp.X64), "usr/share/ipxe/arm64-efi/snponly.efi": efiFile(proxydhcp.ARM64), "usr/share/ipxe/arm64-efi/ipxe.efi": efiFile(proxydhcp.ARM64),
		},
		want: map[proxydhcp.Platform]string{
			proxydhcp.BIOS: "usr/share/ipxe/undionly.kpxe", proxydhcp.IA32: "usr/share/ipxe/ipxe-i386.efi", proxydhcp.X64: "usr/share/ipxe/ipxe-snponly-x86_64.efi",
			proxydhcp.ARM64: "usr/share/ipxe/arm64-efi/snponly.efi",
		},
	},
	"openSUSE": {
		files: fstest.MapFS{
			"usr/share/ipxe/undionly.kpxe": bootProgram, "usr/share/ipxe/ipxe-i386.efi": efiFile(proxydhcp.IA32), "usr/share/ipxe/snp-i386.efi": efiFile(proxydhcp.IA32),
			"usr/share/ipxe/ipxe-x86_64.efi": efiFile(proxydhcp.X64), "usr/share/ipxe/snp-x86_64.efi": efiFile(proxydhcp.X64), "usr/share/ipxe/snp-arm64.efi": efiFile(proxydhcp.ARM64),
		},
		want: map[proxydhcp.Platform]string{
			proxydhcp.BIOS: "usr/share/ipxe/undionly.kpxe", proxydhcp.IA32: "usr/share/ipxe/snp-i386.efi", proxydhcp.X64: "usr/share/ipxe/snp-x86_64.efi", proxydhcp.ARM64: "usr/share/ipxe/snp-arm64.efi",
		},
	},
	"Arch": {
		files: fstest.MapFS{
			"usr/share/ipxe/ipxe.pxe": bootProgram, "usr/share/ipxe/ipxe-arch.pxe": bootProgram, "usr/share/ipxe/i386/ipxe.efi": efiFile(proxydhcp.IA32),
			"usr/share/ipxe/x86_64/ipxe.efi": efiFile(proxydhcp.X64), "usr/share/ipxe/x86_64/ipxe-arch.efi": efiFile(proxydhcp.X64),
		},
		want: map[proxydhcp.Platform]string{proxydhcp.BIOS: "usr/share/ipxe/ipxe.pxe", proxydhcp.IA32: "usr/share/ipxe/i386/ipxe.efi", proxydhcp.X64: "usr/share/ipxe/x86_64/ipxe.efi"},
	},
	"nothing":                      {files: fstest.MapFS{"usr/share/doc/ipxe": {Data: []byte("text")}}},
	"directory without boot files": {files: fstest.MapFS{"usr/lib/ipxe/ipxe.iso": {Data: []byte("text")}}},
}

// platformMachines are the machines that each platform's EFI images are built
// for.
var platformMachines = map[proxydhcp.Platform]machine{
	proxydhcp.IA32:    machineI386,
	proxydhcp.X64:     machineX64,
	proxydhcp.ARM32:   machineThumb,
	proxydhcp.ARM64:   machineARM64,
	proxydhcp.RISCV32: machineRISCV32,
	proxydhcp.RISCV64: machineRISCV64,
	proxydhcp.Loong64: machineLoong64,
}

// efiFile returns an EFI image for a platform.
func efiFile(platform proxydhcp.Platform) *fstest.MapFile {
	return &fstest.MapFile{Data: efi{machine: platformMachines[platform], sections: []section{data(table200)}}.build()}
}

func TestFindInPackages(t *testing.T) {
	for name, test := range packageFiles {
		t.Run(name, func(t *testing.T) {
			var got map[proxydhcp.Platform]string
			for platform, choices := range Find(test.files, WithShims) {
				choice := choices.best()
				if got == nil {
					got = map[proxydhcp.Platform]string{}
				}
				got[platform] = choice.Path()
				if !choice.Image.Fits(platform) {
					t.Errorf("%s gets %v", platform, choice.Image)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("choices (-want +got):\n%s", diff)
			}
		})
	}
}

// TestChooseByDirectoryLayout checks the directories of an iPXE release and of
// an iPXE build.
func TestChooseByDirectoryLayout(t *testing.T) {
	release, build := fstest.MapFS{"undionly.kpxe": bootProgram}, fstest.MapFS{"bin-x86_64-pcbios/undionly.kpxe": bootProgram}
	for platform, cpu := range map[proxydhcp.Platform]string{
		proxydhcp.IA32: "i386", proxydhcp.X64: "x86_64", proxydhcp.ARM32: "arm32", proxydhcp.ARM64: "arm64", proxydhcp.RISCV32: "riscv32", proxydhcp.RISCV64: "riscv64", proxydhcp.Loong64: "loong64",
	} {
		for _, file := range []string{"ipxe.efi", "ipxe-legacy.efi", "snponly.efi"} {
			release[cpu+"/"+file] = efiFile(platform)
		}
		release[cpu+"-sb/snponly.efi"] = efiFile(platform)
		build["bin-"+cpu+"-efi/ipxe.efi"] = efiFile(platform)
		if got, want := Choose(release, ".", platform, WithShims).best().Path(), cpu+"/snponly.efi"; got != want {
			t.Errorf("release, %s: %q, want %q", platform, got, want)
		}
		if got, want := Choose(build, ".", platform, WithShims).best().Path(), "bin-"+cpu+"-efi/ipxe.efi"; got != want {
			t.Errorf("build, %s: %q, want %q", platform, got, want)
		}
	}
	for name, fsys := range map[string]fs.FS{"undionly.kpxe": release, "bin-x86_64-pcbios/undionly.kpxe": build} {
		if got := Choose(fsys, ".", proxydhcp.BIOS, WithShims).best().Path(); got != name {
			t.Errorf("BIOS: %q, want %q", got, name)
		}
	}
}

func TestChooseByNameAndHeader(t *testing.T) {
	patched := fstest.MapFS{
		"ipxe-x86_64-fixed.efi": efiFile(proxydhcp.X64), "ipxe-i386-fixed.efi": efiFile(proxydhcp.IA32), "undionly-fixed.kpxe": bootProgram,
		"ipxe-x86_64.efi": efiFile(proxydhcp.X64), "snponly.efi": efiFile(proxydhcp.X64), "ipxe-i386.efi": efiFile(proxydhcp.IA32), "undionly.kpxe": bootProgram,
	}
	wrong := fstest.MapFS{"srv/snponly.efi": efiFile(proxydhcp.ARM64), "srv/ipxe.efi": efiFile(proxydhcp.X64), "srv/undionly.kpxe": {}, "srv/ipxe.pxe/x": {}}
	unmarked := fstest.MapFS{"undionly.kpxe": {Data: []byte("\xfa\xfc")}}
	tests := map[string]struct {
		fsys     fs.FS
		dir      string
		platform proxydhcp.Platform
		want     string
		passed   []string
	}{
		"patched x64":       {patched, ".", proxydhcp.X64, "ipxe-x86_64-fixed.efi", nil},
		"patched ia32":      {patched, ".", proxydhcp.IA32, "ipxe-i386-fixed.efi", nil},
		"patched BIOS":      {patched, ".", proxydhcp.BIOS, "undionly-fixed.kpxe", nil},
		"other machine":     {wrong, "srv", proxydhcp.X64, "ipxe.efi", nil},
		"misleading name":   {fstest.MapFS{"ipxe-x86_64.efi": efiFile(proxydhcp.ARM64)}, ".", proxydhcp.X64, "", []string{`boot file "ipxe-x86_64.efi": is an EFI image for arm64, iPXE 2.0.0, not for x64`}},
		"this machine":      {wrong, "srv", proxydhcp.ARM64, "snponly.efi", nil},
		"empty, directory":  {wrong, "srv", proxydhcp.BIOS, "", []string{`boot file "srv/undionly.kpxe": is empty, not for bios`, `boot file "srv/ipxe.pxe": is a directory, name a file in it`}},
		"none":              {wrong, "srv", proxydhcp.RISCV64, "", nil},
		"doubtful":          {unmarked, ".", proxydhcp.BIOS, "undionly.kpxe", nil},
		"missing directory": {wrong, "none", proxydhcp.X64, "", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			choices := Choose(test.fsys, test.dir, test.platform, WithShims)
			choice := choices.best()
			if choice.Name != test.want || choice.found() != (test.want != "") || choice.found() && choice.dir != test.dir {
				t.Errorf("Choose = %q in %q, want %q", choice.Name, choice.dir, test.want)
			}
			var passed []string
			for _, err := range choices.Passed {
				passed = append(passed, err.Error())
			}
			if diff := cmp.Diff(test.passed, passed); diff != "" {
				t.Errorf("Passed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCandidatesAreValidAndUnique(t *testing.T) {
	for _, platform := range proxydhcp.Platforms() {
		list := candidates(platform)
		for i, c := range list {
			if !fs.ValidPath(c.name) || slices.ContainsFunc(list[:i], func(other candidate) bool { return other.name == c.name }) {
				t.Errorf("%s: candidate %q is not a valid path, or repeated", platform, c.name)
			}
		}
	}
}

func TestPackageHint(t *testing.T) {
	const fetch = "fetch those of iPXE's newest release with: pxesidecar rom fetch"
	with := func(command string) string { return "install iPXE's boot files with: " + command + ", or " + fetch }
	tests := map[string]struct{ osRelease, command, hint string }{
		"Debian":       {"PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n", "apt-get install ipxe", with("apt-get install ipxe")},
		"Mint":         {"ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "apt-get install ipxe", with("apt-get install ipxe")},
		"Rocky":        {"ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "dnf install ipxe-bootimgs-x86 ipxe-bootimgs-aarch64", with("dnf install ipxe-bootimgs-x86 ipxe-bootimgs-aarch64")},
		"Tumbleweed":   {"ID='opensuse-tumbleweed'\n", "zypper install ipxe-bootimgs", with("zypper install ipxe-bootimgs")},
		"SLES":         {"ID=\"sles\"\nID_LIKE=\"suse\"\n", "zypper install ipxe-bootimgs", with("zypper install ipxe-bootimgs")},
		"Arch":         {"# comment=1\nID=arch", "pacman -S ipxe", with("pacman -S ipxe")},
		"Alpine":       {"ID=alpine\nPRETTY_NAME=\"Alpine Linux v3.20\"\n", "", "Alpine packages only iPXEs that boot Alpine's own server (alpine-ipxe), " + fetch},
		"unknown":      {"ID=plan9\nPRETTY_NAME=\"Plan 9\"\n", "", "no package of iPXE's boot files is known for Plan 9, " + fetch},
		"empty":        {"", "", fetch},
		"half a quote": {"ID=\"\nPRETTY_NAME=\"\n", "", "no package of iPXE's boot files is known for \", " + fetch},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := InstallCommand(strings.NewReader(test.osRelease)); got != test.command {
				t.Errorf("InstallCommand = %q, want %q", got, test.command)
			}
			if got := PackageHint(strings.NewReader(test.osRelease)); got != test.hint {
				t.Errorf("PackageHint = %q, want %q", got, test.hint)
			}
		})
	}
}

func ExampleChoose() {
	fsys := fstest.MapFS{"ipxe.efi": efiFile(proxydhcp.ARM64), "x64/ipxe.efi": efiFile(proxydhcp.ARM64)}
	fmt.Println(Choose(fsys, ".", proxydhcp.ARM64, WithShims).best().Name)
	file, why, _ := strings.Cut(Choose(fsys, ".", proxydhcp.X64, WithShims).Passed[0].Error(), ": ")
	fmt.Println(file)
	fmt.Println(why)
	// Output:
	// ipxe.efi
	// boot file "x64/ipxe.efi"
	// is an EFI image for arm64, iPXE 2.0.0, not for x64
}
