package proxydhcp

import (
	"container/list"
	"net/netip"
	"path"
	"strings"
	"sync"
	"time"
)

// maxMachines bounds the table: a few hundred bytes a machine. The machine that
// has been quiet for the longest time is forgotten first.
const maxMachines = 4096

// segmentMemory is how long a machine is assumed to be in the segment of its
// last DISCOVER.
const segmentMemory = 10 * time.Minute

// Machines is what is remembered of the machines that boot: enough to end a
// loop (guard.go, scripted.go), to try another shape of OFFER (shape.go), to
// notice a ROM that does not start (start.go), to recognise another server's
// answer to a booting client (otherserver.go), and to serve scripts that depend
// on the machine (package bootfiles). Its methods may be called from several
// goroutines.
type Machines struct {
	mu      sync.Mutex
	byAddr  map[HardwareAddr]*list.Element
	byIP    map[netip.Addr]*list.Element
	recency list.List // of *machine, the most recently heard in front
	loading loading
}

// machine is what is known of one machine.
type machine struct {
	anonymous bool // no DHCP was heard of it: just its IP address is known
	hardware  HardwareAddr
	client    Client    // as it was at its last DISCOVER
	xid       [4]byte   // of that DISCOVER
	heard     time.Time // and when that was
	ip        netip.Addr
	server    netip.Addr // the address of ours that it was told last
	next      netip.Addr // the next-server that the DHCP server names, if that is another host
	nic       PCIID      // its network card, as its iPXE names it
	read      romRead
	upgrade   upgrade
	scripted  scripted
	offer     offering

	start      start
	candidates candidates
	autoexec   *Autoexec     // what its iPXE was given by autoexec.ipxe last; nil for nothing
	waiting    *list.Element // its place in loading.waiting; nil if it is not there
}

// romRead is the ROM that a machine read to its end last: the only record of
// it.
type romRead struct {
	file    string
	at      time.Time // zero if it has read none
	assumed bool      // another server has the file, and the machine's leases suggest that it read it
}

// NewMachines returns an empty table.
func NewMachines() *Machines {
	return &Machines{
		byAddr:  map[HardwareAddr]*list.Element{},
		byIP:    map[netip.Addr]*list.Element{},
		loading: loading{models: map[cardModel]string{}},
	}
}

// FileRequested is called when the client at ip asks for a boot file, by TFTP
// or HTTP. there says that the boot file tree has it. A client that asks for a
// file of ours has understood the OFFER.
func (m *Machines) FileRequested(ip netip.Addr, file string, there bool, now time.Time) {
	v := m.visitIP(ip, now)
	defer v.end()
	k := v.machine
	if k == nil {
		return
	}
	if there {
		k.understood(now)
	}
	if path.Base(file) == AutoexecName {
		m.loading.started(k, now)
	}
	k.start.asks(cleanName(file), there)
	m.loading.follow(k)
}

// AutoexecRead is called when the client at ip has read autoexec.ipxe. It
// returns what the machine was given by it, with ok false if that is up to
// DHCP.
func (m *Machines) AutoexecRead(ip netip.Addr, now time.Time) (a Autoexec, ok bool) {
	v := m.visitIP(ip, now)
	defer v.end()
	if v.machine == nil || v.machine.autoexec == nil {
		return Autoexec{}, false
	}
	a, v.machine.autoexec = *v.machine.autoexec, nil
	return a, true
}

// ROMRead is called when the client at ip has read a boot ROM to its end. file
// is its name in the boot file tree.
func (m *Machines) ROMRead(ip netip.Addr, file string, now time.Time) {
	v := m.visitOrAddIP(ip, now)
	defer v.end()
	k := v.machine
	k.understood(now)
	k.read = romRead{file: cleanName(file), at: now}
	k.upgrade.read(k.read)
	if !k.anonymous {
		k.start.readROM(k.read.file, now)
		m.loading.wait(k)
	}
}

// SecondStageRead is called when the client at ip has read the file that its
// ROM, a shim, loads.
func (m *Machines) SecondStageRead(ip netip.Addr, file string, now time.Time) {
	v := m.visitIP(ip, now)
	defer v.end()
	if k := v.machine; k != nil && !k.anonymous {
		k.start.readStage(cleanName(file), now)
		m.loading.wait(k)
	}
}

// LastROM returns the ROM that the client at ip was seen to read within the
// last ten minutes, "" if there is none.
func (m *Machines) LastROM(ip netip.Addr, now time.Time) string {
	v := m.visitIP(ip, now)
	defer v.end()
	if v.machine == nil {
		return ""
	}
	return v.machine.read.recent(now)
}

// recent returns the file if it was seen to be read within the last ten
// minutes, else "".
func (r romRead) recent(now time.Time) string {
	if r.at.IsZero() || r.assumed || now.Sub(r.at) >= guardMemory {
		return ""
	}
	return r.file
}

// HasBooted reports whether a machine that was heard to boot has just taken the
// address ip.
func (m *Machines) HasBooted(ip netip.Addr, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.byIP[ip]
	return ok && now.Sub(e.Value.(*machine).heard) < segmentMemory
}

// understood notes that the machine acts on an OFFER.
func (k *machine) understood(now time.Time) {
	if !k.client.IPXE.Present {
		k.offer.understood(now)
	}
}

// is reports whether the machine has a hardware address.
func (k *machine) is(hw HardwareAddr) bool { return k.hardware == hw && !k.anonymous }

