package config

import (
	"errors"
	goparser "go/parser"
	"go/token"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/internal/netstate"
)

// testHost returns the interfaces of a host.
func testHost() []netstate.Interface {
	return []netstate.Interface{
		{Name: "lo", Flags: net.FlagUp | net.FlagLoopback, Addresses: prefixes("127.0.0.1/8")},
		{Name: "eth0", Flags: net.FlagUp | net.FlagBroadcast, Addresses: prefixes("192.0.2.10/24")},
	}
}

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// parse parses settings that must be right.
func parse(t *testing.T, s Settings) *Config {
	t.Helper()
	c, err := Parse(s, testHost())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// checkError compares an error with a text, "" for none.
func checkError(t *testing.T, err error, want string) {
	t.Helper()
	got := ""
	if err != nil {
		got = err.Error()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}

// TestNoIO checks that this package cannot read files or use the network: its
// own files do not import what that takes, and it does not depend on the
// packages that do it. (The type of an interface comes from netstate, which can
// read the host's.)
func TestNoIO(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := goparser.ParseFile(token.NewFileSet(), file, nil, goparser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range parsed.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			if slices.Contains([]string{"os", "io/fs", "os/exec", "net/http", "crypto/tls", "syscall"}, path) {
				t.Errorf("%s imports %s", file, path)
			}
		}
	}
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	const own = "github.com/pxesidecar/pxesidecar/"
	var deps []string
	for dep := range strings.FieldsSeq(string(out)) {
		if name, ok := strings.CutPrefix(dep, own); ok {
			deps = append(deps, name)
		}
	}
	slices.Sort(deps)
	if diff := cmp.Diff([]string{"config", "internal/netstate", "proxydhcp", "proxydhcp/dhcp4"}, deps); diff != "" {
		t.Errorf("dependencies (-want +got):\n%s", diff)
	}
}

// TestParseErrors checks the errors for values that make no sense.
func TestParseErrors(t *testing.T) {
	long := "http://boot.example/" + strings.Repeat("x", 200)
	answers := func(a AnswersText) Settings { return Settings{AnswersText: a} }
	for _, tt := range []struct {
		name     string
		settings Settings
		want     string
	}{
		{"no architecture", answers(AnswersText{ROMs: []string{"ipxe.efi"}}),
			`--rom "ipxe.efi": write ARCH=FILE, such as x64=ipxe.efi, ARCH=URL, or ARCH=none`},
		{"unknown architecture", answers(AnswersText{ROMs: []string{"amd64=ipxe.efi"}}),
			`--rom "amd64=ipxe.efi": unknown architecture "amd64": one of bios, ia32, x64, arm32, arm64, riscv32, riscv64, loong64`},
		{"script by a scheme that iPXE does not have", answers(AnswersText{BootURL: "gopher://boot.example/x"}),
			`--boot-url "gopher://boot.example/x": gopher:// is no scheme that iPXE loads from: use http, https, tftp, nfs or ftp`},
		{"two user classes", answers(AnswersText{UserClass: "a,b"}), `--user-class "a,b": one class, without commas`},
		{"script without a host", answers(AnswersText{BootURL: "http:///x"}), `--boot-url "http:///x": has no host`},
		{"script with a space", answers(AnswersText{BootURL: "http://boot.example/a b"}),
			`--boot-url "http://boot.example/a b": has a space or a control character, which firmware does not take`},
		{"script that DHCP cannot carry", answers(AnswersText{BootURL: long}), `--boot-url "` + long + `": 220 bytes long, and DHCP has room for 200`},
		{"certificate without HTTP", Settings{TLSCert: "cert.pem", TLSKey: "key.pem"}, `--tls-cert "cert.pem": --tls-cert, --tls-key and --http go together`},
		{"certificate without a key", Settings{HTTP: ":80", TLSCert: "cert.pem"}, `--tls-cert "cert.pem": --tls-cert, --tls-key and --http go together`},
		{"yield and override", Settings{Yield: true, Override: true}, "--override-dhcp-filename and --yield-to-dhcp-filename are opposites: leave one of them out (the first is the default)"},
		{"log", Settings{LogLevel: "loud", LogFormat: "xml"}, `--log-level "loud": one of debug, info, warn, error` + "\n" + `--log-format "xml": one of text, json`},
		{"everything at once", Settings{AnswersText: AnswersText{IPXEVersion: ">=new", NextServer: "here"}, Interfaces: []string{"eth9"}, HTTP: ":x", TFTPBlockSize: 4, DenyMACs: []string{"1:2"}},
			`--http ":x": "x" is no port: write ADDRESS:PORT, such as 192.0.2.1:80, or :80 for every address` + "\n" +
				`--tftp-block-size "4": not between 512 and 65464` + "\n" +
				`--deny-mac "1:2": write one to six bytes of a MAC address, such as 52:54:00:12:34:56 or 52:54:00` + "\n" +
				`--ipxe-version ">=new": "new" is not a number from 0 to 255` + "\n" +
				`--next-server "here": not the IPv4 address of a host` + "\n" +
				`--interface "eth9": no such interface; there is eth0 (192.0.2.10/24)`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse(tt.settings, testHost())
			checkError(t, errors.Join(err, errors.Join(c.Lacks...)), tt.want)
			if c == nil || len(c.Segments) == 0 {
				t.Errorf("%+v: there is nothing whose files could be checked", c)
			}
		})
	}
}

