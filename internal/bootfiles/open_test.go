package bootfiles

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/ipxescript"
	"github.com/pxesidecar/pxesidecar/internal/netstate"
	"github.com/pxesidecar/pxesidecar/internal/rom/romtest"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// The distribution's own ROMs, iPXE 1.0.0 of the Debian package ipxe, which
// `make test` installs.
const (
	debianEFI  = "/usr/lib/ipxe/snponly.efi"
	debianBIOS = "/usr/lib/ipxe/undionly.kpxe"
)

// copyROM copies a ROM, as one that reports another version if version is not
// zero.
func copyROM(t *testing.T, from, to string, version proxydhcp.Version) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatalf("the Debian package ipxe is needed: %v", err)
	}
	if version != (proxydhcp.Version{}) {
		plain, bumped := []byte{235, 3, 1, 0, 0}, append([]byte{235, 3}, version[:]...)
		if !bytes.Contains(b, plain) {
			t.Fatalf("%s does not report 1.0.0", from)
		}
		b = bytes.ReplaceAll(b, plain, bumped)
	}
	write(t, filepath.Dir(to), filepath.Base(to), string(b))
}

// newHost returns the root directory of a host that has the distribution's
// ROMs, unless it is bare.
func newHost(t *testing.T, bare bool) string {
	t.Helper()
	root := t.TempDir()
	if bare {
		write(t, root, "etc/os-release", "ID=debian\n")
		return root
	}
	copyROM(t, debianEFI, filepath.Join(root, "usr/lib/ipxe/snponly.efi"), proxydhcp.Version{})
	copyROM(t, debianBIOS, filepath.Join(root, "usr/lib/ipxe/undionly.kpxe"), proxydhcp.Version{})
	return root
}

