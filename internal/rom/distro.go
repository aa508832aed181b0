package rom

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Where packages put their iPXEs, under which names, and which of several is served.
//
// What is in the places, by packages' own file lists and spec files:
//
//	Debian, Ubuntu    ipxe                      /usr/lib/ipxe: undionly.kpxe, ipxe.pxe, ipxe.efi and snponly.efi (x64);
//	                                            since 1.21.1+git20250501 also ipxe-amd64.efi, -arm64, -riscv64, -loong64
//	                                            (some Ubuntu releases: /boot/ipxe-arm64.efi only)
//	Fedora, RHEL      ipxe-bootimgs-x86         /usr/share/ipxe: undionly.kpxe, ipxe-x86_64.efi, ipxe-i386.efi,
//	                                            ipxe-snponly-x86_64.efi; RHEL 10 only the first and the last of these
//	                  ipxe-bootimgs-aarch64     /usr/share/ipxe/arm64-efi: snponly.efi; Fedora also ipxe.efi
//	openSUSE, SLE     ipxe-bootimgs             /usr/share/ipxe: undionly.kpxe, {ipxe,snp}-{i386,x86_64}.efi, snp-arm64.efi
//	Arch              ipxe                      /usr/share/ipxe: ipxe.pxe, {i386,x86_64}/ipxe.efi; no undionly.kpxe; files with
//	                                            -arch and -remote in their names have scripts of their own
//	iPXE itself       ipxeboot.tar.gz (2.0.0)   undionly.kpxe, ipxe.pxe, {i386,x86_64,arm32,arm64,riscv32,riscv64,loong64}/
//	                                            {ipxe,snponly}.efi; -legacy has old drivers; *-sb is for Secure Boot
//	                  a build                   bin-x86_64-pcbios/undionly.kpxe, bin-x86_64-efi/ipxe.efi, ...
//
// Alpine's package alpine-ipxe is not for us: its iPXEs hold a script that boots Alpine's own server
// and so never ask for ours.

// Place is where a distribution's package puts boot files.
type Place struct {
	Name string   // the distribution, for people
	Dirs []string // folders in the system's root, as fs.FS names them; the first that has a file wins
}

// Places returns the places of all known packages. Fedora, SUSE and Arch share a folder and differ in
// the names of files only.
func Places() []Place {
	return []Place{
		{"Debian or Ubuntu", []string{"usr/lib/ipxe", "boot"}},
		{"Fedora, SUSE or Arch", []string{"usr/share/ipxe"}},
	}
}

// Choice is the boot file to serve to a platform, out of several.
type Choice struct {
	Dir   string // the folder searched
	Name  string // the file's path in Dir, also the name to serve it under; empty where none was fit
	Image Image

	// Passed says of better candidates that exist why they are not served: each names its file. A name
	// that several platforms share, such as ipxe.efi, is no candidate where the file is for another one.
	Passed []error
}

// Found reports whether there is a file to serve.
func (c Choice) Found() bool { return c.Name != "" }

// Path returns the file's path in the file system that was searched.
func (c Choice) Path() string { return path.Join(c.Dir, c.Name) }

// Find returns the first place in root, the system's root directory, that has a boot file for any
// platform, and what it has for each. It follows symbolic links as root does: Debian 12 has some that
// lead to /boot, so a file system that stops at the borders of a folder does not find them.
func Find(root fs.FS) (place Place, choices map[proxydhcp.Platform]Choice, ok bool) {
	for _, place := range Places() {
		choices := map[proxydhcp.Platform]Choice{}
		for _, platform := range proxydhcp.Platforms() {
			for _, dir := range place.Dirs {
				if choice := Choose(root, dir, platform); choice.Found() {
					choices[platform] = choice
					break
				}
			}
		}
		if len(choices) > 0 {
			return place, choices, true
		}
	}
	return Place{}, nil, false
}

