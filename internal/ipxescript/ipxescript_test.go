package ipxescript

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

var update = flag.Bool("update", false, "rewrite the scripts in testdata")

// golden compares a script with the one in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestBootText(t *testing.T) {
	golden(t, "boot.ipxe", Boot(Facts{Version: "v1.2.3"}))
}

// TestBoot walks every path through the boot script and sees that it ends, and
// where.
func TestBoot(t *testing.T) {
	const sanboot = "sanboot --no-describe --drive 0x80"
	bios, uefi := map[string]string{"platform": "pcbios"}, map[string]string{"platform": "efi"}
	tests := map[string]struct {
		settings map[string]string
		lacks    []string
		keys     []string
		disk     bool
		want     ended
		log      []string
	}{
		"BIOS, nobody there":        {bios, nil, nil, true, ended{gone: true}, []string{"chose local", sanboot}},
		"BIOS without a disk":       {bios, nil, nil, false, ended{}, []string{"chose local", sanboot}},
		"UEFI, nobody there":        {uefi, nil, nil, true, ended{status: 1}, []string{"chose local"}},
		"escape":                    {uefi, nil, []string{"escape"}, false, ended{status: 1}, nil},
		"shell, then nothing":       {uefi, nil, []string{"shell"}, false, ended{status: 1}, []string{"chose shell", "shell", "chose local"}},
		"no shell in the build":     {uefi, []string{"shell"}, []string{"shell"}, false, ended{status: 1}, []string{"chose shell", "chose local"}},
		"retry, then local":         {uefi, nil, []string{"retry", "local"}, false, ended{status: 1}, []string{"chose retry", "autoboot", "chose local"}},
		"retry twice on BIOS":       {bios, nil, []string{"retry", "retry"}, false, ended{}, []string{"chose retry", "autoboot", "chose retry", "autoboot", "chose local", sanboot}},
		"retry without autoboot":    {uefi, []string{"autoboot"}, []string{"retry"}, false, ended{status: 1}, []string{"chose retry", "chose local"}},
		"no menu":                   {bios, []string{"menu", "item", "choose"}, nil, true, ended{gone: true}, []string{sanboot}},
		"no menu, shell":            {uefi, []string{"menu", "item", "choose"}, []string{"shell"}, true, ended{status: 1}, []string{"shell"}},
		"neither menu nor prompt":   {uefi, []string{"menu", "item", "choose", "prompt"}, nil, true, ended{status: 1}, nil},
		"no menu, prompt and disks": {bios, []string{"menu", "item", "choose", "prompt", "sanboot", "clear"}, nil, true, ended{}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := &machine{t: t, settings: map[string]string{}, lacks: test.lacks, keys: test.keys, disk: test.disk, script: string(Boot(Facts{Version: "v1"}))}
			for key, value := range test.settings {
				m.settings[key] = value
			}
			got := m.run(m.script)
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(ended{})); diff != "" {
				t.Errorf("end (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.log, m.log); diff != "" {
				t.Errorf("what it did (-want +got):\n%s", diff)
			}
		})
	}
}

// TestBootCheck checks that the version check comes first where it is asked
// for.
func TestBootCheck(t *testing.T) {
	checked, plain := string(Boot(Facts{Check: true})), string(Boot(Facts{}))
	if got := strings.Replace(checked, checkLine+"\n", "", 1); got != plain || strings.Index(checked, checkLine) > strings.Index(checked, "menu") {
		t.Errorf("with the check:\n%s", checked)
	}
}

// TestBootFitsScreen holds that the menu is readable on 80 columns and 25
// lines, of which iPXE takes some.
func TestBootFitsScreen(t *testing.T) {
	items := 0
	for line := range strings.Lines(string(Boot(Facts{}))) {
		if strings.HasPrefix(line, "item ") {
			items++
		}
		if text, ok := strings.CutPrefix(line, "item --gap -- "); ok && !strings.Contains(text, "$") && len(text) > 76 {
			t.Errorf("%d columns: %s", len(text), text)
		}
	}
	if items > 18 {
		t.Errorf("%d items", items)
	}
}

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "",
		"v1.2.3 (abc)":              "v1.2.3 (abc)",
		"a  b":                      "a b",
		"a\nshell":                  "a shell",
		"${filename} || goto x":     "{filename} goto x",
		"x ; y && z # comment ##no": "x y z comment no",
		"$${a}":                     "{a}",
		"müller":                    "m ller",
		"a||b":                      "a||b",
	} {
		if got := plain(text); got != want {
			t.Errorf("plain(%q) = %q, want %q", text, got, want)
		}
	}
}

// upgrade is to 1.21.1 or what a distribution makes of it.
var upgrade = Upgrade{
	Accepted: []string{"1.21.1+ (g6ba67)", "1.21.1+dfsg-1"},
	ROMs: map[proxydhcp.Platform]Replacement{
		proxydhcp.BIOS: {URL: "undionly.kpxe"}, proxydhcp.X64: {URL: "x64/snponly.efi", Version: "1.21.1+dfsg-1"},
		proxydhcp.IA32: {URL: "ipxe-i386.efi"}, proxydhcp.ARM64: {URL: "http://192.0.2.1/snponly.efi"},
	},
}

func TestVersionCheckText(t *testing.T) {
	script, err := VersionCheck(upgrade)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "version_check.ipxe", script)
}

