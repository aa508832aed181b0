package e2e

// The port on which HTTP is served by default may belong to another program.
// Nobody asked for HTTP, so that is one warning, and everything else is served.

import (
	"os"
	"strings"
	"testing"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// TestHTTPPortInUse boots an iPXE that would load its ROM by HTTP, beside a
// program that has the port. It loads the ROM by TFTP.
func TestHTTPPortInUse(t *testing.T) {
	t.Parallel()
	newest := ipxe(t, lab.Sid)
	guest := lab.Guest{Name: "bios", Firmware: lab.BIOS, OptionROM: optionROM(t, lab.Bookworm, lab.BIOS)}
	want := outcome{Version: newest.Version, Platform: "pcbios", Arch: "i386", ROMs: []string{"undionly.kpxe"}}
	r := alone(guest, want, func(l *lab.Lab) (lab.Sidecar, error) {
		host, err := l.NewServerHost("pxesidecar")
		if err == nil {
			occupy(t, host, "tcp4", 8067)
		}
		return lab.Sidecar{Host: host, Root: roms(t, lab.Sid, everyROM...), Args: []string{"--ipxe-version", ">=" + newest.Version}}, err
	}).run(t)
	self := strings.TrimSpace(string(must(os.ReadFile("/proc/self/comm"))))
	if len(r.daemon.Output.Matching("level=WARN")) != 1 || len(r.daemon.Output.Matching("HTTP is off, its port is in use", "8067", self)) != 1 ||
		len(r.daemon.Output.Matching("msg=ready", "http=off")) != 1 {
		t.Errorf("want one warning that names %s, and http=off:\n%s", self, r.daemon.Output)
	}
}
