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
//	  -legacy has old drivers; for Secure Boot there are {x86_64,arm64}-sb,
//	  with signed iPXEs and links such as snponly-shim.efi to one shim
//	  (src/util/gensrvimg)
//	what "rom fetch" brings
//	  a part of such an archive, in a directory of our own
//	iPXE build directory
//	  bin-x86_64-pcbios/undionly.kpxe, bin-x86_64-efi/ipxe.efi, ...
//
// Alpine's package alpine-ipxe is not used: its iPXEs have an embedded script
// that boots from Alpine's server, so they never ask for a script.

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// places returns the directories where boot files are without anybody naming
// one, as fs.FS names them: ours, then those where the packages of each
// distribution install theirs. Of the directories of one place, the first with
// a file for a platform is used.
func places() [][]string {
	return [][]string{
		{FetchedDir()},
		{"usr/lib/ipxe", "boot"}, // Debian, Ubuntu
		{"usr/share/ipxe"},       // Fedora, SUSE, Arch: different file names
	}
}

// FetchedDir returns the directory that a release of iPXE is fetched into on
// this system, as fs.FS names it below the root directory.
func FetchedDir() string {
	switch runtime.GOOS {
	case "windows":
		return "ProgramData/pxesidecar/ipxe"
	case "darwin":
		return "Library/Application Support/pxesidecar/ipxe"
	case "freebsd":
		return "var/db/pxesidecar/ipxe"
	}
	return "var/lib/pxesidecar/ipxe"
}

// Choice is one way to start an iPXE on a platform, found in a directory: an
// iPXE, or a shim that loads one.
type Choice struct {
	dir    string // the directory that was searched
	Name   string // path in the directory of the file that firmware loads, and the name to serve it under; empty if no file was usable
	Image  Image
	Second Second // what the shim loads; zero if the file is not a shim
}

// found reports whether there is a file to serve.
func (c Choice) found() bool { return c.Name != "" }

// Path returns the file's path in the file system that was searched.
func (c Choice) Path() string { return path.Join(c.dir, c.Name) }

// Choices are the boot files of a directory that one platform can be served.
type Choices struct {
	// Usable are the files, best first. No two are of one kind: with or
	// without a shim, with the firmware's driver or with iPXE's own.
	Usable []Choice

	// Passed are the reasons why better candidates were not chosen. Each
	// names its file. A file for another platform is reported only if its
	// name says that it is for this one: several platforms share names such
	// as ipxe.efi.
	Passed []error

	// Others are the files with a candidate's name that are not among the
	// usable ones.
	Others []Other
}

// Other is a file that is not used.
type Other struct {
	Choice        // without an image if it cannot be used
	Why    string // it is not used
}

// best returns the best choice, the zero Choice if there is none.
func (c Choices) best() Choice {
	if len(c.Usable) == 0 {
		return Choice{}
	}
	return c.Usable[0]
}

// Shims says whether shims are looked for.
type Shims bool

// With or without shims.
const (
	WithShims    Shims = true
	WithoutShims Shims = false
)

// Place is a place that has boot files without anybody naming it.
type Place struct {
	Dir     string // for people: the first of its directories, as fs.FS names it
	Choices map[proxydhcp.Platform]Choices
}

// Places returns the places of boot files under root, the system's root
// directory, that have a file for any platform: the best first.
//
// Symbolic links are followed as root follows them. Debian 12 has links that
// lead to /boot, so a file system that does not leave its directory does not
// find them.
func Places(root fs.FS, shims Shims) iter.Seq[Place] {
	return func(yield func(Place) bool) {
		for _, dirs := range places() {
			place := Place{dirs[0], map[proxydhcp.Platform]Choices{}}
			for _, platform := range proxydhcp.Platforms() {
				if choices := chooseIn(root, dirs, platform, shims); len(choices.Usable) > 0 {
					place.Choices[platform] = choices
				}
			}
			if len(place.Choices) > 0 && !yield(place) {
				return
			}
		}
	}
}

// chooseIn returns the candidates of the first directory that has one.
func chooseIn(root fs.FS, dirs []string, platform proxydhcp.Platform, shims Shims) Choices {
	var found Choices
	for _, dir := range dirs {
		choices := Choose(root, dir, platform, shims)
		if len(found.Usable) == 0 {
			choices.Others = append(found.Others, choices.Others...)
			found = choices
			continue
		}
		for _, usable := range choices.Usable {
			found.Others = append(found.Others, Other{usable, "another directory of the same package comes first"})
		}
		found.Others = append(found.Others, choices.Others...)
	}
	return found
}

