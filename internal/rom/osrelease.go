package rom

// How to install iPXE boot files on the current system, derived from its
// /etc/os-release (os-release(5)).

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// installers are the commands that install a distribution's iPXE, by ID or
// ID_LIKE. RHEL and Fedora have had two packages since RHEL 8; openEuler has
// one.
var installers = map[string]string{
	"debian":    "apt-get install ipxe",
	"ubuntu":    "apt-get install ipxe",
	"fedora":    "dnf install ipxe-bootimgs-x86 ipxe-bootimgs-aarch64",
	"rhel":      "dnf install ipxe-bootimgs-x86 ipxe-bootimgs-aarch64",
	"centos":    "dnf install ipxe-bootimgs-x86 ipxe-bootimgs-aarch64",
	"openeuler": "dnf install ipxe-bootimgs",
	"arch":      "pacman -S ipxe",
	"suse":      "zypper install ipxe-bootimgs",
	"opensuse":  "zypper install ipxe-bootimgs",
	"gentoo":    "emerge sys-firmware/ipxe",
}

// InstallCommand returns the command that installs boot files on the system
// with that os-release file, or "" if none is known.
func InstallCommand(osRelease io.Reader) string {
	return installCommand(systemIDs(parseOSRelease(osRelease)))
}

// installCommand returns the command of the first system that has one.
func installCommand(ids []string) string {
	for _, id := range ids {
		if command, ok := installers[id]; ok {
			return command
		}
	}
	return ""
}

// PackageHint returns a phrase that says how to get boot files on the system
// with that os-release file. An unreadable file is treated as that of an
// unknown system.
func PackageHint(osRelease io.Reader) string {
	const fetch = "fetch those of iPXE's newest release with: pxesidecar rom fetch"
	values := parseOSRelease(osRelease)
	ids := systemIDs(values)
	if command := installCommand(ids); command != "" {
		return "install iPXE's boot files with: " + command + ", or " + fetch
	}
	if slices.Contains(ids, "alpine") {
		return "Alpine packages only iPXEs that boot Alpine's own server (alpine-ipxe), " + fetch
	}
	if name := values["PRETTY_NAME"]; name != "" {
		return fmt.Sprintf("no package of iPXE's boot files is known for %s, %s", name, fetch)
	}
	return fetch
}

// systemIDs returns the system's identifiers: its own first, then those of the
// systems it is like, closest first.
func systemIDs(values map[string]string) []string {
	ids := append([]string{values["ID"]}, strings.Fields(values["ID_LIKE"])...)
	for _, id := range ids {
		if family, _, ok := strings.Cut(id, "-"); ok { // opensuse-leap, opensuse-tumbleweed
			ids = append(ids, family)
		}
	}
	return ids
}

// parseOSRelease returns the assignments of an os-release file. Values may be
// quoted. Escapes inside quotes are not decoded: the keys used here have none.
func parseOSRelease(r io.Reader) map[string]string {
	values := map[string]string{}
	for lines := bufio.NewScanner(r); lines.Scan(); {
		key, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		if len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
			value = value[1 : len(value)-1]
		}
		values[key] = value
	}
	return values
}
