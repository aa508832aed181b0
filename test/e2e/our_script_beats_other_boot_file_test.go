package e2e

// DHCP servers with a boot file of their own, left over in the header, as an
// option, and with a next server. iPXE runs our script all the same, unless
// --yield-to-dhcp-filename lets it prefer theirs. UEFI firmware is left out
// where the file is option 67 without a zero at its end: it boots or stops by
// which OFFER is the last.

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// leftover is a DHCP server with the boot file theirs.
type leftover struct {
	name   string
	server func(l *lab.Lab, theirs string) lab.DHCP
	guests []string
	args   []string
	runs   string
}

// leftovers returns the servers: each has theirs in another place.
func leftovers() []leftover {
	header := func(server lab.DHCPServer) func(*lab.Lab, string) lab.DHCP {
		return func(l *lab.Lab, theirs string) lab.DHCP {
			return lab.DHCP{Server: server, NextServer: l.LAN.Address(1), Filename: theirs}
		}
	}
	options := func(l *lab.Lab, theirs string) lab.DHCP {
		return lab.DHCP{Server: lab.Kea, NextServer: l.LAN.Address(1), Extra: fmt.Sprintf(
			`, "option-data": [{"name": "tftp-server-name", "data": %q}, {"name": "boot-file-name", "data": %q}]`, l.LAN.Address(1), theirs)}
	}
	yielding := []string{"--yield-to-dhcp-filename"}
	every := []string{"bios-old", "bios-new", "ovmf-old", "ovmf"}
	return []leftover{
		{"dhcpd", header(lab.ISC), every, nil, "ours"},
		{"Kea", header(lab.Kea), every, nil, "ours"},
		{"Kea, options 66 and 67", options, every[:3], nil, "ours"},
		{"dnsmasq", header(lab.Dnsmasq), every, nil, "ours"},
		{"dhcpd, yielding", header(lab.ISC), every, yielding, "theirs"},
		{"Kea, yielding", header(lab.Kea), []string{"bios-new", "ovmf"}, yielding, "theirs"},
		{"dnsmasq, yielding", header(lab.Dnsmasq), []string{"bios-new", "ovmf"}, yielding, "theirs"},
	}
}

// TestOtherBootFile boots each iPXE beside each server: those of old and new
// cards of BIOS and UEFI, and the one that UEFI loads from us.
func TestOtherBootFile(t *testing.T) {
	t.Parallel()
	newest, old := ipxe(t, lab.Sid).Version, ipxe(t, lab.Bookworm).Version
	guests := []lab.Guest{
		{Name: "bios-old", Firmware: lab.BIOS, OptionROM: optionROM(t, lab.Bookworm, lab.BIOS)},
		{Name: "bios-new", Firmware: lab.BIOS, OptionROM: optionROM(t, lab.Sid, lab.BIOS)},
		{Name: "ovmf-old", Firmware: lab.OVMF64, OptionROM: optionROM(t, lab.Bookworm, lab.OVMF64)},
		{Name: "ovmf", Firmware: lab.OVMF64},
	}
	want := map[string]outcome{
		"bios-old": {Version: old, Platform: "pcbios", Arch: "i386"},
		"bios-new": {Version: newest, Platform: "pcbios", Arch: "i386"},
		"ovmf-old": {Version: old, Platform: "efi", Arch: "x86_64"},
		"ovmf":     {Version: newest, Platform: "efi", Arch: "x86_64", ROMs: []string{"snponly.efi"}, Asked4011: 1, Answered4011: 1},
	}
	for _, test := range leftovers() {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := scenario{want: map[string]outcome{}}
			for _, g := range guests {
				if slices.Contains(test.guests, g.Name) {
					s.guests, s.want[g.Name] = append(s.guests, g), want[g.Name]
				}
			}
			s.dhcp = func(l *lab.Lab) lab.DHCP {
				l.Collector.Serve("/theirs.ipxe", l.Collector.Script("theirs"))
				return test.server(l, l.Collector.URL("/theirs.ipxe"))
			}
			s.sidecar = func(l *lab.Lab) (lab.Sidecar, error) {
				l.Collector.Serve("/ours.ipxe", l.Collector.Script("ours"))
				return lab.Sidecar{Root: roms(t, lab.Sid, everyROM...), Script: l.Collector.URL("/ours.ipxe"), Args: test.args}, nil
			}
			r := s.run(t)
			ran := map[string]int{}
			for _, e := range r.lab.Collector.Evidence("") {
				ran[e.Boot]++
			}
			if diff := cmp.Diff(map[string]int{test.runs: len(test.guests)}, ran); diff != "" {
				t.Errorf("scripts that ran (-want +got):\n%s", diff)
			}
		})
	}
}
