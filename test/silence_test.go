package test

// Clients that are not booting: not one packet of ours may reach them, nor may what they do with the real server change.

import (
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// pxeOptions are what makes a message one of x64 UEFI firmware that boots by PXE.
func pxeOptions() []dhcpv4.Modifier {
	return []dhcpv4.Modifier{
		dhcpv4.WithOption(dhcpv4.OptClassIdentifier("PXEClient:Arch:00007:UNDI:003001")),
		dhcpv4.WithGeneric(dhcpv4.OptionClientSystemArchitectureType, []byte{0, 7}),
		dhcpv4.WithGeneric(dhcpv4.OptionClientNetworkInterfaceIdentifier, []byte{1, 3, 1}),
	}
}

// plainSidecar runs dhcpd and a sidecar with the newest ROMs, for clients made here.
func plainSidecar(t *testing.T, args ...string) trial {
	t.Helper()
	return scenario{sidecar: sidecar(roms(t, lab.Sid, everyROM...), args...)}.setUp(t)
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

// broadcast sends a message of a kind.
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

// offered waits until the sidecar has answered a booting client's DISCOVER. Because it takes packets in order, it has
// then dealt with everything sent before.
func offered(t *testing.T, r trial, c *lab.Client) lab.Message {
	t.Helper()
	broadcast(t, c, dhcpv4.MessageTypeDiscover, pxeOptions()...)
	m, err := r.lab.Capture.Traffic.AwaitMessage(deadline(t, stepLimit), c.MAC, func(m lab.Message) bool { return m.Src == r.daemon.At(67) && m.Proxy() })
	if err != nil {
		t.Fatalf("no OFFER to a booting client: %v\n%s", err, r.daemon.Output)
	}
	return m
}

// TestSilence has every kind of client that is not booting do its work, and counts what the sidecar sent: one OFFER, to
// the one client that boots.
func TestSilence(t *testing.T) {
	t.Parallel()
	r := plainSidecar(t, "--http", ":80")
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
	offered(t, r, booting)
	if sent := r.lab.Capture.Traffic.Sent(r.daemon.Address); sent != 1 {
		t.Errorf("the sidecar sent %d packets, want the one OFFER to the client that boots", sent)
	}
	r.sound(t)
}

// TestDeniedAndDry checks that a denied machine gets nothing, and that nobody does in a dry run.
func TestDeniedAndDry(t *testing.T) {
	t.Parallel()
	denying := plainSidecar(t, "--deny-mac", "02:00:00")
	denied := newClient(t, denying, "denied")
	if err := denied.IP("link", "set", "eth0", "address", "02:00:00:00:00:07"); err != nil {
		t.Fatal(err)
	}
	denied.MAC = "02:00:00:00:00:07"
	broadcast(t, denied, dhcpv4.MessageTypeDiscover, pxeOptions()...)
	offered(t, denying, newClient(t, denying, "allowed"))
	if sent := denying.lab.Capture.Traffic.Sent(denying.daemon.Address); sent != 1 {
		t.Errorf("with --deny-mac the sidecar sent %d packets, want the one OFFER to the other machine", sent)
	}
	dry := scenario{sidecar: func(*lab.Lab) (lab.Sidecar, error) {
		return lab.Sidecar{Root: roms(t, lab.Sid, everyROM...), Args: []string{"--dry-run"}, Ports: []uint16{}}, nil
	}}.setUp(t)
	c := newClient(t, dry, "booting")
	broadcast(t, c, dhcpv4.MessageTypeDiscover, pxeOptions()...)
	if _, err := dry.daemon.Output.Await(deadline(t, stepLimit), c.MAC); err != nil {
		t.Errorf("a dry run says nothing of %s: %v\n%s", c.MAC, err, dry.daemon.Output)
	}
	if sent := dry.lab.Capture.Traffic.Sent(dry.daemon.Address); sent != 0 {
		t.Errorf("in a dry run the sidecar sent %d packets", sent)
	}
}

// TestOfferLayout looks at one OFFER as it was on the wire, whole.
func TestOfferLayout(t *testing.T) {
	t.Parallel()
	r := plainSidecar(t)
	m := offered(t, r, newClient(t, r, "booting"))
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
