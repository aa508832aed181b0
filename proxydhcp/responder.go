package proxydhcp

import (
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// ResponderConfig is what a Responder answers from.
type ResponderConfig struct {
	Policy   *Policy
	Options  ReplyOptions
	Machines *Machines // what is remembered of machines; nil for an empty table of its own
	DryRun   bool      // decide everything, answer nothing

	// Allow reports whether a relay, or a client at port 4011, is answered,
	// beside those in the networks of our interfaces, those that the policy
	// names, and machines that have just booted; nil for all.
	Allow func(netip.Addr) bool
}

// Responder turns the bytes of requests into the bytes of their answers,
// without a socket. Several goroutines may use it; only what it remembers of
// machines and servers changes with what it hears.
type Responder struct {
	policy       atomic.Pointer[Policy]
	machines     *Machines
	otherServers otherServers
	allow        func(netip.Addr) bool
	relays       *rates
	sources      *rates
	options      ReplyOptions
	dryRun       bool
}

// NewResponder returns a responder.
func NewResponder(c ResponderConfig) *Responder {
	r := &Responder{
		machines: c.Machines, options: c.Options, dryRun: c.DryRun, allow: c.Allow,
		relays: newRates(relayRate, relayBurst), sources: newRates(sourceRate, sourceBurst),
	}
	if r.machines == nil {
		r.machines = NewMachines()
	}
	r.policy.Store(c.Policy)
	return r
}

// SetPolicy replaces the policy for every request from now on.
func (r *Responder) SetPolicy(p *Policy) { r.policy.Store(p) }

// Result is how one request ended: answered if Reply is set, ignored if Reason
// is not Answerable, failed if Err is set.
type Result struct {
	Arrival   Arrival
	Client    Client // as far as it was read
	Decision  Decision
	Reason    Reason
	Err       error
	Reply     []byte // DHCP, without its UDP header
	To        Destination
	LoopEnded string // the ROM whose upgrade loop this answer ends; set once for each time that it was read
	Shape     Shape  // of an OFFER to PXE firmware
	Stepped   bool   // the shape is a new one, because the machine did not understand the last
}

// Respond answers the datagram in and appends the answer to buf. A request that
// is not from a booting client ends after a look at its bytes.
func (r *Responder) Respond(buf, in []byte, a Arrival, now time.Time) Result {
	if !MayBoot(in, r.options.UBoot) {
		return Result{Arrival: a, Reason: NotBooting}
	}
	m, err := dhcp4.Decode(in)
	if err != nil {
		return Result{Arrival: a, Reason: Malformed}
	}
	a.Server = ChooseServer(a.Ours, a.To, m.GIAddr, m.CIAddr, m.Addr(dhcp4.OptionRequestedIPAddress))
	q, reason := ReadRequest(m, a, r.options)
	if reason == Answerable {
		if reason = r.screen(&q, now); reason != Answerable {
			return Result{Arrival: a, Client: q.Client, Reason: reason}
		}
	}
	res := Result{Arrival: a, Client: q.Client, Reason: reason}
	if reason != Answerable && q.Type != dhcp4.MessageTypeRequest {
		return res
	}
	v := r.machines.visitRequest(&q, now)
	defer v.end()
	v.hearLease(&q)
	switch {
	case reason != Answerable:
		return res
	case !a.Server.IsValid():
		res.Reason = NoAddress
		return res
	}
	res.Client = q.Client
	p := r.policy.Load()
	d := p.Decide(q.Client, false)
	if d.Reason == Denied || d.Reason == NoRule {
		// Nothing is noted of a client that is left alone: who can send from
		// there must change nothing elsewhere.
		res.Decision, res.Reason = d, d.Reason
		return res
	}
	v.hear(&q)
	r.answer(&res, &q, v.refine(p, d, &q.Client), &v, buf)
	return res
}

// hearLease notes which address a booting machine takes: on port 67 it names
// the address in its REQUEST to the DHCP server, on port 4011 it has it
// already.
func (v *visit) hearLease(q *Request) {
	m := &q.Message
	if q.Type != dhcp4.MessageTypeRequest {
		return
	}
	ip := m.CIAddr
	if q.Arrival.Port == PortServer && m.Has(dhcp4.OptionRequestedIPAddress) {
		ip = m.Addr(dhcp4.OptionRequestedIPAddress)
	}
	if ip.Is4() && !ip.IsUnspecified() {
		v.leased(ip, m.XID, m.Has(dhcp4.OptionEtherboot))
	}
}

// hear notes the request of a booting client.
func (v *visit) hear(q *Request) {
	if q.Type == dhcp4.MessageTypeDiscover {
		v.discovered(q.Client, q.Message.XID)
	} else {
		v.came(&q.Client)
	}
}

// answer composes the reply to what was decided, and notes what was said.
func (r *Responder) answer(res *Result, q *Request, d Decision, v *visit, buf []byte) {
	c := q.Client
	reason := d.Reason
	if reason == Answerable && q.AsksItem {
		d, reason = d.choose(q.Item, c)
	}
	var file bootFile
	if reason == Answerable {
		file, reason = d.bootFile(c, q.Arrival.Server, r.options)
	}
	if reason == Answerable && r.dryRun {
		reason = DryRun
	}
	if res.Decision, res.Reason = d, reason; reason != Answerable {
		return
	}
	foreign := isForeign(d, q.Arrival)
	if q.Type == dhcp4.MessageTypeDiscover {
		res.Shape, res.Stepped = v.offered(c.shapes(&d), q.Message.XID, foreign)
	}
	reply := compose(q, d, file, res.Shape, r.options)
	if res.Reply, res.Err = reply.Append(buf); res.Err != nil {
		return
	}
	if v.machine != nil {
		v.machine.server = netip4Of(q.Arrival.Server)
		res.LoopEnded = v.machine.upgrade.decided(&c, d, foreign, &v.machine.read, v.now)
	}
	res.To = ReplyDestination(q)
}

// decide asks the policy, for a machine whose record is visited.
func (r *Responder) decide(c *Client, v *visit) Decision {
	p := r.policy.Load()
	return v.refine(p, p.Decide(*c, false), c)
}

// refine completes the policy's decision by what is known of the machine: which
// ROM it is given, and another decision if that ROM has not helped before.
func (v *visit) refine(p *Policy, d Decision, c *Client) Decision {
	if len(d.ROMs) > 0 {
		d.File = Expand(v.rom(d.ROMs, c), *c)
	}
	if d.Kind == BootROM && v.upgradeFailed(c, d.File) {
		return p.Decide(*c, true)
	}
	return d
}

// isForeign reports whether the decision's file comes from a server whose
// downloads we do not see.
func isForeign(d Decision, a Arrival) bool {
	return strings.Contains(d.File, "://") || d.NextServer.IsValid() && d.NextServer != a.Server
}
