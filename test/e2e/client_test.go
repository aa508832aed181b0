package e2e

// DHCP clients without firmware, for messages that no real machine sends on
// demand.

import (
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// pxeOptions returns the options of x64 UEFI firmware that boots by PXE.
func pxeOptions() []dhcpv4.Modifier {
	return []dhcpv4.Modifier{
		dhcpv4.WithOption(dhcpv4.OptClassIdentifier("PXEClient:Arch:00007:UNDI:003001")),
		dhcpv4.WithGeneric(dhcpv4.OptionClientSystemArchitectureType, []byte{0, 7}),
		dhcpv4.WithGeneric(dhcpv4.OptionClientNetworkInterfaceIdentifier, []byte{1, 3, 1}),
	}
}

// encapsulated is option 175, in which iPXE reports its version and its
// features.
var encapsulated = dhcpv4.GenericOptionCode(175)

// biosIPXE returns the options of an iPXE 1.0.0 on a BIOS.
func biosIPXE() []dhcpv4.Modifier {
	return []dhcpv4.Modifier{
		dhcpv4.WithOption(dhcpv4.OptClassIdentifier("PXEClient:Arch:00000:UNDI:002001")),
		dhcpv4.WithGeneric(dhcpv4.OptionClientSystemArchitectureType, []byte{0, 0}),
		dhcpv4.WithGeneric(dhcpv4.OptionClientNetworkInterfaceIdentifier, []byte{1, 2, 1}),
		dhcpv4.WithGeneric(dhcpv4.OptionUserClassInformation, []byte("iPXE")),
		dhcpv4.WithGeneric(encapsulated, []byte{235, 3, 1, 0, 0}),
	}
}

// newClient adds a client to a trial's lab.
func newClient(t *testing.T, r trial, name string) *lab.Client {
	t.Helper()
	c, err := r.lab.NewClient(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// broadcast sends a message of one type.
func broadcast(t *testing.T, c *lab.Client, kind dhcpv4.MessageType, modifiers ...dhcpv4.Modifier) {
	t.Helper()
	m, err := c.Message(kind, modifiers...)
	if err != nil {
		t.Fatal(err)
	}
	if kind == dhcpv4.MessageTypeNone {
		m.Options.Del(dhcpv4.OptionDHCPMessageType)
	}
	if err := c.Broadcast(m); err != nil {
		t.Fatal(err)
	}
}

// awaitOffer waits until the sidecar answers a booting client's DISCOVER. The
// sidecar handles packets in order, so by then it has handled everything sent
// before.
func awaitOffer(t *testing.T, r trial, c *lab.Client) lab.Message {
	t.Helper()
	broadcast(t, c, dhcpv4.MessageTypeDiscover, pxeOptions()...)
	m, err := r.lab.Capture.Traffic.AwaitMessage(deadline(t, stepLimit), c.MAC, func(m lab.Message) bool { return m.Src == r.daemon.At(67) && m.Proxy() })
	if err != nil {
		t.Fatalf("no OFFER to a booting client: %v\n%s", err, r.daemon.Output)
	}
	return m
}
