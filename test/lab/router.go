package lab

// An IPv6 router. iPXE asks for one on every network. If none answers, it waits
// for up to a quarter of a minute, whatever DHCP has answered.

import (
	"net"
	"net/netip"
	"sync"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"
)

// The addresses of the router, and those of all nodes.
var (
	routerMAC    = net.HardwareAddr{0x02, 0, 0, 0, 0, 1}
	routerIP     = netip.MustParseAddr("fe80::1")
	everybodyMAC = net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
	everybodyIP  = netip.MustParseAddr("ff02::1")
)

// router answers router solicitations on a segment. It has no prefix to give,
// and routes nothing.
type router struct {
	fd      int
	answer  []byte
	quit    chan struct{}
	running sync.WaitGroup
}

// newRouter adds the router to a segment.
func (l *Lab) newRouter(s *Segment) error {
	answer, err := routerAdvertisement()
	if err != nil {
		return err
	}
	r := &router{answer: answer, quit: make(chan struct{})}
	err = s.Host.Do(func() (err error) {
		r.fd, err = openPacketSocket(bridgeName, unix.ETH_P_IPV6, socketOption{unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1})
		return err
	})
	if err != nil {
		return err
	}
	r.running.Go(r.run)
	l.onClose(func() error {
		close(r.quit)
		r.running.Wait()
		return unix.Close(r.fd)
	})
	return nil
}

// run answers until the lab closes.
func (r *router) run() {
	eachFrame(r.fd, r.quit, func(frame, tag []byte) {
		if tag == nil && isRouterSolicitation(frame) {
			// A client that receives no answer asks again.
			unix.Write(r.fd, r.answer)
		}
	})
}

// isRouterSolicitation reports whether a frame asks for routers (RFC 4861,
// section 4.1).
func isRouterSolicitation(frame []byte) bool {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	return p.Layer(layers.LayerTypeICMPv6RouterSolicitation) != nil
}

// routerAdvertisement returns the frame of the answer (RFC 4861, section 4.2):
// no DHCPv6, no prefix, no default route.
func routerAdvertisement() ([]byte, error) {
	const hops = 255 // what comes through another router has fewer, and is ignored
	ip := &layers.IPv6{Version: 6, NextHeader: layers.IPProtocolICMPv6, HopLimit: hops, SrcIP: routerIP.AsSlice(), DstIP: everybodyIP.AsSlice()}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeRouterAdvertisement, 0)}
	if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
		return nil, err
	}
	out := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(out, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: routerMAC, DstMAC: everybodyMAC, EthernetType: layers.EthernetTypeIPv6}, ip, icmp,
		&layers.ICMPv6RouterAdvertisement{HopLimit: 64, Options: layers.ICMPv6Options{{Type: layers.ICMPv6OptSourceAddress, Data: routerMAC}}})
	return out.Bytes(), err
}
