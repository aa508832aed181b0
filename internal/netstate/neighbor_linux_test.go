package netstate

import (
	"net"
	"net/netip"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestResolved checks which hosts the kernel knows, in a network of its own.
func TestResolved(t *testing.T) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the network ends with the thread
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Errorf("unshare: %v (root is needed)", err)
			return
		}
		link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "e0"}, PeerName: "e1"}
		if err := netlink.LinkAdd(link); err != nil {
			t.Error(err)
			return
		}
		index := link.Attrs().Index
		for state, want := range map[int]bool{unix.NUD_STALE: true, unix.NUD_PERMANENT: true, unix.NUD_FAILED: false, 0: false} {
			host := netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + state)})
			if state != 0 {
				n := &netlink.Neigh{LinkIndex: index, Family: unix.AF_INET, State: state, IP: host.AsSlice(), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}}
				if err := netlink.NeighAdd(n); err != nil {
					t.Error(err)
				}
			}
			if got, err := Resolved(index, host); got != want || err != nil {
				t.Errorf("state %#x: %v, %v; want %v", state, got, err, want)
			}
		}
	}()
	<-done
}
