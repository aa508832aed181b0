package rom

// Where distributions install iPXE boot files, under which names, and which of
// several files is served.
//
// The directories and names come from the packages' file lists and spec files:
//
//	Debian, Ubuntu: package ipxe, in /usr/lib/ipxe
//	  undionly.kpxe, ipxe.pxe, ipxe.efi and snponly.efi (x64);
//	  since 1.21.1+git20250501 also ipxe-{amd64,arm64,riscv64,loong64}.efi;
//	  some Ubuntu releases have /boot/ipxe-arm64.efi only
//	Fedora, RHEL: package ipxe-bootimgs-x86, in /usr/share/ipxe
//	  undionly.kpxe, ipxe-x86_64.efi, ipxe-i386.efi, ipxe-snponly-x86_64.efi;
//	  RHEL 10 has only the first and the last of these
//	Fedora, RHEL: package ipxe-bootimgs-aarch64, in /usr/share/ipxe/arm64-efi
//	  snponly.efi; Fedora also ipxe.efi
//	openSUSE, SLE: package ipxe-bootimgs, in /usr/share/ipxe
//	  undionly.kpxe, {ipxe,snp}-{i386,x86_64}.efi, snp-arm64.efi
//	Arch: package ipxe, in /usr/share/ipxe
//	  ipxe.pxe, {i386,x86_64}/ipxe.efi; no undionly.kpxe;
//	  files with -arch and -remote in their names have embedded scripts
//	iPXE release 2.0.0: ipxeboot.tar.gz
//	  undionly.kpxe, ipxe.pxe, and ipxe.efi and snponly.efi in each of
//	  {i386,x86_64,arm32,arm64,riscv32,riscv64,loong64};
//	  -legacy has old drivers; *-sb is for Secure Boot
//	iPXE build directory
//	  bin-x86_64-pcbios/undionly.kpxe, bin-x86_64-efi/ipxe.efi, ...
//
// Alpine's package alpine-ipxe is not used: its iPXEs have an embedded script
// that boots from Alpine's server, so they never ask for a script.

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// distributions are the directories where the packages of each distribution
// install boot files, as fs.FS names them. Of the directories of one
// distribution, the first with a file for a platform is used.
var distributions = [...][]string{
	{"usr/lib/ipxe", "boot"}, // Debian, Ubuntu
	{"usr/share/ipxe"},       // Fedora, SUSE, Arch: different file names
}

// Choice is the boot file to serve to one platform, chosen from a directory.
type Choice struct {
	dir   string // the directory that was searched
	Name  string // path of the file in the directory, and the name to serve it under; empty if no file was usable
	Image Image

	// Passed are the reasons why better candidates were not chosen. Each
	// names its file. A file for another platform is reported only if its
	// name says that it is for this one: several platforms share names such
	// as ipxe.efi.
	Passed []error
}

// Found reports whether there is a file to serve.
func (c Choice) Found() bool { return c.Name != "" }

// Path returns the file's path in the file system that was searched.
func (c Choice) Path() string { return path.Join(c.dir, c.Name) }

// Find returns the boot files that a distribution's packages installed under
// root, the system's root directory, by platform. It returns those of the first
// distribution that has a file for any platform, and nil if there are none.
//
// Symbolic links are followed as root follows them. Debian 12 has links that
// lead to /boot, so a file system that does not leave its directory does not
// find them.
func Find(root fs.FS) map[proxydhcp.Platform]Choice {
	for _, dirs := range distributions {
		choices := map[proxydhcp.Platform]Choice{}
		for _, platform := range proxydhcp.Platforms() {
			for _, dir := range dirs {
				if choice := Choose(root, dir, platform); choice.Found() {
					choices[platform] = choice
					break
				}
			}
		}
		if len(choices) > 0 {
			return choices
		}
	}
	return nil
}

// Choose returns the first candidate for the platform in a directory whose
// headers say that the platform's firmware can start it. A name is not enough:
// ipxe.efi is for x64 in one package, and for any platform in a directory that
// somebody filled by hand.
func Choose(fsys fs.FS, dir string, platform proxydhcp.Platform) Choice {
	choice := Choice{dir: dir}
	for _, name := range candidates(platform) {
		image, err := ReadFile(fsys, path.Join(dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			choice.Passed = append(choice.Passed, err)
		case image.Fits(platform):
			choice.Name, choice.Image = name, image
			return choice
		case namesPlatform(name, platform):
			choice.Passed = append(choice.Passed, fmt.Errorf("boot file %q: is %v, not for %s", path.Join(dir, name), image, platform))
		}
	}
	return choice
}

// namesPlatform reports whether a candidate's name says that it is for the
// platform.
func namesPlatform(name string, platform proxydhcp.Platform) bool {
	return platform == proxydhcp.BIOS || slices.ContainsFunc(processors[platform], func(cpu string) bool { return strings.Contains(name, cpu) })
}

// candidates returns the file names to look for in a directory, best first.
//
// A name with -fixed comes first: a patched ROM stands beside the original if
// the original must not be served, because its version would never meet the
// policy.
//
// For UEFI, snponly.efi comes before ipxe.efi, as undionly.kpxe comes before
// ipxe.pxe for BIOS. It uses only the network card that the firmware booted
// from, through the firmware's own driver, which has just loaded this file and
// so works. ipxe.efi replaces the firmware's driver by its own. With some cards
// (Broadcom, Intel X520, ConnectX and others have been reported) the machine
// then hangs. The opposite happens too, more rarely; --rom x64=ipxe.efi is for
// that case. snponly.efi is also a third of the size, and the only one that
// every package has. snp.efi is like snponly.efi, but tries all network cards.
//
// Of otherwise equal names, the one with the processor comes first, so that
// files for two platforms in one directory are distinguished by name.
func candidates(platform proxydhcp.Platform) []string {
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

// processors are the names of each UEFI platform's processor in file names,
// iPXE's own name first.
var processors = [...][]string{
	proxydhcp.IA32:    {"i386", "ia32"},
	proxydhcp.X64:     {"x86_64", "amd64", "x64"},
	proxydhcp.ARM32:   {"arm32", "arm"},
	proxydhcp.ARM64:   {"arm64", "aarch64"},
	proxydhcp.RISCV32: {"riscv32"},
	proxydhcp.RISCV64: {"riscv64"},
	proxydhcp.Loong64: {"loong64", "loongarch64"},
}

// biosCandidates returns the candidates for BIOS. undionly.kpxe uses the
// network card's own PXE stack; ipxe.pxe has its own drivers. .kkpxe keeps more
// of the PXE stack in memory, which few BIOSes need.
func biosCandidates() []string {
	names := []string{"undionly-fixed.kpxe", "ipxe-fixed.pxe"}
	for _, file := range []string{"undionly.kpxe", "undionly.kkpxe", "ipxe.pxe"} {
		for _, dir := range []string{"", "x86_64", "i386", "bin-x86_64-pcbios", "bin-i386-pcbios", "bin"} {
			names = append(names, path.Join(dir, file))
		}
	}
	return names
}
