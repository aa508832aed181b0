// Package tftpload simulates a rack of TFTP clients in one goroutine: thousands
// of them, each with an address of its own, on one socket that is read and
// written in batches.
package tftpload

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/pxesidecar/pxesidecar/test/bench/batch"
)

// Job is the load.
type Job struct {
	Server netip.AddrPort // the well-known port
	// Clients is the network of the clients' addresses. Each transfer uses the
	// next address, as if it were another machine.
	Clients netip.Prefix
	Groups  []Group
	// For is the duration of groups that repeat. Limit ends everything.
	For, Limit time.Duration
	// Loss is the share of packets that are dropped, in both directions. Seed
	// determines which.
	Loss float64
	Seed uint64
	// Files is the folder that holds what is served. If it is set, every byte
	// is compared.
	Files string
}

// Group is a number of clients that do the same.
type Group struct {
	Clients   int
	Request   Request
	Behaviour string
	// Repeat makes each client read repeatedly. Otherwise it reads Times times,
	// at least once.
	Repeat bool
	Times  int
	// Slow is the delay before each acknowledgement.
	Slow time.Duration
}

// Result is the result of a job.
type Result struct {
	Elapsed time.Duration
	Groups  []Outcome
}

// Outcome is the result of a group. A transfer that was running when a
// repeating group's time was over counts only in Bytes.
type Outcome struct {
	Bytes                                int64
	Completed, Failed, Unfinished, Wrong int
	Durations                            []time.Duration // of completed transfers
	Blocks, Extra                        int             // DATA packets that arrived, and the useless ones
	Elapsed                              time.Duration   // until the last transfer ended
}

// tick is the precision of timers.
const tick = 5 * time.Millisecond

// flight is a running transfer.
type flight struct {
	transfer Transfer
	group    int
	slot     int // in rack.flights
	address  [4]byte
	began    time.Duration
	left     int // transfers after this one
}

// delayed is an acknowledgement that a slow client has not sent yet.
type delayed struct {
	due    time.Duration
	flight *flight
	block  uint16
}

// rack is a running job.
type rack struct {
	job     Job
	socket  *batch.Socket
	start   time.Time
	now     time.Duration
	random  *rand.Rand
	content map[string][]byte

	base      uint32 // the first address
	addresses []*flight
	serial    uint32 // of the next transfer
	flights   []*flight
	delayed   []delayed
	outcomes  []Outcome
}

// Run runs a job to its end.
func Run(job Job) (Result, error) {
	socket, err := batch.UDP(netip.AddrPortFrom(netip.IPv4Unspecified(), 0))
	if err != nil {
		return Result{}, err
	}
	defer socket.Close()
	r := &rack{
		job: job, socket: socket, random: rand.New(rand.NewPCG(job.Seed, 1)), content: map[string][]byte{},
		base: addressNumber(job.Clients.Addr()), addresses: make([]*flight, 1<<(32-job.Clients.Bits())),
		outcomes: make([]Outcome, len(job.Groups)),
	}
	for _, g := range job.Groups {
		if _, ok := Behaviours[g.Behaviour]; !ok {
			return Result{}, fmt.Errorf("behaviour %q of TFTP clients is not known", g.Behaviour)
		}
		if job.Files != "" && r.content[g.Request.File] == nil {
			if r.content[g.Request.File], err = os.ReadFile(filepath.Join(job.Files, g.Request.File)); err != nil {
				return Result{}, err
			}
		}
	}
	r.start = time.Now()
	if err := r.run(); err != nil {
		return Result{}, err
	}
	return Result{Elapsed: time.Since(r.start), Groups: r.outcomes}, nil
}