// parse parses settings that must be right.
func parse(t *testing.T, s config.Settings) *config.Config {
	t.Helper()
	c, err := config.Parse(s, []netstate.Interface{
		{Name: "eth0", Flags: net.FlagUp | net.FlagBroadcast, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.10/24")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// open opens files that must be right.
func open(t *testing.T, c *config.Config, hostRoot string) *Set {
	t.Helper()
	set, err := Open(c, hostRoot, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set.Close() })
	return set
}

// everybody returns the files of those who are in no segment.
func everybody(set *Set) config.SegmentFiles { return set.Segments[len(set.Segments)-1] }

// answers returns settings with answers alone.
func answers(a config.AnswersText) config.Settings { return config.Settings{AnswersText: a} }

// TestROMs checks where the ROM of each platform comes from.
func TestROMs(t *testing.T) {
	root, elsewhere := t.TempDir(), t.TempDir()
	copyROM(t, debianEFI, filepath.Join(root, "ipxe-x86_64.efi"), proxydhcp.Version{1, 21, 1})
	copyROM(t, debianEFI, filepath.Join(root, "patched/x64.efi"), proxydhcp.Version{9, 9, 9})
	copyROM(t, debianEFI, filepath.Join(elsewhere, "mine.efi"), proxydhcp.Version{2, 0, 0})
	copyROM(t, debianEFI, filepath.Join(elsewhere, "ipxe-x86_64.efi"), proxydhcp.Version{3, 0, 0})
	host := newHost(t, false)
	names := strings.NewReplacer(host, "HOST", root, "ROOT", elsewhere, "ELSEWHERE")
	distribution := "bios undionly.kpxe HOST/usr/lib/ipxe/undionly.kpxe 1.0.0"
	for _, tt := range []struct {
		name string
		text config.AnswersText
		want []string
	}{
		{"the distribution's", config.AnswersText{}, []string{distribution, "x64 snponly.efi HOST/usr/lib/ipxe/snponly.efi 1.0.0"}},
		{"the user's before the distribution's", config.AnswersText{Root: root}, []string{"x64 ipxe-x86_64.efi ROOT/ipxe-x86_64.efi 1.21.1"}},
		{"named, in the user's directory", config.AnswersText{Root: root, ROMs: []string{"x64=/patched/x64.efi"}}, []string{"x64 patched/x64.efi ROOT/patched/x64.efi 9.9.9"}},
		{"named by its path there", config.AnswersText{Root: root, ROMs: []string{"x64=" + root + "/patched/x64.efi"}}, []string{"x64 patched/x64.efi ROOT/patched/x64.efi 9.9.9"}},
		{"named, elsewhere", config.AnswersText{ROMs: []string{"x64=" + elsewhere + "/mine.efi"}}, []string{distribution, "x64 mine.efi ELSEWHERE/mine.efi 2.0.0"}},
		{"named, elsewhere, under a name that is taken", config.AnswersText{Root: root, ROMs: []string{"x64=" + elsewhere + "/ipxe-x86_64.efi"}}, []string{"x64 x64/ipxe-x86_64.efi ELSEWHERE/ipxe-x86_64.efi 3.0.0"}},
		{"left out, and a URL", config.AnswersText{ROMs: []string{"x64=none,arm64=http://boot.example/arm64.efi"}}, []string{distribution, "arm64 http://boot.example/arm64.efi  0.0.0"}},
		{"on another server", config.AnswersText{NextServer: "192.0.2.99", ROMs: []string{"x64=any/name.efi"}}, []string{"x64 any/name.efi  0.0.0"}},
		{"on this host by its address", config.AnswersText{NextServer: "192.0.2.10"}, []string{distribution, "x64 snponly.efi HOST/usr/lib/ipxe/snponly.efi 1.0.0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set := open(t, parse(t, answers(tt.text)), host)
			var got []string
			for _, r := range everybody(set).ROMs {
				got = append(got, names.Replace(fmt.Sprintf("%s %s %s %s", r.Platform, r.Name, r.Source, r.IPXE.Version)))
				if !set.hasROM(r.Name) {
					t.Errorf("%s is no ROM", r.Name)
				}
				if _, err := fs.Stat(set, r.Name); r.Source != "" && err != nil {
					t.Errorf("%s is not in the tree: %v", r.Name, err)
				}
				if image, ok := set.Image(r.Name); ok != (r.Source != "") || ok && image.Kind() == "empty" {
					t.Errorf("%s is %v, %v", r.Name, image, ok)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestSegments checks which files segments have: their own directory's, under
// its name in the tree, or everybody's.
func TestSegments(t *testing.T) {
	host, root, own := newHost(t, false), t.TempDir(), t.TempDir()
	copyROM(t, debianEFI, filepath.Join(own, "snponly.efi"), proxydhcp.Version{2, 0, 0})
	write(t, own, "menu.ipxe", "")
	write(t, root, "all.ipxe", "")
	c := parse(t, config.Settings{
		AnswersText: config.AnswersText{Root: root, BootURL: "all.ipxe"},
		SegmentFlags: []string{
			"name=old lab/2,interface=eth1,root=" + own + ",boot-url=menu.ipxe", "vlan=3,root=" + own,
			"vlan=4", "vlan=5,boot-url={mac}.ipxe", "vlan=6,deny",
		},
	})
	set := open(t, c, host)
	var got []string
	for i, segment := range set.Segments {
		for _, r := range segment.ROMs {
			if r.Platform == proxydhcp.X64 {
				got = append(got, fmt.Sprintf("%s: %s, %s", c.Segments[i].Name, r.Name, segment.Script))
			}
		}
	}
	want := []string{
		"old lab/2: old-lab-2/snponly.efi, old-lab-2/menu.ipxe",
		"vlan3: vlan3/snponly.efi, all.ipxe",
		"vlan4: snponly.efi, all.ipxe",
		"vlan5: snponly.efi, {mac}.ipxe",
		": snponly.efi, all.ipxe",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestOpenErrors checks the errors for files that are not there or cannot be
// used.
func TestOpenErrors(t *testing.T) {
	root := t.TempDir()
	copyROM(t, debianEFI, filepath.Join(root, "new.efi"), proxydhcp.Version{1, 21, 2})
	write(t, root, "boot.txt", "text")
	host, bare := newHost(t, false), newHost(t, true)
	names := strings.NewReplacer(host, "HOST", bare, "BARE", root, "ROOT")
	for _, tt := range []struct {
		name string
		host string
		text config.AnswersText
		want string
	}{
		{"no directory", host, config.AnswersText{Root: root + "/absent"}, `--root "ROOT/absent": no such file or directory`},
		{"no ROM", bare, config.AnswersText{},
			"no iPXE ROM found in the distribution's directories: install iPXE's boot files with: apt-get install ipxe, or fetch those of iPXE's newest release with: pxesidecar rom fetch, or name one with --rom x64=FILE"},
		{"no ROM in the root either", bare, config.AnswersText{Root: filepath.Join(bare, "etc")},
			"no iPXE ROM found in BARE/etc or in the distribution's directories: install iPXE's boot files with: apt-get install ipxe, or fetch those of iPXE's newest release with: pxesidecar rom fetch, or name one with --rom x64=FILE"},
		{"no ROM on the other server", host, config.AnswersText{NextServer: "192.0.2.99"},
			"--next-server 192.0.2.99: name the ROMs that it has with --rom, such as --rom x64=ipxe.efi"},
		{"ROM that is not there", host, config.AnswersText{Root: root, ROMs: []string{"x64=absent-for-sure.efi"}},
			`--rom "x64=absent-for-sure.efi": not found, neither in ROOT nor as CWD/absent-for-sure.efi`},
		{"ROM of another architecture", host, config.AnswersText{Root: root, ROMs: []string{"arm64=new.efi"}},
			`--rom "arm64=new.efi": ROOT/new.efi is an EFI image for x64, iPXE 1.21.2, which does not start on arm64`},
		{"ROM that is none", host, config.AnswersText{Root: root, ROMs: []string{"x64=boot.txt"}},
			`--rom "x64=boot.txt": ROOT/boot.txt is of no known format, which does not start on x64`},
		{"script that is not there", host, config.AnswersText{Root: root, BootURL: "menu.ipxe"},
			`--boot-url "menu.ipxe": not found in ROOT`},
		{"script without a root", host, config.AnswersText{BootURL: "menu.ipxe"},
			`--boot-url "menu.ipxe": no such boot file; name the directory that has "menu.ipxe" with --root`},
		{"two of them", host, config.AnswersText{Root: root, BootURL: "menu.ipxe", ROMs: []string{"arm64=boot.txt"}},
			`--rom "arm64=boot.txt": ROOT/boot.txt is of no known format, which does not start on arm64` + "\n" + `--boot-url "menu.ipxe": not found in ROOT`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set, err := Open(parse(t, answers(tt.text)), tt.host, "test")
			if err == nil {
				set.Close()
				t.Fatal("accepted")
			}
			cwd, _ := os.Getwd()
			got := names.Replace(strings.ReplaceAll(err.Error(), cwd, "CWD"))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestErrorPlaces checks that the error for a file names where the
// configuration file names it, once: a segment without a root has everybody's.
func TestErrorPlaces(t *testing.T) {
	file, err := config.ParseFile("x.toml", []byte("root = \"/absent/all\"\n[[segment]]\nvlan = \"3\"\nroot = \"/absent/3\"\n[[segment]]\nvlan = \"4\"\nboot-url = \"http://boot.example/\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	const want = `x.toml:1: root "/absent/all": no such file or directory
x.toml:4: segment[0].root "/absent/3": no such file or directory`
	_, err = Open(parse(t, file.Settings), newHost(t, true), "test")
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

// TestROMsAndPolicy checks that the policy is compared with what the files say.
func TestROMsAndPolicy(t *testing.T) {
	root, mixed := t.TempDir(), t.TempDir()
	copyROM(t, debianEFI, filepath.Join(root, "new.efi"), proxydhcp.Version{1, 21, 2})
	copyROM(t, debianEFI, filepath.Join(mixed, "snponly.efi"), proxydhcp.Version{2, 0, 0})
	copyROM(t, debianEFI, filepath.Join(mixed, "ipxe-arm64.efi"), proxydhcp.Version{})
	copyROM(t, debianBIOS, filepath.Join(mixed, "undionly.kpxe"), proxydhcp.Version{})
	host := newHost(t, false)
	names := strings.NewReplacer(host, "HOST", root, "ROOT", mixed, "MIXED")
	for _, tt := range []struct {
		name     string
		text     config.AnswersText
		warnings []string
		err      string
	}{
		{"ROM that its own policy rejects", config.AnswersText{IPXEVersion: ">=1.21.1"}, nil,
			"ROM HOST/usr/lib/ipxe/snponly.efi (x64): iPXE reports version 1.0.0, wanted >=1.21.1 (as every iPXE 1.x does that was built outside a git clone, whatever it calls itself), " +
				"so the machines that run it would be handed it again for ever: rebuild with make VERSION_MAJOR=1 VERSION_MINOR=21 VERSION_PATCH=1 and what else is wanted, " +
				"demand less (--ipxe-version auto), or leave it out (--rom x64=none)"},
		{"ROM that lacks a feature", config.AnswersText{Root: root, IPXEVersion: ">=1.21.1", IPXEFeatures: []string{"sdi"}, ROMs: []string{"x64=new.efi"}}, nil,
			"ROM ROOT/new.efi (x64): iPXE lacks sdi, so the machines that run it would be handed it again for ever: " +
				"rebuild with make VERSION_MAJOR=1 VERSION_MINOR=21 VERSION_PATCH=1 and what else is wanted, demand less, or leave it out (--rom x64=none)"},
		{"warnings", config.AnswersText{Root: mixed, IPXEVersion: ">=2.0.0", BootURL: "https://boot.example/x"}, []string{
			`boot file "ipxe-arm64.efi": is an EFI image for x64, iPXE 1.0.0, not for arm64`,
			"the boot URL is https, and an iPXE without HTTPS cannot load it: --ipxe-feature https upgrades those first",
			"ROM MIXED/undionly.kpxe (bios): iPXE reports version 1.0.0, wanted >=2.0.0 (as every iPXE 1.x does that was built outside a git clone, whatever it calls itself), " +
				"so the machines that run it are given the boot script as they are: rebuild with make VERSION_MAJOR=2 VERSION_MINOR=0 VERSION_PATCH=0 and what else is wanted, " +
				"demand less (--ipxe-version auto), or leave it out (--rom bios=none)"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := parse(t, answers(tt.text))
			set := open(t, c, host)
			_, warnings, err := c.Policy(set.Segments)
			got := ""
			if err != nil {
				got = names.Replace(err.Error())
				warnings = nil
			}
			if diff := cmp.Diff(tt.err, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			var all []string
			if tt.warnings != nil {
				for _, w := range append(set.Warnings, warnings...) {
					all = append(all, names.Replace(w))
				}
			}
			if diff := cmp.Diff(tt.warnings, all); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// TestBuiltinScript checks that the built-in boot script is there, and that a
// user's own replaces it.
func TestBuiltinScript(t *testing.T) {
	host := newHost(t, false)
	read := func(text config.AnswersText) string {
		set := open(t, parse(t, answers(text)), host)
		script, err := fs.ReadFile(set, everybody(set).Script)
		if err != nil {
			t.Fatal(err)
		}
		return string(script)
	}
	if text := read(config.AnswersText{}); !strings.HasPrefix(text, "#!ipxe\n") || !strings.Contains(text, "pxesidecar test") {
		t.Errorf("the built-in script: %q", text)
	}
	root := t.TempDir()
	write(t, root, "boot.ipxe", "#!ipxe\nmine\n")
	if text := read(config.AnswersText{Root: root}); text != "#!ipxe\nmine\n" {
		t.Errorf("the user's own script: %q", text)
	}
}

// TestGeneratedCheck checks when there is a version check.
func TestGeneratedCheck(t *testing.T) {
	remote := config.AnswersText{NextServer: "192.0.2.99", ROMs: []string{"x64=new.efi"}}
	told := romtest.IPXE(2, 0, 0)
	told.Sections = append(told.Sections, romtest.Section{Name: ".text2", Flags: told.Sections[0].Flags, Data: "iPXE\x00\x002.0.0 (g1234)\x00"})
	tells := filepath.Join(t.TempDir(), "tells.efi")
	if err := os.WriteFile(tells, told.Build(), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		settings config.Settings
		want     bool
		warnings []string
	}{
		{"answered by DHCP", answers(remote), false, nil},
		{"no text is known", config.Settings{AnswersText: remote, NoDHCP: true}, false,
			[]string{"--no-dhcp: no iPXE is upgraded, because no ROM tells its version text: name the texts that are current with --ipxe-text"}},
		{"a text is named", config.Settings{AnswersText: remote, IPXETexts: []string{"2.0.0"}}, true, nil},
		{"a text is named, and no DHCP", config.Settings{AnswersText: remote, IPXETexts: []string{"2.0.0"}, NoDHCP: true}, true, nil},
		{"one ROM does not tell", config.Settings{AnswersText: config.AnswersText{ROMs: []string{"x64=" + tells, "bios=http://192.0.2.99/undionly.kpxe"}}, NoDHCP: true}, true,
			[]string{"--no-dhcp: nothing tells what the ROM http://192.0.2.99/undionly.kpxe (bios) calls itself: each machine loads it at every boot, to no avail, unless that is named with --ipxe-text, beside 2.0.0 (g1234)"}},
	} {
		set := open(t, parse(t, tt.settings), t.TempDir())
		if diff := cmp.Diff(tt.warnings, set.Warnings); diff != "" {
			t.Errorf("%s: warnings (-want +got):\n%s", tt.name, diff)
		}
		if _, err := fs.Stat(set, ipxescript.CheckName); (err == nil) != tt.want {
			t.Errorf("%s: %v, want one: %v", tt.name, err, tt.want)
		}
		boot, err := fs.ReadFile(set, config.BootScriptName)
		if err != nil || strings.Contains(string(boot), ipxescript.CheckName) != tt.want {
			t.Errorf("%s: %v, the boot script: %s", tt.name, err, boot)
		}
	}
	root := t.TempDir()
	write(t, root, config.BootScriptName, "#!ipxe\nautoboot\n")
	own := remote
	own.Root = root
	s := config.Settings{AnswersText: own, IPXETexts: []string{"2.0.0"}, NoDHCP: true}
	want := []string{"--no-dhcp: " + filepath.Join(root, config.BootScriptName) + " does not run version_check.ipxe, so it upgrades no iPXE: " +
		"begin it with the lines #!ipxe and chain --autofree version_check.ipxe ||"}
	if diff := cmp.Diff(want, open(t, parse(t, s), t.TempDir()).Warnings); diff != "" {
		t.Errorf("a boot script without the check: warnings (-want +got):\n%s", diff)
	}
	write(t, root, ipxescript.CheckName, "#!ipxe\n")
	s.IPXETexts = nil
	if diff := cmp.Diff(want, open(t, parse(t, s), t.TempDir()).Warnings); diff != "" {
		t.Errorf("a check of the user's own: warnings (-want +got):\n%s", diff)
	}
	_, err := Open(parse(t, config.Settings{AnswersText: remote, IPXETexts: []string{"2.0.0  (x)"}}), t.TempDir(), "test")
	if err == nil || !strings.Contains(err.Error(), "is not a text that iPXE has for ${version}") {
		t.Errorf("a text that no iPXE has: %v", err)
	}
}

// TestRaspberryPi checks that a Raspberry Pi's files are found.
func TestRaspberryPi(t *testing.T) {
	host, root := newHost(t, false), t.TempDir()
	for _, tt := range []struct {
		file string
		want bool
	}{{"other.bin", false}, {"start4.elf", true}} {
		write(t, root, tt.file, "")
		set := open(t, parse(t, answers(config.AnswersText{Root: root})), host)
		if got := everybody(set).RaspberryPi; got != tt.want {
			t.Errorf("with %s: %v, want %v", tt.file, got, tt.want)
		}
	}
}

// TestOwnAutoexec checks that a script is warned of which EFI iPXEs run before
// any rule decides.
func TestOwnAutoexec(t *testing.T) {
	for name, tt := range map[string]struct {
		rom, script string
		off         bool
		want        bool
	}{
		"beside the ROM":  {"x64=a/b/snponly.efi", "a/b/autoexec.ipxe", false, true},
		"above the ROM":   {"x64=a/b/snponly.efi", "a/autoexec.ipxe", false, true},
		"in the root":     {"x64=a/b/snponly.efi", "autoexec.ipxe", false, true},
		"elsewhere":       {"x64=a/b/snponly.efi", "c/autoexec.ipxe", false, false},
		"none":            {"x64=a/b/snponly.efi", "other.ipxe", false, false},
		"it is meant":     {"x64=a/b/snponly.efi", "autoexec.ipxe", true, false},
		"a ROM for BIOS":  {"bios=undionly.kpxe", "autoexec.ipxe", false, false},
		"on other server": {"x64=http://192.0.2.99/snponly.efi", "autoexec.ipxe", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for _, dir := range []string{"a/b", "c"} {
				if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			write(t, root, "a/b/snponly.efi", string(romtest.IPXE(2, 0, 0).Build()))
			write(t, root, "undionly.kpxe", "\xea\x05\x00\xc0\x07")
			write(t, root, tt.script, "#!ipxe\nshell\n")
			s := answers(config.AnswersText{Root: root, ROMs: []string{"bios=none", "x64=none", tt.rom}})
			s.NoAutoexec = tt.off
			var want []string
			if tt.want {
				want = []string{filepath.Join(root, tt.script) + ": every EFI iPXE that loads it runs it first, and the rules do not decide what that machine boots; " +
					"remove it, or say with --no-autoexec that it is meant"}
			}
			if diff := cmp.Diff(want, open(t, parse(t, s), t.TempDir()).Warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}
