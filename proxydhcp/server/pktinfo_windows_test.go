package server

import (
	"net/netip"
	"testing"
)

// TestControlMessage checks that what is sent is what would be read.
func TestControlMessage(t *testing.T) {
	from := netip.MustParseAddr("192.0.2.1")
	to, index := (controls{}).read(controlMessage(from, 7))
	if to != from || index != 7 {
		t.Errorf("%s, interface %d", to, index)
	}
	if b := controlMessage(netip.Addr{}, 0); b != nil {
		t.Errorf("a message about nothing: % x", b)
	}
	if to, index := (controls{}).read([]byte{1, 2, 3}); to.IsValid() || index != 0 {
		t.Errorf("read %s, interface %d, out of nothing", to, index)
	}
}
