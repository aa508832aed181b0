package config

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/internal/netstate"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// The distribution's own ROMs, iPXE 1.0.0 of the Debian package ipxe, which
// `make test` installs.
const (
	debianEFI  = "/usr/lib/ipxe/snponly.efi"
	debianBIOS = "/usr/lib/ipxe/undionly.kpxe"
)

// copyROM copies a ROM, as one that reports another version where version is
// not zero.
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
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// testHost is a host with one interface, and with the distribution's ROMs
// unless bare.
func testHost(t *testing.T, bare bool) Host {
	t.Helper()
	h := Host{Root: t.TempDir(), Version: "test", Interfaces: []netstate.Interface{
		{Name: "lo", Flags: net.FlagUp | net.FlagLoopback, Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8")}},
		{Name: "eth0", Flags: net.FlagUp | net.FlagBroadcast, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.10/24")}},
	}}
	if !bare {
		copyROM(t, debianEFI, filepath.Join(h.Root, "usr/lib/ipxe/snponly.efi"), proxydhcp.Version{})
		copyROM(t, debianBIOS, filepath.Join(h.Root, "usr/lib/ipxe/undionly.kpxe"), proxydhcp.Version{})
	}
	return h
}

// everybody is what those get who are in no segment.
func everybody(c *Config) Segment { return c.Segments[len(c.Segments)-1] }

// describeROMs lists what each platform gets.
func describeROMs(c *Config, replace *strings.Replacer) []string {
	var texts []string
	for _, r := range everybody(c).ROMs {
		texts = append(texts, replace.Replace(fmt.Sprintf("%s %s %s %d.%d.%d", r.Platform, r.Name, r.Source, r.Image.Version[0], r.Image.Version[1], r.Image.Version[2])))
	}
	return texts
}

// TestLoadROMs checks where the ROM of each platform comes from.
func TestLoadROMs(t *testing.T) {
	root, elsewhere := t.TempDir(), t.TempDir()
	copyROM(t, debianEFI, filepath.Join(root, "ipxe-x86_64.efi"), proxydhcp.Version{1, 21, 1})
	copyROM(t, debianEFI, filepath.Join(root, "patched/x64.efi"), proxydhcp.Version{9, 9, 9})
	copyROM(t, debianEFI, filepath.Join(elsewhere, "mine.efi"), proxydhcp.Version{2, 0, 0})
	copyROM(t, debianEFI, filepath.Join(elsewhere, "ipxe-x86_64.efi"), proxydhcp.Version{3, 0, 0})
	host := testHost(t, false)
	names := strings.NewReplacer(host.Root, "HOST", root, "ROOT", elsewhere, "ELSEWHERE")
	distribution := "bios undionly.kpxe HOST/usr/lib/ipxe/undionly.kpxe 1.0.0"
	for _, tt := range []struct {
		name     string
		settings Settings
		want     []string
	}{
		{"the distribution's", Settings{}, []string{distribution, "x64 snponly.efi HOST/usr/lib/ipxe/snponly.efi 1.0.0"}},
		{"the user's before the distribution's", Settings{Answers: Answers{Root: root}}, []string{"x64 ipxe-x86_64.efi ROOT/ipxe-x86_64.efi 1.21.1"}},
		{"named, in the user's directory", Settings{Answers: Answers{Root: root, ROMs: []string{"x64=/patched/x64.efi"}}}, []string{"x64 patched/x64.efi ROOT/patched/x64.efi 9.9.9"}},
		{"named by its path there", Settings{Answers: Answers{Root: root, ROMs: []string{"x64=" + root + "/patched/x64.efi"}}}, []string{"x64 patched/x64.efi ROOT/patched/x64.efi 9.9.9"}},
		{"named, elsewhere", Settings{Answers: Answers{ROMs: []string{"x64=" + elsewhere + "/mine.efi"}}}, []string{distribution, "x64 mine.efi ELSEWHERE/mine.efi 2.0.0"}},
		{"named, elsewhere, under a name that is taken", Settings{Answers: Answers{Root: root, ROMs: []string{"x64=" + elsewhere + "/ipxe-x86_64.efi"}}}, []string{"x64 x64/ipxe-x86_64.efi ELSEWHERE/ipxe-x86_64.efi 3.0.0"}},
		{"left out, and a URL", Settings{Answers: Answers{ROMs: []string{"x64=none,arm64=http://boot.example/arm64.efi"}}}, []string{distribution, "arm64 http://boot.example/arm64.efi  0.0.0"}},
		{"on another server", Settings{Answers: Answers{NextServer: "192.0.2.99", ROMs: []string{"x64=any/name.efi"}}}, []string{"x64 any/name.efi  0.0.0"}},
		{"on this host by its address", Settings{Answers: Answers{NextServer: "192.0.2.10"}}, []string{distribution, "x64 snponly.efi HOST/usr/lib/ipxe/snponly.efi 1.0.0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Load(tt.settings, host)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Tree.Close()
			if diff := cmp.Diff(tt.want, describeROMs(c, names)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, r := range everybody(c).ROMs {
				if _, err := fs.Stat(c.Tree, r.Name); r.Source != "" && err != nil {
					t.Errorf("%s is not in the tree: %v", r.Name, err)
				}
			}
			if len(everybody(c).ROMs)+len(everybody(c).NoROM) != len(proxydhcp.Platforms()) {
				t.Errorf("%d with a ROM, %d without", len(everybody(c).ROMs), len(everybody(c).NoROM))
			}
		})
	}
}

// TestLoadErrors checks what a person reads who asked for something that cannot
// be.
func TestLoadErrors(t *testing.T) {
	root := t.TempDir()
	copyROM(t, debianEFI, filepath.Join(root, "new.efi"), proxydhcp.Version{1, 21, 2})
	if err := os.WriteFile(filepath.Join(root, "boot.txt"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	host, bare := testHost(t, false), testHost(t, true)
	if err := os.MkdirAll(filepath.Join(bare.Root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bare.Root, "etc/os-release"), []byte("ID=debian\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	names := strings.NewReplacer(host.Root, "HOST", bare.Root, "BARE", root, "ROOT")
	for _, tt := range []struct {
		name     string
		host     Host
		settings Settings
		want     string
	}{
		{"no ROM", bare, Settings{},
			"no iPXE ROM found in the distribution's directories: install iPXE's boot files with: apt-get install ipxe, or name one with --rom x64=FILE"},
		{"no ROM in the root either", bare, Settings{Answers: Answers{Root: filepath.Join(bare.Root, "etc")}},
			"no iPXE ROM found in BARE/etc or in the distribution's directories: install iPXE's boot files with: apt-get install ipxe, or name one with --rom x64=FILE"},
		{"no ROM on the other server", host, Settings{Answers: Answers{NextServer: "192.0.2.99"}},
			"--next-server 192.0.2.99: name the ROMs that it has with --rom, such as --rom x64=ipxe.efi"},
		{"ROM that is not there", host, Settings{Answers: Answers{Root: root, ROMs: []string{"x64=absent-for-sure.efi"}}},
			`--rom "x64=absent-for-sure.efi": not found, neither in ROOT nor as CWD/absent-for-sure.efi`},
		{"ROM of another architecture", host, Settings{Answers: Answers{Root: root, ROMs: []string{"arm64=new.efi"}}},
			`--rom "arm64=new.efi": ROOT/new.efi is an EFI image for x64, iPXE 1.21.2, which does not start on arm64`},
		{"ROM that is none", host, Settings{Answers: Answers{Root: root, ROMs: []string{"x64=boot.txt"}}},
			`--rom "x64=boot.txt": ROOT/boot.txt is of no known format, which does not start on x64`},
		{"no architecture", host, Settings{Answers: Answers{ROMs: []string{"ipxe.efi"}}},
			`--rom "ipxe.efi": write ARCH=FILE, such as x64=ipxe.efi, ARCH=URL, or ARCH=none`},
		{"unknown architecture", host, Settings{Answers: Answers{ROMs: []string{"amd64=ipxe.efi"}}},
			`--rom "amd64=ipxe.efi": unknown architecture "amd64": one of bios, ia32, x64, arm32, arm64, riscv32, riscv64, loong64`},
		{"script that is not there", host, Settings{Answers: Answers{Root: root, BootURL: "menu.ipxe"}},
			`--boot-url "menu.ipxe": not found in ROOT`},
		{"script without a root", host, Settings{Answers: Answers{BootURL: "menu.ipxe"}},
			`--boot-url "menu.ipxe": no such boot file; name the directory that has "menu.ipxe" with --root`},
		{"script by a scheme that iPXE has not", host, Settings{Answers: Answers{BootURL: "gopher://boot.example/x"}},
			`--boot-url "gopher://boot.example/x": gopher:// is no scheme that iPXE loads from: use http, https, tftp, nfs or ftp`},
		{"two user classes", host, Settings{Answers: Answers{UserClass: "a,b"}}, `--user-class "a,b": one class, without commas`},
		{"script without a host", host, Settings{Answers: Answers{BootURL: "http:///x"}}, `--boot-url "http:///x": has no host`},
		{"script with a space", host, Settings{Answers: Answers{BootURL: "http://boot.example/a b"}},
			`--boot-url "http://boot.example/a b": has a space or a control character, which firmware does not take`},
		{"script that DHCP cannot carry", host, Settings{Answers: Answers{BootURL: "http://boot.example/" + strings.Repeat("x", 200)}},
			`--boot-url "http://boot.example/` + strings.Repeat("x", 200) + `": 220 bytes long, and DHCP has room for 200`},
		{"ROM that its own policy rejects", host, Settings{Answers: Answers{IPXEVersion: ">=1.21.1"}},
			"ROM HOST/usr/lib/ipxe/snponly.efi (x64): iPXE reports version 1.0.0, wanted >=1.21.1 (as every iPXE 1.x does that was built outside a git clone, whatever it calls itself), " +
				"so the machines that run it would be handed it again for ever: rebuild with make VERSION_MAJOR=1 VERSION_MINOR=21 VERSION_PATCH=1 and what else is wanted, " +
				"demand less (--ipxe-version auto), or leave it out (--rom x64=none)"},
		{"ROM that lacks a feature", host, Settings{Answers: Answers{Root: root, IPXEVersion: ">=1.21.1", IPXEFeatures: []string{"sdi"}, ROMs: []string{"x64=new.efi"}}},
			"ROM ROOT/new.efi (x64): iPXE lacks sdi, so the machines that run it would be handed it again for ever: " +
				"rebuild with make VERSION_MAJOR=1 VERSION_MINOR=21 VERSION_PATCH=1 and what else is wanted, demand less (--ipxe-version auto), or leave it out (--rom x64=none)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Load(tt.settings, tt.host)
			if err == nil {
				c.Tree.Close()
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

// TestLoadWarnings checks what is told at the start although it works.
func TestLoadWarnings(t *testing.T) {
	root := t.TempDir()
	copyROM(t, debianEFI, filepath.Join(root, "snponly.efi"), proxydhcp.Version{2, 0, 0})
	copyROM(t, debianEFI, filepath.Join(root, "ipxe-arm64.efi"), proxydhcp.Version{})
	copyROM(t, debianBIOS, filepath.Join(root, "undionly.kpxe"), proxydhcp.Version{})
	host := testHost(t, false)
	c, err := Load(Settings{Answers: Answers{Root: root, IPXEVersion: ">=2.0.0", BootURL: "https://boot.example/x"}}, host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Tree.Close()
	var got []string
	for _, w := range c.Warnings {
		got = append(got, strings.NewReplacer(host.Root, "HOST", root, "ROOT").Replace(w))
	}
	want := []string{
		`boot file "ipxe-arm64.efi": is an EFI image for x64, iPXE 1.0.0, not for arm64`,
		"the boot URL is https, and an iPXE without HTTPS cannot load it: --ipxe-feature https upgrades those first",
		"ROM ROOT/undionly.kpxe (bios): iPXE reports version 1.0.0, wanted >=2.0.0 (as every iPXE 1.x does that was built outside a git clone, whatever it calls itself), " +
			"so the machines that run it are given the boot script as they are: rebuild with make VERSION_MAJOR=2 VERSION_MINOR=0 VERSION_PATCH=0 and what else is wanted, " +
			"demand less (--ipxe-version auto), or leave it out (--rom bios=none)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPolicy checks what clients get from the rules that the flags make.
func TestPolicy(t *testing.T) {
	root := t.TempDir()
	copyROM(t, debianEFI, filepath.Join(root, "snponly.efi"), proxydhcp.Version{2, 0, 0})
	host := testHost(t, false)
	mac := func(last byte) proxydhcp.HardwareAddr {
		return proxydhcp.HardwareAddr{Type: 1, Len: 6, Bytes: [16]byte{0x52, 0x54, 0, 0, 0, last}}
	}
	ipxe := func(arch proxydhcp.Arch, v proxydhcp.Version) proxydhcp.Client {
		return proxydhcp.Client{Hardware: mac(1), Arch: arch, UserClass: "iPXE", IPXE: proxydhcp.IPXE{Present: true, HasVersion: true, Version: v}}
	}
	firmware := proxydhcp.Client{Hardware: mac(1), Arch: proxydhcp.ArchX64}
	old, current := proxydhcp.Version{1, 0, 0}, proxydhcp.Version{2, 0, 0}
	for _, tt := range []struct {
		name     string
		settings Settings
		client   proxydhcp.Client
		want     string // rule and file
	}{
		{"nothing demanded", Settings{}, ipxe(proxydhcp.ArchX64, old), "script boot.ipxe"},
		{"firmware", Settings{}, firmware, "rom snponly.efi"},
		{"version", Settings{Answers: Answers{IPXEVersion: ">=2.0.0"}}, ipxe(proxydhcp.ArchX64, old), "upgrade snponly.efi"},
		{"version met", Settings{Answers: Answers{IPXEVersion: ">=2.0.0"}}, ipxe(proxydhcp.ArchX64, current), "script boot.ipxe"},
		{"auto is the version of the ROM", Settings{Answers: Answers{IPXEVersion: "auto"}}, ipxe(proxydhcp.ArchX64, old), "upgrade snponly.efi"},
		{"auto met", Settings{Answers: Answers{IPXEVersion: "auto"}}, ipxe(proxydhcp.ArchX64, current), "script boot.ipxe"},
		{"auto, another platform's ROM is older", Settings{Answers: Answers{IPXEVersion: "auto"}}, ipxe(proxydhcp.ArchBIOS, old), "script boot.ipxe"},
		{"auto where there is no ROM", Settings{Answers: Answers{IPXEVersion: "auto"}}, ipxe(proxydhcp.ArchARM64, old), "script boot.ipxe"},
		{"old where there is no ROM", Settings{Answers: Answers{IPXEVersion: ">=2.0.0"}}, ipxe(proxydhcp.ArchARM64, old), "script-as-is boot.ipxe"},
		{"user class", Settings{Answers: Answers{UserClass: "acme"}}, ipxe(proxydhcp.ArchX64, old), "upgrade snponly.efi"},
		{"boot URL", Settings{Answers: Answers{BootURL: "http://boot.example/${net0/mac}"}}, ipxe(proxydhcp.ArchX64, old), "script http://boot.example/${net0/mac}"},
		{"denied", Settings{DenyMACs: []string{"52:54:00:00:00:01"}}, firmware, "deny-mac "},
		{"not allowed", Settings{AllowMACs: []string{"52:54:00:00:00:02"}}, firmware, "allow-mac "},
		{"allowed", Settings{AllowMACs: []string{"52:54"}}, firmware, "rom snponly.efi"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.settings.Root = root
			c, err := Load(tt.settings, host)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Tree.Close()
			d := c.DHCP.Policy.Decide(tt.client, false)
			if got := d.Rule + " " + d.File; got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// TestBuiltinScript checks that the built-in boot script is there, and that a
// user's own takes its place.
func TestBuiltinScript(t *testing.T) {
	host := testHost(t, false)
	read := func(s Settings) string {
		c, err := Load(s, host)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Tree.Close()
		text, err := fs.ReadFile(c.Tree, everybody(c).Script)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if text := read(Settings{}); !strings.HasPrefix(text, "#!ipxe\n") || !strings.Contains(text, "pxesidecar test") {
		t.Errorf("the built-in script: %q", text)
	}
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "boot.ipxe"), []byte("#!ipxe\nmine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if text := read(Settings{Answers: Answers{Root: root}}); text != "#!ipxe\nmine\n" {
		t.Errorf("the user's own script: %q", text)
	}
}

// TestChooseInterfaces checks what is served where none is named, and what a
// person is told otherwise.
func TestChooseInterfaces(t *testing.T) {
	up := net.FlagUp | net.FlagBroadcast
	prefix := func(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }
	lo := netstate.Interface{Name: "lo", Flags: net.FlagUp | net.FlagLoopback, Addresses: prefix("127.0.0.1/8")}
	eth0, eth1 := netstate.Interface{Name: "eth0", Flags: up, Addresses: prefix("192.0.2.10/24")}, netstate.Interface{Name: "eth1", Flags: up, Addresses: prefix("198.51.100.1/24")}
	bare, down := netstate.Interface{Name: "eth2", Flags: up, Addresses: nil}, netstate.Interface{Name: "eth3", Flags: net.FlagBroadcast, Addresses: prefix("192.0.2.11/24")}
	tunnel, local := netstate.Interface{Name: "tun0", Flags: net.FlagUp | net.FlagPointToPoint, Addresses: prefix("10.0.0.1/30")}, netstate.Interface{Name: "eth4", Flags: up, Addresses: prefix("169.254.1.1/16")}
	for _, tt := range []struct {
		name  string
		named []string
		host  []netstate.Interface
		want  []string
		err   string
	}{
		{"the only candidate", nil, []netstate.Interface{lo, eth0, bare, down, tunnel, local}, []string{"eth0"}, ""},
		{"several candidates", nil, []netstate.Interface{lo, eth0, eth1}, nil,
			"several interfaces could be served; choose with --interface: eth0 (192.0.2.10/24), eth1 (198.51.100.1/24)"},
		{"no candidate", nil, []netstate.Interface{lo, bare}, nil, "no interface to serve: none is up with an IPv4 address; there is eth2 (no IPv4 address)"},
		{"nothing at all", nil, []netstate.Interface{lo}, nil, "no interface to serve: none is up with an IPv4 address; there is only the loopback interface"},
		{"named, twice", []string{"eth1,eth0", "eth1"}, []netstate.Interface{lo, eth0, eth1}, []string{"eth1", "eth0"}, ""},
		{"named, with a link-local address", []string{"eth4"}, []netstate.Interface{local}, []string{"eth4"}, ""},
		{"unknown, bare and loopback", []string{"eth9,eth2,lo"}, []netstate.Interface{lo, eth0, bare}, nil,
			`--interface "eth9": no such interface; there is eth0 (192.0.2.10/24), eth2 (no IPv4 address)` + "\n" +
				`--interface "eth2": it has no IPv4 address that clients could be told; give it one: ip address add 192.0.2.1/24 dev eth2, or name one of this host with --server` + "\n" +
				`--interface "lo": a loopback interface, which no machine boots from`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			chosen, err := ChooseInterfaces(tt.named, tt.host)
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Errorf("%v\nwant %s", err, tt.err)
				}
				return
			}
			var got []string
			for _, i := range chosen {
				got = append(got, i.Name)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// TestServers checks what the clients of each interface are told is our address.
func TestServers(t *testing.T) {
	h := testHost(t, false)
	h.Interfaces = append(h.Interfaces,
		netstate.Interface{Name: "eth1", Flags: net.FlagUp | net.FlagBroadcast, Addresses: []netip.Prefix{netip.MustParsePrefix("198.51.100.10/24")}},
		netstate.Interface{Name: "trunk", Flags: net.FlagUp | net.FlagBroadcast, Addresses: nil})
	const forwarded = "clients are told that this host is at 203.0.113.9, which is no address of its own: " +
		"what is sent there to UDP 4011 and 69, and TCP of --http, must be forwarded here; --tftp-single-port helps with that"
	for _, tt := range []struct {
		name     string
		on       []string
		servers  []string
		want     string
		warnings []string
		err      string
	}{
		{"the interface's own", []string{"eth0", "eth1"}, nil, "eth0 invalid IP, eth1 invalid IP", nil, ""},
		{"one for all, a trunk without an address among them", []string{"eth0", "trunk"}, []string{"192.0.2.10"}, "eth0 192.0.2.10, trunk 192.0.2.10", nil, ""},
		{"of one interface alone", []string{"eth0", "eth1"}, []string{"eth1=192.0.2.10"}, "eth0 invalid IP, eth1 192.0.2.10", nil, ""},
		{"another host's for all but one", []string{"eth0", "eth1"}, []string{"203.0.113.9,eth1=198.51.100.10"}, "eth0 203.0.113.9, eth1 198.51.100.10", []string{forwarded}, ""},
		{"no address", []string{"eth0"}, []string{"here"}, "", nil, `--server "here": not the IPv4 address of a host`},
		{"no such interface", []string{"eth0"}, []string{"eth1=192.0.2.10"}, "", nil,
			`--server "eth1=192.0.2.10": eth1 is no interface that is served; there is eth0 (192.0.2.10/24)`},
		{"an interface without a name", []string{"eth0"}, []string{"=192.0.2.10"}, "", nil,
			`--server "=192.0.2.10": the interface before the = is missing; want IP or INTERFACE=IP`},
		{"two for all", []string{"eth0"}, []string{"192.0.2.10", "192.0.2.11"}, "", nil, `--server "192.0.2.11": there is another address for the same clients`},
		{"a trunk without an address", []string{"trunk"}, []string{"eth0=192.0.2.10"}, "", nil,
			`--interface "trunk": it has no IPv4 address that clients could be told; give it one: ip address add 192.0.2.1/24 dev trunk, or name one of this host with --server`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Load(Settings{Interfaces: tt.on, Servers: tt.servers}, h)
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Errorf("%v, want %s", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Tree.Close()
			var got []string
			for _, i := range c.DHCP.Interfaces {
				got = append(got, i.Name+" "+i.Server.String())
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, ", ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.warnings, c.Warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// TestListeners checks the addresses, and whom TFTP serves.
func TestListeners(t *testing.T) {
	for text, want := range map[string]string{
		":80": "0.0.0.0:80", "8080": "0.0.0.0:8080", "192.0.2.1": "192.0.2.1:80", "192.0.2.1:81": "192.0.2.1:81", "192.0.2.1:": "192.0.2.1:80",
	} {
		if got, err := parseListen(text, 80); err != nil || got.String() != want {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"host:80", ":0", ":65536", "[::1]:80", "192.0.2.1:x"} {
		if got, err := parseListen(text, 80); err == nil {
			t.Errorf("%s is taken as %s", text, got)
		}
	}
	c, err := Load(Settings{TFTP: "off", HTTP: ":8080", TFTPPorts: "20000-20015", TFTPBlockSize: 1024, TFTPWindow: 4, TFTPMaxTransfers: 9, TFTPCache: 64, TFTPAllow: []string{"203.0.113.0/24,198.51.100.7"}}, testHost(t, false))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Tree.Close()
	if !c.TFTPOff || c.HTTP.String() != "0.0.0.0:8080" || c.DHCP.Options.HTTPPort != 8080 || c.TFTP.PortRange != [2]uint16{20000, 20015} ||
		c.TFTP.MaxBlockSize != 1024 || c.TFTP.MaxWindow != 4 || c.TFTP.MaxTransfers != 9 || c.TFTP.CacheBytes != 64<<20 {
		t.Errorf("%+v", c)
	}
	for text, want := range map[string]bool{
		"192.0.2.77": true, "10.1.2.3": true, "203.0.113.9": true, "198.51.100.7": true, "127.0.0.1": true,
		"198.51.100.8": false, "8.8.8.8": false, "192.0.3.1": false,
	} {
		if got := c.TFTP.Allow(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s allowed: %v, want %v", text, got, want)
		}
	}
}

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

// TestTLS checks that a certificate is read, and what is said of one that
// cannot be used.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, cert, key)
	c, err := Load(Settings{HTTP: ":8443", TLSCert: cert, TLSKey: key}, testHost(t, false))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Tree.Close()
	if c.TLS == nil || !c.DHCP.Options.HTTPS {
		t.Errorf("TLS %v, URLs https %v", c.TLS, c.DHCP.Options.HTTPS)
	}
	for _, tt := range []struct {
		settings Settings
		want     string
	}{
		{Settings{TLSCert: cert, TLSKey: key}, `--tls-cert "` + cert + `": --tls-cert, --tls-key and --http go together`},
		{Settings{HTTP: ":80", TLSCert: cert}, `--tls-cert "` + cert + `": --tls-cert, --tls-key and --http go together`},
		{Settings{HTTP: ":80", TLSCert: cert, TLSKey: cert}, `--tls-cert "` + cert + `": tls: found a certificate rather than a key in the PEM for the private key`},
		{Settings{HTTP: ":80", TLSCert: "absent.pem", TLSKey: key}, `--tls-cert "absent.pem": open absent.pem: no such file or directory`},
	} {
		if _, err := Load(tt.settings, testHost(t, false)); err == nil || err.Error() != tt.want {
			t.Errorf("%v\nwant %s", err, tt.want)
		}
	}
}

// writeCertificate writes a self-signed certificate and its key.
func writeCertificate(t *testing.T, cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{{192, 0, 2, 10}}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	privateDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: privateDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
