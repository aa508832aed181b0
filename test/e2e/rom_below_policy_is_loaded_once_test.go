package e2e

import (
	"strings"
	"testing"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// TestLoopGuard serves BIOS ROMs that do not satisfy the policy. Nobody can
// read that out of these ROMs beforehand. Every machine must get such a ROM
// once, and then the script; one warning names the machine and the ROM.
func TestLoopGuard(t *testing.T) {
	t.Parallel()
	trixie, newest := ipxe(t, lab.Trixie), ipxe(t, lab.Sid)
	tests := []struct {
		name    string
		suite   lab.Suite
		version string
		// runs is the release that runs the script, and says the version that
		// it reports in DHCP.
		runs, says string
	}{
		{"1.21.1 that reports 1.0.0", lab.Trixie, ">=" + trixie.Version, trixie.Version, trixie.Announced},
		{"a version that no ROM has", lab.Sid, ">=9.0.0", newest.Version, newest.Announced},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			guest := lab.Guest{Name: "bios", Firmware: lab.BIOS, OptionROM: optionROM(t, lab.Bookworm, lab.BIOS)}
			want := outcome{Version: test.runs, Platform: "pcbios", Arch: "i386", HTTP: []string{"undionly.kpxe"}}
			r := alone(guest, want, sidecar(roms(t, test.suite, "undionly.kpxe"),
				"--ipxe-version", test.version, "--rom", "x64=none", "--rom", "arm64=none")).run(t)
			mac := r.lab.Collector.Evidence("")[0].MAC
			warnings := r.daemon.Stderr.Matching("level=WARN", mac, "undionly.kpxe")
			if len(warnings) != 1 {
				t.Errorf("%d warnings name %s and the ROM, want 1:\n%s", len(warnings), mac, r.daemon.Output)
				return
			}
			t.Log(warnings[0])
			for _, why := range []string{test.version, test.says} {
				if !strings.Contains(warnings[0], why) {
					t.Errorf("the warning lacks %q: %s", why, warnings[0])
				}
			}
		})
	}
}
