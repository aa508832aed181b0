package netstate

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// TestJoinGrowsLinearly checks that eight times the interfaces take about eight
// times as long to put together, not sixty-four times.
func TestJoinGrowsLinearly(t *testing.T) {
	few, many := timeOfJoin(1000), timeOfJoin(8000)
	if many > 24*few {
		t.Errorf("1000 interfaces take %v, 8000 take %v", few, many)
	}
}

// timeOfJoin returns the least of several times that it takes to put so many
// interfaces together, each with an address.
func timeOfJoin(count int) time.Duration {
	var links []netlink.Link
	var addresses []netlink.Addr
	for i := range count {
		links = append(links, &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: i + 1, Name: fmt.Sprint("e", i)}})
		ip := net.IPv4(10, byte(i>>16), byte(i>>8), byte(i))
		addresses = append(addresses, netlink.Addr{LinkIndex: i + 1, IPNet: &net.IPNet{IP: ip, Mask: net.CIDRMask(24, 32)}})
	}
	least := time.Hour
	for range 5 {
		began := time.Now()
		NewHost(join(links, addresses))
		least = min(least, time.Since(began))
	}
	return least
}
