package proxydhcp

import (
	"container/list"
	"net/netip"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// segmentMemory is how long a machine is assumed to be in the segment of its
// last DISCOVER.
const segmentMemory = 10 * time.Minute

// Machines is what is remembered of the machines that boot: enough to end a
// loop (guard.go, scripted.go), to try another shape of OFFER (shape.go), to
// notice a ROM that does not start (start.go), to recognise another server's
// answer to a booting client (otherserver.go), and to serve scripts that depend
// on the machine (package bootfiles). Its methods may be called from several
// goroutines.
//
// A record is that of a machine in a segment: what is heard in another segment
// under the same name changes nothing there. What a machine is known to have
// done follows from files that were acknowledged to the last block, which
// nobody else can do in its name without receiving them. If several machines
// have taken the address that reads a file, each of them may have read it.
type Machines struct {
	mu        sync.Mutex
	epoch     time.Time
	count     int // of records
	unproven  int // of those that are not proven
	byStation index[HardwareAddr]
	byIP      index[[16]byte]
	domains   []*domain // the first is that of the zero Segment; nil for one that is gone
	last      *machine  // heard last
	loading   loading
}

// machine is what is known of one machine in one segment. Its size times
// maxMachines is the memory of the program: keep it small.
type machine struct {
	station HardwareAddr // as in identity
	uuid    UUID
	ip      [16]byte // its address; zero if none is known
	server  netip4   // the address of ours that it was told last
	next    netip4   // the next-server that the DHCP server names, if that is another host
	xid     [4]byte  // of its last DISCOVER
	nic     PCIID    // its network card, as its iPXE names it

	anonymous bool  // no DHCP was heard of it: just its IP address is known
	proven    bool  // it has read a file to its end
	domain    uint8 // its index in Machines.domains

	heard   instant // its last DISCOVER
	taken   instant // when it took its address
	segment interned[Segment]
	kind    interned[kind]

	read       romRead
	upgrade    upgrade
	offer      offering
	start      start
	candidates candidates
	waiting    *list.Element // its place in loading.waiting; nil if it is not there

	newer, older *machine // in the list of the domain
	nextStation  *machine // in the chains of the indexes
	nextIP       *machine
}

// kind is what machines with the same firmware have in common.
type kind struct {
	arch        Arch
	transport   Transport
	vendorClass string // at most maxClass bytes of each
	userClass   string
	ipxe        IPXE
}

// kindOf returns the kind of a client.
func kindOf(c *Client) kind {
	return kind{c.Arch, c.Transport, cut(c.VendorClass), cut(c.UserClass), c.IPXE}
}

// cut returns as much of a class as is remembered.
func cut(class string) string { return class[:min(len(class), maxClass)] }

// client returns the machine as it was at its last DISCOVER, the zero Client if
// none was heard.
func (k *machine) client() Client {
	if k.anonymous {
		return Client{}
	}
	kind := k.kind.get()
	c := Client{
		Hardware: k.station, Arch: kind.arch, Transport: kind.transport, VendorClass: kind.vendorClass, UserClass: kind.userClass,
		IPXE: kind.ipxe, UUID: k.uuid, Segment: k.segment.get(),
	}
	if c.Hardware.Len == 0 {
		c.Hardware.Bytes = [16]byte{}
	}
	return c
}

// netip4 is an IPv4 address in four bytes. Zero is none.
type netip4 [4]byte

// netip4Of returns an address in four bytes, zero for one that is not IPv4.
func netip4Of(a netip.Addr) netip4 {
	if a.Is4() {
		return a.As4()
	}
	return netip4{}
}

// addr returns the address.
func (a netip4) addr() netip.Addr {
	if a == (netip4{}) {
		return netip.Addr{}
	}
	return netip.AddrFrom4(a)
}

// romRead is the ROM that a machine read to its end last: the only record of
// it.
type romRead struct {
	file    interned[string]
	at      instant // 0 if it has read none
	assumed bool    // another server has the file, and the machine's leases suggest that it read it
}

// romReadAt returns the record of a ROM that was read now.
func romReadAt(file string, now instant) romRead {
	r := romRead{at: now}
	r.file.set(cleanName(file))
	return r
}

// NewMachines returns an empty table.
func NewMachines() *Machines {
	return &Machines{
		domains:   []*domain{{}},
		byStation: newIndex(func(k *machine) HardwareAddr { return k.station }, func(k *machine) **machine { return &k.nextStation }),
		byIP:      newIndex(func(k *machine) [16]byte { return k.ip }, func(k *machine) **machine { return &k.nextIP }),
		loading:   loading{models: map[cardModel]string{}},
	}
}

// lock locks the table and returns a time as its instant. The caller unlocks
// it.
func (m *Machines) lock(now time.Time) instant {
	m.mu.Lock()
	return m.at(now)
}

// FileRequested is called when a request for a boot file comes from ip, by TFTP
// or HTTP. there says that the boot file tree has it. Anybody can have sent a
// request by TFTP, so it is a hint, and no more.
func (m *Machines) FileRequested(ip netip.Addr, file string, there bool, now time.Time) {
	at := m.lock(now)
	defer m.mu.Unlock()
	if there {
		for k := range m.holders(ip) {
			if !k.kind.get().ipxe.Present {
				k.offer.asked(at)
			}
		}
	}
	if k := m.owner(ip); k != nil {
		k.start.asks(cleanName(file), there)
		m.loading.follow(k)
	}
}

// FileReceived is called when the client at ip has acknowledged what it was
// sent of a boot file. A client that loads files of ours has understood the
// OFFER.
func (m *Machines) FileReceived(ip netip.Addr, now time.Time) {
	at := m.lock(now)
	defer m.mu.Unlock()
	m.received(ip, at)
}

// received notes that the machine at an address loads files.
func (m *Machines) received(ip netip.Addr, now instant) {
	alone := m.owner(ip) != nil
	for k := range m.holders(ip) {
		if !k.kind.get().ipxe.Present {
			k.offer.understood(now)
		}
		if alone {
			m.prove(k)
		}
	}
}

// AutoexecRead is called when the client at ip has read autoexec.ipxe. It
// returns what the machine was given by it, with ok false if that is up to
// DHCP.
func (m *Machines) AutoexecRead(ip netip.Addr, now time.Time) (a Autoexec, ok bool) {
	at := m.lock(now)
	defer m.mu.Unlock()
	m.received(ip, at)
	k := m.owner(ip)
	if k == nil {
		return Autoexec{}, false
	}
	m.loading.started(k, at)
	notes := k.start.notes
	if notes == nil || notes.autoexec == nil {
		return Autoexec{}, false
	}
	a, notes.autoexec = *notes.autoexec, nil
	return a, true
}

// ROMRead is called when the client at ip has read a boot ROM to its end. file
// is its name in the boot file tree.
func (m *Machines) ROMRead(ip netip.Addr, file string, now time.Time) {
	at := m.lock(now)
	defer m.mu.Unlock()
	read := romReadAt(file, at)
	known := false
	for k := range m.holders(ip) {
		known = true
		k.read = read
		k.upgrade.read(read)
	}
	if !known && ip.IsValid() {
		m.insertAnonymous(ip, at).read = read
	}
	m.received(ip, at)
	if k := m.owner(ip); k != nil && !k.anonymous {
		m.loading.again(k, read.file.get())
		k.start.readROM(read.file, at)
		m.loading.wait(k)
	}
}

// insertAnonymous inserts a record of which just an address is known, as where
// we answer no DHCP.
func (m *Machines) insertAnonymous(ip netip.Addr, now instant) *machine {
	k := m.insert(identity{}, Segment{})
	k.anonymous = true
	m.take(k, ip, now)
	return k
}

// SecondStageRead is called when the client at ip has read the file that its
// ROM, a shim, loads.
func (m *Machines) SecondStageRead(ip netip.Addr, file string, now time.Time) {
	at := m.lock(now)
	defer m.mu.Unlock()
	m.received(ip, at)
	if k := m.owner(ip); k != nil && !k.anonymous {
		var stage interned[string]
		stage.set(cleanName(file))
		m.loading.again(k, stage.get())
		k.start.readStage(stage, at)
		m.loading.wait(k)
	}
}

// LastROM returns the ROM that the client at ip was seen to read within the
// last ten minutes, "" if there is none.
func (m *Machines) LastROM(ip netip.Addr, now time.Time) string {
	at := m.lock(now)
	defer m.mu.Unlock()
	for k := range m.holders(ip) {
		if file := k.read.recent(at); file != "" {
			return file
		}
	}
	return ""
}

// recent returns the file if it was seen to be read within the last ten
// minutes, else "".
func (r romRead) recent(now instant) string {
	if r.at == 0 || r.assumed || now.since(r.at) >= guardMemory {
		return ""
	}
	return r.file.get()
}

// HasBooted reports whether a machine that was heard to boot has just taken the
// address ip.
func (m *Machines) HasBooted(ip netip.Addr, now time.Time) bool {
	at := m.lock(now)
	defer m.mu.Unlock()
	for k := range m.holders(ip) {
		if !k.anonymous && at.since(k.heard) < segmentMemory {
			return true
		}
	}
	return false
}

// visit is one look at the record of a machine. The table stays locked until
// its end.
type visit struct {
	machines *Machines
	identity identity
	machine  *machine // nil if the machine is not known
	now      instant
}

// visit locks the table and finds the record of a machine in a segment. The
// caller calls end.
func (m *Machines) visit(id identity, s *Segment, now time.Time) visit {
	v := visit{machines: m, identity: id, now: m.lock(now)}
	v.machine = m.find(id, s)
	return v
}

// visitRequest is visit for the sender of a request. One that is routed to port
// 4011 does not say where its sender is: from here on it is where its DISCOVER
// came from.
func (m *Machines) visitRequest(q *Request, now time.Time) visit {
	id := identity{stationOf(&q.Message), q.Client.UUID}
	if q.Arrival.Port != PortProxy {
		return m.visit(id, &q.Client.Segment, now)
	}
	v := visit{machines: m, identity: id, now: m.lock(now)}
	v.machine = m.findRouted(id, q.Message.CIAddr, &q.Client.Segment, q.Arrival.OnLink)
	if k := v.machine; k != nil && v.now.since(k.heard) < segmentMemory {
		q.Client.Segment = k.segment.get()
	}
	return v
}

// visitAnswered is visit for the machine that another server answers: the one
// that has this transaction.
func (m *Machines) visitAnswered(answer *dhcp4.Message, now time.Time) visit {
	v := visit{machines: m, now: m.lock(now)}
	for k := range m.byStation.all(stationOf(answer)) {
		if k.xid == answer.XID && (v.machine == nil || k.heard > v.machine.heard) {
			v.machine = k
		}
	}
	return v
}

// visitOwner is visit for the machine that has an address.
func (m *Machines) visitOwner(ip netip.Addr, now time.Time) visit {
	v := visit{machines: m, now: m.lock(now)}
	v.machine = m.owner(ip)
	return v
}

// end unlocks the table.
func (v *visit) end() { v.machines.mu.Unlock() }

// discovered notes a DISCOVER. If its sender says who it is, it is known from
// then on.
func (v *visit) discovered(c Client, xid [4]byte) {
	m := v.machines
	switch k := v.machine; {
	case k == nil && !v.identity.known():
		return
	case k == nil:
		v.machine = m.insert(v.identity, c.Segment)
	case k.uuid == (UUID{}):
		k.uuid = v.identity.uuid
	}
	k := v.machine
	m.touch(k)
	k.kind.set(kindOf(&c))
	k.xid, k.heard = xid, v.now
	k.upgrade.returned(&c, &k.read)
	if c.IPXE.NIC != (PCIID{}) {
		k.nic = c.IPXE.NIC
	}
	if c.IPXE.Present && fingerprintOf(&c) != k.upgrade.before.get() {
		m.loading.started(k, v.now)
	}
	k.start.discovers(&c)
	m.loading.follow(k)
	if c.IPXE.Present && k.nextStation != nil {
		v.startedElsewhere()
	}
}

// startedElsewhere notes that an iPXE runs whose firmware is known under
// another UUID, or was heard by way of another relay.
func (v *visit) startedElsewhere() {
	for k := range v.machines.byStation.all(v.identity.station) {
		k.start.pending = false
		v.machines.loading.follow(k)
	}
}

// leased notes that the machine takes an address from the DHCP server, in the
// transaction xid: its REQUEST is a broadcast, so a proxy hears it. ipxe says
// that the machine is an iPXE then.
func (v *visit) leased(ip netip.Addr, xid [4]byte, ipxe bool) {
	k := v.machine
	if k == nil {
		return
	}
	v.machines.take(k, ip, v.now)
	if ipxe {
		k.upgrade.session(xid, &k.read, v.now)
	} else {
		k.offer.chosen(xid, v.now)
	}
}

// came notes that firmware asks at port 4011, or for an item of a boot menu: so
// it has understood the OFFER.
func (v *visit) came(c *Client) {
	if v.machine != nil && !c.IPXE.Present && c.Transport == PXE {
		v.machine.offer.understood(v.now)
	}
}

// offered notes an OFFER and returns its shape, as offering.offered does. A
// machine that is not known has the first shape of its kind.
func (v *visit) offered(list shapes, xid [4]byte, foreign bool) (shape Shape, stepped bool) {
	if v.machine == nil {
		return list[0], false
	}
	return v.machine.offer.offered(list, xid, foreign, v.now)
}

// upgradeFailed reports whether c is an iPXE that the ROM file, which it would
// be given, has not helped lately.
func (v *visit) upgradeFailed(c *Client, file string) bool {
	return c.IPXE.Present && v.machine != nil && v.machine.upgrade.failed(fingerprintOf(c), file, &v.machine.read, v.now)
}

// rom returns which of several ROMs the machine is given.
func (v *visit) rom(roms []string, c *Client) string {
	if v.machine == nil {
		return roms[0]
	}
	return v.machine.candidates.choose(roms, v.machines.loading.models[cardModel{v.machine.nic, c.Platform()}])
}

// cleanName makes one name of the spellings of a name in a boot file tree.
func cleanName(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }
