package ipxescript

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Upgrade is what VersionCheck is generated from: the third way to a newer
// iPXE, for networks where no DHCP answer can be changed. There the boot script
// that the other server hands out begins with checkLine, and the script that
// this line fetches replaces the iPXE it runs in.
//
// One iPXE leaves the next one nothing but what it passes on. Whether the
// replacement has been tried is therefore known in three ways:
//
//   - By the new iPXE's version, if that is known beforehand. VersionCheck
//     refuses a ROM whose ${version} is not among the accepted ones.
//   - By a setting, on UEFI. iPXEs since 2023 run the rest of their command
//     line as a script (src/interface/efi/efi_cmdline.c); the old one puts the
//     mark there. Older ones ignore it.
//   - By the server, for BIOS and for the rest. A network boot program has no
//     command line. Before an iPXE loads a ROM it says so to the server that
//     the script came from (see Want), and runs the answer: Proceed, or Tried
//     if the ROM has not helped, which sets the mark. A server that does not
//     know the name lets it go on.
type Upgrade struct {
	// Accepted are the full texts of ${version} that need no replacement, such
	// as "1.21.1+ (g6ba67)".
	Accepted []string

	// ROMs are the replacements. A machine of a platform without one keeps its
	// iPXE.
	ROMs map[proxydhcp.Platform]Replacement
}

// CheckName is the name under which the version check is served, in the folder
// of the boot script.
const CheckName = "version_check.ipxe"

// checkLine is the line that a boot script begins with, after #!ipxe, to be run
// by a current iPXE only. Without the file the boot script goes on.
const checkLine = "chain --autofree " + CheckName + " ||"

// mark is the setting that tells a new iPXE that it has replaced an old one.
const mark = "pxesidecar-upgraded"

// Want is what an iPXE says before it loads a ROM: that it is not the wanted
// one. The name of a file says it, because TFTP carries nothing else.
type Want struct {
	Tried   bool   // it knows that it has been replaced
	MAC     string // of its card, with hyphens; "" if it has no setting for that
	Version string // its ${version}
}

// The parts of the name: wantDir, a state, a hyphen and the address, a slash,
// the version and wantEnd.
const (
	wantDir    = "version_check/"
	wantEnd    = ".ipxe"
	stateWants = "wants"
	stateTried = "tried"
	wantName   = wantDir + "${state}-${netX/mac:hexhyp}/${version:uristring}" + wantEnd
)

// ParseWant reads the name of a file that an iPXE asks for before it loads a
// ROM. ok is false for any other name. The texts are not to be trusted.
func ParseWant(name string) (w Want, ok bool) {
	rest, ok := strings.CutPrefix(name, wantDir)
	machine, version, slash := strings.Cut(rest, "/")
	version, end := strings.CutSuffix(version, wantEnd)
	state, mac, hyphen := strings.Cut(machine, "-")
	if !end || !ok || !slash || !hyphen || state != stateWants && state != stateTried {
		return Want{}, false
	}
	if text, err := url.PathUnescape(version); err == nil {
		version = text // iPXE writes it with escapes, and some send them by TFTP
	}
	return Want{Tried: state == stateTried, MAC: mac, Version: version}, true
}

// Proceed returns the answer to a Want: go on, and load the ROM.
func Proceed() []byte { return []byte("#!ipxe\n") }

// Tried returns the answer to a Want of a machine that a ROM has not helped: no
// ROM is to be loaded.
func Tried() []byte { return []byte("#!ipxe\nset " + mark + " yes\n") }

// Replacement is an iPXE to put in the place of an old one.
type Replacement struct {
	URL     string // absolute, or relative to the script
	Version string // its ${version}, empty if it is not known
}

// buildArchs are the values of ${buildarch}. For UEFI it is the processor that
// the running iPXE, and so the firmware, is built for; the processor itself may
// be able to do more than its firmware.
var buildArchs = []struct {
	name     string
	platform proxydhcp.Platform
}{
	{"i386", proxydhcp.IA32}, {"x86_64", proxydhcp.X64}, {"arm32", proxydhcp.ARM32}, {"arm64", proxydhcp.ARM64},
	{"riscv32", proxydhcp.RISCV32}, {"riscv64", proxydhcp.RISCV64}, {"loong64", proxydhcp.Loong64},
}

