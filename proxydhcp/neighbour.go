package proxydhcp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// The other servers on a segment, as far as their answers can be heard: what
// they tell booting clients that keeps these from booting.

// A Finding is a fault in another DHCP server's answers to booting clients.
type Finding struct {
	Fault   Fault
	Server  netip.Addr   // the server's identifier (option 54)
	Segment Segment      // where it was heard
	Scope   netip.Prefix // the network of the address that it gave; zero where it gave no netmask
	Value   string       // what it sent amiss: an address, a file name, bytes in hexadecimal
	Client  HardwareAddr // to whom it was sent
	Ours    netip.Addr   // our address there
}

// maxNeighbours bounds how many servers are remembered. When more are heard,
// the rest go unreported: somebody is making them up.
const maxNeighbours = 64

// neighbours remembers which faults of which servers were reported. Its methods
// may be called from several goroutines.
type neighbours struct {
	mu    sync.Mutex
	known map[neighbour]faults
}

// neighbour is a server where it was heard.
type neighbour struct {
	segment Segment
	server  netip.Addr
}

// fresh returns those of the findings that are not reported yet.
func (n *neighbours) fresh(found []Finding) []Finding {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.DeleteFunc(found, func(f Finding) bool {
		key := neighbour{f.Segment, f.Server}
		reported, known := n.known[key]
		if !known && len(n.known) >= maxNeighbours || reported.has(f.Fault) {
			return true
		}
		if n.known == nil {
			n.known = map[neighbour]faults{}
		}
		n.known[key] = reported.with(f.Fault)
		return false
	})
}

// answerTime is how long after a client's DISCOVER an answer can be one to it.
const answerTime = 2 * time.Minute

// Heard tells the responder of another server's answer: a datagram from port 67
// to port 68. It returns what is wrong with it for network boot that was not
// reported of that server before. Only answers to clients that were heard to
// boot are judged: what a telephone or an access point gets is no fault.
func (r *Responder) Heard(a Arrival, payload []byte, now time.Time) []Finding {
	m, err := Decode(payload)
	if err != nil || m.Op != bootReply || m.Type() == 0 {
		return nil
	}
	server := m.Addr(optServerID)
	if !server.IsValid() {
		server = a.From.Addr()
	}
	ours := chooseServer(a.Ours, a.To, server)
	if m.YIAddr.IsUnspecified() && server == ours {
		return nil // what we said ourselves
	}
	c, ok := r.memory.overheard(&m, now)
	if !ok || m.Type() != typeOffer && m.Type() != typeAck {
		return nil
	}
	f := Finding{Server: server, Segment: a.Segment, Scope: scopeOf(&m), Client: c.Hardware, Ours: ours}
	local := slices.ContainsFunc(a.Ours, func(p netip.Prefix) bool { return p.Addr() == server })
	return r.neighbours.fresh(inspect(&m, f, local))
}

// overheard notes another server's answer. It returns the client that it is
// for, and not ok where that was not heard to boot.
func (g *memory) overheard(m *Message, now time.Time) (Client, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	k := g.known(m.Hardware)
	if k == nil || k.xid != m.XID || now.Sub(k.heard) > answerTime {
		return Client{}, false
	}
	k.offer.overheard(m, now)
	return k.client, true
}

// scopeOf returns the network of the address that a server gives, by its
// netmask (option 1).
func scopeOf(m *Message) netip.Prefix {
	mask := m.Addr(optSubnetMask)
	if m.YIAddr.IsUnspecified() || !mask.IsValid() {
		return netip.Prefix{}
	}
	bits := 0
	for _, b := range mask.As4() {
		for ; b&0x80 != 0; b <<= 1 {
			bits++
		}
	}
	p, _ := m.YIAddr.Prefix(bits)
	return p
}

// inspect returns the faults of an answer that gives an address. local says
// that the server has an address of ours. An answer without an address is that
// of another proxy, who may boot machines as we do.
func inspect(m *Message, base Finding, local bool) []Finding {
	if m.YIAddr.IsUnspecified() {
		return nil
	}
	var found []Finding
	add := func(fault Fault, value string) {
		f := base
		f.Fault, f.Value = fault, value
		found = append(found, f)
	}
	file := m.File
	if v := m.Option(optBootFile); file == "" && len(v) > 0 {
		file = cString(v)
	}
	switch next := m.SIAddr; {
	case file != "":
		add(OtherBootFile, file)
	case !next.IsUnspecified() && next != base.Ours:
		add(OtherNextServer, next.String())
	}
	if fault := classFault(m, local); fault != NoFault {
		add(fault, fmt.Sprintf("% x", m.Option(optVendorInfo)))
	}
	subOptions(m.Option(optIPXE), func(tag uint8, value []byte) {
		if tag == subNoProxy && len(value) == 1 && value[0] != 0 {
			add(ProxyForbidden, "")
		}
	})
	return found
}

// classFault judges options 60 and 43 together.
func classFault(m *Message, local bool) Fault {
	pxe := strings.HasPrefix(string(m.Option(optVendorClass)), pxeClient)
	info := m.Option(optVendorInfo)
	menu := false
	wellFormed := subOptions(info, func(tag uint8, _ []byte) {
		menu = menu || tag >= subDiscovery && tag <= subPrompt
	})
	switch {
	case pxe && len(info) > 0 && menu && wellFormed:
		return OtherBootService
	case pxe && len(info) > 0:
		return ForeignVendorInfo
	case pxe && local:
		return PXEClientHere
	case pxe:
		return PXEClientWithoutMenu
	case len(info) > 0:
		return UnaskedVendorInfo
	}
	return NoFault
}