// TestVersionCheck walks every path through the version check, whether the
// replacement starts or not, and whatever the server says before.
func TestVersionCheck(t *testing.T) {
	script, err := VersionCheck(upgrade)
	if err != nil {
		t.Fatal(err)
	}
	const says = "said version_check/wants-52-54-00-12-34-56/1.0.0.ipxe"
	bios := []string{says, "chain --autofree undionly.kpxe"}
	chain := func(name string) []string {
		return []string{says, "chain --autofree " + name + " set pxesidecar-upgraded yes && autoboot"}
	}
	tests := map[string]struct {
		settings map[string]string
		log      []string // if the server does not know better
	}{
		"current":              {map[string]string{"version": "1.21.1+ (g6ba67)", "platform": "efi", "buildarch": "x86_64"}, nil},
		"current, otherwise":   {map[string]string{"version": "1.21.1+dfsg-1", "platform": "pcbios"}, nil},
		"current, and tried":   {map[string]string{"version": "1.21.1+dfsg-1", "platform": "efi", mark: "yes"}, nil},
		"not quite":            {map[string]string{"version": "1.21.1+", "platform": "pcbios"}, []string{strings.Replace(says, "1.0.0", "1.21.1+", 1), bios[1]}},
		"BIOS":                 {map[string]string{"version": "1.0.0", "platform": "pcbios", "buildarch": "x86_64"}, bios},
		"x64":                  {map[string]string{"version": "1.0.0", "platform": "efi", "buildarch": "x86_64"}, chain("x64/snponly.efi")},
		"ia32 on a 64-bit CPU": {map[string]string{"version": "1.0.0", "platform": "efi", "buildarch": "i386", "cpu": "64"}, chain("ipxe-i386.efi")},
		"arm64":                {map[string]string{"version": "1.0.0", "platform": "efi", "buildarch": "arm64"}, chain("http://192.0.2.1/snponly.efi")},
		"no ROM":               {map[string]string{"version": "1.0.0", "platform": "efi", "buildarch": "riscv64"}, []string{says}},
		"no buildarch, 64":     {map[string]string{"version": "1.0.0", "platform": "efi", "cpu": "64"}, chain("x64/snponly.efi")},
		"no buildarch, 32":     {map[string]string{"version": "1.0.0", "platform": "efi"}, chain("ipxe-i386.efi")},
		"other platform":       {map[string]string{"version": "1.0.0", "platform": "linux", "buildarch": "x86_64"}, []string{says}},
		"tried already": {map[string]string{"version": "1.0.0", "platform": "efi", "buildarch": "x86_64", mark: "yes"},
			[]string{strings.Replace(says, "wants", "tried", 1)}},
	}
	for name, test := range tests {
		for answer, want := range map[string][]string{
			"": test.log, string(Proceed()): test.log, string(Tried()): test.log[:min(1, len(test.log))],
		} {
			for _, starts := range []bool{true, false} {
				t.Run(name, func(t *testing.T) {
					m := &machine{t: t, settings: map[string]string{"netX/mac": "52-54-00-12-34-56"}, script: string(script), starts: starts, answer: answer}
					maps.Copy(m.settings, test.settings)
					if got := m.run(m.script); got != (ended{}) {
						t.Errorf("end = %+v, want to fall through", got)
					}
					if diff := cmp.Diff(want, m.log); diff != "" {
						t.Errorf("what it did after the answer %q (-want +got):\n%s", answer, diff)
					}
				})
			}
		}
	}
}

// TestParseWant checks which names say that a machine wants a replacement.
func TestParseWant(t *testing.T) {
	for name, want := range map[string]Want{
		"version_check/wants-52-54-00-12-34-56/1.0.0.ipxe":           {MAC: "52-54-00-12-34-56", Version: "1.0.0"},
		"version_check/tried-52-54-00-12-34-56/1.21.1+ (g1234).ipxe": {Tried: true, MAC: "52-54-00-12-34-56", Version: "1.21.1+ (g1234)"},
		"version_check/wants-/1.21.1+%20(g1234).ipxe":                {Version: "1.21.1+ (g1234)"},
		"version_check/wants-x/a/b%.ipxe":                            {MAC: "x", Version: "a/b%"},
	} {
		if got, ok := ParseWant(name); !ok || got != want {
			t.Errorf("%q: %+v, %v, want %+v", name, got, ok, want)
		}
	}
	for _, name := range []string{"", CheckName, "version_check/wants-52", "version_check/wants-52/1", "version_check/wants/1.0.0.ipxe", "version_check/other-52/1.0.0.ipxe", "wants-52/1.0.0.ipxe", "x/version_check/wants-52/1.0.0.ipxe"} {
		if got, ok := ParseWant(name); ok {
			t.Errorf("%q: %+v", name, got)
		}
	}
}

func TestVersionCheckErrors(t *testing.T) {
	_, err := VersionCheck(Upgrade{})
	const wantEmpty = "version check: no version is wanted\nversion check: no ROM to put in the place of others"
	if err == nil || err.Error() != wantEmpty {
		t.Errorf("empty: %v", err)
	}
	_, err = VersionCheck(Upgrade{
		Accepted: []string{"2.0.0 || shell", ""},
		ROMs: map[proxydhcp.Platform]Replacement{
			proxydhcp.BIOS: {}, proxydhcp.X64: {URL: "a b"}, proxydhcp.IA32: {URL: "${x}"}, proxydhcp.ARM64: {URL: "snponly.efi", Version: "1.0.0"},
		},
	})
	const want = `version check: version "2.0.0 || shell" is not a text that iPXE has for ${version}
version check: version "" is not a text that iPXE has for ${version}
version check: ROM "" for bios is no URL that a script can have
version check: ROM "${x}" for ia32 is no URL that a script can have
version check: ROM "a b" for x64 is no URL that a script can have
version check: ROM snponly.efi for arm64 is iPXE "1.0.0", which would be replaced again: accept that version (--ipxe-text), serve another ROM, or none (--rom arm64=none)`
	if err == nil || err.Error() != want {
		t.Errorf("error:\n%v\nwant:\n%s", err, want)
	}
}
