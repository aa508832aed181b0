package lab

// Firmware and boot programs from the stock.

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// Firmware is a firmware that guests can have.
type Firmware string

// The supported firmware.
const (
	BIOS          Firmware = "bios"           // SeaBIOS; it boots from the network by the option ROM
	OVMF64        Firmware = "ovmf64"         // edk2, x64
	Secure64      Firmware = "secure64"       // edk2, x64, Secure Boot with Microsoft's keys
	OVMF32        Firmware = "ovmf32"         // edk2, ia32
	AArch64       Firmware = "aarch64"        // edk2, arm64
	SecureAArch64 Firmware = "secure-aarch64" // edk2, arm64, Secure Boot with Microsoft's keys
	UBoot         Firmware = "u-boot"         // U-Boot, arm64
)

// flash is a UEFI firmware's code and the template of its variables.
type flash struct{ code, vars string }

// flash returns the files of a firmware.
func (s *Stock) flash(ctx context.Context, f Firmware) (flash, error) {
	//exhaustive:ignore BIOS and U-Boot are not started from a flash.
	place := map[Firmware]struct{ pkg, code, vars string }{
		OVMF64:        {"ovmf", "OVMF/OVMF_CODE_4M.fd", "OVMF/OVMF_VARS_4M.fd"},
		Secure64:      {"ovmf", "OVMF/OVMF_CODE_4M.secboot.fd", "OVMF/OVMF_VARS_4M.ms.fd"},
		OVMF32:        {"ovmf-ia32", "OVMF/OVMF32_CODE_4M.secboot.fd", "OVMF/OVMF32_VARS_4M.fd"},
		AArch64:       {"qemu-efi-aarch64", "AAVMF/AAVMF_CODE.fd", "AAVMF/AAVMF_VARS.fd"},
		SecureAArch64: {"qemu-efi-aarch64", "AAVMF/AAVMF_CODE.fd", "AAVMF/AAVMF_VARS.ms.fd"},
	}
	p, known := place[f]
	if !known {
		return flash{}, fmt.Errorf("firmware %q: has no flash", f)
	}
	dir, _, err := s.Package(ctx, Bookworm, p.pkg)
	if err != nil {
		return flash{}, err
	}
	return flash{code: filepath.Join(dir, "usr/share", p.code), vars: filepath.Join(dir, "usr/share", p.vars)}, nil
}

// uBoot returns the path of U-Boot's image.
func (s *Stock) uBoot(ctx context.Context) (string, error) {
	dir, _, err := s.Package(ctx, Bookworm, "u-boot-qemu")
	return filepath.Join(dir, "usr/lib/u-boot/qemu_arm64/u-boot.bin"), err
}

// IPXE is one release of iPXE, as ROM files to serve and as option ROMs for
// guests.
type IPXE struct {
	// Version is the release, such as "1.21.1". Announced is the version that
	// it reports in DHCP.
	Version, Announced string

	files, options string
}

// IPXE returns the release of a suite.
func (s *Stock) IPXE(ctx context.Context, suite Suite) (IPXE, error) {
	files, version, err := s.Package(ctx, suite, "ipxe")
	if err != nil {
		return IPXE{}, err
	}
	options, _, err := s.Package(ctx, suite, "ipxe-qemu")
	if err != nil {
		return IPXE{}, err
	}
	version, _, _ = strings.Cut(version, "+")
	announced := version
	if strings.HasPrefix(version, "1.") {
		// Built outside a git checkout, every 1.x reports this version.
		announced = "1.0.0"
	}
	return IPXE{Version: version, Announced: announced, files: files, options: options}, nil
}

// File returns the path of a ROM to serve: undionly.kpxe, ipxe.efi,
// snponly.efi, ipxe-arm64.efi.
func (i IPXE) File(name string) (string, error) {
	for _, dir := range []string{"usr/lib/ipxe", "boot"} {
		path := filepath.Join(i.files, dir, name)
		if info, err := os.Lstat(path); err == nil && (info.Mode().IsRegular() || !filepath.IsAbs(readlink(path))) {
			return path, nil
		}
	}
	return "", fmt.Errorf("iPXE %s: has no file %s", i.Version, name)
}

// readlink returns the target of a link, or an empty string.
func readlink(path string) string {
	target, err := os.Readlink(path)
	if err != nil {
		return ""
	}
	return target
}

// OptionROM returns the path of an option ROM for a network card, for BIOS or
// for UEFI.
func (i IPXE) OptionROM(f Firmware, nic string) (string, error) {
	kind, card := "efi", nic
	if f == BIOS {
		kind = "pxe"
	}
	if nic == "" || strings.HasPrefix(nic, "virtio") {
		card = "virtio"
	}
	for _, dir := range []string{"usr/lib/ipxe/qemu", "usr/share/qemu"} {
		path := filepath.Join(i.options, dir, kind+"-"+card+".rom")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("iPXE %s: has no option ROM %s-%s.rom", i.Version, kind, card)
}

// GRUB32 builds a GRUB for 32-bit UEFI that reports to the collector as an iPXE
// script does, and returns its path. It takes the place of a ROM, because no
// suite has an iPXE for 32-bit UEFI. Its configuration is built in, because
// GRUB would look for one on the server that the main DHCP server names, which
// is none.
func (l *Lab) GRUB32(ctx context.Context) (string, error) {
	config := "source \"(http," + l.Collector.Address.String() +
		")/evidence/main?version=grub&platform=$grub_platform&mac=$net_default_mac&arch=$grub_cpu\"\nsleep 600\n"
	return l.grub(ctx, "i386-efi", "grub-efi-ia32-bin", config, "efinet", "http", "normal", "sleep", "configfile", "echo")
}

// GRUBHashes builds a GRUB for 64-bit UEFI that reads files from a TFTP server,
// writes their SHA-256 hashes and names on its screen, and then a last line. It
// returns the path of the image.
func (l *Lab) GRUBHashes(ctx context.Context, server netip.Addr, files []string, last string) (string, error) {
	config := "set root=tftp," + server.String() + "\n"
	for _, file := range files {
		config += "sha256sum /" + file + "\n"
	}
	config += "echo \"" + last + "\"\nsleep 600\n"
	return l.grub(ctx, "x86_64-efi", "grub-efi-amd64-bin", config, "efinet", "tftp", "normal", "sleep", "echo", "hashsum", "gcry_sha256")
}

// grub builds a GRUB for a target (in GRUB's notation) from a package's
// modules, with its configuration built in.
func (l *Lab) grub(ctx context.Context, target, pkg, config string, modules ...string) (string, error) {
	dir, _, err := l.Stock.Package(ctx, Bookworm, pkg)
	if err != nil {
		return "", err
	}
	tools, _, err := l.Stock.Package(ctx, Bookworm, "grub-common")
	if err != nil {
		return "", err
	}
	file, err := l.Write("grub-"+target+".cfg", config)
	if err != nil {
		return "", err
	}
	image := l.Path("grub-" + target)
	args := []string{"-O", target, "-d", filepath.Join(dir, "usr/lib/grub", target), "-p", "/", "-c", file, "-o", image}
	_, err = output(ctx, l.Dir, filepath.Join(tools, "usr/bin/grub-mkimage"), append(args, modules...)...)
	return image, err
}
