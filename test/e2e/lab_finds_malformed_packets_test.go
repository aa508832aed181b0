package e2e

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// TestFaultsAreSeen checks the lab's own check: tshark must find a malformed
// packet from a sidecar's address.
func TestFaultsAreSeen(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	host, err := l.NewServerHost("pxesidecar")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := host.UDP(netip.AddrPortFrom(l.SidecarAddress(), 67))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	good := must(dhcpv4.New(dhcpv4.WithMessageType(dhcpv4.MessageTypeOffer), dhcpv4.WithGeneric(dhcpv4.OptionClassIdentifier, []byte("PXEClient"))))
	good.OpCode = dhcpv4.OpcodeBootReply
	bad := good.ToBytes()
	bad = append(bad[:240], 53, 1, 2, 60, 200, 'P', 'X', 'E')
	for i, payload := range [][]byte{good.ToBytes(), bad} {
		if _, err := conn.WriteToUDPAddrPort(payload, netip.AddrPortFrom(l.LAN.Address(255), 68)); err != nil {
			t.Fatal(err)
		}
		ctx := deadline(t, stepLimit)
		if err := l.Capture.Traffic.AwaitSent(ctx, l.SidecarAddress(), i+1); err != nil {
			t.Fatal(err)
		}
		found, err := l.Capture.Malformed(ctx, l.SidecarAddress())
		if err != nil {
			t.Fatal(err)
		}
		if len(found) != i {
			t.Errorf("after %s: faults found: %q, want %d", fmt.Sprint(i+1, " packets"), found, i)
		}
	}
}