// TestInterfaces checks what is served if no interface is named, and the
// errors.
func TestInterfaces(t *testing.T) {
	up := net.FlagUp | net.FlagBroadcast
	lo := netstate.Interface{Name: "lo", Flags: net.FlagUp | net.FlagLoopback, Addresses: prefixes("127.0.0.1/8")}
	eth0, eth1 := netstate.Interface{Name: "eth0", Flags: up, Addresses: prefixes("192.0.2.10/24")}, netstate.Interface{Name: "eth1", Flags: up, Addresses: prefixes("198.51.100.1/24")}
	bare, down := netstate.Interface{Name: "eth2", Flags: up, Addresses: nil}, netstate.Interface{Name: "eth3", Flags: net.FlagBroadcast, Addresses: prefixes("192.0.2.11/24")}
	tunnel, local := netstate.Interface{Name: "tun0", Flags: net.FlagUp | net.FlagPointToPoint, Addresses: prefixes("10.0.0.1/30")}, netstate.Interface{Name: "eth4", Flags: up, Addresses: prefixes("169.254.1.1/16")}
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
		{"nothing is served", []string{"eth9"}, nil, nil, ""},
		{"named, twice", []string{"eth1,eth0", "eth1"}, []netstate.Interface{lo, eth0, eth1}, []string{"eth1", "eth0"}, ""},
		{"named, with a link-local address", []string{"eth4"}, []netstate.Interface{local}, []string{"eth4"}, ""},
		{"unknown, bare and loopback", []string{"eth9,eth2,lo,eth9"}, []netstate.Interface{lo, eth0, bare}, []string{"eth9", "eth2"},
			`--interface "lo": a loopback interface, which no machine boots from` + "\n" +
				`--interface "eth9": no such interface; there is eth0 (192.0.2.10/24), eth2 (no IPv4 address)` + "\n" +
				`--interface "eth2": it has no IPv4 address that clients could be told; give it one: ip address add 192.0.2.1/24 dev eth2, or name one of this host with --server`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse(Settings{Interfaces: tt.named}, tt.host)
			checkError(t, errors.Join(err, errors.Join(c.Lacks...)), tt.err)
			if diff := cmp.Diff(tt.want, c.DHCP.Names()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if c, err := Parse(Settings{Interfaces: tt.named, NoDHCP: true}, tt.host); err != nil || c.DHCP.Interfaces != nil || !c.DHCP.Off {
				t.Errorf("without DHCP: %v, %v", c.DHCP, err)
			}
		})
	}
}

