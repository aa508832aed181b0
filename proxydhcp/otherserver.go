package proxydhcp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// maxOtherServers bounds how many servers are remembered. Further ones go
// unreported: somebody makes them up.
const maxOtherServers = 64

// otherServers remembers which conflicts of which servers were reported. Its
// methods may be called from several goroutines.
type otherServers struct {
	mu       sync.Mutex
	reported map[otherServer]conflictKinds
}

// otherServer is a server in the segment in which it was heard.
type otherServer struct {
	segment Segment
	server  netip.Addr
}

// conflictKinds is a set of kinds.
type conflictKinds uint16

func (s conflictKinds) has(k ConflictKind) bool           { return s&(1<<k) != 0 }
func (s conflictKinds) with(k ConflictKind) conflictKinds { return s | 1<<k }

// unreported returns the conflicts that were not reported yet.
func (o *otherServers) unreported(found []Conflict) []Conflict {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.DeleteFunc(found, func(c Conflict) bool {
		key := otherServer{c.Segment, c.Server}
		reported, known := o.reported[key]
		if !known && len(o.reported) >= maxOtherServers || reported.has(c.Kind) {
			return true
		}
		if o.reported == nil {
			o.reported = map[otherServer]conflictKinds{}
		}
		o.reported[key] = reported.with(c.Kind)
		return false
	})
}

// answerTime is how long after a client's DISCOVER a message can be an answer
// to it.
const answerTime = 2 * time.Minute

// Heard is called with another server's answer: the payload of a datagram from
// port 67 to port 68. It returns what is wrong with the answer for network boot
// and was not reported of that server before. Only answers to clients that were
// heard to boot count: what a telephone or an access point is given is no
// conflict.
func (r *Responder) Heard(a Arrival, payload []byte, now time.Time) []Conflict {
	m, err := dhcp4.Decode(payload)
	if err != nil || m.Op != dhcp4.BootReply || m.Type() == dhcp4.MessageTypeNone {
		return nil
	}
	server := m.Addr(dhcp4.OptionServerIdentifier)
	if !server.IsValid() {
		server = a.From.Addr()
	}
	ours := ChooseServer(a.Ours, a.To, server)
	if m.YIAddr.IsUnspecified() && server == ours {
		return nil // our own answer
	}
	c, ok := r.machines.overheard(&m, a.Ours, now)
	if !ok || m.Type() != dhcp4.MessageTypeOffer && m.Type() != dhcp4.MessageTypeAck {
		return nil
	}
	base := Conflict{Server: server, Segment: a.Segment, Network: networkOf(&m), Client: c.Hardware, Ours: ours}
	return r.otherServers.unreported(inspect(&m, base, isOurs(a.Ours, server)))
}

// isOurs reports whether an address is one of ours.
func isOurs(ours []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(ours, func(p netip.Prefix) bool { return p.Addr() == a })
}

// overheard notes another server's answer, where our addresses are ours. It
// returns the client that the answer is for, with ok false if that client was
// not heard to boot.
func (m *Machines) overheard(answer *dhcp4.Message, ours []netip.Prefix, now time.Time) (c Client, ok bool) {
	v := m.visit(answer.Hardware, now)
	defer v.end()
	k := v.machine
	if k == nil || k.xid != answer.XID || now.Sub(k.heard) > answerTime {
		return Client{}, false
	}
	k.offer.overheard(answer, now)
	if !answer.YIAddr.IsUnspecified() {
		k.next = netip.Addr{}
		if s := answer.SIAddr; !s.IsUnspecified() && !isOurs(ours, s) {
			k.next = s
		}
	}
	return k.client, true
}

// networkOf returns the network of the address that a server gives, by its
// netmask (option 1).
func networkOf(m *dhcp4.Message) netip.Prefix {
	mask := m.Addr(dhcp4.OptionSubnetMask)
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

// inspect returns the conflicts in an answer that gives an address. local says
// that the server has an address of ours. An answer without an address is that
// of another proxy, which may boot machines as we do.
func inspect(m *dhcp4.Message, base Conflict, local bool) []Conflict {
	if m.YIAddr.IsUnspecified() {
		return nil
	}
	var found []Conflict
	add := func(kind ConflictKind, value string) {
		c := base
		c.Kind, c.Value = kind, value
		found = append(found, c)
	}
	file := m.File
	if v := m.Option(dhcp4.OptionBootfileName); file == "" && len(v) > 0 {
		file = dhcp4.CString(v)
	}
	switch next := m.SIAddr; {
	case file != "":
		add(OtherBootFile, file)
	case !next.IsUnspecified() && next != base.Ours:
		add(OtherNextServer, next.String())
	}
	if kind := vendorConflict(m, local); kind != NoConflict {
		add(kind, fmt.Sprintf("% x", m.Option(dhcp4.OptionVendorSpecificInformation)))
	}
	dhcp4.SubOptions(m.Option(dhcp4.OptionEtherboot), func(tag uint8, value []byte) {
		if tag == subNoProxy && len(value) == 1 && value[0] != 0 {
			add(ProxyForbidden, "")
		}
	})
	return found
}

// vendorConflict judges options 60 and 43 together.
func vendorConflict(m *dhcp4.Message, local bool) ConflictKind {
	pxe := strings.HasPrefix(string(m.Option(dhcp4.OptionClassIdentifier)), pxeClient)
	info := m.Option(dhcp4.OptionVendorSpecificInformation)
	menu := false
	wellFormed := dhcp4.SubOptions(info, func(tag uint8, _ []byte) {
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
	return NoConflict
}
