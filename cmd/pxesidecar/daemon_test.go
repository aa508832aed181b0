package main

import (
	"io/fs"
	"net/netip"
	"strings"
	"testing"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/ipxescript"
)

// TestUpgradeByScript plays a machine that is upgraded by script, where no DHCP
// is answered: it reads the version check, then the ROM. If it then asks for
// the check again, its iPXE is still not the wanted one, and the check lets it
// go on. The next time it gets the first check again.
func TestUpgradeByScript(t *testing.T) {
	l := mustLoad(t, config.Settings{
		AnswersText: config.AnswersText{NextServer: "192.0.2.99", ROMs: []string{"bios=undionly.kpxe"}},
		IPXETexts:   []string{"2.0.0"}, NoDHCP: true,
	})
	d := newDaemon(l)
	defer d.close()
	machine, other := netip.MustParseAddr("192.0.2.50"), netip.MustParseAddr("192.0.2.51")
	check := func(at netip.Addr) string {
		t.Helper()
		text, err := fs.ReadFile(d.files.For(at), ipxescript.CheckName)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "has just been tried") && !strings.Contains(string(text), "undionly.kpxe") {
			return "goes on"
		}
		return "upgrades"
	}
	for _, step := range []struct {
		what string
		read string // by the machine
		want string // of the check after that
	}{
		{"at first", "", "upgrades"},
		{"the check was read", ipxescript.CheckName, "upgrades"},
		{"a file that is no ROM", config.BootScriptName, "upgrades"},
		{"the ROM was read", "undionly.kpxe", "goes on"},
		{"the check was read again", ipxescript.CheckName, "upgrades"},
	} {
		if step.read != "" {
			d.fileRead(machine, step.read)
		}
		if got := check(machine); got != step.want {
			t.Errorf("%s: the check %s, want that it %s", step.what, got, step.want)
		}
		if got := check(other); got != "upgrades" {
			t.Errorf("%s: another machine's check %s", step.what, got)
		}
	}
}
