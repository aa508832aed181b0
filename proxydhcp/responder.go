package proxydhcp

import (
	"net/netip"
	"strings"
	"sync/atomic"
	"time"
)

// From the bytes of a request to the bytes of its answer, without a socket.

// Responder answers requests from a policy. It is safe for use by several
// goroutines; only its memory of machines and servers changes with what it
// hears.
type Responder struct {
	policy     atomic.Pointer[Policy]
	memory     *memory
	neighbours neighbours
	service    Service
	dryRun     bool
}

// NewResponder returns a responder that answers from p. In a dry run it decides
// everything and answers nothing.
func NewResponder(p *Policy, s Service, dryRun bool) *Responder {
	r := &Responder{memory: newMemory(), service: s, dryRun: dryRun}
	r.policy.Store(p)
	return r
}

// SetPolicy replaces the policy for every request from now on.
func (r *Responder) SetPolicy(p *Policy) { r.policy.Store(p) }

// BootFileAsked tells the responder that the client at ip asks for a boot file
// of ours, by TFTP or HTTP: so it understood the OFFER.
func (r *Responder) BootFileAsked(ip netip.Addr, now time.Time) { r.memory.asked(ip, now) }

// BootFileRead tells the responder that the client at ip has read a boot file
// to its end.
func (r *Responder) BootFileRead(ip netip.Addr, file string, now time.Time) {
	r.memory.read(ip, file, now)
}

// Result is how one request ended: answered, where Reply is set; ignored, where
// Reason is not Answerable; failed, where Err is set.
type Result struct {
	Arrival  Arrival
	Client   Client // as far as it was read
	Decision Decision
	Reason   Reason
	Err      error
	Reply    []byte // DHCP, without its UDP header
	To       Destination
	Ended    string // the ROM whose upgrade loop this answer ends; told once for each time that it was loaded
	Shape    Shape  // of an OFFER to PXE firmware
	Stepped  bool   // because the machine did not understand the shape before it
}

// Respond judges the datagram in and appends its answer to buf. A request that
// is not from a booting client ends after a look at its bytes.
func (r *Responder) Respond(buf, in []byte, a Arrival, now time.Time) Result {
	res := Result{Arrival: a}
	if !mayBoot(in, r.service.UBoot) {
		res.Reason = NotBooting
		return res
	}
	m, err := Decode(in)
	if err != nil {
		res.Reason = Malformed
		return res
	}
	a.Server = chooseServer(a.Ours, a.To, m.GIAddr, m.CIAddr, m.Addr(optRequestedIP))
	res.Arrival = a
	res.Client, res.Reason = Classify(&m, a.Port, a.Segment, a.Server, r.service)
	res.Client.Hardware = m.Hardware
	r.hearLease(&m, a.Port, now)
	if res.Reason != Answerable {
		return res
	}
	if !a.Server.IsValid() {
		res.Reason = NoAddress
		return res
	}
	if m.Type() == typeDiscover {
		r.memory.discovered(res.Client, m.XID, now)
	} else {
		if place, ok := r.memory.place(m.Hardware, now); ok && a.Port == PortProxy {
			res.Client.Segment = place
		}
		r.memory.came(res.Client, now)
	}
	res.Decision = r.decide(res.Client, now)
	if res.Reason = res.Decision.Reason; res.Reason != Answerable {
		return res
	}
	if item, ok := readBootItem(&m); ok && m.Type() != typeDiscover {
		if res.Decision, res.Reason = res.Decision.choose(item, res.Client); res.Reason != Answerable {
			return res
		}
	}
	r.say(&res, &m, buf, now)
	return res
}

// decide asks the policy, and once more where a ROM did not help before.
func (r *Responder) decide(c Client, now time.Time) Decision {
	p := r.policy.Load()
	d := p.Decide(c, false)
	if d.Kind == BootROM && r.memory.settled(c, d.File, now) {
		return p.Decide(c, true)
	}
	return d
}

// say words the decision, and remembers what was said.
func (r *Responder) say(res *Result, m *Message, buf []byte, now time.Time) {
	c, d, a := res.Client, res.Decision, res.Arrival
	var reply Reply
	if reply, res.Reason = Compose(m, c, d, a, r.service); res.Reason != Answerable {
		return
	}
	if r.dryRun {
		res.Reason = DryRun
		return
	}
	if m.Type() == typeDiscover {
		res.Shape, res.Stepped = r.memory.offered(c, d, m.XID, isForeign(d, a), now)
		if res.Shape != c.shapes(d)[0] {
			reply, _ = compose(m, c, d, a, r.service, res.Shape)
		}
	}
	if res.Reply, res.Err = reply.Append(buf); res.Err != nil {
		return
	}
	res.Ended = r.memory.decided(c, d, isForeign(d, a), now)
	res.To = Destine(m, a)
}

// isForeign reports whether the decision's file comes from a server whose
// downloads we do not see.
func isForeign(d Decision, a Arrival) bool {
	return strings.Contains(d.File, "://") || d.NextServer.IsValid() && d.NextServer != a.Server
}

// hearLease notes which address a booting machine took: on port 67 it names the
// address in its REQUEST to the DHCP server, on port 4011 it has it already.
func (r *Responder) hearLease(m *Message, port uint16, now time.Time) {
	if m.Type() != typeRequest {
		return
	}
	ip := m.CIAddr
	if port == PortServer && m.Has(optRequestedIP) {
		ip = m.Addr(optRequestedIP)
	}
	if ip.Is4() && !ip.IsUnspecified() {
		r.memory.leased(m.Hardware, ip, m.XID, m.Has(optIPXE), now)
	}
}