// addressNumber returns an IPv4 address as a number.
func addressNumber(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// run starts every client and continues until all are done or the time is over.
func (r *rack) run() error {
	for i, g := range r.job.Groups {
		for range g.Clients {
			r.begin(i, max(g.Times, 1)-1)
		}
	}
	r.socket.Flush()
	end := r.job.Limit
	if r.job.For > 0 {
		end = min(end, r.job.For)
	}
	for scanned := time.Duration(0); len(r.flights) > 0; {
		n, err := r.socket.Receive()
		if err != nil {
			return err
		}
		if r.now = time.Since(r.start); r.now >= end {
			break
		}
		for i := range n {
			r.receive(i)
		}
		if r.now-scanned >= tick {
			scanned = r.now
			r.expire()
		}
		r.sendDelayed()
		r.socket.Flush()
		if n < batch.Messages {
			if err := r.socket.Wait(r.nextWait()); err != nil {
				return err
			}
		}
	}
	r.close()
	return nil
}

// nextWait returns how long nothing is due.
func (r *rack) nextWait() time.Duration {
	if len(r.delayed) > 0 {
		return min(tick, max(r.delayed[0].due-r.now, 0))
	}
	return tick
}

// begin starts a transfer from the next address.
func (r *rack) begin(group, left int) {
	g := &r.job.Groups[group]
	r.serial = r.serial%uint32(len(r.addresses)-2) + 1
	if r.addresses[r.serial] != nil { // an old transfer still uses the address
		r.begin(group, left)
		return
	}
	f := &flight{
		transfer: Transfer{Request: g.Request, Behaviour: Behaviours[g.Behaviour]},
		group:    group, slot: len(r.flights), began: r.now, left: left,
	}
	binary.BigEndian.PutUint32(f.address[:], r.base+r.serial)
	r.addresses[r.serial] = f
	r.flights = append(r.flights, f)
	r.send(f, f.transfer.Begin(r.now))
}

// lost reports whether the simulated network loses a packet.
func (r *rack) lost() bool { return r.job.Loss > 0 && r.random.Float64() < r.job.Loss }

// receive handles the i-th datagram of the batch.
func (r *rack) receive(i int) {
	target := r.socket.Target(i)
	at := binary.BigEndian.Uint32(target[:]) - r.base
	if at >= uint32(len(r.addresses)) || r.addresses[at] == nil || r.lost() {
		return
	}
	f := r.addresses[at]
	offset := f.transfer.Bytes
	step := f.transfer.Receive(r.socket.Source(i), r.socket.Data(i), r.now)
	if content := r.content[f.transfer.Request.File]; content != nil && len(step.Data) > 0 {
		end := offset + int64(len(step.Data))
		if end > int64(len(content)) || !bytes.Equal(step.Data, content[offset:end]) {
			r.outcomes[f.group].Wrong++
		}
	}
	r.follow(f, step)
}

// follow does what a step asks for.
func (r *rack) follow(f *flight, step Step) {
	slow := r.job.Groups[f.group].Slow
	if slow > 0 && step.Send == Acking && step.Ending == Running {
		r.delayed = append(r.delayed, delayed{r.now + slow, f, step.Block})
	} else {
		r.send(f, step)
	}
	if step.Ending == Running {
		return
	}
	r.remove(f)
	o := &r.outcomes[f.group]
	o.Elapsed = r.now
	if step.Ending == Complete {
		o.Completed++
		o.Durations = append(o.Durations, r.now-f.began)
	} else {
		o.Failed++
	}
	switch {
	case r.job.Groups[f.group].Repeat:
		r.begin(f.group, 0)
	case f.left > 0:
		r.begin(f.group, f.left-1)
	}
}

// send queues what a step sends, unless the simulated network loses it.
func (r *rack) send(f *flight, step Step) {
	if step.Send == Nothing || r.lost() {
		return
	}
	b := r.socket.Next()
	if step.Send == Asking {
		r.socket.QueueUDP(len(f.transfer.Request.append(b[:0])), f.address, r.job.Server)
		return
	}
	binary.BigEndian.PutUint16(b, opAck)
	binary.BigEndian.PutUint16(b[2:], step.Block)
	r.socket.QueueUDP(headerLen, f.address, f.transfer.Server())
}

// remove removes a transfer that has ended.
func (r *rack) remove(f *flight) {
	last := r.flights[len(r.flights)-1]
	r.flights[f.slot], last.slot = last, f.slot
	r.flights = r.flights[:len(r.flights)-1]
	r.addresses[binary.BigEndian.Uint32(f.address[:])-r.base] = nil
	r.count(f)
}

// count adds what a transfer received to its group.
func (r *rack) count(f *flight) {
	o := &r.outcomes[f.group]
	o.Bytes += f.transfer.Bytes
	o.Blocks += f.transfer.Blocks
	o.Extra += f.transfer.Extra
}

// expire fires the timers that are due.
func (r *rack) expire() {
	for i := len(r.flights) - 1; i >= 0; i-- {
		if f := r.flights[i]; f.transfer.Deadline <= r.now {
			r.follow(f, f.transfer.Expire(r.now))
		}
	}
}

// sendDelayed sends the acknowledgements whose delay is over.
func (r *rack) sendDelayed() {
	for len(r.delayed) > 0 && r.delayed[0].due <= r.now {
		l := r.delayed[0]
		r.delayed = r.delayed[1:]
		if l.flight.transfer.Server().IsValid() {
			r.send(l.flight, Step{Send: Acking, Block: l.block})
		}
	}
}

// close counts the transfers that are still running.
func (r *rack) close() {
	for _, f := range r.flights {
		r.count(f)
		if !r.job.Groups[f.group].Repeat {
			r.outcomes[f.group].Unfinished += 1 + f.left
			r.outcomes[f.group].Elapsed = r.now
		}
	}
	for i := range r.outcomes {
		if r.job.Groups[i].Repeat {
			r.outcomes[i].Elapsed = r.now
		}
	}
}
