package e2e

import (
	"testing"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// TestDHCPServers boots beside several DHCP servers, and with either of the two
// OFFERs first.
func TestDHCPServers(t *testing.T) {
	t.Parallel()
	newest := ipxe(t, lab.Sid)
	bios := lab.Guest{Name: "bios", Firmware: lab.BIOS, OptionROM: optionROM(t, lab.Bookworm, lab.BIOS)}
	e1000, err := ipxe(t, lab.Bookworm).OptionROM(lab.BIOS, "e1000")
	if err != nil {
		t.Fatal(err)
	}
	other := lab.Guest{Name: "bios", Firmware: lab.BIOS, NIC: "e1000", OptionROM: e1000}
	upgraded := outcome{Version: newest.Version, Platform: "pcbios", Arch: "i386", HTTP: []string{"undionly.kpxe"}}
	ovmf := lab.Guest{Name: "ovmf", Firmware: lab.OVMF64}
	loaded := outcome{Version: newest.Version, Platform: "efi", Arch: "x86_64", ROMs: []string{"snponly.efi"}, Asked4011: 1, Answered4011: 1}
	tests := []struct {
		name  string
		dhcp  lab.DHCP
		guest lab.Guest
		want  outcome
	}{
		{"Kea, UEFI", lab.DHCP{Server: lab.Kea}, ovmf, loaded},
		{"dnsmasq, BIOS with another card", lab.DHCP{Server: lab.Dnsmasq}, other, upgraded},
		{"dhcpd that pings first, BIOS", lab.DHCP{PingCheck: true}, bios, upgraded},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := alone(test.guest, test.want, sidecar(roms(t, lab.Sid, everyROM...), "--ipxe-version", ">="+newest.Version))
			s.dhcp = func(*lab.Lab) lab.DHCP { return test.dhcp }
			s.run(t)
		})
	}
}
