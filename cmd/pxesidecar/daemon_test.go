package main

import (
	"io/fs"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/bootfiles"
	"github.com/pxesidecar/pxesidecar/internal/eventlog"
	"github.com/pxesidecar/pxesidecar/internal/ipxescript"
	"github.com/pxesidecar/pxesidecar/tftp"
)

// TestTFTPLimits checks that the largest limits that the configuration accepts
// are those of the TFTP server, and that it refuses larger ones by name.
func TestTFTPLimits(t *testing.T) {
	s := config.Settings{
		AnswersText: config.AnswersText{NextServer: "192.0.2.99", ROMs: []string{"bios=undionly.kpxe"}}, NoDHCP: true,
		TFTPBlockSize: 65464, TFTPWindow: 16384, TFTPMaxTransfers: 1 << 20, TFTPCache: 1,
	}
	l := mustLoad(t, s)
	l.TFTP.Addr = netip.MustParseAddrPort("127.0.0.1:0")
	d := newDaemon(l, eventlog.New(slog.New(slog.DiscardHandler)))
	defer d.close()
	served, err := tftp.Listen(d.tftpConfig(l.TFTP))
	if err != nil {
		t.Fatal(err)
	}
	served.Close()
	for flag, raise := range map[string]func(*config.Settings){
		"--tftp-block-size":    func(s *config.Settings) { s.TFTPBlockSize++ },
		"--tftp-window-size":   func(s *config.Settings) { s.TFTPWindow++ },
		"--tftp-max-transfers": func(s *config.Settings) { s.TFTPMaxTransfers++ },
	} {
		larger := s
		raise(&larger)
		if _, err := config.Parse(larger, nil); err == nil || !strings.HasPrefix(err.Error(), flag) {
			t.Errorf("%s: %v", flag, err)
		}
	}
}

// TestUpgradeByScript plays a machine that is upgraded by script, where no DHCP
// is answered: it reads the version check, then the ROM. If it then asks for
// the check again, its iPXE is still not the wanted one, and the check lets it
// go on. The next time it gets the first check again.
func TestUpgradeByScript(t *testing.T) {
	l := mustLoad(t, config.Settings{
		AnswersText: config.AnswersText{NextServer: "192.0.2.99", ROMs: []string{"bios=undionly.kpxe"}},
		IPXETexts:   []string{"2.0.0"}, NoDHCP: true,
	})
	d := newDaemon(l, eventlog.New(slog.New(slog.DiscardHandler)))
	defer d.close()
	machine, other := netip.MustParseAddr("192.0.2.50"), netip.MustParseAddr("192.0.2.51")
	check := func(at netip.Addr) string {
		t.Helper()
		text, err := fs.ReadFile(d.files.For(bootfiles.Asker{Client: at, Name: ipxescript.CheckName}), ipxescript.CheckName)
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
