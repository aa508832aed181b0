package netstate

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// TestRead finds this host's loopback interface with its address.
func TestRead(t *testing.T) {
	all, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(all, func(i Interface) bool { return i.Flags&net.FlagLoopback != 0 })
	if at < 0 {
		t.Fatalf("no loopback interface among %v", all)
	}
	lo := all[at]
	if !lo.Up() || lo.MTU < 1500 || lo.Index == 0 || !slices.Contains(lo.Addresses, netip.MustParsePrefix("127.0.0.1/8")) {
		t.Errorf("%+v", lo)
	}
}

// TestWatch checks that the first look needs no change, and that the end of the
// context ends it.
func TestWatch(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	looks := 0
	if err := watch(ctx, func() { looks++; cancel() }); err != nil || looks == 0 {
		t.Errorf("%d looks, %v", looks, err)
	}
}

// TestBroadcast checks the directed broadcast address of networks.
func TestBroadcast(t *testing.T) {
	for network, want := range map[string]string{
		"192.0.2.1/24": "192.0.2.255", "10.1.2.3/8": "10.255.255.255", "192.0.2.5/30": "192.0.2.7",
		"192.0.2.1/31": "", "192.0.2.1/32": "", "2001:db8::1/64": "",
	} {
		got := ""
		if a := Broadcast(netip.MustParsePrefix(network)); a.IsValid() {
			got = a.String()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", network, got, want)
		}
	}
}

// TestString checks what people see of an interface.
func TestString(t *testing.T) {
	i := Interface{Name: "eth0"}
	if got, want := i.String(), "eth0 (no IPv4 address)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	i.Addresses = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("198.51.100.1/24")}
	if got, want := i.String(), "eth0 (192.0.2.1/24, 198.51.100.1/24)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
