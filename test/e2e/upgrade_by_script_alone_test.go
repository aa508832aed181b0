package e2e

// Upgrades on networks where no DHCP answer can be changed: the DHCP server
// names boot.ipxe, pxesidecar answers no DHCP, and the scripts do the upgrade.

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pxesidecar/pxesidecar/internal/rom"
	"github.com/pxesidecar/pxesidecar/test/lab"
)

// versionText returns what a suite's iPXE shows as ${version}.
func versionText(t *testing.T, suite lab.Suite) string {
	t.Helper()
	path, err := ipxe(t, suite).File("snponly.efi")
	if err != nil {
		t.Fatal(err)
	}
	image, err := rom.ReadFile(os.DirFS(filepath.Dir(path)), filepath.Base(path))
	if err != nil || image.VersionText == "" {
		t.Fatalf("%s: version text %q, %v", path, image.VersionText, err)
	}
	return image.VersionText
}

// TestUpgradeByScript boots machines with an old iPXE whose DHCP server names
// our boot script.
func TestUpgradeByScript(t *testing.T) {
	t.Parallel()
	newest := ipxe(t, lab.Sid)
	version := versionText(t, lab.Sid)
	old := func(name string, firmware lab.Firmware) lab.Guest {
		return lab.Guest{Name: name, Firmware: firmware, OptionROM: optionROM(t, lab.Bookworm, firmware)}
	}
	script := func(platform, arch string, roms ...string) outcome {
		return outcome{Version: newest.Version, Platform: platform, Arch: arch, ROMs: roms}
	}
	for _, tt := range []struct {
		name  string
		guest lab.Guest
		roms  []string
		args  []string
		want  outcome
	}{
		{"BIOS", old("bios", lab.BIOS), everyROM, nil,
			script("pcbios", "i386", "undionly.kpxe")},
		{"UEFI", old("uefi", lab.OVMF64), everyROM, nil,
			script("efi", "x86_64", "snponly.efi")},
		{"BIOS, a ROM that is not what is wanted either", old("bios", lab.BIOS), []string{"undionly.kpxe"}, []string{"--ipxe-text", version + "-newer"},
			script("pcbios", "i386", "undionly.kpxe")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			files := roms(t, lab.Sid, tt.roms...)
			s := alone(tt.guest, tt.want, func(l *lab.Lab) (lab.Sidecar, error) {
				boot, err := l.Write("third-way.ipxe", "#!ipxe\nchain --autofree version_check.ipxe ||\nchain "+l.Collector.URL("/boot.ipxe")+"\n")
				files["boot.ipxe"] = boot
				return lab.Sidecar{Root: files, Script: "none", Args: append([]string{"--no-dhcp"}, tt.args...), Ports: []uint16{69}}, err
			})
			s.dhcp = func(l *lab.Lab) lab.DHCP { return lab.DHCP{NextServer: l.SidecarAddress(), Filename: "boot.ipxe"} }
			r := s.run(t)
			ours := func(m lab.Message) bool { return m.Src.Addr() == r.daemon.Address }
			if sent := r.lab.Capture.Traffic.Messages("", ours); len(sent) > 0 {
				t.Errorf("%d answers to DHCP, the first: %v", len(sent), sent[0])
			}
		})
	}
}
