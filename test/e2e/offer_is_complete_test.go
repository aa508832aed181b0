package e2e

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// TestOfferLayout checks every field of one OFFER as it was on the wire.
func TestOfferLayout(t *testing.T) {
	t.Parallel()
	r := plainSidecar(t)
	m := awaitOffer(t, r, newClient(t, r, "booting"))
	self := r.daemon.Address.String()
	type layout struct {
		Dst, Server, Next, Yours, File, Class string
		Broadcast                             bool
		Discovery                             []byte
	}
	want := layout{Dst: "255.255.255.255:68", Server: self, Next: self, Yours: "0.0.0.0", File: "snponly.efi", Class: "PXEClient", Broadcast: true}
	got := layout{Dst: m.Dst.String(), Server: m.DHCP.ServerIdentifier().String(), Next: m.DHCP.ServerIPAddr.String(), Yours: m.DHCP.YourIPAddr.String(),
		File: m.DHCP.BootFileName, Class: m.DHCP.ClassIdentifier(), Broadcast: m.DHCP.IsBroadcast(), Discovery: m.DHCP.Options.Get(dhcpv4.OptionVendorSpecificInformation)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("OFFER (-want +got):\n%s", diff)
	}
	r.sound(t)
}
