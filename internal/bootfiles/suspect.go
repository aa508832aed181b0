package bootfiles

import (
	"fmt"
	"path"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Suspect returns why a machine probably did not start the file that it has
// loaded, and what a person can do.
func (f *Files) Suspect(r proxydhcp.StartReport) (reason, hint string) {
	set := f.current.Load()
	image, known := set.Image(r.File)
	bios := r.Client.Platform() == proxydhcp.BIOS
	switch {
	case r.Missing != "":
		return fmt.Sprintf("it has then asked for %q, which is not there", r.Missing),
			"put that file among the boot files, or serve another ROM"
	case !known || bios:
		return "the file hangs on this machine, or is not for it", otherDriver(r.File)
	case !image.Signed():
		return "the file is not signed: a machine with Secure Boot refuses it without a word",
			"if Secure Boot is on there, serve a signed ROM (docs/secure-boot.md), or turn it off; if not, " + otherDriver(r.File)
	}
	return "the file is signed: a machine with Secure Boot starts it only if it trusts that signature",
		"if Secure Boot is on there, see docs/secure-boot.md; if not, " + otherDriver(r.File)
}

// otherDriver returns what helps against an iPXE whose driver does not work on
// a machine. undionly and snponly use the driver of the firmware; the others
// have their own.
func otherDriver(file string) string {
	name := path.Base(file)
	switch {
	case strings.Contains(name, "snponly"):
		return "try ipxe.efi, which has its own network drivers: --rom ARCH=ipxe.efi"
	case strings.Contains(name, "undionly"):
		return "try ipxe.pxe, which has its own network drivers: --rom bios=ipxe.pxe"
	case strings.HasSuffix(name, ".pxe"):
		return "try undionly.kpxe, which uses the driver of the card's ROM: --rom bios=undionly.kpxe"
	}
	return "try snponly.efi, which uses the driver of the firmware: --rom ARCH=snponly.efi"
}
