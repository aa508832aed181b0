package bootfiles

import (
	"fmt"
	"path"
	"strings"

	"github.com/pxesidecar/pxesidecar/internal/rom"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Suspect returns why a machine probably did not start the file that it has
// loaded, and what a person can do.
func (f *Files) Suspect(r proxydhcp.StartReport) (reason, hint string) {
	image, known := f.current.Load().Image(r.File)
	switch {
	case image.IsGRUB() && r.NextServer.IsValid():
		return fmt.Sprintf("it is a GRUB, and GRUB 2.06 asks the next-server that the DHCP server names, %s, for its configuration", r.NextServer),
			"have the DHCP server name no next-server (option 66 and siaddr), or use GRUB 2.12"
	case r.Missing != "":
		return fmt.Sprintf("the machine has then asked for %q, which is not there", r.Missing),
			"put that file among the boot files, or serve another ROM"
	case !known || r.Client.Platform() == proxydhcp.BIOS:
		return "the file hangs on this machine, or is not for it", otherDriver(r.File)
	}
	return suspectSignature(image), "if Secure Boot is on there, serve a file that the machine trusts (docs/secure-boot.md), or turn it off; if not, " + otherDriver(r.File)
}

// suspectSignature returns what a machine with Secure Boot may not like about
// an EFI file.
func suspectSignature(image rom.Image) string {
	switch {
	case !image.Signed():
		return "the file is not signed: a machine with Secure Boot refuses it without a word"
	case image.Broken():
		return "the file was changed after it was signed: a machine with Secure Boot refuses it"
	case image.SignedBy(rom.Microsoft2011) && !image.SignedBy(rom.Microsoft2023):
		return "the file is signed by Microsoft's authority of 2011 alone: a machine with Secure Boot that has only that of 2023 refuses it"
	}
	var signers []string
	for _, s := range image.Signatures {
		signers = append(signers, s.Signer)
	}
	return "the file is signed by " + strings.Join(signers, " and ") + ": a machine with Secure Boot starts it only if it trusts that key"
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
