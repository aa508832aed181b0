package netstate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// watch calls changed when the host's interfaces or addresses may have changed,
// and once at its beginning, until ctx ends.
func watch(ctx context.Context, changed func()) error {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR)
	if err != nil {
		return fmt.Errorf("watching the interfaces: %w", err)
	}
	defer socket.Close()
	stop := context.AfterFunc(ctx, socket.Close)
	defer stop()
	for {
		changed()
		// The content of the message does not matter, because everything is
		// read again. So nothing is lost if the kernel had to drop messages.
		if _, _, err := socket.Receive(); ctx.Err() != nil {
			return nil
		} else if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return fmt.Errorf("watching the interfaces: %w", err)
		}
	}
}

// Read lists the host's interfaces. It asks the kernel twice, however many
// there are.
func Read() ([]Interface, error) {
	links, err := consistent(readLinks)
	if err != nil {
		return nil, fmt.Errorf("listing the interfaces: %w", err)
	}
	addresses, err := consistent(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return nil, fmt.Errorf("listing the addresses: %w", err)
	}
	return join(links, addresses), nil
}

// skipStatistics asks for interfaces without their counters, which are most of
// what the kernel says of them (RTEXT_FILTER_SKIP_STATS in linux/rtnetlink.h).
const skipStatistics = 1 << 3

// readLinks lists what the kernel knows of the interfaces, but for addresses
// and counters.
func readLinks() ([]netlink.Link, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP)
	request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	request.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(skipStatistics)))
	messages, readErr := request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	links := make([]netlink.Link, 0, len(messages))
	for _, m := range messages {
		link, err := netlink.LinkDeserialize(nil, m)
		if err != nil {
			return nil, err
		}
		links = append(links, link)
	}
	return links, readErr
}

// join returns the interfaces that links and addresses make.
func join(links []netlink.Link, addresses []netlink.Addr) []Interface {
	bridges := map[int]bool{}
	for _, l := range links {
		if _, ok := l.(*netlink.Bridge); ok {
			bridges[l.Attrs().Index] = true
		}
	}
	of := addressesByIndex(addresses)
	interfaces := make([]Interface, 0, len(links))
	for _, l := range links {
		a := l.Attrs()
		i := Interface{Name: a.Name, Index: a.Index, MTU: a.MTU, Flags: a.Flags, Addresses: of[a.Index]}
		if a.RawFlags&unix.IFF_RUNNING != 0 {
			i.Flags |= net.FlagRunning
		}
		if v, ok := l.(*netlink.Vlan); ok && v.VlanProtocol == netlink.VLAN_PROTOCOL_8021Q {
			i.Parent, i.VLAN = a.ParentIndex, uint16(v.VlanId)
		}
		if bridges[a.MasterIndex] {
			i.Bridge = a.MasterIndex
		}
		interfaces = append(interfaces, i)
	}
	return interfaces
}

// consistent reads a list from the kernel again while changes interrupt the
// reading. The last time it accepts what there is: more changes will be
// reported.
func consistent[T any](read func() ([]T, error)) ([]T, error) {
	for range 5 {
		if list, err := read(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return list, err
		}
	}
	list, err := read()
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		err = nil
	}
	return list, err
}

// addressesByIndex returns the addresses of each interface in the kernel's
// order. Those that the kernel does not use by itself come last: secondary
// ones, and deprecated ones, whose preferred lifetime is over. Tentative ones
// are left out, because they are not ours yet.
func addressesByIndex(all []netlink.Addr) map[int][]netip.Prefix {
	first, last := map[int][]netip.Prefix{}, map[int][]netip.Prefix{}
	for i := range all {
		a := &all[i]
		ip, ok := netip.AddrFromSlice(a.IP.To4())
		if !ok || a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 {
			continue
		}
		of := first
		if a.Flags&(unix.IFA_F_SECONDARY|unix.IFA_F_DEPRECATED) != 0 {
			of = last
		}
		bits, _ := a.Mask.Size()
		of[a.LinkIndex] = append(of[a.LinkIndex], netip.PrefixFrom(ip, bits))
	}
	for index, list := range last {
		first[index] = append(first[index], list...)
	}
	return first
}