// Find returns the boot files of the best of those places, by platform, and nil
// if there is none.
func Find(root fs.FS, shims Shims) map[proxydhcp.Platform]Choices {
	for place := range Places(root, shims) {
		return place.Choices
	}
	return nil
}

// Choose returns the candidates for the platform in a directory whose headers
// say that the platform's firmware can start them, best first. A name is not
// enough: ipxe.efi is for x64 in one package, and for any platform in a
// directory that somebody filled by hand.
//
// A shim is a candidate if it is signed and its second stage is a signed iPXE.
// It comes before every file without a shim, because machines start it with
// Secure Boot and without.
func Choose(fsys fs.FS, dir string, platform proxydhcp.Platform, shims Shims) Choices {
	var found Choices
	of := map[kind]Choice{}
	for _, c := range candidates(platform) {
		choice, err := c.choose(fsys, dir, platform)
		why := ""
		switch better, taken := of[c.kind], of[c.kind].found(); {
		case err == nil && !choice.found():
			continue
		case c.shim && !bool(shims):
			why = "a shim, and none is wanted"
		case taken:
			why = fmt.Sprintf("of the same kind as %s, which comes first", better.Name)
		case err != nil:
			if why = err.Error(); len(found.Usable) == 0 {
				found.Passed = append(found.Passed, err)
			}
		case found.clashes(choice):
			why = "it would need the name of another file that is used"
		default:
			of[c.kind] = choice
			found.Usable = append(found.Usable, choice)
			continue
		}
		found.Others = append(found.Others, Other{Choice{dir, c.name, choice.Image, choice.Second}, why})
	}
	return found
}

// IsUsualName reports whether a file of that name in a directory of boot files
// may be chosen for some platform, or loaded by a shim that is.
func IsUsualName(name string) bool {
	for _, platform := range proxydhcp.Platforms() {
		for _, c := range candidates(platform) {
			if c.name == name || c.shim && withoutShim(c.name) == name {
				return true
			}
		}
	}
	return false
}

// choose returns the candidate, if the directory has it and the platform can
// start it. If it has it and cannot be used, and its name says that it is for
// the platform, the error says why.
func (c candidate) choose(fsys fs.FS, dir string, platform proxydhcp.Platform) (Choice, error) {
	file := path.Join(dir, c.name)
	image, err := ReadFile(fsys, file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Choice{}, nil
	case err != nil:
		return Choice{}, err
	case !image.Fits(platform) && namesPlatform(c.name, platform):
		return Choice{}, fmt.Errorf("boot file %q: is %v, not for %s", file, image, platform)
	case !image.Fits(platform), c.shim && !image.IsShim():
		return Choice{}, nil
	case image.IsShim() && !c.shim:
		return Choice{}, fmt.Errorf("boot file %q: is a shim; shims have names such as snponly-shim.efi and shimx64.efi", file)
	case !c.shim:
		return Choice{dir: dir, Name: c.name, Image: image}, nil
	}
	second, err := FindSecond(fsys, file, image)
	if err == nil && !second.Image.IsIPXE() {
		return Choice{}, nil // a GRUB's shim, which starts something else
	}
	if err == nil {
		err = checkChain(image, second, platform)
	}
	if err != nil {
		return Choice{}, fmt.Errorf("boot file %q: %w", file, err)
	}
	second.Name, second.File = within(dir, second.Name), within(dir, second.File)
	return Choice{dir: dir, Name: c.name, Image: image, Second: second}, nil
}

// within returns a path relative to a directory that it is in.
func within(dir, name string) string { return strings.TrimPrefix(name, dir+"/") }

// clashes reports whether a choice cannot be served beside those found: two
// shims in one directory that ask for the same name, and mean two files; or the
// second stage of one of them, without its shim.
func (c Choices) clashes(choice Choice) bool {
	return slices.ContainsFunc(c.Usable, func(found Choice) bool {
		sameName := found.Second.Name != "" && found.Second.Name == choice.Second.Name && found.Second.File != choice.Second.File
		return sameName || found.Second.Name == choice.Name || found.Second.File == choice.Name
	})
}

// namesPlatform reports whether a candidate's name says that it is for the
// platform.
func namesPlatform(name string, platform proxydhcp.Platform) bool {
	return platform == proxydhcp.BIOS || strings.Contains(name, "shim"+suffixes[platform]) ||
		slices.ContainsFunc(processors[platform], func(cpu string) bool { return strings.Contains(name, cpu) })
}

