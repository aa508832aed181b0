package e2e

import (
	"net"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// TestSilence runs every kind of client that does not boot, and counts what the
// sidecar sent. It must send one OFFER, to the one client that boots.
func TestSilence(t *testing.T) {
	t.Parallel()
	r := plainSidecar(t)
	real := newClient(t, r, "udhcpc")
	if _, err := real.Run(deadline(t, stepLimit), lab.Command{Path: "busybox", Args: []string{"udhcpc", "-i", "eth0", "-f", "-n", "-q", "-s", "/bin/true"}}); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, r, "crafted")
	if _, err := c.Lease(deadline(t, stepLimit)); err != nil {
		t.Fatal(err)
	}
	server := dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IP(r.lab.LAN.Address(1).AsSlice())))
	pxe := pxeOptions()
	broadcast(t, c, dhcpv4.MessageTypeDiscover)
	broadcast(t, c, dhcpv4.MessageTypeDiscover, dhcpv4.WithOption(dhcpv4.OptClassIdentifier("MSFT 5.0")))
	broadcast(t, c, dhcpv4.MessageTypeDiscover, dhcpv4.WithOption(dhcpv4.OptClassIdentifier("U-Boot.armv8")),
		dhcpv4.WithGeneric(dhcpv4.OptionClientSystemArchitectureType, []byte{0, 0x16}))
	broadcast(t, c, dhcpv4.MessageTypeInform)
	broadcast(t, c, dhcpv4.MessageTypeInform, pxe...)
	broadcast(t, c, dhcpv4.MessageTypeNone)
	broadcast(t, c, dhcpv4.MessageTypeNone, pxe...)
	broadcast(t, c, dhcpv4.MessageTypeRequest, append(pxe, server)...)
	broadcast(t, c, dhcpv4.MessageTypeDecline, append(pxe, server)...)
	broadcast(t, c, dhcpv4.MessageTypeRelease, append(pxe, server)...)
	booting := newClient(t, r, "booting")
	awaitOffer(t, r, booting)
	if sent := r.lab.Capture.Traffic.Sent(r.daemon.Address); sent != 1 {
		t.Errorf("the sidecar sent %d packets, want the one OFFER to the client that boots", sent)
	}
	r.sound(t)
}