// Choose returns the first candidate for the platform in a folder whose own headers say that the
// platform's firmware can start it. Names mislead: ipxe.efi is for x64 in one package and for whatever
// was built last in a home-made folder.
func Choose(fsys fs.FS, dir string, platform proxydhcp.Platform) Choice {
	choice := Choice{Dir: dir}
	for _, name := range Candidates(platform) {
		image, err := ReadFile(fsys, path.Join(dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			choice.Passed = append(choice.Passed, err)
		case image.Fits(platform) == Misfit && !claims(name, platform):
		case image.Fits(platform) == Misfit:
			choice.Passed = append(choice.Passed, fmt.Errorf("boot file %q: is %v, not for %s", path.Join(dir, name), image, platform))
		default:
			choice.Name, choice.Image = name, image
			return choice
		}
	}
	return choice
}

// claims reports whether a candidate's name says that it is for the platform.
func claims(name string, platform proxydhcp.Platform) bool {
	return platform == proxydhcp.BIOS || slices.ContainsFunc(processors[platform], func(cpu string) bool { return strings.Contains(name, cpu) })
}

// Candidates returns the file names to look for in a folder, best first.
//
// A name with -fixed comes first: who has put a patched ROM beside the plain one has done so because the
// plain one must not be served (its version would never satisfy the policy).
//
// For UEFI, snponly.efi comes before ipxe.efi, as undionly.kpxe comes before ipxe.pxe for BIOS: it drives
// the network card through the firmware's own driver, which has just proved that it works by loading
// this very file, and nothing else. ipxe.efi takes the card away from the firmware and drives it itself;
// where its driver is at fault (Broadcom, Intel X520, ConnectX and others by reports) the machine hangs.
// The other way round happens too, more rarely; then --rom x64=ipxe.efi. It is a third of the size as
// well, and the only one that every package has. snp.efi is like snponly.efi, but tries all cards.
//
// Of otherwise equal names the one that says the processor comes first, so that two machines' files in
// one folder are told apart without being opened.
func Candidates(platform proxydhcp.Platform) []string {
	if platform == proxydhcp.BIOS {
		return biosCandidates()
	}
	cpus := processors[platform]
	var names []string
	add := func(patterns ...string) {
		for _, pattern := range patterns {
			for _, cpu := range cpus {
				names = append(names, fmt.Sprintf(pattern, cpu))
			}
		}
	}
	add("snponly-%s-fixed.efi", "ipxe-%s-fixed.efi")
	names = append(names, "snponly-fixed.efi", "ipxe-fixed.efi")
	for _, driver := range []string{"snponly", "snp", "ipxe"} {
		if driver != "ipxe" {
			add("ipxe-" + driver + "-%s.efi")
		}
		add(driver+"-%s.efi", "%s/"+driver+".efi", "%s-efi/"+driver+".efi", "bin-%s-efi/"+driver+".efi")
		names = append(names, driver+".efi")
	}
	return names
}

// processors are the names of a platform's processor in file names: iPXE's own first.
var processors = map[proxydhcp.Platform][]string{
	proxydhcp.IA32:    {"i386", "ia32"},
	proxydhcp.X64:     {"x86_64", "amd64", "x64"},
	proxydhcp.ARM32:   {"arm32", "arm"},
	proxydhcp.ARM64:   {"arm64", "aarch64"},
	proxydhcp.RISCV32: {"riscv32"},
	proxydhcp.RISCV64: {"riscv64"},
	proxydhcp.Loong64: {"loong64", "loongarch64"},
}

// biosCandidates are the candidates for BIOS. undionly.kpxe uses the card's own PXE stack; ipxe.pxe has
// drivers; .kkpxe leaves more of the PXE stack in memory than all but a few BIOSes need.
func biosCandidates() []string {
	names := []string{"undionly-fixed.kpxe", "ipxe-fixed.pxe"}
	for _, file := range []string{"undionly.kpxe", "undionly.kkpxe", "ipxe.pxe"} {
		for _, dir := range []string{"", "x86_64", "i386", "bin-x86_64-pcbios", "bin-i386-pcbios", "bin"} {
			names = append(names, path.Join(dir, file))
		}
	}
	return names
}
