package export_test

// The policies that are exported.

import (
	"net/netip"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// policy is a policy, and what remains of it on a server that matches less.
type policy struct {
	name   string
	rules  []proxydhcp.Rule
	weaker map[string][]proxydhcp.Rule // by server
}

// policies returns the exported policies.
func policies() []policy {
	return []policy{
		{"flags", flagRules(">=1.21.1"), map[string][]proxydhcp.Rule{"dnsmasq": flagRules("")}},
		{"segments", append(segmentRules(), flagRules(">=1.21.1")...), map[string][]proxydhcp.Rule{"dnsmasq": flagRules("")}},
		{"versions", versionRules(), map[string][]proxydhcp.Rule{"dnsmasq": {versionRules()[5], anyScript("as-is")}}},
		{"rules", ruleRules(), map[string][]proxydhcp.Rule{"dnsmasq": without(ruleRules(), "relayed", "one card", "everything of firmware")}},
		{"names", nameRules(), map[string][]proxydhcp.Rule{
			"kea":     without(nameRules(), "fact in a name", "build in a name", "platform and number"),
			"dnsmasq": without(nameRules(), "fact in a name", "build in a name", "platform and number"),
		}},
	}
}

// script is the outcome of booting a script.
func script(file string) proxydhcp.Outcome {
	return proxydhcp.Outcome{Kind: proxydhcp.BootScript, File: file}
}

// file is the outcome of booting a file.
func file(name string) proxydhcp.Outcome {
	return proxydhcp.Outcome{Kind: proxydhcp.BootFile, File: name}
}

// roms is the outcome of booting a ROM, with the ROM of each platform.
func roms(pairs ...string) proxydhcp.Outcome {
	o := proxydhcp.Outcome{Kind: proxydhcp.BootROM, ROMs: proxydhcp.ROMs{}}
	for i := 0; i < len(pairs); i += 2 {
		p, err := proxydhcp.ParsePlatform(pairs[i])
		must(err)
		o.ROMs[p] = []string{pairs[i+1]}
	}
	return o
}

// must panics on an error in what the tests write themselves.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// macs parses MAC address prefixes.
func macs(texts ...string) []proxydhcp.MACPrefix {
	var list []proxydhcp.MACPrefix
	for _, s := range texts {
		p, err := dhcp4.ParseMACPrefix(s)
		must(err)
		list = append(list, p)
	}
	return list
}

// versions parses a range of versions, or returns the zero range for "".
func versions(expression string) (r proxydhcp.VersionRange) {
	if expression != "" {
		var err error
		r, err = proxydhcp.ParseVersionRange(expression)
		must(err)
	}
	return r
}

// features returns a set of features.
func features(list ...proxydhcp.Feature) (s proxydhcp.Features) {
	for _, f := range list {
		s = s.With(f)
	}
	return s
}

// anyScript returns a rule that gives every iPXE a script.
func anyScript(name string) proxydhcp.Rule {
	return proxydhcp.Rule{Name: name, Match: proxydhcp.Match{IPXE: &proxydhcp.IPXEMatch{}}, Outcome: script("boot.ipxe")}
}

// without returns the rules except those with some names.
func without(rules []proxydhcp.Rule, names ...string) []proxydhcp.Rule {
	var rest []proxydhcp.Rule
	for _, r := range rules {
		if !strings.Contains("|"+strings.Join(names, "|")+"|", "|"+r.Name+"|") {
			rest = append(rest, r)
		}
	}
	return rest
}

// flagRules returns rules as the flags of the command line make them.
func flagRules(version string) []proxydhcp.Rule {
	rom := roms("bios", "undionly.kpxe", "x64", "x/ipxe-x86_64.efi", "ia32", "ipxe-i386.efi")
	return []proxydhcp.Rule{
		{Name: "deny-mac", Match: proxydhcp.Match{MACs: macs("52:54:00:00:00:66", "52:54:00:de")}},
		{Name: "allow-mac", Match: proxydhcp.Match{NotMACs: macs("52:54:00", "02")}},
		{Name: "script", Match: proxydhcp.Match{IPXE: &proxydhcp.IPXEMatch{Version: versions(version), Features: features(hasHTTPS)}},
			Outcome: script("https://boot.example/boot.ipxe?a=1&b=${net0/mac}")},
		{Name: "upgrade", Match: proxydhcp.Match{IPXE: &proxydhcp.IPXEMatch{}}, Outcome: rom},
		anyScript("script-as-is"),
		{Name: "rom", Outcome: rom},
	}
}

// segmentRules returns rules for a VLAN, which no server can match. No client
// is in it.
func segmentRules() []proxydhcp.Rule {
	vlan := proxydhcp.Match{VLANs: []uint16{20}}
	ipxe := vlan
	ipxe.IPXE = &proxydhcp.IPXEMatch{}
	return []proxydhcp.Rule{
		{Name: "vlan20: script", Match: ipxe, Outcome: script("20.ipxe")},
		{Name: "vlan20: rom", Match: vlan, Outcome: roms("bios", "20.kpxe")},
	}
}

// versionRules returns rules with every comparison of versions.
func versionRules() []proxydhcp.Rule {
	var rules []proxydhcp.Rule
	for _, expression := range []string{"=1.21.1", "<1.0.0", ">=1.22, <=1.99, !=1.99.0", ">=1.99.0, <2.0.1", ">2.0.0"} {
		rules = append(rules, proxydhcp.Rule{Name: expression, Match: proxydhcp.Match{IPXE: &proxydhcp.IPXEMatch{Version: versions(expression)}},
			Outcome: file("is/" + expression[len(expression)-3:])})
	}
	return append(rules, proxydhcp.Rule{Name: "lacks", Match: proxydhcp.Match{IPXE: &proxydhcp.IPXEMatch{Lacks: features(hasHTTPS)}}, Outcome: script("no-https.ipxe")}, anyScript("as-is"))
}

// ruleRules returns rules with every other criterion.
func ruleRules() []proxydhcp.Rule {
	return []proxydhcp.Rule{
		{Name: "relayed", Match: proxydhcp.Match{Relays: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("10.213.0.248/29")}, Firmware: proxydhcp.NoIPXE}, Outcome: file("relayed")},
		{Name: "local", Match: proxydhcp.Match{MACs: macs("52:54:00:00:00:66")}, Outcome: proxydhcp.Outcome{Kind: proxydhcp.LocalDisk, File: "local{disk}.ipxe"}},
		{Name: "one card", Match: proxydhcp.Match{NICs: []proxydhcp.PCIID{{Vendor: 0x1522, Device: 0x3344}}, IPXE: &proxydhcp.IPXEMatch{}}, Outcome: script("card.ipxe")},
		{Name: "marker", Match: proxydhcp.Match{IPXE: &proxydhcp.IPXEMatch{UserClass: `site "9"\ x`}}, Outcome: script("site.ipxe")},
		{Name: "scripts", Match: proxydhcp.Match{IPXE: &proxydhcp.IPXEMatch{}}, Outcome: proxydhcp.Outcome{Kind: proxydhcp.BootScript, File: "boot.ipxe", NextServer: foreign}},
		{Name: "one machine", Match: proxydhcp.Match{UUIDs: []proxydhcp.UUID{{1}, {0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0x0f}}}, Outcome: file("tftp://10.213.0.9/by/uuid.efi")},
		{Name: "old ROM", Match: proxydhcp.Match{VendorClass: "PXEClient:Arch:00000:UNDI:002"}, Outcome: file("old.0")},
		{Name: "BIOS", Match: proxydhcp.Match{Firmware: proxydhcp.BIOSFirmware}, Outcome: proxydhcp.Outcome{Kind: proxydhcp.BootFile, File: "pxelinux.0", NextServer: foreign}},
		{Name: "ebc by web", Match: proxydhcp.Match{Archs: []proxydhcp.Arch{proxydhcp.ArchEBC, proxydhcp.ArchIA32}}, Outcome: file("http://boot.example/no-tftp.efi")},
		{Name: "web", Match: proxydhcp.Match{Firmware: proxydhcp.HTTPBootFirmware, Platforms: []proxydhcp.Platform{proxydhcp.X64}}, Outcome: file("https://boot.example/x64.efi")},
		{Name: "UEFI", Match: proxydhcp.Match{Firmware: proxydhcp.UEFIFirmware, MACs: macs("52:54:00:ab", "00")}, Outcome: file("uefi.efi")},
		{Name: "everything of firmware", Match: proxydhcp.Match{Relays: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}, Outcome: file("never")},
	}
}