// candidate is the name of a file to look for in a directory.
type candidate struct {
	name string
	kind
}

// kind is what distinguishes the candidates of a platform: if one does not
// start on a machine, one of another kind may.
type kind struct {
	shim bool // the file is a shim
	own  bool // the iPXE has drivers of its own
}

// candidates returns the files to look for in a directory, best first.
//
// A name with -fixed comes before the others without a shim: a patched ROM
// stands beside the original if the original must not be served, because its
// version would never meet the policy.
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
func candidates(platform proxydhcp.Platform) []candidate {
	if platform == proxydhcp.BIOS {
		return biosCandidates()
	}
	cpus := processors[platform]
	list := shimCandidates(platform)
	add := func(own bool, patterns ...string) {
		for _, pattern := range patterns {
			for _, cpu := range cpus {
				list = append(list, candidate{fmt.Sprintf(pattern, cpu), kind{own: own}})
			}
		}
	}
	add(false, "snponly-%s-fixed.efi")
	add(true, "ipxe-%s-fixed.efi")
	list = append(list, candidate{"snponly-fixed.efi", kind{}}, candidate{"ipxe-fixed.efi", kind{own: true}})
	for _, driver := range drivers {
		own := driver == ownDrivers
		if !own {
			add(own, "ipxe-"+driver+"-%s.efi")
		}
		add(own, driver+"-%s.efi", "%s/"+driver+".efi", "%s-efi/"+driver+".efi", "bin-%s-efi/"+driver+".efi")
		list = append(list, candidate{driver + ".efi", kind{own: own}})
	}
	return list
}

// drivers are the beginnings of the names of EFI images, best first.
// ownDrivers is the one with drivers of its own.
var drivers = []string{"snponly", "snp", ownDrivers}

const ownDrivers = "ipxe"

// shimCandidates returns the names of shims to look for: in the layout of
// iPXE's releases, where the shim is named after its second stage, and those
// that distributions give their shims, which load a file of any driver.
func shimCandidates(platform proxydhcp.Platform) (list []candidate) {
	var dirs []string
	for _, cpu := range processors[platform] {
		dirs = append(dirs, cpu+"-sb", cpu, cpu+"-efi", "bin-"+cpu+"-efi-sb", "bin-"+cpu+"-efi")
	}
	dirs = append(dirs, "")
	suffix := suffixes[platform]
	for _, driver := range drivers {
		k := kind{shim: true, own: driver == ownDrivers}
		for _, dir := range dirs {
			for _, tail := range []string{"-shim.efi", "-shim" + suffix + ".efi"} {
				list = append(list, candidate{path.Join(dir, driver+tail), k})
			}
		}
		for _, cpu := range processors[platform] {
			list = append(list, candidate{driver + "-" + cpu + "-shim.efi", k})
		}
	}
	for _, dir := range dirs {
		for _, name := range []string{"shim" + suffix, "shim", "boot" + suffix, "BOOT" + strings.ToUpper(suffix)} {
			ending := ".efi"
			if name == strings.ToUpper(name) {
				ending = ".EFI"
			}
			list = append(list, candidate{path.Join(dir, name+ending), kind{shim: true}})
		}
	}
	return list
}

// suffixes are the names of each UEFI platform's processor at the end of boot
// loaders' names (UEFI 2.10, section 3.5.1.1; shim's Make.defaults).
var suffixes = [...]string{
	proxydhcp.IA32:    "ia32",
	proxydhcp.X64:     "x64",
	proxydhcp.ARM32:   "arm",
	proxydhcp.ARM64:   "aa64",
	proxydhcp.RISCV32: "riscv32",
	proxydhcp.RISCV64: "riscv64",
	proxydhcp.Loong64: "loongarch64",
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
func biosCandidates() []candidate {
	list := []candidate{{"undionly-fixed.kpxe", kind{}}, {"ipxe-fixed.pxe", kind{own: true}}}
	for _, file := range []string{"undionly.kpxe", "undionly.kkpxe", "ipxe.pxe"} {
		for _, dir := range []string{"", "x86_64", "i386", "bin-x86_64-pcbios", "bin-i386-pcbios", "bin"} {
			list = append(list, candidate{path.Join(dir, file), kind{own: file == "ipxe.pxe"}})
		}
	}
	return list
}
