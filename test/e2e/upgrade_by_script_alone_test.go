package e2e

// Upgrades on networks where no DHCP answer can be changed: the DHCP server
// names boot.ipxe, pxesidecar answers no DHCP, and the scripts do the upgrade.

import (
	"os"
	"path/filepath"
	"strings"
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

// thirdWay returns a scenario of one machine whose DHCP server names our boot
// script, while we answer no DHCP.
func thirdWay(guest lab.Guest, want outcome, files map[string]string, args func(*lab.Lab) ([]string, error)) scenario {
	s := alone(guest, want, func(l *lab.Lab) (lab.Sidecar, error) {
		boot, err := l.Write("third-way.ipxe", "#!ipxe\nchain --autofree version_check.ipxe ||\nchain "+l.Collector.URL("/boot.ipxe")+"\n")
		if err != nil {
			return lab.Sidecar{}, err
		}
		files["boot.ipxe"] = boot
		more, err := args(l)
		return lab.Sidecar{Root: files, Script: "none", Args: append([]string{"--no-dhcp"}, more...), Ports: []uint16{69}}, err
	})
	s.dhcp = func(l *lab.Lab) lab.DHCP { return lab.DHCP{NextServer: l.SidecarAddress(), Filename: "boot.ipxe"} }
	return s
}

// TestUpgradeByScript boots machines with an old iPXE whose DHCP server names
// our boot script. A ROM that is not what is wanted either is loaded once if it
// is ours, twice if it comes from another server, and the log says so.
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
	// shared serves a ROM of the newest iPXE on another server.
	shared := func(l *lab.Lab) error {
		path, err := newest.File("undionly.kpxe")
		if err != nil {
			return err
		}
		rom, err := os.ReadFile(path)
		l.Collector.Serve("/undionly.kpxe", string(rom))
		return err
	}
	// unreadable is a ROM that does not tell its version: a byte follows the
	// packed part, which must extend to the end of the file.
	unreadable := func(l *lab.Lab) (string, error) {
		path, err := newest.File("undionly.kpxe")
		if err != nil {
			return "", err
		}
		rom, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		return l.Write("unreadable.kpxe", string(rom)+"\x00")
	}
	const failed = "upgrade by script did not help"
	for _, tt := range []struct {
		name  string
		guest lab.Guest
		roms  []string
		args  func(*lab.Lab) ([]string, error)
		want  outcome
		other int // how often the ROM is read from another server
		warns string
	}{
		{"BIOS", old("bios", lab.BIOS), everyROM, nil, script("pcbios", "i386", "undionly.kpxe"), 0, ""},
		{"UEFI", old("uefi", lab.OVMF64), everyROM, nil, script("efi", "x86_64", "snponly.efi"), 0, ""},
		{"BIOS, a ROM that is not what is wanted either", old("bios", lab.BIOS), nil, func(l *lab.Lab) ([]string, error) {
			rom, err := unreadable(l)
			return []string{"--rom", "x64=none", "--rom", "bios=" + rom, "--ipxe-text", version + "-newer"}, err
		}, script("pcbios", "i386", "unreadable.kpxe"), 0, `client="iPXE ` + version + `" rom=unreadable.kpxe`},
		{"BIOS, a ROM of another server", old("bios", lab.BIOS), nil, func(l *lab.Lab) ([]string, error) {
			return []string{"--rom", "x64=none", "--rom", "bios=" + l.Collector.URL("/undionly.kpxe"), "--ipxe-text", version}, shared(l)
		}, script("pcbios", "i386"), 1, ""},
		{"BIOS, a ROM of another server that is not what is wanted either", old("bios", lab.BIOS), nil, func(l *lab.Lab) ([]string, error) {
			return []string{"--rom", "x64=none", "--rom", "bios=" + l.Collector.URL("/undionly.kpxe"), "--ipxe-text", version + "-newer"}, shared(l)
		}, script("pcbios", "i386"), 2, `client="iPXE ` + version + `" hint=`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.args == nil {
				tt.args = func(*lab.Lab) ([]string, error) { return nil, nil }
			}
			r := thirdWay(tt.guest, tt.want, roms(t, lab.Sid, tt.roms...), tt.args).run(t)
			ours := func(m lab.Message) bool { return m.Src.Addr() == r.daemon.Address }
			if sent := r.lab.Capture.Traffic.Messages("", ours); len(sent) > 0 {
				t.Errorf("%d answers to DHCP, the first: %v", len(sent), sent[0])
			}
			other := 0
			for _, v := range r.lab.Collector.Visits() {
				if v.Path == "/undionly.kpxe" {
					other++
				}
			}
			if other != tt.other {
				t.Errorf("the ROM was read %d times from another server, want %d", other, tt.other)
			}
			warnings := r.daemon.Output.Matching(failed)
			if tt.warns == "" && len(warnings) > 0 || tt.warns != "" && (len(warnings) != 1 || !strings.Contains(warnings[0], tt.warns)) {
				t.Errorf("warnings %q, want %q\n%s", warnings, tt.warns, r.daemon.Output)
			}
		})
	}
}