// VersionCheck returns the script that replaces an iPXE of another version than
// the accepted ones. It falls through, back into the boot script, when the iPXE
// is current, when there is no replacement for the machine, and when the
// replacement cannot be loaded. The error reports everything that is wrong with
// the upgrade at once.
func VersionCheck(upgrade Upgrade) ([]byte, error) {
	if err := upgrade.check(); err != nil {
		return nil, err
	}
	w := &writer{}
	w.line("#!ipxe")
	w.line("# Puts a newer iPXE in the place of this one where needed. Made by pxesidecar.")
	w.line("")
	wanted := strings.Join(upgrade.Accepted, " or ")
	for _, version := range upgrade.Accepted {
		w.line("set wanted %s", version)
		w.line("iseq ${version} ${wanted} && exit 0 ||")
	}
	w.line("isset ${%s} && set state %s || set state %s", mark, stateTried, stateWants)
	w.line("chain --autofree %s ||", wantName)
	w.line("isset ${%s} && goto tried ||", mark)
	w.line("echo This is iPXE ${version}, wanted is %s.", wanted)
	upgrade.dispatch(w)
	for _, arch := range buildArchs {
		if replacement, ok := upgrade.ROMs[arch.platform]; ok {
			w.line("")
			w.line(":%s", arch.name)
			w.line("chain --autofree %s set %s yes ${and} autoboot || goto failed", replacement.URL, mark)
			w.line("exit 0")
		}
	}
	w.line("")
	w.line(":pcbios")
	if replacement, ok := upgrade.ROMs[proxydhcp.BIOS]; ok {
		w.line("chain --autofree %s || goto failed", replacement.URL)
		w.line("exit 0")
	} else {
		w.line("goto none")
	}
	w.line("")
	w.line(":failed")
	w.line("echo The newer iPXE could not be started. Going on with this one.")
	w.line("exit 0")
	w.line("")
	w.line(":none")
	w.line("echo There is no newer iPXE for ${platform} ${buildarch}. Going on with this one.")
	w.line("exit 0")
	w.line("")
	w.line(":tried")
	w.line("echo This is iPXE ${version}, wanted is %s. A replacement has just been tried. Going on.", wanted)
	w.line("exit 0")
	return w.Bytes(), nil
}

// dispatch writes the choice of the replacement. iPXEs before 2014 have no
// ${buildarch}; on UEFI they were x86 only, and a wrong guess is an image that
// does not load. The command line of the new iPXE has an && in it, which must
// be written so that it does not end the line of the old one.
func (u Upgrade) dispatch(w *writer) {
	w.line("set and:hex 26:26")
	w.line("set and ${and:string}")
	w.line("iseq ${platform} pcbios && goto pcbios ||")
	w.line("iseq ${platform} efi || goto none")
	w.line("isset ${buildarch} && goto arch ||")
	w.line("cpuid --ext 29 && set arch x86_64 || set arch i386")
	w.line("goto ${arch} || goto none")
	w.line(":arch")
	w.line("goto ${buildarch} || goto none")
}

// check returns what is wrong with an upgrade.
func (u Upgrade) check() error {
	var errs []error
	if len(u.Accepted) == 0 {
		errs = append(errs, errors.New("version check: no version is wanted"))
	}
	if len(u.ROMs) == 0 {
		errs = append(errs, errors.New("version check: no ROM to put in the place of others"))
	}
	accepted := map[string]bool{}
	for _, version := range u.Accepted {
		accepted[version] = true
		if version == "" || version != plain(version) {
			errs = append(errs, fmt.Errorf("version check: version %q is not a text that iPXE has for ${version}", version))
		}
	}
	for _, platform := range proxydhcp.Platforms() {
		replacement, ok := u.ROMs[platform]
		if !ok {
			continue
		}
		if replacement.URL == "" || strings.ContainsAny(replacement.URL, " ") || replacement.URL != plain(replacement.URL) {
			errs = append(errs, fmt.Errorf("version check: ROM %q for %s is no URL that a script can have", replacement.URL, platform))
		}
		if replacement.Version != "" && !accepted[replacement.Version] {
			errs = append(errs, fmt.Errorf("version check: ROM %s for %s is iPXE %q, which would be replaced again: accept that version (--ipxe-text), serve another ROM, or none (--rom %s=none)",
				replacement.URL, platform, replacement.Version, platform))
		}
	}
	return errors.Join(errs...)
}
