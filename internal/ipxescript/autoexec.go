package ipxescript

// The script that an EFI iPXE runs first: autoexec.ipxe (efi_autoexec.c). It
// asks for it in the directory that it was loaded from and in the root, before
// it asks DHCP, and runs it instead of its own boot procedure. A signed iPXE
// cannot carry a script of its own, so this is its hook.
//
// The iPXE has the lease of its firmware, if that booted by PXE
// (efi_cachedhcp.c), but its network card is closed, and ${netX} may be none.

import (
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Autoexec is what an autoexec.ipxe is made from.
type Autoexec struct {
	// URL is what the machine boots. If it is empty, the machine asks AskURL.
	URL string

	// MAC is the hardware address of the card that was booted from, if it is
	// known.
	MAC string

	// AskURL is a URL of autoexec.ipxe, to which the facts about the machine
	// are added as a query.
	AskURL string
}

// The names of the facts in the query of AskURL.
const (
	QueryMAC       = "mac"
	QueryUUID      = "uuid"
	QueryBuildArch = "buildarch"
	QueryVersion   = "version"
)

// query adds the facts about a machine to a URL. A fact that the build does not
// know is empty.
const query = "?" + QueryMAC + "=${netX/mac}&" + QueryUUID + "=${uuid}&" + QueryBuildArch + "=${buildarch}&" + QueryVersion + "=${version:uristring}"

// Script returns the script. A machine whose target is known goes there with
// the lease that it has, so it need not ask DHCP again; if that fails, it asks
// DHCP. Whatever fails after that ends in iPXE's own boot procedure.
func (a Autoexec) Script() []byte {
	w := &writer{}
	w.line("#!ipxe")
	w.line("# Made by pxesidecar. A file of this name in --root replaces it.")
	w.line("")
	if a.URL != "" && a.MAC != "" {
		a.findCard(w)
	}
	target := a.URL
	if target == "" {
		target = a.AskURL + query
	}
	w.line(":ask")
	w.line("dhcp || goto boot")
	w.line("chain --autofree --replace %s ||", target)
	w.line("")
	w.line(":boot")
	w.line("autoboot")
	return w.Bytes()
}

// findCard writes the way to the target with the lease of the firmware: it
// looks for the card by its address, and opens it.
func (a Autoexec) findCard(w *writer) {
	w.line("set n:int32 0")
	w.line(":card")
	w.line("isset ${net${n}/mac} || goto ask")
	w.line("iseq ${net${n}/mac} %s && goto found ||", strings.ToLower(a.MAC))
	w.line("inc n && goto card || goto ask")
	w.line("")
	w.line(":found")
	w.line("isset ${net${n}/ip} || goto ask")
	w.line("ifopen net${n} || goto ask")
	w.line("iflinkwait --timeout 10000 net${n} ||")
	w.line("echo Going on with the address of the firmware, ${net${n}/ip}")
	w.line("chain --autofree --replace %s ||", a.URL)
	w.line("")
}

// BuildPlatform returns the platform of an EFI iPXE whose ${buildarch} is name,
// NoPlatform if there is no such build.
func BuildPlatform(name string) proxydhcp.Platform {
	for _, arch := range buildArchs {
		if arch.name == name {
			return arch.platform
		}
	}
	return proxydhcp.NoPlatform
}
