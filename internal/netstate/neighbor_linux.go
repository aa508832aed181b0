package netstate

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Resolved reports whether the kernel knows the hardware address of a host on
// the link of an interface. It does if the host has looked for ours: the kernel
// remembers who asks.
func Resolved(index int, host netip.Addr) (bool, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETNEIGH, 0)
	request.AddData(&netlink.Ndmsg{Family: unix.AF_INET, Index: uint32(index)})
	request.AddData(nl.NewRtAttr(netlink.NDA_DST, host.AsSlice()))
	answers, err := request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNEIGH)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for the neighbor %s: %w", host, err)
	}
	for _, a := range answers {
		n, err := netlink.NeighDeserialize(a)
		if err != nil {
			return false, fmt.Errorf("looking for the neighbor %s: %w", host, err)
		}
		if n.State&(unix.NUD_INCOMPLETE|unix.NUD_FAILED) == 0 && n.State != unix.NUD_NONE {
			return true, nil
		}
	}
	return false, nil
}
