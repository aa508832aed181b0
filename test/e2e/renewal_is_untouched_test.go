package e2e

import (
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// TestSameHost runs the DHCP server on pxesidecar's own host, boots a machine,
// and renews a lease.
func TestSameHost(t *testing.T) {
	t.Parallel()
	newest := ipxe(t, lab.Sid)
	s := alone(lab.Guest{Name: "bios", Firmware: lab.BIOS, OptionROM: optionROM(t, lab.Bookworm, lab.BIOS)},
		outcome{Version: newest.Version, Platform: "pcbios", Arch: "i386", HTTP: []string{"undionly.kpxe"}},
		sidecar(roms(t, lab.Sid, everyROM...), "--ipxe-version", ">="+newest.Version))
	s.sameHost = true
	r := s.run(t)
	renewals(t, r)
}

// renewals gets a lease from the DHCP server on the sidecar's host and renews
// it by unicast, as clients do halfway through a lease. A second socket on UDP
// port 67 would receive these requests in place of the DHCP server.
func renewals(t *testing.T, r trial) {
	t.Helper()
	c, err := r.lab.NewClient("renewing")
	if err != nil {
		t.Fatal(err)
	}
	ctx := deadline(t, stepLimit)
	lease, err := c.Lease(ctx)
	if err != nil {
		t.Fatal(err)
	}
	before := r.lab.Capture.Traffic.Messages(c.MAC, nil)
	for range 3 {
		ack, err := c.Renew(ctx, lease)
		if err != nil {
			t.Fatalf("unicast renewal: %v\n%s", err, r.dhcp.Output)
		}
		if ack.MessageType() != dhcpv4.MessageTypeAck || !ack.YourIPAddr.Equal(lease.YourIPAddr) {
			t.Errorf("renewal answered with %s", ack.Summary())
		}
	}
	unicast := r.lab.Capture.Traffic.Messages(c.MAC, func(m lab.Message) bool { return m.Dst == r.daemon.At(67) })
	answers := r.lab.Capture.Traffic.Messages(c.MAC, func(m lab.Message) bool { return m.Src == r.daemon.At(67) })
	if len(unicast) != 3 || len(answers) != len(before)/2+3 {
		t.Errorf("capture: %d unicast renewals and %d answers in all, want 3 and %d", len(unicast), len(answers), len(before)/2+3)
	}
}
