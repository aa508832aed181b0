package e2e

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// TestMenu lets the menu of the firmware time out. The firmware must request
// the first item by its number, and load its ROM.
func TestMenu(t *testing.T) {
	t.Parallel()
	newest := ipxe(t, lab.Sid)
	want := outcome{Version: newest.Version, Platform: "efi", Arch: "x86_64", ROMs: []string{"snponly.efi"}, Asked4011: 1, Answered4011: 1}
	r := alone(lab.Guest{Name: "ovmf", Firmware: lab.OVMF64}, want, sidecar(roms(t, lab.Sid, everyROM...),
		"--menu", "Install=rom", "--menu", "Local disk=local-disk", "--menu-timeout", "2", "--menu-prompt", "Menu")).run(t)
	// Sub-option 71 is the type and the layer of the item: our first item, no
	// credentials.
	const item = "\x47\x04\x80\x00\x00\x00\xff"
	var got []string
	for _, m := range r.lab.Capture.Traffic.Messages("", func(m lab.Message) bool { return m.Dst == r.daemon.At(4011) || m.Src == r.daemon.At(4011) }) {
		got = append(got, m.DHCP.MessageType().String()+" "+string(m.DHCP.Options.Get(dhcpv4.OptionVendorSpecificInformation)))
	}
	if diff := cmp.Diff([]string{"REQUEST " + item, "ACK " + item}, got); diff != "" {
		t.Errorf("on port 4011 (-want +got):\n%s", diff)
	}
}
