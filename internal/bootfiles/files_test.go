package bootfiles

import (
	"bytes"
	"errors"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/ipxescript"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// newSet returns a Set of generated files, with the name of its ROM.
func newSet(romName string, files map[string]string) *Set {
	texts := map[string][]byte{}
	for name, text := range files {
		texts[name] = []byte(text)
	}
	s := &Set{tree: &tree{}, Segments: []config.SegmentFiles{{ROMs: []config.ROM{{Name: romName}}}}}
	s.addGenerated(texts)
	return s
}

// served is boot files with the machines that they depend on.
type served struct {
	*Files
	machines  *proxydhcp.Machines
	responder *proxydhcp.Responder
}

// TestAutoexecYields checks that no script goes past DHCP where the DHCP
// server's own file comes first.
func TestAutoexecYields(t *testing.T) {
	s := newSet("x64/ipxe.efi", map[string]string{"x64/ipxe.efi": "rom"})
	s.autoexec = true
	for yields, want := range map[bool]bool{false: true, true: false} {
		r := proxydhcp.NewResponder(proxydhcp.ResponderConfig{Policy: &proxydhcp.Policy{}, Options: proxydhcp.ReplyOptions{HTTPPort: 8080, YieldToFilename: yields}})
		f := NewFiles(s, r, proxydhcp.NewMachines())
		_, err := f.For(Asker{Client: client, Server: server, Name: "autoexec.ipxe"}).Open("autoexec.ipxe")
		if got := err == nil; got != want {
			t.Errorf("yields %v: there is a script: %v", yields, got)
		}
	}
}

// serve serves a Set, without DHCP.
func serve(t *testing.T, s *Set, policy *proxydhcp.Policy) served {
	t.Helper()
	if policy == nil {
		policy = &proxydhcp.Policy{}
	}
	m := proxydhcp.NewMachines()
	r := proxydhcp.NewResponder(proxydhcp.ResponderConfig{Policy: policy, Machines: m, Options: proxydhcp.ReplyOptions{HTTPPort: 8080}})
	f := NewFiles(s, r, m)
	t.Cleanup(func() { f.Close() })
	return served{f, m, r}
}

// ask returns the files as a client sees them that asks for a name.
func (f served) ask(client netip.Addr, name string) fs.FS {
	return f.For(Asker{Client: client, Server: server, Name: name})
}

// text returns what a client reads, "none" if it is not there.
func (f served) text(t *testing.T, a Asker) string {
	t.Helper()
	name := strings.TrimPrefix(a.Name, "/")
	text, err := fs.ReadFile(f.For(a), name)
	if errors.Is(err, fs.ErrNotExist) {
		return "none"
	}
	if err != nil {
		t.Fatal(err)
	}
	// TFTP looks first and reads what it saw.
	if info, err := fs.Stat(f.For(a), name); err != nil || info.Size() != int64(len(text)) {
		t.Errorf("%s is described as %v, %v; it has %d bytes", a.Name, info, err, len(text))
	}
	return string(text)
}

var (
	server = netip.MustParseAddr("192.0.2.10")
	client = netip.MustParseAddr("192.0.2.50")
	other  = netip.MustParseAddr("192.0.2.51")
)

// TestVersionCheck checks what a client is told that wants a replacement by the
// version check: to load it, or to go on if it did not help. A check of the
// user's own asks nothing of us.
func TestVersionCheck(t *testing.T) {
	const wants = "version_check/wants-52-54-00-12-34-56/1.0.0.ipxe"
	files := map[string]string{ipxescript.CheckName: "check", "undionly.kpxe": "rom", "other": "other"}
	f := serve(t, newSet("undionly.kpxe", files), nil)
	told := func(name string, at netip.Addr, want []byte) {
		t.Helper()
		if got := f.text(t, Asker{Client: at, Name: "/" + wants}); got != string(want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	told("at first", client, ipxescript.Proceed())
	f.machines.ScriptUpgradeWanted(client, false, time.Now())
	told("before it has read a ROM", client, ipxescript.Proceed())
	f.machines.ROMRead(client, "undionly.kpxe", time.Now())
	told("after it has read the ROM", client, ipxescript.Tried())
	told("another machine", other, ipxescript.Proceed())
	for _, name := range []string{"other", ipxescript.CheckName} {
		if got := f.text(t, Asker{Client: client, Name: name}); got != files[name] {
			t.Errorf("%s: %q", name, got)
		}
	}
	if !f.IsROM("undionly.kpxe") || f.IsROM("other") || !IsVersionCheck(ipxescript.CheckName) || IsVersionCheck("other") {
		t.Error("it does not know which file is a ROM, or the version check")
	}

	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ipxescript.CheckName), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	own := newSet("undionly.kpxe", nil)
	if err := own.addDir("", dir); err != nil {
		t.Fatal(err)
	}
	own.addGenerated(map[string][]byte{ipxescript.CheckName: []byte("check")})
	f = serve(t, own, nil)
	if _, err := f.ask(client, wants).Open(wants); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("beside the user's own check: %v", err)
	}
}

// TestReplace checks that a reload changes what is served, and that nobody is
// shown a version check if there is none.
func TestReplace(t *testing.T) {
	f := serve(t, newSet("old-rom", map[string]string{"a": "old"}), nil)
	before := f.ask(client, "a")
	f.Replace(newSet("rom", map[string]string{"a": "new"}))
	for source, want := range map[fs.FS]string{before: "old", f.ask(client, "a"): "new", f.Files: "new"} {
		if text, err := fs.ReadFile(source, "a"); err != nil || string(text) != want {
			t.Errorf("%q, %v; want %q", text, err, want)
		}
	}
	if f.IsROM("old-rom") || !f.IsROM("rom") {
		t.Error("the ROMs are those of the tree before")
	}
	if f.ask(client, "a") != f.ask(other, "a") {
		t.Error("two clients that see the same get different trees")
	}
	f.machines.ROMRead(client, "rom", time.Now())
	if _, err := f.ask(client, ipxescript.CheckName).Open(ipxescript.CheckName); err == nil {
		t.Error("a version check, and there is none")
	}
}

// TestBesideShim checks that a machine that has just read a shim finds the
// files of its directory wherever it looks for them, and nobody else does.
func TestBesideShim(t *testing.T) {
	s := newSet("sb/shim.efi", map[string]string{"sb/shim.efi": "shim", "sb/grubx64.efi": "next", "boot.ipxe": "script", "sb/boot.ipxe": "none"})
	s.Segments[0].ROMs[0].SecondStage = "sb/grubx64.efi"
	f := serve(t, s, nil)
	ask := func(at netip.Addr, name string) string { return f.text(t, Asker{Client: at, Name: name}) }
	if got := ask(client, "grubx64.efi"); got != "none" {
		t.Errorf("before it has read the shim: %q", got)
	}
	f.machines.ROMRead(client, "sb/shim.efi", time.Now())
	for name, want := range map[string]string{"grubx64.efi": "next", "elsewhere/grubx64.efi": "next", "sb/grubx64.efi": "next", "boot.ipxe": "script", "absent.efi": "none"} {
		if got := ask(client, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := ask(other, "grubx64.efi"); got != "none" {
		t.Errorf("another client: %q", got)
	}
}

// TestTemplateSources checks that nobody reads the source of a template, but
// whoever fills it in.
func TestTemplateSources(t *testing.T) {
	f := serve(t, newSet("rom", map[string]string{"m.ipxe.tmpl": "source", "n.TMPL": "source"}), nil)
	for _, name := range []string{"m.ipxe.tmpl", "n.TMPL"} {
		if got := f.text(t, Asker{Client: client, Name: name}); got != "none" {
			t.Errorf("%s: read %q", name, got)
		}
		if got := f.text(t, Asker{Client: client, Name: name, Fills: true}); got != "source" {
			t.Errorf("%s: to be filled in: %q", name, got)
		}
		if _, err := fs.Stat(f.Files, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: as everybody sees it: %v", name, err)
		}
	}
}

// discover is the DISCOVER of UEFI firmware, and has it take an address.
func (f served) discover(t *testing.T, mac byte, ip netip.Addr) {
	t.Helper()
	c := proxydhcp.Client{Arch: proxydhcp.ArchX64, VendorClass: "PXEClient:Arch:00007:UNDI:003001",
		Hardware: proxydhcp.HardwareAddr{Type: 1, Len: 6, Bytes: [16]byte{0x52, 0x54, 0, 0, 0, mac}}}
	a := proxydhcp.Arrival{Port: proxydhcp.PortServer, To: proxydhcp.Broadcast, Ours: []netip.Prefix{netip.PrefixFrom(server, 24)}}
	f.responder.Respond(nil, c.Discover(), a, time.Now())
	// At port 4011 it asks from the address that it has taken.
	request := bytes.Replace(c.Discover(), []byte{53, 1, 1}, []byte{53, 1, 3}, 1)
	copy(request[12:], ip.AsSlice())
	a.Port, a.From, a.To = proxydhcp.PortProxy, netip.AddrPortFrom(ip, proxydhcp.PortProxy), server
	if res := f.responder.Respond(nil, request, a, time.Now()); res.Reason != proxydhcp.Answerable {
		t.Fatalf("port 4011: %s", res.Reason)
	}
}

// autoexecPolicy gives the machine with the last byte 2 nothing once it is an
// iPXE, and that with 3 another script.
func autoexecPolicy(t *testing.T) *proxydhcp.Policy {
	t.Helper()
	mac := func(s string) []proxydhcp.MACPrefix {
		p, err := dhcp4.ParseMACPrefix(s)
		if err != nil {
			t.Fatal(err)
		}
		return []proxydhcp.MACPrefix{p}
	}
	script := func(name string) proxydhcp.Outcome {
		return proxydhcp.Outcome{Kind: proxydhcp.BootScript, File: name}
	}
	ipxe := &proxydhcp.IPXEMatch{}
	return &proxydhcp.Policy{Rules: []proxydhcp.Rule{
		{Match: proxydhcp.Match{IPXE: ipxe, MACs: mac("52:54:00:00:00:02")}},
		{Match: proxydhcp.Match{IPXE: ipxe, MACs: mac("52:54:00:00:00:03")}, Outcome: script("other.ipxe")},
		{Match: proxydhcp.Match{IPXE: ipxe}, Outcome: script("boot.ipxe")},
		{Outcome: proxydhcp.Outcome{Kind: proxydhcp.BootROM, ROMs: proxydhcp.ROMs{proxydhcp.X64: {"x64/ipxe.efi"}}}},
	}}
}

// TestAutoexec checks what each machine finds when its iPXE starts.
func TestAutoexec(t *testing.T) {
	const (
		mine = "the user's own"
		ask  = "http://192.0.2.10:8080/autoexec.ipxe?"
	)
	for _, tt := range []struct {
		name    string
		own     string // where the user has one
		off     bool
		machine byte // the last byte of its hardware address; 0 for one whose DHCP was not heard
		asks    string
		query   url.Values
		want    string // in what it gets; "none"
	}{
		{"known", "", false, 1, "x64/autoexec.ipxe", nil, "tftp://192.0.2.10/boot.ipxe"},
		{"known, in the root", "", false, 1, "/autoexec.ipxe", nil, "tftp://192.0.2.10/boot.ipxe"},
		{"by another rule", "", false, 3, "x64/autoexec.ipxe", nil, "tftp://192.0.2.10/other.ipxe"},
		{"denied", "", false, 2, "x64/autoexec.ipxe", nil, "none"},
		{"the user's own", "autoexec.ipxe", false, 1, "autoexec.ipxe", nil, mine},
		{"the user's own in the root", "autoexec.ipxe", false, 1, "x64/autoexec.ipxe", nil, mine},
		{"the user's own in a directory", "x64/autoexec.ipxe", false, 1, "x64/autoexec.ipxe", nil, mine},
		{"the user's own in another directory", "arm64/autoexec.ipxe", false, 1, "x64/autoexec.ipxe", nil, "tftp://192.0.2.10/boot.ipxe"},
		{"off", "", true, 1, "x64/autoexec.ipxe", nil, "none"},
		{"the user's own, and off", "autoexec.ipxe", true, 1, "autoexec.ipxe", nil, mine},
		{"not known", "", false, 0, "autoexec.ipxe", nil, ask},
		{"describes itself", "", false, 0, "autoexec.ipxe", url.Values{"buildarch": {"x86_64"}, "version": {"2.0.0+ (g1)"}, "mac": {"52:54:00:00:00:03"}}, "tftp://192.0.2.10/other.ipxe"},
		{"describes itself as denied", "", false, 0, "autoexec.ipxe", url.Values{"buildarch": {"x86_64"}, "mac": {"52:54:00:00:00:02"}}, "none"},
		{"describes itself badly", "", false, 0, "autoexec.ipxe", url.Values{"buildarch": {""}, "version": {"x"}, "mac": {"${x}"}, "uuid": {"?"}}, "tftp://192.0.2.10/boot.ipxe"},
		{"describes itself, but is known", "", false, 1, "autoexec.ipxe", url.Values{"buildarch": {"x86_64"}, "mac": {"52:54:00:00:00:02"}}, "tftp://192.0.2.10/boot.ipxe"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := map[string]string{"x64/ipxe.efi": "rom", "boot.ipxe": "boot"}
			if tt.own != "" {
				files[tt.own] = mine
			}
			s := newSet("x64/ipxe.efi", files)
			s.autoexec = !tt.off
			s.Segments[0].ROMs[0].IPXE = proxydhcp.IPXE{Present: true, HasVersion: true, Version: proxydhcp.Version{2, 0, 0}}
			f := serve(t, s, autoexecPolicy(t))
			if tt.machine != 0 {
				f.discover(t, tt.machine, client)
			}
			f.machines.ROMRead(client, "x64/ipxe.efi", time.Now())
			got := f.text(t, Asker{Client: client, Server: server, Name: tt.asks, Query: tt.query})
			if !strings.Contains(got, tt.want) {
				t.Errorf("it gets\n%s\nwant %s", got, tt.want)
			}
			if tt.machine != 0 && strings.HasPrefix(got, "#!ipxe") && !strings.Contains(got, "iseq ${net${n}/mac} 52:54:00:00:00:0") {
				t.Errorf("it does not look for its card:\n%s", got)
			}
		})
	}
}
