package e2e

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// TestTwoSidecars boots beside both. No machine may load more than one ROM, and
// both must answer every client alike, except for their addresses.
func TestTwoSidecars(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	guests, want := pairGuests(t)
	p.bootAll(t, guests, want, p.boot)
	for i, options := range [][]dhcpv4.Modifier{pxeOptions(), biosIPXE(), append(biosIPXE(), dhcpv4.WithGeneric(encapsulated, []byte{235, 3, 9, 0, 0}))} {
		c := newClient(t, p.trial, fmt.Sprint("asking-", i))
		broadcast(t, c, dhcpv4.MessageTypeDiscover, options...)
		for _, d := range []*lab.Daemon{p.daemon, p.second} {
			if _, err := p.lab.Capture.Traffic.AwaitMessage(deadline(t, stepLimit), c.MAC, func(m lab.Message) bool { return m.Src == d.At(67) }); err != nil {
				t.Fatalf("%s: %v\n%s", d.Address, err, d.Output)
			}
		}
	}
	first, second := p.offers(p.daemon), p.offers(p.second)
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("OFFERs by transaction (-first +second):\n%s", diff)
	}
	if len(first) < 5 {
		t.Errorf("%d transactions, want those of two machines and three clients", len(first))
	}
	for _, d := range []*lab.Daemon{p.daemon, p.second} {
		p.daemon = d
		p.sound(t)
		if lines := d.Output.Matching("another ProxyDHCP server answers as we do", "level=DEBUG"); len(lines) != 1 || len(d.Output.Matching("level=WARN")) > 0 {
			t.Errorf("%s: %d lines about its twin, want one at DEBUG, and no warning:\n%s", d.Address, len(lines), d.Output)
		}
	}
}

// offers returns the bytes of a sidecar's OFFERs, by transaction, with its
// address replaced.
func (p *pair) offers(d *lab.Daemon) map[dhcpv4.TransactionID][][]byte {
	found := map[dhcpv4.TransactionID][][]byte{}
	unify := func(b []byte) []byte {
		any := netip.IPv4Unspecified()
		b = bytes.ReplaceAll(b, d.Address.AsSlice(), any.AsSlice())
		return bytes.ReplaceAll(b, []byte(d.Address.String()), []byte(any.String()))
	}
	for _, m := range p.lab.Capture.Traffic.Messages("", func(m lab.Message) bool { return m.Src == d.At(67) }) {
		found[m.DHCP.TransactionID] = append(found[m.DHCP.TransactionID], unify(m.Payload))
	}
	return found
}
