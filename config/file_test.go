package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// TestExample checks that the example is a configuration file that works, and
// that it leaves no rule out.
func TestExample(t *testing.T) {
	f, err := parseFile("example.toml", Example)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load(f.Settings, testHost(t, false))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Tree.Close()
	var names []string
	for _, r := range c.DHCP.Policy.Rules {
		names = append(names, r.Name)
	}
	want := []string{
		"old server, its own kernel", "retired machines",
		"workshop script", "workshop upgrade", "workshop script-as-is", "workshop rom",
		"guests deny",
		"script", "upgrade", "script-as-is", "rom",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Every line that is commented out as an example must be a key, too.
	var uncommented strings.Builder
	for line := range strings.Lines(string(Example)) {
		if rest, ok := strings.CutPrefix(line, "# "); ok && strings.Contains(rest, " = ") && !strings.Contains(rest, ". ") {
			line = rest
		}
		if strings.HasPrefix(line, "[[") {
			break
		}
		uncommented.WriteString(line)
	}
	if _, err := parseFile("example.toml", []byte(uncommented.String())); err != nil {
		t.Errorf("uncommented: %v", err)
	}
}

// TestFileErrors checks that an error names file, line and key, and what there
// is instead.
func TestFileErrors(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"unknown keys", "interfaces = [\"eth0\"]\n[[rule]]\nname = \"a\"\nmacs = [\"52\"]\nzzzzzzzz = 1\n",
			`x.toml:1: unknown key "interfaces"; did you mean "interface"?` + "\n" +
				`x.toml:4: unknown key "rule.macs"; did you mean "mac"?` + "\n" +
				`x.toml:5: unknown key "rule.zzzzzzzz"; there are arch, boot-file, circuit, firmware, interface, ipxe, ipxe-feature, ipxe-lacks, ipxe-version, mac, name, next-server, nic, outcome, relay, user-class, uuid, vendor-class, vlan`},
		{"wrong type", "\nhttp = 80\n", `x.toml:2: http: found integer, wanted a text in quotes`},
		{"text for a list", "interface = \"eth0\"\n", `x.toml:1: interface: found string, wanted a list of texts, such as ["a", "b"]`},
		{"no TOML", "a = \n", `x.toml:1: `},
		{"values", `ipxe-version = "new"
deny-mac = ["1:2"]

[[segment]]
name = "s"

[[rule]]
mac = ["x"]
firmware = "efi"
ipxe-version = "auto"
outcome = "boot"

[[rule]]
name = "b"
vlan = "9-3"
ipxe = false
ipxe-feature = ["http"]
boot-file = "{Mac}"
outcome = "rom"
arch = ["amd64"]
uuid = ["1"]
nic = ["8086"]
relay = ["lan"]
`, `x.toml:2: deny-mac "1:2": write one to six bytes of a MAC address, such as 52:54:00:12:34:56 or 52:54:00
x.toml:1: ipxe-version "new": "new" is not a number from 0 to 255
x.toml:5: segment[0].name "s": the segment says nowhere: give it interface, vlan, relay or circuit
x.toml:9: rule[0].firmware "efi": unknown firmware "efi": one of any, bios, uefi, uefi-http, no-ipxe, raspberry-pi, u-boot
x.toml:8: rule[0].mac "x": write one to six bytes of a MAC address, such as 52:54:00:12:34:56 or 52:54:00
x.toml:10: rule[0].ipxe-version "auto": a rule needs a version; auto is for the flags
x.toml:7: name "": every rule needs a name, for the log
x.toml:11: rule[0].outcome "boot": one of rom, script, menu, local-disk, ignore; or name a boot-file
x.toml:15: rule[1].vlan "9-3": the range 9-3 ends before it begins
x.toml:23: rule[1].relay "lan": not an IPv4 network: write for example 203.0.113.0/24
x.toml:20: rule[1].arch "amd64": unknown architecture "amd64": a name such as x64-uefi, or a number of IANA's registry
x.toml:21: rule[1].uuid "1": not a UUID: write for example 00112233-4455-6677-8899-aabbccddeeff
x.toml:22: rule[1].nic "8086": not a PCI id: write for example 8086:1521
x.toml:16: rule[1].ipxe "false": contradicts what else the rule demands
x.toml:18: rule[1].boot-file "{Mac}": unknown placeholder {Mac}: known are {arch}, {arch-number}, {interface}, {ipxe-version}, {mac}, {mac-hyphen}, {mac-plain}, {relay}, {user-class}, {uuid}, {vlan}, and iPXE's own ${settings}
x.toml:19: rule[1].outcome "rom": the rule has a boot-file already; one of the two`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := parseFile("x.toml", []byte(tt.text))
			if err == nil {
				_, err = Load(f.Settings, testHost(t, false))
			}
			if err == nil {
				t.Fatal("accepted")
			}
			got := err.Error()
			if strings.HasSuffix(tt.want, ": ") && strings.HasPrefix(got, tt.want) {
				return
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if _, err := ReadFile(filepath.Join(t.TempDir(), "absent.toml")); err == nil || !strings.Contains(err.Error(), "absent.toml: no such file") {
		t.Errorf("absent: %v", err)
	}
}

// TestUnder checks that flags win over the file, key by key.
func TestUnder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.toml")
	text := "root = \"/file\"\nboot-url = \"file.ipxe\"\ninterface = [\"eth1\"]\ntftp = \"off\"\n[[segment]]\nvlan = \"7\"\ndeny = true\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flags := Settings{Answers: Answers{BootURL: "flag.ipxe", UserClass: "flag"}, TFTP: ":69", HTTP: ":80", LogLevel: "info"}
	set := map[string]bool{"boot-url": true, "user-class": true, "http": true}
	got := f.Under(flags, func(key string) bool { return set[key] })
	want := Settings{
		Answers:    Answers{Root: "/file", BootURL: "flag.ipxe", UserClass: "flag"},
		Interfaces: []string{"eth1"}, TFTP: "off", HTTP: ":80", LogLevel: "info",
		Segments: []SegmentText{{Scope: Scope{VLANs: "7"}, Deny: true}},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Settings{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for key, want := range map[string]string{"root": path + ":1: root", "boot-url": "--boot-url", "tftp": path + ":4: tftp", "log-level": "--log-level"} {
		if got := got.origin(key); got != want {
			t.Errorf("origin of %s: %s, want %s", key, got, want)
		}
	}
}

// TestSegments checks what machines get in parts of the network that have
// answers of their own, by flag and by file.
func TestSegments(t *testing.T) {
	own := t.TempDir()
	copyROM(t, debianEFI, filepath.Join(own, "snponly.efi"), proxydhcp.Version{2, 0, 0})
	if err := os.WriteFile(filepath.Join(own, "menu.ipxe"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s := Settings{
		Answers:      Answers{BootURL: "http://all.example/", UserClass: "acme"},
		VLANs:        []string{"10,11", "id=20,30-31,boot-url=http://v20.example/x,ipxe-version=auto", "id=66,deny"},
		SegmentFlags: []string{"name=old lab/2,interface=eth1,root=" + own + ",boot-url=menu.ipxe", "circuit=eth1/3,boot-url=http://circuit.example/", "relay=10.9.0.0/16,next-server=192.0.2.99,rom=x64=far.efi,bios=none,user-class=other"},
		Segments:     []SegmentText{{Name: "lab", Scope: Scope{VLANs: "40"}, Answers: Answers{IPXEFeatures: []string{"http"}}}},
	}
	c, err := Load(s, testHost(t, false))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Tree.Close()
	if diff := cmp.Diff([]uint16{10, 11, 20, 30, 31, 40, 66}, c.VLANs); diff != "" {
		t.Errorf("VLANs (-want +got):\n%s", diff)
	}
	ipxe := proxydhcp.IPXE{Present: true, HasVersion: true, Version: proxydhcp.Version{1, 0, 0}, HasFeatures: true}
	for _, tt := range []struct {
		name      string
		segment   proxydhcp.Segment
		ipxe      bool
		userClass string
		want      string
	}{
		{"everybody", proxydhcp.Segment{Interface: "eth0"}, true, "acme", "script http://all.example/"},
		{"everybody, in a VLAN without answers of its own", proxydhcp.Segment{Interface: "eth0", VLAN: 10}, true, "iPXE", "upgrade snponly.efi"},
		{"VLAN, by range", proxydhcp.Segment{Interface: "eth0", VLAN: 31}, true, "acme", "vlan20,30-31 script http://v20.example/x"},
		{"VLAN, inherits the user class", proxydhcp.Segment{Interface: "eth0", VLAN: 20}, true, "iPXE", "vlan20,30-31 upgrade snponly.efi"},
		{"denied", proxydhcp.Segment{Interface: "eth0", VLAN: 66}, true, "acme", "vlan66 deny "},
		{"interface, its own root", proxydhcp.Segment{Interface: "eth1"}, false, "", "old lab/2 rom old-lab-2/snponly.efi"},
		{"interface, its own script", proxydhcp.Segment{Interface: "eth1"}, true, "acme", "old lab/2 script old-lab-2/menu.ipxe"},
		{"relay, another server", proxydhcp.Segment{Interface: "eth0", Relay: mustAddr("10.9.1.1")}, false, "", "relay10.9.0.0-16 rom far.efi"},
		{"relay elsewhere", proxydhcp.Segment{Interface: "eth0", Relay: mustAddr("10.8.1.1")}, false, "", "rom snponly.efi"},
		{"circuit", proxydhcp.Segment{Interface: "eth0", Relay: mustAddr("10.8.1.1"), Circuit: "eth1/3"}, true, "acme", "circuiteth1-3 script http://circuit.example/"},
		{"of the file", proxydhcp.Segment{Interface: "eth0", VLAN: 40}, true, "acme", "lab upgrade snponly.efi"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := proxydhcp.Client{Arch: proxydhcp.ArchX64, Segment: tt.segment, UserClass: tt.userClass}
			if tt.ipxe {
				client.IPXE = ipxe
			}
			d := c.DHCP.Policy.Decide(client, false)
			if got := d.Rule + " " + d.File; got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// TestSegmentFlagErrors checks what is said of a segment that makes no sense.
func TestSegmentFlagErrors(t *testing.T) {
	keys := "the keys are id, boot-url, circuit, deny, interface, ipxe-feature, ipxe-version, name, next-server, relay, rom, root, user-class, vlan"
	for _, tt := range []struct {
		settings Settings
		want     string
	}{
		{Settings{VLANs: []string{"id=20,colour=red"}}, `--vlan "id=20,colour=red": "colour=red" is no KEY=VALUE of a segment: ` + keys},
		{Settings{VLANs: []string{"boot-url=http://x/"}}, `--vlan "boot-url=http://x/": says no VLAN: begin with id=20`},
		{Settings{VLANs: []string{"10,5000"}}, `--vlan "10,5000": "5000" is no VLAN id from 1 to 4094, no range of them such as 30-39, and not untagged`},
		{Settings{SegmentFlags: []string{"eth1"}}, `--segment "eth1": "eth1" is no KEY=VALUE of a segment: ` + keys},
		{Settings{SegmentFlags: []string{"boot-url=http://x/"}}, `--name "": the segment says nowhere: give it interface, vlan, relay or circuit`},
	} {
		_, err := Load(tt.settings, testHost(t, false))
		if err == nil || err.Error() != tt.want {
			t.Errorf("%v\nwant %s", err, tt.want)
		}
	}
}

// TestSegmentsShareNoDirectory checks that two segments never serve their files
// from one directory of the boot file tree without anybody saying so.
func TestSegmentsShareNoDirectory(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	refusal := func(where, other, name, directory string) string {
		return fmt.Sprintf("%s %q: the segments %q and %q would both have their files in the directory %q of the boot file tree; give one of them another name",
			where, two, other, name, directory)
	}
	segment := func(name, vlan, root string) SegmentText {
		return SegmentText{Name: name, Scope: Scope{VLANs: vlan}, Answers: Answers{Root: root, BootURL: "http://boot.example/"}}
	}
	for _, tt := range []struct {
		name  string
		flags []string
		file  []SegmentText
		want  string
	}{
		{"names that differ in a blank", nil, []SegmentText{segment("old lab", "20", one), segment("old/lab", "21", two)}, refusal("--segment[1].root", "old lab", "old/lab", "old-lab")},
		{"one name", nil, []SegmentText{segment("lab", "20", one), segment("lab", "21", two)}, refusal("--segment[1].root", "lab", "lab", "lab")},
		{"a flag and the file", []string{"name=a b,vlan=20,boot-url=http://boot.example/,root=" + one}, []SegmentText{segment("a-b", "21", two)}, refusal("--segment[0].root", "a b", "a-b", "a-b")},
		{"names of the places", []string{"interface=eth1,boot-url=http://boot.example/,root=" + one, "name=eth1,vlan=3,boot-url=http://boot.example/,root=" + two}, nil, refusal("--root", "eth1", "eth1", "eth1")},
		{"the same files", nil, []SegmentText{segment("old lab", "20", one), segment("old/lab", "21", one)}, ""},
		{"files of everybody", nil, []SegmentText{segment("old lab", "20", ""), segment("old/lab", "21", two)}, ""},
		{"names that differ", nil, []SegmentText{segment("lab 1", "20", one), segment("lab 2", "21", two)}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Load(Settings{SegmentFlags: tt.flags, Segments: tt.file}, testHost(t, false))
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				c.Tree.Close()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
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
