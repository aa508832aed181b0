package netstate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Watch calls changed when the host's interfaces or addresses may have changed,
// and once at its beginning, until ctx ends.
func Watch(ctx context.Context, changed func()) error {
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

// Read lists the host's interfaces.
func Read() ([]Interface, error) {
	links, err := consistent(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("listing the interfaces: %w", err)
	}
	addresses, err := consistent(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return nil, fmt.Errorf("listing the addresses: %w", err)
	}
	bridges := map[int]bool{}
	for _, l := range links {
		if _, ok := l.(*netlink.Bridge); ok {
			bridges[l.Attrs().Index] = true
		}
	}
	interfaces := make([]Interface, 0, len(links))
	for _, l := range links {
		a := l.Attrs()
		i := Interface{Name: a.Name, Index: a.Index, MTU: a.MTU, Flags: a.Flags, Addresses: addressesOf(a.Index, addresses)}
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
	return interfaces, nil
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

// addressesOf returns an interface's addresses in the kernel's order. Those
// that the kernel does not use by itself come last: secondary ones, and
// deprecated ones, whose preferred lifetime is over. Tentative ones are left
// out, because they are not ours yet.
func addressesOf(index int, all []netlink.Addr) []netip.Prefix {
	var first, last []netip.Prefix
	for _, a := range all {
		ip, ok := netip.AddrFromSlice(a.IP.To4())
		if a.LinkIndex != index || !ok || a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 {
			continue
		}
		bits, _ := a.Mask.Size()
		if a.Flags&(unix.IFA_F_SECONDARY|unix.IFA_F_DEPRECATED) != 0 {
			last = append(last, netip.PrefixFrom(ip, bits))
		} else {
			first = append(first, netip.PrefixFrom(ip, bits))
		}
	}
	return slices.Concat(first, last)
}
