package e2e

import (
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// TestDeniedAndDry checks that a denied machine gets no answer, and that nobody
// gets one in a dry run.
func TestDeniedAndDry(t *testing.T) {
	t.Parallel()
	denying := plainSidecar(t, "--deny-mac", "02:00:00")
	denied := newClient(t, denying, "denied")
	if err := denied.IP("link", "set", "eth0", "address", "02:00:00:00:00:07"); err != nil {
		t.Fatal(err)
	}
	denied.MAC = "02:00:00:00:00:07"
	broadcast(t, denied, dhcpv4.MessageTypeDiscover, pxeOptions()...)
	awaitOffer(t, denying, newClient(t, denying, "allowed"))
	if sent := denying.lab.Capture.Traffic.Sent(denying.daemon.Address); sent != 1 {
		t.Errorf("with --deny-mac the sidecar sent %d packets, want the one OFFER to the other machine", sent)
	}
	dry := scenario{sidecar: func(*lab.Lab) (lab.Sidecar, error) {
		return lab.Sidecar{Root: roms(t, lab.Sid, everyROM...), Args: []string{"--dry-run"}, Ports: []uint16{}}, nil
	}}.setUp(t)
	c := newClient(t, dry, "booting")
	broadcast(t, c, dhcpv4.MessageTypeDiscover, pxeOptions()...)
	if _, err := dry.daemon.Output.Await(deadline(t, stepLimit), c.MAC); err != nil {
		t.Errorf("a dry run logs nothing about %s: %v\n%s", c.MAC, err, dry.daemon.Output)
	}
	if sent := dry.lab.Capture.Traffic.Sent(dry.daemon.Address); sent != 0 {
		t.Errorf("in a dry run the sidecar sent %d packets", sent)
	}
}
