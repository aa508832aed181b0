package e2e

// A DHCP server that names a boot file of its own. iPXE prefers that file,
// unless --override-dhcp-filename changes that.

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// TestOverride boots iPXE beside a dhcpd with a boot script of its own, with
// --override-dhcp-filename and without.
func TestOverride(t *testing.T) {
	t.Parallel()
	for _, suite := range []lab.Suite{lab.Bookworm, lab.Sid} {
		version := ipxe(t, suite).Version
		guest := lab.Guest{Name: "bios", Firmware: lab.BIOS, OptionROM: optionROM(t, suite, lab.BIOS)}
		for name, flags := range map[string][]string{"ours": {"--override-dhcp-filename"}, "theirs": nil} {
			t.Run(version+" runs "+name, func(t *testing.T) {
				t.Parallel()
				s := alone(guest, outcome{Version: version, Platform: "pcbios", Arch: "i386"}, func(l *lab.Lab) (lab.Sidecar, error) {
					l.Collector.Serve("/ours.ipxe", l.Collector.Script("ours"))
					return lab.Sidecar{Root: roms(t, lab.Sid, everyROM...), Script: l.Collector.URL("/ours.ipxe"), Args: flags}, nil
				})
				s.dhcp = func(l *lab.Lab) lab.DHCP {
					l.Collector.Serve("/theirs.ipxe", l.Collector.Script("theirs"))
					return lab.DHCP{Filename: l.Collector.URL("/theirs.ipxe")}
				}
				r := s.run(t)
				var ran []string
				for _, e := range r.lab.Collector.Evidence("") {
					ran = append(ran, e.Boot)
				}
				if diff := cmp.Diff([]string{name}, ran); diff != "" {
					t.Errorf("scripts that ran (-want +got):\n%s", diff)
				}
			})
		}
	}
}