// visit is one look at the record of a machine. The table stays locked until
// its end.
type visit struct {
	machines *Machines
	element  *list.Element // nil if the machine is not known
	machine  *machine      // likewise
	now      time.Time
}

// visit locks the table and finds the record of a machine. The caller calls
// end.
func (m *Machines) visit(hw HardwareAddr, now time.Time) visit {
	m.mu.Lock()
	v := visit{machines: m, now: now}
	// Nearly always it is the machine that was heard last.
	if e := m.recency.Front(); e != nil && e.Value.(*machine).is(hw) {
		v.element = e
	} else {
		v.element = m.byAddr[hw]
	}
	if v.element != nil {
		v.machine = v.element.Value.(*machine)
	}
	return v
}

// visitIP is visit for the machine that has an address.
func (m *Machines) visitIP(ip netip.Addr, now time.Time) visit {
	m.mu.Lock()
	v := visit{machines: m, now: now}
	if v.element = m.byIP[ip]; v.element != nil {
		v.machine = v.element.Value.(*machine)
	}
	return v
}

// visitOrAddIP is visitIP, but adds a record for an address of which no DHCP
// was heard, as where we answer none.
func (m *Machines) visitOrAddIP(ip netip.Addr, now time.Time) visit {
	v := m.visitIP(ip, now)
	if v.machine == nil {
		v.element = m.insert()
		v.machine = v.element.Value.(*machine)
		v.machine.anonymous = true
		m.setIP(v.element, ip)
	}
	return v
}

// end unlocks the table.
func (v *visit) end() { v.machines.mu.Unlock() }

// discovered notes a DISCOVER. The machine is known from then on.
func (v *visit) discovered(c Client, xid [4]byte) {
	if v.element == nil {
		v.element = v.machines.insert()
		v.machine = v.element.Value.(*machine)
		v.machine.hardware = c.Hardware
		v.machines.byAddr[c.Hardware] = v.element
	}
	v.machines.recency.MoveToFront(v.element)
	k := v.machine
	k.client, k.xid, k.heard = c, xid, v.now
	k.upgrade.returned(c, k.read)
	if c.IPXE.NIC != (PCIID{}) {
		k.nic = c.IPXE.NIC
	}
	if c.IPXE.Present && fingerprintOf(c) != k.upgrade.before {
		v.machines.loading.started(k, v.now)
	}
	k.start.discovers(c)
	v.machines.loading.follow(k)
}

// leased notes that the machine takes an address from the DHCP server, in the
// transaction xid: its REQUEST is a broadcast, so a proxy hears it. ipxe says
// that the machine is an iPXE then.
func (v *visit) leased(ip netip.Addr, xid [4]byte, ipxe bool) {
	if v.machine == nil {
		return
	}
	v.machines.setIP(v.element, ip)
	if ipxe {
		v.machine.upgrade.session(xid, &v.machine.read, v.now)
	} else {
		v.machine.offer.chosen(xid, v.now)
	}
}

// came notes that firmware asks at port 4011, or for an item of a boot menu: so
// it has understood the OFFER.
func (v *visit) came(c Client) {
	if v.machine != nil && !c.IPXE.Present && c.Transport == PXE {
		v.machine.offer.understood(v.now)
	}
}

// segment returns the segment of the machine's last DISCOVER. Its request to
// port 4011 does not say: it is routed, past the relay and out of the VLAN.
func (v *visit) segment() (s Segment, ok bool) {
	if v.machine == nil || v.now.Sub(v.machine.heard) >= segmentMemory {
		return Segment{}, false
	}
	return v.machine.client.Segment, true
}

// upgradeFailed reports whether c is an iPXE that the ROM file, which it would
// be given, has not helped lately.
func (v *visit) upgradeFailed(c Client, file string) bool {
	return c.IPXE.Present && v.machine != nil && v.machine.upgrade.failed(fingerprintOf(c), file, v.machine.read, v.now)
}

// rom returns which of several ROMs the machine is given.
func (v *visit) rom(roms []string, c Client) string {
	if v.machine == nil {
		return roms[0]
	}
	return v.machine.candidates.choose(roms, v.machines.loading.models[cardModel{v.machine.nic, c.Platform()}])
}

// insert adds a record at the front, in place of the one that has been quiet
// for the longest time if the table is full.
func (m *Machines) insert() *list.Element {
	if m.recency.Len() < maxMachines {
		return m.recency.PushFront(&machine{})
	}
	e := m.recency.Back()
	m.forget(e)
	*e.Value.(*machine) = machine{}
	m.recency.MoveToFront(e)
	return e
}

// forget takes a record out of the maps.
func (m *Machines) forget(e *list.Element) {
	k := e.Value.(*machine)
	m.loading.leave(k)
	if m.byIP[k.ip] == e {
		delete(m.byIP, k.ip)
	}
	if m.byAddr[k.hardware] == e {
		delete(m.byAddr, k.hardware)
	}
}

// setIP notes a machine's address. A record that has nothing else is merged
// into that of the machine.
func (m *Machines) setIP(e *list.Element, ip netip.Addr) {
	k := e.Value.(*machine)
	if m.byIP[k.ip] == e {
		delete(m.byIP, k.ip)
	}
	if other := m.byIP[ip]; other != nil && other.Value.(*machine).anonymous {
		k.read, k.scripted = other.Value.(*machine).read, other.Value.(*machine).scripted
		m.recency.Remove(other)
	}
	k.ip = ip
	m.byIP[ip] = e
}

// cleanName makes one name of the spellings of a name in a boot file tree.
func cleanName(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }
