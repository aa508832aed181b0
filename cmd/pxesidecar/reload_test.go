package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/bootfiles"
	"github.com/pxesidecar/pxesidecar/internal/eventlog"
	"github.com/pxesidecar/pxesidecar/internal/ipxescript"
	"github.com/pxesidecar/pxesidecar/internal/netstate"
	"github.com/pxesidecar/pxesidecar/internal/rom/romtest"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// change is a change of one setting.
type change struct {
	from, to any
	with     config.Settings // what else is set, before and after
}

// changes are a change of each flag, by its name.
func changes(t *testing.T, cert, key, other string) map[string]change {
	remote := config.AnswersText{NextServer: "192.0.2.99", ROMs: []string{"x64=a.efi"}}
	web := config.Settings{AnswersText: remote, HTTP: ":443", TLSCert: cert, TLSKey: key}
	menu := config.Settings{AnswersText: remote, Menu: []string{"Install=rom"}}
	check := config.Settings{AnswersText: remote, NoDHCP: true}
	list := func(values ...string) []string { return values }
	chain := config.Settings{AnswersText: config.AnswersText{Root: chainRoot(t), ROMs: list("arm64=none")}}
	return map[string]change{
		"allow-mac":              {from: list(), to: list("52:54:00")},
		"deny-mac":               {from: list(), to: list("52:54:00")},
		"segment":                {from: list(), to: list("interface=eth0,boot-url=http://boot.example/")},
		"root":                   {from: "", to: other},
		"boot-url":               {from: "", to: "http://boot.example/"},
		"rom":                    {from: list("x64=a.efi"), to: list("x64=b.efi")},
		"secure-boot":            {from: "auto", to: "off", with: chain},
		"rom-fallback":           {from: "auto", to: "never", with: chain},
		"next-server":            {from: "192.0.2.99", to: "192.0.2.98"},
		"yield-to-dhcp-filename": {from: false, to: true},
		"override-dhcp-filename": {from: false, to: true},
		"no-autoexec":            {from: false, to: true},
		"menu":                   {from: list(), to: list("Install=rom")},
		"menu-prompt":            {from: "", to: "Choose", with: menu},
		"menu-timeout":           {from: 1, to: 2, with: menu},
		"u-boot":                 {from: false, to: true},
		"http":                   {from: ":8067", to: ":80"},
		"tls-cert":               {from: cert, to: other + "/cert.pem", with: web},
		"tls-key":                {from: key, to: other + "/key.pem", with: web},
		"ipxe-version":           {from: "", to: ">=2.0.0"},
		"ipxe-feature":           {from: list(), to: list("https")},
		"ipxe-text":              {from: list("1.0.0"), to: list("2.0.0"), with: check},
		"user-class":             {from: "", to: "acme"},
		"watch-config":           {from: false, to: true},
		"interface":              {from: list("eth0"), to: list("eth0", "eth1")},
		"vlan":                   {from: list(), to: list("20")},
		"server":                 {from: list(), to: list("192.0.2.2")},
		"relayed":                {from: false, to: true},
		"no-wait":                {from: false, to: true},
		"port-4011-only":         {from: false, to: true},
		"no-dhcp":                {from: false, to: true},
		"dry-run":                {from: false, to: true},
		"tftp":                   {from: ":69", to: "off"},
		"tftp-single-port":       {from: false, to: true},
		"tftp-ports":             {from: "", to: "20000-20015"},
		"tftp-block-size":        {from: 65464, to: 1024},
		"tftp-window-size":       {from: 64, to: 4},
		"tftp-max-transfers":     {from: 4096, to: 9},
		"tftp-cache":             {from: 16, to: 64},
		"tftp-allow":             {from: list(), to: list("203.0.113.0/24")},
		"log-level":              {from: "info", to: "debug"},
		"log-format":             {from: "text", to: "json"},
	}
}

