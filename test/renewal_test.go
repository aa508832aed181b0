package test

// Leases beside a sidecar: what ordinary clients do must go on as if it were not there.

import (
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// renewals gets a lease from the DHCP server on the sidecar's host and renews it by unicast, as clients do halfway
// through a lease. A second socket on UDP port 67 would steal exactly this.
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
	for range 3 {
		ack, err := c.Renew(ctx, lease)
		if err != nil {
			t.Fatalf("unicast renewal: %v\n%s", err, r.dhcp.Output)
		}
		if ack.MessageType() != dhcpv4.MessageTypeAck || !ack.YourIPAddr.Equal(lease.YourIPAddr) {
			t.Errorf("renewal answered with %s", ack.Summary())
		}
		server := r.daemon.At(67)
		answer := func(m lab.Message) bool { return m.DHCP.TransactionID == ack.TransactionID && m.Src == server }
		asked := func(m lab.Message) bool { return m.DHCP.TransactionID == ack.TransactionID && m.Dst == server }
		// The capture may see it a little later than the client.
		if _, err := r.lab.Capture.Traffic.AwaitMessage(ctx, c.MAC, answer); err != nil {
			t.Fatal(err)
		}
		requests, answers := r.lab.Capture.Traffic.Messages(c.MAC, asked), r.lab.Capture.Traffic.Messages(c.MAC, answer)
		if len(requests) != 1 || len(answers) != 1 {
			t.Errorf("capture: %d unicast renewals and %d answers, want one of each", len(requests), len(answers))
		}
	}
}
