package e2e

// The autoexec.ipxe that is made for each machine takes an iPXE past DHCP, so
// the rules that DHCP is answered by must hold in it, too.

import (
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// TestAutoexecByRule boots two machines of different rules at once. Each goes
// to its own script, without asking DHCP again.
func TestAutoexecByRule(t *testing.T) {
	t.Parallel()
	newest := ipxe(t, lab.Sid)
	guest := func(name, mac string) lab.Guest { return lab.Guest{Name: name, Firmware: lab.OVMF64, MAC: mac} }
	want := outcome{Version: newest.Version, Platform: "efi", Arch: "x86_64", ROMs: []string{"snponly.efi"}, Asked4011: 1, Answered4011: 1}
	s := scenario{
		guests: []lab.Guest{guest("first", "52:54:00:aa:00:01"), guest("second", "52:54:00:bb:00:01")},
		want:   map[string]outcome{"first": want, "second": want},
		sidecar: func(l *lab.Lab) (lab.Sidecar, error) {
			var rules strings.Builder
			for name, mac := range map[string]string{"first": "52:54:00:aa", "second": "52:54:00:bb"} {
				l.Collector.Serve("/"+name+".ipxe", l.Collector.Script(name))
				rules.WriteString("[[rule]]\nname = \"" + name + "\"\nmac = [\"" + mac + "\"]\nipxe = true\nboot-file = \"" + l.Collector.URL("/"+name+".ipxe") + "\"\n")
			}
			config, err := l.Write("rules.toml", rules.String())
			return lab.Sidecar{Root: roms(t, lab.Sid, everyROM...), Args: []string{"--config", config}}, err
		},
	}
	r := s.run(t)
	ran := map[string]string{}
	for _, e := range r.lab.Collector.Evidence("") {
		ran[e.MAC] = e.Boot
	}
	if diff := cmp.Diff(map[string]string{"52:54:00:aa:00:01": "first", "52:54:00:bb:00:01": "second"}, ran); diff != "" {
		t.Errorf("scripts that ran (-want +got):\n%s", diff)
	}
	r.askedAgain(t, 0)
	for _, rule := range []string{"rule=first", "rule=second"} {
		r.logged(t, `msg="offered by autoexec.ipxe"`, rule)
	}
}

// TestAutoexecDenied has a DHCP server send a denied machine to our TFTP
// server. Its iPXE asks for autoexec.ipxe there, and must not be given one.
func TestAutoexecDenied(t *testing.T) {
	t.Parallel()
	s := scenario{
		sidecar: sidecar(roms(t, lab.Sid, everyROM...), "--deny-mac", "52:54:00"),
		dhcp:    func(l *lab.Lab) lab.DHCP { return lab.DHCP{NextServer: l.LAN.Address(2), Filename: "snponly.efi"} },
	}
	r := s.setUp(t)
	defer takeSlot()()
	ctx := deadline(t, bootLimit)
	m, err := r.lab.Boot(ctx, lab.Guest{Name: "ovmf", Firmware: lab.OVMF64})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Stop()
	asked, err := r.lab.Capture.Traffic.AwaitTransfer(ctx, m.MAC, func(x lab.Transfer) bool {
		return path.Base(x.File) == "autoexec.ipxe" && (x.Complete || x.Error != "")
	})
	if err != nil {
		t.Fatalf("%v\nconsole:\n%s\nsidecar:\n%s", err, m.Console(), r.daemon.Output)
	}
	if asked.Complete || asked.Bytes > 0 {
		t.Errorf("a denied machine has read %d bytes of %s", asked.Bytes, asked.File)
	}
	if sent := r.lab.Capture.Traffic.Messages(m.MAC, func(x lab.Message) bool { return x.Src.Addr() == r.daemon.Address }); len(sent) > 0 {
		t.Errorf("a denied machine was sent %d messages of DHCP", len(sent))
	}
	r.sound(t)
}
