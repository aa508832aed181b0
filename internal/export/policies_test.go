package export

// The policies that the tests export.

import (
	"net/netip"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// must returns v, which the tests write themselves, and panics on an error.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// versions parses a range of versions.
func versions(s string) proxydhcp.VersionRange { return must(proxydhcp.ParseVersionRange(s)) }

// macs parses MAC address prefixes.
func macs(list ...string) []proxydhcp.MACPrefix {
	var prefixes []proxydhcp.MACPrefix
	for _, s := range list {
		prefixes = append(prefixes, must(dhcp4.ParseMACPrefix(s)))
	}
	return prefixes
}

// https is the set with only the feature HTTPS.
var https = proxydhcp.Features(0).With(20)

// testFacts are the facts of the golden files.
var testFacts = Facts{Server: netip.MustParseAddr("192.0.2.10"), HTTPPort: 8080, Source: "the tests", Program: "pxesidecar 1.0"}

// script is the outcome of booting a script.
func script(name string) proxydhcp.Outcome {
	return proxydhcp.Outcome{Kind: proxydhcp.BootScript, File: name}
}

// file is the outcome of booting a file.
func file(name string) proxydhcp.Outcome {
	return proxydhcp.Outcome{Kind: proxydhcp.BootFile, File: name}
}

// rom is the outcome of booting a ROM.
func rom(roms proxydhcp.ROMs) proxydhcp.Outcome {
	return proxydhcp.Outcome{Kind: proxydhcp.BootROM, ROMs: roms}
}

// anyIPXE matches every iPXE.
func anyIPXE() proxydhcp.Match { return proxydhcp.Match{IPXE: &proxydhcp.IPXEMatch{}} }

// policies returns the exported policies, by the names of their golden files.
func policies() map[string]*proxydhcp.Policy {
	return map[string]*proxydhcp.Policy{
		"flags":    {Rules: flagRules()},
		"segments": {Rules: append(segmentRules(), flagRules()...)},
		"rules":    {Rules: ruleRules()},
		"empty":    {},
	}
}

// flagRules returns rules as the flags of the command line make them.
func flagRules() []proxydhcp.Rule {
	roms := rom(proxydhcp.ROMs{proxydhcp.BIOS: {"undionly.kpxe"}, proxydhcp.X64: {"ipxe-x86_64.efi"}})
	return []proxydhcp.Rule{
		{Name: "deny-mac", Match: proxydhcp.Match{MACs: macs("52:54:00:00:00:66", "00:de")}},
		{Name: "allow-mac", Match: proxydhcp.Match{NotMACs: macs("52:54:00", "00")}},
		{Name: "script", Match: proxydhcp.Match{IPXE: &proxydhcp.IPXEMatch{Version: versions(">=1.21.1"), Features: https}}, Outcome: script("https://boot.example/boot.ipxe")},
		{Name: "upgrade", Match: anyIPXE(), Outcome: roms},
		{Name: "script-as-is", Match: anyIPXE(), Outcome: script("https://boot.example/boot.ipxe")},
		{Name: "rom", Outcome: roms},
	}
}

// segmentRules returns rules for one VLAN, which no DHCP server can match.
func segmentRules() []proxydhcp.Rule {
	roms := rom(proxydhcp.ROMs{proxydhcp.BIOS: {"old.kpxe"}})
	vlan := proxydhcp.Match{VLANs: []uint16{20}}
	good, all := vlan, vlan
	good.IPXE = &proxydhcp.IPXEMatch{Version: versions(">=1.21.1"), Features: https}
	all.IPXE = &proxydhcp.IPXEMatch{}
	return []proxydhcp.Rule{
		{Name: "vlan20: script", Match: good, Outcome: script("20.ipxe")},
		{Name: "vlan20: upgrade", Match: all, Outcome: roms},
		{Name: "vlan20: script-as-is", Match: all, Outcome: script("20.ipxe")},
		{Name: "vlan20: rom", Match: vlan, Outcome: roms},
	}
}

// ruleRules returns rules with every criterion, and names that need escaping.
func ruleRules() []proxydhcp.Rule {
	ipxe := func(m proxydhcp.IPXEMatch) proxydhcp.Match { return proxydhcp.Match{IPXE: &m} }
	uuid := proxydhcp.UUID{0x33, 0x22, 0x11, 0, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	return []proxydhcp.Rule{
		{Name: "only these", Match: proxydhcp.Match{NotMACs: macs("52:54:00", "02:00:00:00:00:01")}},
		{Name: "site's \"own\" \\ build\n# not a comment", Match: ipxe(proxydhcp.IPXEMatch{UserClass: `it's "a" \b`}), Outcome: script(`site's "own" \ $x #1.ipxe`)},
		{Name: "exactly", Match: ipxe(proxydhcp.IPXEMatch{Version: versions("=1.21.1, !=2.0.0")}), Outcome: script("{arch}/{mac-hyphen}.ipxe")},
		{Name: "without HTTPS", Match: ipxe(proxydhcp.IPXEMatch{Lacks: https.With(39)}), Outcome: rom(proxydhcp.ROMs{proxydhcp.X64: {"with-https.efi"}})},
		{Name: "menu", Match: ipxe(proxydhcp.IPXEMatch{Version: versions("<2.0.0")}), Outcome: file("menu.ipxe")},
		{Name: "one card", Match: proxydhcp.Match{NICs: []proxydhcp.PCIID{{Vendor: 0x8086, Device: 0x1521}}, IPXE: &proxydhcp.IPXEMatch{}}, Outcome: script("card.ipxe")},
		{Name: "iPXE to disk", Match: proxydhcp.Match{MACs: macs("52:54:00:00:00:07")}, Outcome: proxydhcp.Outcome{Kind: proxydhcp.LocalDisk, File: "local.ipxe"}},
		{Name: "all iPXE", Match: anyIPXE(), Outcome: proxydhcp.Outcome{Kind: proxydhcp.BootScript, File: "boot.ipxe", NextServer: netip.MustParseAddr("192.0.2.99")}},
		{Name: "relayed", Match: proxydhcp.Match{Relays: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/22"), netip.MustParsePrefix("0.0.0.0/0")}}, Outcome: file("relayed.0")},
		{Name: "one machine", Match: proxydhcp.Match{UUIDs: []proxydhcp.UUID{uuid}}, Outcome: file("by/{uuid}.efi")},
		{Name: "old ROM", Match: proxydhcp.Match{VendorClass: "PXEClient:Arch:00000:UNDI:002"}, Outcome: file("old.0")},
		{Name: "BIOS", Match: proxydhcp.Match{Firmware: proxydhcp.BIOSFirmware, MACs: macs("52:54:00:01", "02")}, Outcome: file(strings.Repeat("long/", 26) + "a,b.0")},
		{Name: "UEFI", Match: proxydhcp.Match{Firmware: proxydhcp.UEFIFirmware}, Outcome: file("uefi.efi")},
		{Name: "rest", Outcome: file("tftp://192.0.2.99/{arch}.efi")},
	}
}
