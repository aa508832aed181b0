package proxydhcp

import (
	"container/list"
	"net/netip"
	"path"
	"strings"
	"sync"
	"time"
)

// The loop guard: it remembers which iPXE a ROM did not help.

// guardMemory is how long a completed download counts against its client. A
// machine that runs the ROM asks again within seconds.
const guardMemory = 10 * time.Minute

// guardSize bounds the guard's memory: a few hundred bytes a machine, and the
// machine that has been quiet the longest is forgotten first.
const guardSize = 4096

// sessionsWithoutRead is how many boots may end in another server's TFTP, whose
// downloads we cannot see, before the ROM counts as loaded.
const sessionsWithoutRead = 2

// Guard ends upgrade loops. An iPXE that was offered a ROM, was seen to load it
// to the end, and comes back with the fingerprint it had, did not become the
// iPXE that the policy wants: it is settled, and gets the boot script from then
// on. An iPXE that comes back and satisfies the policy is forgotten, so that
// its next reboot, with the old iPXE of its card, is upgraded again.
//
// Firmware that is not iPXE may load the same ROM at every boot; it is not
// remembered. The methods may be called from several goroutines.
type Guard struct {
	mu       sync.Mutex
	machines map[HardwareAddr]*list.Element
	byIP     map[netip.Addr]*list.Element
	quiet    list.List // of *machine, the most recently heard in front
}

// machine is what the guard knows of an iPXE that was offered a ROM.
type machine struct {
	hardware HardwareAddr
	print    fingerprint
	rom      string     // the file it was offered last
	foreign  bool       // which another server's TFTP hands out
	ip       netip.Addr // the address it took from the DHCP server
	sessions int        // leases it took after such an offer
	xid      [4]byte    // of the last lease counted
	loaded   time.Time  // when it last read the ROM to the end
	told     bool       // whether its loop was reported
}

// fingerprint is what tells one iPXE build from another on the same machine.
type fingerprint struct {
	arch      Arch
	ipxe      IPXE
	userClass string
}

func printOf(c Client) fingerprint { return fingerprint{c.Arch, c.IPXE, c.UserClass} }

// NewGuard returns an empty guard.
func NewGuard() *Guard {
	return &Guard{machines: map[HardwareAddr]*list.Element{}, byIP: map[netip.Addr]*list.Element{}}
}

// Settled reports whether c loaded a ROM within the last ten minutes and came
// back as it was.
func (g *Guard) Settled(c Client, now time.Time) bool {
	if !c.IPXE.Present {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	e, ok := g.machines[c.Hardware]
	if !ok {
		return false
	}
	m := e.Value.(*machine)
	return m.print == printOf(c) && !m.loaded.IsZero() && now.Sub(m.loaded) < guardMemory
}

// Decided tells the guard what an iPXE was told: the offer of a ROM is
// remembered; a script given on the client's own merits means that it needs no
// upgrade, or that the upgrade helped. foreign says that the file comes from
// another server. It returns the ROM whose loop this decision ends, once for
// each time; else "".
func (g *Guard) Decided(c Client, d Decision, foreign bool) (ended string) {
	if !c.IPXE.Present {
		return ""
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	e, known := g.machines[c.Hardware]
	switch {
	case d.Kind == BootROM:
		g.offered(e, c, d.File, foreign)
	case d.Kind != BootScript || !known:
	case !d.Settled:
		g.forget(e)
	default:
		if m := e.Value.(*machine); !m.told {
			m.told = true
			return m.rom
		}
	}
	return ""
}

// offered remembers the offer of a ROM. e is nil for a machine that is new.
func (g *Guard) offered(e *list.Element, c Client, rom string, foreign bool) {
	if e == nil {
		if g.quiet.Len() >= guardSize {
			g.forget(g.quiet.Back())
		}
		e = g.quiet.PushFront(&machine{hardware: c.Hardware})
		g.machines[c.Hardware] = e
	}
	g.quiet.MoveToFront(e)
	m := e.Value.(*machine)
	if print := printOf(c); m.print != print || m.rom != rom {
		g.forgetIP(e)
		*m = machine{hardware: c.Hardware, print: print, rom: rom}
	}
	m.foreign = foreign
}

// Leased tells the guard that a machine was seen to take ip from the DHCP
// server, in the exchange xid: its REQUEST is broadcast, so a proxy hears it.
// ipxe says that the machine was an iPXE then.
func (g *Guard) Leased(hw HardwareAddr, ip netip.Addr, xid [4]byte, ipxe bool, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e, ok := g.machines[hw]
	if !ok {
		return
	}
	g.forgetIP(e)
	m := e.Value.(*machine)
	m.ip = ip
	g.byIP[ip] = e
	if !ipxe || xid == m.xid {
		return // its firmware, or the same REQUEST sent again
	}
	m.xid = xid
	if m.sessions++; m.foreign && m.sessions >= sessionsWithoutRead {
		m.loaded = now
	}
}

// Read tells the guard that the client at ip has read a boot file to its end.
func (g *Guard) Read(ip netip.Addr, file string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e, ok := g.byIP[ip]
	if !ok {
		return
	}
	if m := e.Value.(*machine); cleanName(m.rom) == cleanName(file) {
		m.loaded = now
	}
}

// cleanName makes one name of the spellings of a boot file tree's name.
func cleanName(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

func (g *Guard) forget(e *list.Element) {
	g.forgetIP(e)
	delete(g.machines, e.Value.(*machine).hardware)
	g.quiet.Remove(e)
}

func (g *Guard) forgetIP(e *list.Element) {
	if ip := e.Value.(*machine).ip; g.byIP[ip] == e {
		delete(g.byIP, ip)
	}
}