// TestReload checks for each flag that a reload either puts its change in
// force, which is then seen in the policy or in the boot files, or names it
// among those that take effect at a restart only.
func TestReload(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	cert, key := writeCertificate(t, dir)
	for _, file := range []string{cert, key} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(other, filepath.Base(file)), string(text))
	}
	all := changes(t, cert, key, other)
	for _, f := range config.Flags() {
		c, ok := all[f.Name]
		delete(all, f.Name)
		if !ok {
			t.Errorf("--%s is not tried", f.Name)
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			before, after := loadWith(t, c.with, f, c.from), loadWith(t, c.with, f, c.to)
			var want []string
			if f.Restart {
				want = []string{f.Name}
			}
			if f.Name == "no-dhcp" {
				want = []string{"interface", "no-dhcp"} // none is in use then
			}
			if diff := cmp.Diff(want, needRestart(before, after)); diff != "" {
				t.Errorf("at a restart only (-want +got):\n%s", diff)
			}
			if inForce := !sameInForce(t, before, after); inForce == f.Restart {
				t.Errorf("what a reload puts in force changes: %v", inForce)
			}
			if again := needRestart(after, after); again != nil {
				t.Errorf("compared with itself: %q", again)
			}
		})
	}
	for name := range all {
		t.Errorf("there is no --%s", name)
	}
}

// chainRoot returns a directory with a signed iPXE behind a shim, and one
// without either.
func chainRoot(t *testing.T) string {
	t.Helper()
	dir, key := t.TempDir(), romtest.NewKey(t, pkix.Name{CommonName: "Signer"}, nil)
	for name, image := range map[string][]byte{
		"snponly-shim.efi": romtest.Sign(t, romtest.Shim([]string{"ipxe.efi"}, romtest.IPXEShimText, key.Certificate.Raw).Build(), key),
		"snponly.efi":      romtest.Sign(t, romtest.IPXE(2, 0, 0).Build(), key), "snponly-x86_64.efi": romtest.IPXE(2, 0, 0).Build(),
	} {
		writeFile(t, filepath.Join(dir, name), string(image))
	}
	return dir
}

// loadWith loads settings with a value of one flag.
func loadWith(t *testing.T, s config.Settings, f config.Flag, value any) *loaded {
	t.Helper()
	if len(s.ROMs) == 0 {
		s.AnswersText = config.AnswersText{NextServer: "192.0.2.99", ROMs: []string{"x64=a.efi"}}
	}
	reflect.ValueOf(f.Field(&s)).Elem().Set(reflect.ValueOf(value))
	return mustLoad(t, s)
}

// mustLoad loads settings that must be right, for testHost.
func mustLoad(t *testing.T, s config.Settings) *loaded {
	t.Helper()
	l, err := load(s, testHost(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.files.Close() })
	return l
}

// testHost is a host with one interface that is up, and another one.
func testHost(t *testing.T) host {
	return host{root: t.TempDir(), network: netstate.Fixed([]netstate.Interface{
		{Name: "eth0", Flags: net.FlagUp | net.FlagBroadcast, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24")}},
		{Name: "eth1", Flags: net.FlagBroadcast, Addresses: []netip.Prefix{netip.MustParsePrefix("198.51.100.2/24")}},
	})}
}

// sameInForce reports whether two configurations have the same policy, the same
// boot files for the same clients, and the same level of the log, as far as the
// changes of TestReload concern them.
func sameInForce(t *testing.T, a, b *loaded) bool {
	t.Helper()
	read := func(l *loaded) map[string]string {
		files := map[string]string{}
		alike, c := *l, *l.Config
		alike.Config, c.DHCP.Options = &c, proxydhcp.ReplyOptions{HTTPPort: 80}
		d := newDaemon(&alike, eventlog.New(slog.New(slog.DiscardHandler)))
		for _, name := range []string{config.BootScriptName, ipxescript.CheckName, "cert.pem", "one/cert.pem", proxydhcp.AutoexecName} {
			asker := bootfiles.Asker{Client: netip.MustParseAddr("192.0.2.50"), Server: netip.MustParseAddr("192.0.2.2"), Name: name}
			if text, err := fs.ReadFile(d.files.For(asker), name); err == nil {
				files[name] = string(text)
			}
		}
		return files
	}
	all := cmp.Exporter(func(reflect.Type) bool { return true })
	outside := netip.MustParseAddr("203.0.113.7")
	return a.Log.Level == b.Log.Level && a.TFTP.Allows(outside) == b.TFTP.Allows(outside) &&
		cmp.Equal(a.policy, b.policy, all, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})) && maps.Equal(read(a), read(b))
}

