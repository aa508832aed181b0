package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// TestExample checks that the example is a configuration file that works, and
// that it leaves no rule out.
func TestExample(t *testing.T) {
	f, err := ParseFile("example.toml", Example)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range policyOf(t, parse(t, f.Settings)).Rules {
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
	if _, err := ParseFile("example.toml", []byte(uncommented.String())); err != nil {
		t.Errorf("uncommented: %v", err)
	}
	for _, name := range append(proxydhcp.FirmwareNames()[1:], strings.Split(joined(ruleOutcomes), ", ")...) {
		if !strings.Contains(string(Example), name) {
			t.Errorf("it does not say that there is %s", name)
		}
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
		{"log level", "root = \"/srv\"\nlog-level = \"loud\"\n", `x.toml:2: log-level "loud": one of debug, info, warn, error`},
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
			f, err := ParseFile("x.toml", []byte(tt.text))
			if err == nil {
				_, err = Parse(f.Settings, testHost())
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
}

// TestUnder checks that flags win over the file, key by key, and that each
// value's source is known.
func TestUnder(t *testing.T) {
	const path = "x.toml"
	text := "root = \"/file\"\nboot-url = \"file.ipxe\"\ninterface = [\"eth1\"]\ntftp = \"off\"\n[[segment]]\nvlan = \"7\"\ndeny = true\n"
	f, err := ParseFile(path, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	given := Settings{AnswersText: AnswersText{BootURL: "flag.ipxe", UserClass: "flag"}, TFTP: ":69", HTTP: ":80", LogLevel: "info", SegmentFlags: []string{"vlan=8,deny"}}
	given.SetSource("boot-url", CommandLine)
	given.SetSource("user-class", Environment)
	given.SetSource("http", CommandLine)
	given.SetSource("segment", CommandLine)
	got := f.Under(given)
	want := Settings{
		AnswersText: AnswersText{Root: "/file", BootURL: "flag.ipxe", UserClass: "flag"},
		Interfaces:  []string{"eth1"}, TFTP: "off", HTTP: ":80", LogLevel: "info",
		Segments: []SegmentText{{ScopeText: ScopeText{VLANs: "7"}, Deny: true}}, SegmentFlags: []string{"vlan=8,deny"},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Settings{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for key, want := range map[string]string{"root": path + ":1: root", "boot-url": "--boot-url", "tftp": path + ":4: tftp", "log-level": "--log-level"} {
		if got := got.place("", key); got != want {
			t.Errorf("place of %s: %s, want %s", key, got, want)
		}
	}
	var printed strings.Builder
	if err := got.Print(&printed); err != nil {
		t.Fatal(err)
	}
	const wantPrinted = `root = '/file' # x.toml:1
boot-url = 'flag.ipxe' # flag
http = ':80' # flag
user-class = 'flag' # environment PXESIDECAR_USER_CLASS
interface = ['eth1'] # x.toml:3
tftp = 'off' # x.toml:4
log-level = 'info' # default
[[segment]]
vlan = '8'
deny = true

[[segment]]
vlan = '7'
deny = true
`
	if diff := cmp.Diff(wantPrinted, printed.String()); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
}
