package ipxescript

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// TestAutoexec walks every path through autoexec.ipxe and sees where it ends.
func TestAutoexec(t *testing.T) {
	const (
		mac     = "52:54:00:12:34:56"
		url     = "http://192.0.2.10:8080/boot.ipxe"
		ask     = "http://192.0.2.10:8080/autoexec.ipxe"
		asked   = "chain --autofree --replace " + ask + "?mac=" + mac + "&uuid=u&buildarch=x86_64&version=2.0.0"
		chained = "chain --autofree --replace " + url
	)
	cards := map[string]string{
		"net0/mac": "52:54:00:00:00:01", "net1/mac": mac, "net1/ip": "192.0.2.50",
		"netX/mac": mac, "uuid": "u", "buildarch": "x86_64", "version": "2.0.0",
	}
	without := func(name string) map[string]string {
		m := maps.Clone(cards)
		delete(m, name)
		return m
	}
	known, unknown := Autoexec{URL: url, MAC: mac}, Autoexec{AskURL: ask}
	opened := []string{"ifopen net1", "iflinkwait --timeout 10000 net1", chained}
	for name, tt := range map[string]struct {
		autoexec Autoexec
		settings map[string]string
		lacks    []string
		dhcp     bool
		failures int
		log      []string
	}{
		"with the firmware's lease":      {known, cards, nil, true, 0, opened},
		"without iflinkwait":             {known, cards, []string{"iflinkwait"}, true, 0, []string{"ifopen net1", chained}},
		"nothing there":                  {known, cards, nil, true, 1, append(opened[:3:3], "dhcp", chained)},
		"nothing there, nor by DHCP":     {known, cards, nil, true, 2, append(opened[:3:3], "dhcp", chained, "autoboot")},
		"without a lease":                {known, without("net1/ip"), nil, true, 0, []string{"dhcp", chained}},
		"without the card":               {known, without("net1/mac"), nil, true, 0, []string{"dhcp", chained}},
		"without inc":                    {known, cards, []string{"inc"}, true, 0, []string{"dhcp", chained}},
		"without a MAC address":          {Autoexec{URL: url}, cards, nil, true, 0, []string{"dhcp", chained}},
		"no DHCP":                        {known, without("net1/ip"), nil, false, 0, []string{"dhcp", "autoboot"}},
		"not known":                      {unknown, cards, nil, true, 0, []string{"dhcp", asked}},
		"not known, and nothing to tell": {unknown, cards, nil, true, 1, []string{"dhcp", asked, "autoboot"}},
	} {
		t.Run(name, func(t *testing.T) {
			script := string(tt.autoexec.Script())
			m := &machine{t: t, settings: maps.Clone(tt.settings), lacks: append(tt.lacks, "autoboot"), starts: true, dhcp: tt.dhcp, failures: tt.failures, script: script}
			end := m.run(script)
			if end.gone != (m.log[len(m.log)-1] != "failed: autoboot") {
				t.Errorf("it ended with %+v", end)
			}
			if !end.gone {
				m.log[len(m.log)-1] = "autoboot"
			}
			if diff := cmp.Diff(tt.log, m.log); diff != "" {
				t.Errorf("(-want +got):\n%s\n%s", diff, script)
			}
		})
	}
	golden(t, "autoexec.ipxe", known.Script())
}

// TestBuildPlatform checks that each build has its platform.
func TestBuildPlatform(t *testing.T) {
	for name, want := range map[string]proxydhcp.Platform{
		"i386": proxydhcp.IA32, "x86_64": proxydhcp.X64, "arm32": proxydhcp.ARM32, "arm64": proxydhcp.ARM64,
		"riscv32": proxydhcp.RISCV32, "riscv64": proxydhcp.RISCV64, "loong64": proxydhcp.Loong64, "": proxydhcp.NoPlatform, "X86_64": proxydhcp.NoPlatform,
	} {
		if got := BuildPlatform(name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}