// TestReloadDerived checks what a reload cannot put in force although no text
// of a flag says it.
func TestReloadDerived(t *testing.T) {
	cert, key := writeCertificate(t, t.TempDir())
	web := config.Settings{HTTP: ":443", TLSCert: cert, TLSKey: key}
	vlan := func(s config.SegmentText) config.Settings { return config.Settings{Segments: []config.SegmentText{s}} }
	for _, tt := range []struct {
		name     string
		from, to config.Settings
		between  func()
		want     []string
	}{
		{"a segment adds a VLAN", config.Settings{}, vlan(config.SegmentText{ScopeText: config.ScopeText{VLANs: "20"}}), nil, []string{"vlan"}},
		{"a segment behind a relay", config.Settings{}, vlan(config.SegmentText{ScopeText: config.ScopeText{Relays: []string{"10.9.0.0/16"}}}), nil, []string{"relayed"}},
		{"a segment's answers", vlan(config.SegmentText{ScopeText: config.ScopeText{VLANs: "20"}}), vlan(config.SegmentText{ScopeText: config.ScopeText{VLANs: "20"}, Deny: true}), nil, nil},
		{"answers of a VLAN's flag", config.Settings{VLANs: []string{"20"}}, config.Settings{VLANs: []string{"id=20,deny"}}, nil, nil},
		{"the same interface, named", config.Settings{}, config.Settings{Interfaces: []string{"eth0"}}, nil, nil},
		{"a new certificate in the same file", web, web, func() { writeCertificate(t, filepath.Dir(cert)) }, []string{"tls-cert"}},
		{"a rule", config.Settings{}, config.Settings{Rules: []config.RuleText{{Name: "a", Outcome: "ignore"}}}, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answers := config.AnswersText{NextServer: "192.0.2.99", ROMs: []string{"x64=a.efi"}}
			tt.from.AnswersText, tt.to.AnswersText = answers, answers
			before := mustLoad(t, tt.from)
			if tt.between != nil {
				tt.between()
			}
			if diff := cmp.Diff(tt.want, needRestart(before, mustLoad(t, tt.to))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// newReloader returns a reloader of a daemon that serves these answers and logs
// nothing. The reloads are logged to log, and read loads what is reloaded.
func newReloader(t *testing.T, answers config.AnswersText, log io.Writer, read func() (*loaded, error)) *reloader {
	t.Helper()
	started := mustLoad(t, config.Settings{AnswersText: answers})
	d := newDaemon(started, eventlog.New(slog.New(slog.DiscardHandler)))
	t.Cleanup(d.close)
	return &reloader{daemon: d, log: slog.New(slog.NewTextHandler(log, nil)), level: new(slog.LevelVar), started: started, read: read}
}

// TestReloadLog checks what is logged of a reload, until a restart, and of a
// mistake.
func TestReloadLog(t *testing.T) {
	answers := config.AnswersText{NextServer: "192.0.2.99", ROMs: []string{"x64=a.efi"}}
	var b bytes.Buffer
	next := config.Settings{AnswersText: answers, TFTPWindow: 4, UBoot: true}
	r := newReloader(t, answers, &b, func() (*loaded, error) { return load(next, testHost(t)) })
	const warning = `msg="these settings take effect at a restart only" settings="tftp-window-size, u-boot"`
	for range 2 {
		b.Reset()
		r.reload(t.Context())
		if text := b.String(); !strings.Contains(text, warning) || !strings.Contains(text, `msg="configuration reloaded"`) {
			t.Errorf("logged:\n%s", text)
		}
	}
	b.Reset()
	next.HTTP, next.TFTPPorts = "x:y", "9-3"
	r.reload(t.Context())
	if text := b.String(); strings.Count(text, `level=ERROR msg="configuration not reloaded, the old one stays in force" error=`) != 2 || strings.Contains(text, "configuration reloaded") {
		t.Errorf("logged of a mistake:\n%s", text)
	}
}

// TestReloadApplies checks that a reload changes what the running servers use:
// whom they serve files, and what is logged.
func TestReloadApplies(t *testing.T) {
	answers := config.AnswersText{NextServer: "192.0.2.99", ROMs: []string{"x64=a.efi"}}
	next := config.Settings{AnswersText: answers, TFTPAllow: []string{"203.0.113.0/24"}, LogLevel: "debug"}
	r := newReloader(t, answers, io.Discard, func() (*loaded, error) { return load(next, testHost(t)) })
	tftpAllows, client := r.daemon.tftpConfig(r.started.TFTP).Allow, netip.MustParseAddr("203.0.113.7")
	// relay has a machine ask by way of a relay in that network.
	relay := func() proxydhcp.Reason {
		c := proxydhcp.Client{Hardware: proxydhcp.HardwareAddr{Type: 1, Len: 6, Bytes: [16]byte{0x52, 0x54, 0, 0, 0, 1}}, Arch: proxydhcp.ArchX64, VendorClass: "PXEClient:Arch:00007:UNDI:003001"}
		discover := c.Discover()
		copy(discover[24:], client.AsSlice()) // giaddr
		return r.daemon.responder.Respond(nil, discover, proxydhcp.Arrival{
			Port: proxydhcp.PortServer, From: netip.AddrPortFrom(client, proxydhcp.PortServer), Ours: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24")},
		}, time.Now()).Reason
	}
	if tftpAllows(client) || relay() != proxydhcp.ForeignRelay {
		t.Error("allowed before the reload")
	}
	r.reload(t.Context())
	if reason := relay(); reason != proxydhcp.Answerable {
		t.Errorf("a relay there after the reload: %s", reason)
	}
	if !tftpAllows(client) || r.level.Level() != slog.LevelDebug {
		t.Errorf("after the reload: allowed %v, level %v", tftpAllows(client), r.level.Level())
	}
	next.TFTPAllow, next.LogLevel = nil, ""
	r.reload(t.Context())
	if tftpAllows(client) || r.level.Level() != slog.LevelInfo {
		t.Errorf("after it was taken back: allowed %v, level %v", tftpAllows(client), r.level.Level())
	}
}

// TestStopDoesNotWaitForReload checks that the end waits for no reload that
// hangs in a file system, and that what this reads afterwards has no effect.
func TestStopDoesNotWaitForReload(t *testing.T) {
	answers := config.AnswersText{NextServer: "192.0.2.99", ROMs: []string{"x64=a.efi"}}
	var b bytes.Buffer
	reading, answer, hangup, ended := make(chan struct{}), make(chan struct{}), make(chan os.Signal, 1), make(chan struct{})
	r := newReloader(t, answers, &b, func() (*loaded, error) {
		close(reading)
		<-answer
		return load(config.Settings{AnswersText: answers, TFTPAllow: []string{"203.0.113.0/24"}}, testHost(t))
	})
	r.start(t.Context())() // it ends at once
	ctx, stop := context.WithCancel(t.Context())
	go func() { defer close(ended); r.run(ctx, hangup) }()
	hangup <- syscall.SIGHUP
	<-reading
	stop()
	close(answer)
	<-ended
	if r.daemon.allows(netip.MustParseAddr("203.0.113.7")) || b.Len() > 0 {
		t.Errorf("a reload took effect after the end, and logged %s", b.String())
	}
}

// TestReloadKeepsInterfaces checks that a reload is not refused because of what
// the host's network is at that moment, and chooses no interface anew.
func TestReloadKeepsInterfaces(t *testing.T) {
	answers := config.AnswersText{NextServer: "192.0.2.99", ROMs: []string{"x64=a.efi"}}
	on := func(name, network string) netstate.Interface {
		return netstate.Interface{Name: name, Flags: net.FlagUp | net.FlagBroadcast, Addresses: []netip.Prefix{netip.MustParsePrefix(network)}}
	}
	eth0, bridge := on("eth0", "192.0.2.2/24"), on("virbr0", "192.168.122.1/24")
	for _, tt := range []struct {
		name     string
		settings config.Settings
		now      []netstate.Interface
	}{
		{"another bridge has appeared", config.Settings{AnswersText: answers}, []netstate.Interface{eth0, bridge}},
		{"the interface has no address", config.Settings{AnswersText: answers}, []netstate.Interface{{Name: "eth0"}}},
		{"another one is there alone", config.Settings{AnswersText: answers}, []netstate.Interface{bridge}},
		{"the named interface is gone", config.Settings{AnswersText: answers, Interfaces: []string{"eth0"}}, nil},
		{"the named interface has no address", config.Settings{AnswersText: answers, Interfaces: []string{"eth0"}}, []netstate.Interface{{Name: "eth0"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := host{root: t.TempDir(), network: netstate.Fixed([]netstate.Interface{eth0}), waits: true}
			started, err := load(tt.settings, h)
			if err != nil {
				t.Fatal(err)
			}
			if started.DHCP.Chosen {
				h.serves = started.DHCP.Names()
			}
			h.network = netstate.Fixed(tt.now)
			next, err := load(tt.settings, h)
			if err != nil {
				t.Fatalf("refused: %v", err)
			}
			defer next.files.Close()
			defer started.files.Close()
			if diff := cmp.Diff([]string{"eth0"}, next.DHCP.Names()); diff != "" {
				t.Errorf("served (-want +got):\n%s", diff)
			}
			if keys := needRestart(started, next); keys != nil {
				t.Errorf("at a restart only: %q", keys)
			}
		})
	}
}

// TestRetry checks that a change that was refused is tried again when the
// network has changed, without saying the same twice.
func TestRetry(t *testing.T) {
	answers := config.AnswersText{NextServer: "192.0.2.99", ROMs: []string{"x64=a.efi"}}
	var b bytes.Buffer
	refusal := errors.New("several interfaces could be served")
	r := newReloader(t, answers, &b, func() (*loaded, error) {
		if refusal != nil {
			return nil, refusal
		}
		return load(config.Settings{AnswersText: answers, TFTPAllow: []string{"203.0.113.0/24"}}, testHost(t))
	})
	r.reload(t.Context())
	r.retry(t.Context())
	if n := strings.Count(b.String(), "not reloaded"); n != 1 {
		t.Errorf("the refusal is logged %d times", n)
	}
	refusal = nil
	r.retry(t.Context())
	if !r.daemon.allows(netip.MustParseAddr("203.0.113.7")) || r.refused != "" {
		t.Errorf("the change was lost, %q", r.refused)
	}
}

// TestAwaitInterface checks that a start waits for an interface, reads the
// configuration again then, and ends at once when it is told to.
func TestAwaitInterface(t *testing.T) {
	answers := config.AnswersText{NextServer: "192.0.2.99", ROMs: []string{"x64=a.efi"}}
	bare := host{root: t.TempDir(), network: netstate.Fixed(nil), waits: true}
	l, err := load(config.Settings{AnswersText: answers}, bare)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	ctx, stop := context.WithCancel(t.Context())
	stop()
	got, err := awaitInterface(ctx, l, slog.New(slog.NewTextHandler(&b, nil)), nil)
	if got != nil || err != nil || !strings.Contains(b.String(), `msg="waiting for an interface to serve" reason="no interface to serve: none is up`) {
		t.Errorf("%v, %v, logged %s", got, err, b.String())
	}
	served := mustLoad(t, config.Settings{AnswersText: answers})
	if got, err := awaitInterface(t.Context(), served, slog.New(slog.DiscardHandler), nil); got != served || err != nil {
		t.Errorf("with an interface: %v, %v", got, err)
	}
}

// TestAttachedNetworks checks that whoever is in a network of a served
// interface reads files, as the interfaces are now.
func TestAttachedNetworks(t *testing.T) {
	l := mustLoad(t, config.Settings{AnswersText: config.AnswersText{NextServer: "192.0.2.99", ROMs: []string{"x64=a.efi"}}, VLANs: []string{"untagged,20"}})
	d := newDaemon(l, eventlog.New(slog.New(slog.DiscardHandler)))
	defer d.close()
	allows := func(want string) {
		t.Helper()
		var got []string
		for _, client := range strings.Fields("192.0.2.7 198.51.100.7 203.0.113.7") {
			if d.allows(netip.MustParseAddr(client)) {
				got = append(got, client)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("allowed are %q, want %q", got, want)
		}
	}
	allows("192.0.2.7")
	on := func(name string, index int, network string) netstate.Interface {
		return netstate.Interface{Name: name, Index: index, Addresses: []netip.Prefix{netip.MustParsePrefix(network)}}
	}
	vlan := on("guests", 4, "203.0.113.1/24")
	vlan.Parent, vlan.VLAN = 2, 20
	d.attached.follow(netstate.NewHost([]netstate.Interface{on("eth0", 2, "198.51.100.1/24"), vlan}))
	allows("198.51.100.7 203.0.113.7")
	d.attached.follow(netstate.NewHost([]netstate.Interface{on("eth1", 3, "198.51.100.1/24"), vlan}))
	allows("")
}

// TestReloadKnowsEverySetting checks that each field of the settings is that of
// a flag, which TestReload changes, or one that TestReloadTables changes.
func TestReloadKnowsEverySetting(t *testing.T) {
	var s config.Settings
	known := map[uintptr]bool{reflect.ValueOf(&s.Segments).Pointer(): true, reflect.ValueOf(&s.Rules).Pointer(): true}
	for _, f := range config.Flags() {
		known[reflect.ValueOf(f.Field(&s)).Pointer()] = true
	}
	of := reflect.ValueOf(&s).Elem()
	for _, field := range reflect.VisibleFields(of.Type()) {
		if field.IsExported() && !field.Anonymous && !known[of.FieldByIndex(field.Index).Addr().Pointer()] {
			t.Errorf("the setting %s is of no flag", field.Name)
		}
	}
}

// TestReloadTables checks that a reload puts a change of each key of a segment
// and of a rule in force.
func TestReloadTables(t *testing.T) {
	dir := t.TempDir()
	texts := map[string]any{
		"name": "other", "interface": []string{"eth1"}, "vlan": "0", "relay": []string{"10.2.0.0/16"}, "circuit": []string{"port7"},
		"root": dir, "boot-url": "http://boot.example/b", "rom": []string{"x64=b.efi"}, "ipxe-version": ">=2.0.0", "ipxe-feature": []string{"https"},
		"user-class": "acme", "next-server": "192.0.2.98", "deny": true,
		"arch": []string{"x64"}, "firmware": "uefi", "ipxe": new(bool), "ipxe-lacks": []string{"nfs"}, "vendor-class": "PXEClient", "mac": []string{"52:54:00"},
		"uuid": []string{"00112233-4455-6677-8899-aabbccddeeff"}, "nic": []string{"8086:1521"}, "outcome": "local-disk", "boot-file": "a.efi",
	}
	answers := config.AnswersText{NextServer: "192.0.2.99", ROMs: []string{"x64=a.efi"}}
	scope := config.ScopeText{Interfaces: []string{"eth0"}}
	segment := config.SegmentText{Name: "one", ScopeText: scope}
	rule := config.RuleText{Name: "one", BootFile: "b.efi"}
	writeFile(t, filepath.Join(dir, "cert.pem"), "text")
	with := func(s config.SegmentText, r config.RuleText) *loaded {
		return mustLoad(t, config.Settings{AnswersText: answers, Segments: []config.SegmentText{s}, Rules: []config.RuleText{r}})
	}
	before := with(segment, rule)
	try := func(table string, of reflect.Value, load func() *loaded) {
		t.Helper()
		for _, field := range reflect.VisibleFields(of.Type()) {
			key, _, _ := strings.Cut(field.Tag.Get("toml"), ",")
			if field.Anonymous || !field.IsExported() {
				continue
			}
			value, ok := texts[key]
			if !ok {
				t.Errorf("%s: %q is not tried", table, key)
				continue
			}
			t.Run(table+"/"+key, func(t *testing.T) {
				at, last := of.FieldByIndex(field.Index), reflect.New(field.Type).Elem()
				last.Set(at)
				defer at.Set(last)
				at.Set(reflect.ValueOf(value))
				if sameInForce(t, before, load()) {
					t.Error("nothing changes")
				}
			})
		}
	}
	try("segment", reflect.ValueOf(&segment).Elem(), func() *loaded { return with(segment, rule) })
	try("rule", reflect.ValueOf(&rule).Elem(), func() *loaded {
		changed := rule
		if changed.Outcome != "" {
			changed.BootFile = "" // one of the two
		}
		return with(segment, changed)
	})
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// writeCertificate writes a self-signed certificate and its key, cert.pem and
// key.pem.
func writeCertificate(t *testing.T, dir string) (cert, key string) {
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
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeFile(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	writeFile(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: privateDER})))
	return cert, key
}
