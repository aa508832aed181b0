package proxydhcp

import (
	"container/list"
	"net/netip"
	"path"
	"strings"
	"sync"
	"time"
)

// What is remembered of the machines that boot: enough to end a loop (see
// guard.go), to try another shape of OFFER (see shape.go), and to know an
// answer of another server as one to a booting client (see neighbour.go).

// memorySize bounds the memory: a few hundred bytes a machine, and the machine
// that has been quiet the longest is forgotten first.
const memorySize = 4096

// memory remembers the machines that were heard to boot. Its methods may be
// called from several goroutines.
type memory struct {
	mu       sync.Mutex
	machines map[HardwareAddr]*list.Element
	byIP     map[netip.Addr]*list.Element
	quiet    list.List // of *machine, the most recently heard in front
}

// machine is what is known of one machine.
type machine struct {
	hardware HardwareAddr
	client   Client    // as it was at its last DISCOVER
	xid      [4]byte   // of that DISCOVER
	heard    time.Time // and when it was heard last
	ip       netip.Addr
	upgrade  upgrade
	offer    offering
}

// newMemory returns an empty memory.
func newMemory() *memory {
	return &memory{machines: map[HardwareAddr]*list.Element{}, byIP: map[netip.Addr]*list.Element{}}
}

// discovered tells the memory of a DISCOVER.
func (g *memory) discovered(c Client, xid [4]byte, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.find(c.Hardware)
	if e == nil {
		e = g.newcomer(c.Hardware)
	}
	g.quiet.MoveToFront(e)
	m := e.Value.(*machine)
	m.client, m.xid, m.heard = c, xid, now
	m.upgrade.returned(c)
}

// newcomer makes room for a machine: in the place of the one that has been quiet
// the longest, where the memory is full.
func (g *memory) newcomer(hw HardwareAddr) *list.Element {
	var e *list.Element
	if g.quiet.Len() < memorySize {
		e = g.quiet.PushFront(&machine{})
	} else {
		e = g.quiet.Back()
		g.forgetIP(e)
		delete(g.machines, e.Value.(*machine).hardware)
	}
	*e.Value.(*machine) = machine{hardware: hw}
	g.machines[hw] = e
	return e
}

// find returns the machine with a hardware address, nil where it is not known.
// Nearly always it is the one that was heard last: each answer asks several
// times. The lock must be held.
func (g *memory) find(hw HardwareAddr) *list.Element {
	if e := g.quiet.Front(); e != nil && e.Value.(*machine).hardware == hw {
		return e
	}
	return g.machines[hw]
}

// known is find for those who do not need its place.
func (g *memory) known(hw HardwareAddr) *machine {
	if e := g.find(hw); e != nil {
		return e.Value.(*machine)
	}
	return nil
}

// placeMemory is how long a machine is taken to be where its DISCOVER came from.
const placeMemory = 10 * time.Minute

// place returns where a machine's last DISCOVER came from. Its request to port
// 4011 does not tell: it is routed, past the relay and out of the VLAN.
func (g *memory) place(hw HardwareAddr, now time.Time) (s Segment, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.known(hw)
	if m == nil || now.Sub(m.heard) >= placeMemory {
		return Segment{}, false
	}
	return m.client.Segment, true
}

// leased tells the memory that a machine was seen to take ip from the DHCP
// server, in the exchange xid: its REQUEST is broadcast, so a proxy hears it.
// ipxe says that the machine was an iPXE then.
func (g *memory) leased(hw HardwareAddr, ip netip.Addr, xid [4]byte, ipxe bool, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.find(hw)
	if e == nil {
		return
	}
	g.forgetIP(e)
	m := e.Value.(*machine)
	m.ip = ip
	g.byIP[ip] = e
	if ipxe {
		m.upgrade.session(xid, now)
	} else {
		m.offer.chosen(xid, now)
	}
}

// asked tells the memory that the client at ip asks for a boot file.
func (g *memory) asked(ip netip.Addr, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e, ok := g.byIP[ip]; ok {
		if m := e.Value.(*machine); !m.client.IPXE.Present {
			m.offer.understood(now)
		}
	}
}

// read tells the memory that the client at ip has read a boot file to its end.
func (g *memory) read(ip netip.Addr, file string, now time.Time) {
	g.asked(ip, now)
	g.mu.Lock()
	defer g.mu.Unlock()
	if e, ok := g.byIP[ip]; ok {
		e.Value.(*machine).upgrade.read(file, now)
	}
}

// cleanName makes one name of the spellings of a boot file tree's name.
func cleanName(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

func (g *memory) forgetIP(e *list.Element) {
	if ip := e.Value.(*machine).ip; ip.IsValid() && g.byIP[ip] == e {
		delete(g.byIP, ip)
	}
}
