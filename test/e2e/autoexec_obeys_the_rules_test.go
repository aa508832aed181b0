package e2e

// The autoexec.ipxe that is made for each machine takes an iPXE past DHCP, so
// the rules that DHCP is answered by must hold in it, too.

import (
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
// server. Nothing is remembered of it, so the autoexec.ipxe that its iPXE reads
// there asks us what to do, and we must say nothing: it goes on as if there
// were no such file.
func TestAutoexecDenied(t *testing.T) {
	t.Parallel()
	r := scenario{
		sidecar: sidecar(roms(t, lab.Sid, everyROM...), "--deny-mac", "52:54:00"),
		dhcp:    func(l *lab.Lab) lab.DHCP { return lab.DHCP{NextServer: l.LAN.Address(2), Filename: "snponly.efi"} },
	}.setUp(t)
	defer takeSlot()()
	ctx := deadline(t, bootLimit)
	m, err := r.lab.Boot(ctx, lab.Guest{Name: "ovmf", Firmware: lab.OVMF64})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Stop()
	// Twice: the second one after its own boot procedure.
	if err := r.lab.Capture.Traffic.AwaitTransfers(ctx, "snponly.efi twice", func(all []lab.Transfer) bool {
		read := 0
		for _, x := range all {
			if x.Client == m.MAC && x.File == "snponly.efi" && x.Complete && x.Bytes > 0 {
				read++
			}
		}
		return read == 2
	}); err != nil {
		t.Fatalf("%v\nconsole:\n%s\nsidecar:\n%s", err, m.Console(), r.daemon.Output)
	}
	asked := 0
	for _, request := range r.lab.Capture.Traffic.Requests(m.MAC) {
		if !strings.HasPrefix(request.Path, "/autoexec.ipxe?mac="+m.MAC) {
			t.Errorf("a denied machine asked for %s", request.Path)
		}
		asked++
	}
	if asked == 0 {
		t.Error("autoexec.ipxe has not asked what to do")
	}
	if ran := r.lab.Collector.Evidence(""); len(ran) > 0 {
		t.Errorf("a denied machine has run a script: %+v", ran)
	}
	if sent := r.lab.Capture.Traffic.Messages(m.MAC, func(x lab.Message) bool { return x.Src.Addr() == r.daemon.Address }); len(sent) > 0 {
		t.Errorf("a denied machine was sent %d messages of DHCP", len(sent))
	}
	r.sound(t)
}