// nameRules returns rules with boot file names of every kind.
func nameRules() []proxydhcp.Rule {
	long := strings.Repeat("long/", 30) + `a,b"c\d'e#f.ipxe`
	return []proxydhcp.Rule{
		{Name: `quotes " and \ and ' and */ in "names"`, Match: proxydhcp.Match{Archs: []proxydhcp.Arch{proxydhcp.ArchIA32}}, Outcome: file(`dir, "a"\b'c` + "`$x #é.efi")},
		{Name: "fact in a name", Match: proxydhcp.Match{Firmware: proxydhcp.UEFIFirmware, Archs: []proxydhcp.Arch{proxydhcp.ArchX64}, UUIDs: []proxydhcp.UUID{{0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0x0f}}}, Outcome: file("m/{mac-hyphen}/{uuid}.efi")},
		{Name: "build in a name", Match: proxydhcp.Match{Archs: []proxydhcp.Arch{proxydhcp.ArchARM64}, IPXE: &proxydhcp.IPXEMatch{Version: versions("<1.1")}}, Outcome: script("v/{ipxe-version}/{mac-plain}.ipxe")},
		{Name: "iPXE's own words", Match: proxydhcp.Match{Archs: []proxydhcp.Arch{proxydhcp.ArchARM64}, IPXE: &proxydhcp.IPXEMatch{}}, Outcome: script("http://boot.example/{arch}/{mac}/{mac-hyphen}/{mac-plain}/${x}/{no}/b.ipxe")},
		{Name: "long for iPXE", Match: proxydhcp.Match{IPXE: &proxydhcp.IPXEMatch{}}, Outcome: script(long)},
		{Name: "long for firmware", Match: proxydhcp.Match{Archs: []proxydhcp.Arch{proxydhcp.ArchBIOS}}, Outcome: file(long)},
		{Name: "platform and number", Match: proxydhcp.Match{Archs: []proxydhcp.Arch{proxydhcp.ArchEBC}}, Outcome: file("{arch}/{arch-number}/{arch}.efi")},
		{Name: "platform", Outcome: file("{arch}/boot.efi")},
	}
}