// TestServers checks what the clients of each interface are told is our
// address.
func TestServers(t *testing.T) {
	host := append(testHost(),
		netstate.Interface{Name: "eth1", Flags: net.FlagUp | net.FlagBroadcast, Addresses: prefixes("198.51.100.10/24")},
		netstate.Interface{Name: "trunk", Flags: net.FlagUp | net.FlagBroadcast, Addresses: nil})
	const forwarded = "clients are told that this host is at 203.0.113.9, which is no address of its own: " +
		"what is sent there to UDP 4011 and 69, and TCP 8067 or what --http says, must be forwarded here; --tftp-single-port helps with that"
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
			`--server "eth0=192.0.2.10": eth0 is no interface that is served; there is trunk (no IPv4 address)` + "\n" +
				`--interface "trunk": it has no IPv4 address that clients could be told; give it one: ip address add 192.0.2.1/24 dev trunk, or name one of this host with --server`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse(Settings{Interfaces: tt.on, Servers: tt.servers}, host)
			checkError(t, errors.Join(err, errors.Join(c.Lacks...)), tt.err)
			if tt.err != "" {
				return
			}
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

// TestListeners checks the addresses, and who is served by TFTP wherever he is
// attached.
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
	c := parse(t, Settings{TFTP: "off", HTTP: ":8080", TFTPPorts: "20000-20015", TFTPBlockSize: 1024, TFTPWindow: 4, TFTPMaxTransfers: 9, TFTPCache: 64, TFTPAllow: []string{"203.0.113.0/24,198.51.100.7"}})
	if !c.TFTP.Off || c.HTTP.Addr.String() != "0.0.0.0:8080" || c.DHCP.Options.HTTPPort != 8080 || c.TFTP.PortRange != [2]uint16{20000, 20015} ||
		c.TFTP.MaxBlockSize != 1024 || c.TFTP.MaxWindow != 4 || c.TFTP.MaxTransfers != 9 || c.TFTP.CacheBytes != 64<<20 {
		t.Errorf("%+v", c)
	}
	for text, want := range map[string]bool{
		"10.1.2.3": true, "203.0.113.9": true, "198.51.100.7": true, "127.0.0.1": true,
		"192.0.2.77": false, "198.51.100.8": false, "8.8.8.8": false, "192.0.3.1": false,
	} {
		if got := c.TFTP.Allows(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s allowed: %v, want %v", text, got, want)
		}
	}
}

// TestHTTPDefault checks that HTTP may be left out if its port is in use, as
// long as nobody asked for it: by naming a port, or a certificate.
func TestHTTPDefault(t *testing.T) {
	tls := Settings{HTTP: defaultHTTP, TLSCert: "cert.pem", TLSKey: "key.pem"}
	named := Settings{HTTP: defaultHTTP}
	named.SetSource("http", CommandLine)
	for name, tt := range map[string]struct {
		settings  Settings
		address   string
		byDefault bool
	}{
		"default":     {Settings{HTTP: defaultHTTP}, "0.0.0.0:8067", true},
		"named":       {named, "0.0.0.0:8067", false},
		"certificate": {tls, "0.0.0.0:8067", false},
		"off":         {Settings{HTTP: off}, "invalid AddrPort", true},
	} {
		h := parse(t, tt.settings).HTTP
		if h.Addr.String() != tt.address || h.ByDefault != tt.byDefault {
			t.Errorf("%s: at %s, by default %v; want %s, %v", name, h.Addr, h.ByDefault, tt.address, tt.byDefault)
		}
	}
}

// TestYield checks who wins if the DHCP server names a file: we do, unless the
// settings say otherwise. A file that says that we do not override means that.
func TestYield(t *testing.T) {
	for text, want := range map[string]bool{
		"":                               false,
		"override-dhcp-filename = true":  false,
		"override-dhcp-filename = false": true,
		"yield-to-dhcp-filename = true":  true,
		"yield-to-dhcp-filename = false": false,
	} {
		f, err := ParseFile("x.toml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		s := f.Under(Settings{})
		if got := parse(t, s).DHCP.Options.YieldToFilename; got != want {
			t.Errorf("%q: yields %v, want %v", text, got, want)
		}
		var printed strings.Builder
		if err := s.Print(&printed); err != nil {
			t.Fatal(err)
		}
		if f, err = ParseFile("again.toml", []byte(printed.String())); err != nil {
			t.Fatal(err)
		}
		if got := parse(t, f.Under(Settings{})).DHCP.Options.YieldToFilename; got != want {
			t.Errorf("%q, printed and read again: yields %v, want %v", text, got, want)
		}
	}
}

// TestUUIDOrder checks that a UUID written as firmware shows it is the one that
// comes over the wire.
func TestUUIDOrder(t *testing.T) {
	const text = "00112233-4455-6677-8899-aabbccddeeff"
	if u, err := ParseUUID(text); err != nil || u.String() != text {
		t.Errorf("%s, %v; want %s", u, err, text)
	}
}
