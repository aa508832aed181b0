package e2e

// Another ProxyDHCP server on the segment. It gives no address, so nothing but
// the files that it names says that it is there.

import (
	"fmt"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// TestOtherProxy lets dnsmasq answer as a proxy beside us. However many clients
// it answers, one warning says where it is and what it boots. Two of us are in
// TestTwoSidecars.
func TestOtherProxy(t *testing.T) {
	t.Parallel()
	r := plainSidecar(t)
	host, err := r.lab.NewHost("other")
	if err != nil {
		t.Fatal(err)
	}
	address := r.lab.LAN.Address(secondAddress)
	if _, err := host.Join(r.lab.LAN, address); err != nil {
		t.Fatal(err)
	}
	config, err := r.lab.StandIn(roms(t, lab.Sid, "undionly.kpxe"), map[string]string{"x86PC": "undionly.kpxe"})
	if err != nil {
		t.Fatal(err)
	}
	config.Host, config.Address = host, address
	other, err := r.lab.StartSidecar(deadline(t, stepLimit), config)
	if err != nil {
		t.Fatal(err)
	}
	for i, options := range [][]dhcpv4.Modifier{biosIPXE(), pxeOptions(), biosIPXE()} {
		c := newClient(t, r, fmt.Sprint("asking-", i))
		broadcast(t, c, dhcpv4.MessageTypeDiscover, options...)
		if i == 1 {
			continue // dnsmasq has no file for UEFI
		}
		if _, err := r.lab.Capture.Traffic.AwaitMessage(deadline(t, stepLimit), c.MAC, func(m lab.Message) bool { return m.Src == other.At(67) }); err != nil {
			t.Fatalf("%v\n%s", err, other.Output)
		}
	}
	awaitOffer(t, r, newClient(t, r, "last"))
	lines := r.daemon.Output.Matching("level=WARN")
	if len(lines) != 1 || len(r.daemon.Output.Matching("another ProxyDHCP server gets in the way of network boot", "server="+address.String(),
		`conflict="another proxy"`, `the boot file \"boot.ipxe\"`, `vendor class \"PXEClient\"`)) != 1 {
		t.Errorf("%d warnings, want one about %s:\n%s", len(lines), address, r.daemon.Output)
	}
	r.sound(t)
}
