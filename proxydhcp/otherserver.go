package proxydhcp

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// maxOtherServers bounds how many servers are remembered. If there are more,
// somebody makes them up: the one that was heard longest ago makes room, so
// that a real one is always reported when it is heard.
const maxOtherServers = 64

// otherServers remembers which conflicts of which servers were reported. Its
// methods may be called from several goroutines.
type otherServers struct {
	mu    sync.Mutex
	known map[otherServer]*otherServerRecord
	heard uint64 // how many times any was
}

// otherServerRecord is what is remembered of a server.
type otherServerRecord struct {
	reported conflictKinds
	heard    uint64 // the last time, as otherServers counts
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
		r := o.record(otherServer{c.Segment, c.Server})
		known := r.reported.has(c.Kind)
		r.reported = r.reported.with(c.Kind)
		return known
	})
}

// record returns the record of a server that was heard, a new one if there is
// none.
func (o *otherServers) record(key otherServer) *otherServerRecord {
	o.heard++
	r := o.known[key]
	if r == nil {
		if len(o.known) >= maxOtherServers {
			o.forgetOldest()
		}
		if o.known == nil {
			o.known = map[otherServer]*otherServerRecord{}
		}
		r = &otherServerRecord{}
		o.known[key] = r
	}
	r.heard = o.heard
	return r
}

// forgetOldest forgets the server that was heard longest ago.
func (o *otherServers) forgetOldest() {
	var oldest otherServer
	last := o.heard
	for key, r := range o.known {
		if r.heard < last {
			oldest, last = key, r.heard
		}
	}
	delete(o.known, oldest)
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
	v := r.machines.visitAnswered(&m, now)
	defer v.end()
	if !v.overheard(&m, a.Ours) || m.Type() != dhcp4.MessageTypeOffer && m.Type() != dhcp4.MessageTypeAck {
		return nil
	}
	base := Conflict{Server: server, Segment: a.Segment, Network: networkOf(&m), Client: v.machine.client().Hardware, Ours: ours}
	if m.YIAddr.IsUnspecified() {
		return r.otherServers.unreported(r.inspectProxy(&m, base, &v))
	}
	found := inspect(&m, base, isOurs(a.Ours, server))
	if i := slices.IndexFunc(found, func(c Conflict) bool { return c.Kind == OtherBootFile }); i >= 0 && m.File != "" && r.givesShim(&v) {
		found[i].Kind = ShimBootFile
	}
	return r.otherServers.unreported(found)
}

// givesShim reports whether the machine gets a ROM that is a shim.
func (r *Responder) givesShim(v *visit) bool {
	c := v.machine.client()
	d := r.decide(&c, v)
	return d.Kind == BootROM && slices.Contains(r.policy.Load().Shims, d.File)
}

// isOurs reports whether an address is one of ours.
func isOurs(ours []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(ours, func(p netip.Prefix) bool { return p.Addr() == a })
}

// overheard notes another server's answer to the machine, where our addresses
// are ours. It reports whether the machine was heard to boot in the answer's
// transaction.
func (v *visit) overheard(answer *dhcp4.Message, ours []netip.Prefix) bool {
	k := v.machine
	if k == nil || v.now.since(k.heard) > answerTime {
		return false
	}
	k.offer.overheard(answer, v.now)
	if !answer.YIAddr.IsUnspecified() {
		k.next = netip4{}
		if s := answer.SIAddr; !isOurs(ours, s) {
			k.next = netip4Of(s)
		}
	}
	return true
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
// that the server has an address of ours.
func inspect(m *dhcp4.Message, base Conflict, local bool) []Conflict {
	var found []Conflict
	add := func(kind ConflictKind, value string) {
		c := base
		c.Kind, c.Value = kind, value
		found = append(found, c)
	}
	switch file, next := fileOf(m), m.SIAddr; {
	case file != "":
		add(OtherBootFile, file)
	case !next.IsUnspecified() && next != base.Ours:
		add(OtherNextServer, next.String())
	}
	if v := m.Option(dhcp4.OptionBootfileName); len(v) > 0 && v[len(v)-1] != 0 {
		add(UnterminatedBootFile, dhcp4.CString(v))
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

// inspectProxy returns the conflict in an answer without an address, which is
// that of another proxy: a server that boots machines as we do. What it answers
// to a client that we leave to others is no conflict.
func (r *Responder) inspectProxy(m *dhcp4.Message, base Conflict, v *visit) []Conflict {
	class := m.Option(dhcp4.OptionClassIdentifier)
	if !isPXEOrHTTP(class) {
		return nil
	}
	c := v.machine.client()
	d := r.decide(&c, v)
	file, reason := d.bootFile(c, base.Server, r.options)
	if d.Reason != Answerable || reason != Answerable {
		return nil
	}
	base.Kind, base.Value = OtherProxy, describeAnswer(m)
	// Ours, if we had the other server's address: each may name itself.
	q := Request{Message: *m, Client: c, Arrival: Arrival{Port: PortServer, Server: base.Server}}
	for _, shape := range c.shapes(&d) {
		if isAlike(m, compose(&q, d, file, shape, r.options)) {
			base.Kind = SameProxy
		}
	}
	return []Conflict{base}
}

// describeAnswer says in a few words what another proxy's answer boots.
func describeAnswer(m *dhcp4.Message) string {
	text := "no boot file in the OFFER"
	if file := fileOf(m); file != "" {
		text = fmt.Sprintf("the boot file %q", file)
	}
	return fmt.Sprintf("%s, next-server %s, vendor class %q", text, m.SIAddr, dhcp4.CString(m.Option(dhcp4.OptionClassIdentifier)))
}

// isAlike reports whether an answer boots what a reply of ours would boot.
func isAlike(m *dhcp4.Message, ours dhcp4.Reply) bool {
	return fileOf(m) == ours.File && m.SIAddr == ours.NextServer &&
		bytes.Equal(menuOf(m.Option(dhcp4.OptionVendorSpecificInformation)), menuOf(ours.VendorInfo))
}

// fileOf returns the boot file of an answer.
func fileOf(m *dhcp4.Message) string {
	if v := m.Option(dhcp4.OptionBootfileName); m.File == "" && len(v) > 0 {
		return dhcp4.CString(v)
	}
	return m.File
}

// menuOf returns the items of the boot menu in an option 43, nil if it has
// none.
func menuOf(info []byte) (items []byte) {
	dhcp4.SubOptions(info, func(tag uint8, value []byte) {
		if tag == subItems {
			items = value
		}
	})
	return items
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
