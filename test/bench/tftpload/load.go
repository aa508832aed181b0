// Package tftpload is a rack of TFTP clients in one goroutine: thousands of them, each with an address of its own, on one
// socket that is read and written in batches.
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

// Job is what the rack does.
type Job struct {
	Server netip.AddrPort // the well-known port
	// Clients is the network of the clients' addresses. Each transfer takes the next one, as if by another machine.
	Clients netip.Prefix
	Groups  []Group
	// For is how long groups that repeat go on; Limit ends everything.
	For, Limit time.Duration
	// Loss is the share of packets that are thrown away, either way; Seed decides which.
	Loss float64
	Seed uint64
	// Files is the folder that holds what is served. When it is set, every byte is compared with it.
	Files string
}

// Group is a number of clients that do the same.
type Group struct {
	Clients int
	Request Request
	Manner  string
	// Repeat has each client read again and again; otherwise it reads Times times, at least once.
	Repeat bool
	Times  int
	// Slow is how long a client thinks about each acknowledgement.
	Slow time.Duration
}

// Result is what came of a job.
type Result struct {
	Elapsed time.Duration
	Groups  []Outcome
}

// Outcome is what came of a group. A transfer that was running when a repeating group's time was over counts only in Bytes.
type Outcome struct {
	Bytes                                int64
	Completed, Failed, Unfinished, Wrong int
	Durations                            []time.Duration // of completed transfers
	Blocks, Extra                        int             // DATA packets that came, and those of no use
	Elapsed                              time.Duration   // until the last transfer ended
}

// tick is how precisely timers fire.
const tick = 5 * time.Millisecond

// flight is a transfer under way.
type flight struct {
	transfer Transfer
	group    int
	place    int // in rack.flights
	address  [4]byte
	began    time.Duration
	left     int // transfers after this one
}

// late is an acknowledgement that a slow client thinks about.
type late struct {
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
	coin    *rand.Rand
	content map[string][]byte

	base      uint32 // the first address
	addresses []*flight
	serial    uint32 // of the next transfer
	flights   []*flight
	late      []late
	outcomes  []Outcome
}

// Run does a job to its end.
func Run(job Job) (Result, error) {
	socket, err := batch.UDP(netip.AddrPortFrom(netip.IPv4Unspecified(), 0))
	if err != nil {
		return Result{}, err
	}
	defer socket.Close()
	r := &rack{
		job: job, socket: socket, coin: rand.New(rand.NewPCG(job.Seed, 1)), content: map[string][]byte{},
		base: addressNumber(job.Clients.Addr()), addresses: make([]*flight, 1<<(32-job.Clients.Bits())),
		outcomes: make([]Outcome, len(job.Groups)),
	}
	for _, g := range job.Groups {
		if _, ok := Manners[g.Manner]; !ok {
			return Result{}, fmt.Errorf("manner %q of TFTP clients is not known", g.Manner)
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

// addressNumber is an IPv4 address as a number.
func addressNumber(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// run starts every client and goes on until all are done or the time is over.
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
		r.sendLate()
		r.socket.Flush()
		if n < batch.Messages {
			if err := r.socket.Wait(r.patience()); err != nil {
				return err
			}
		}
	}
	r.close()
	return nil
}

// patience is how long nothing is due.
func (r *rack) patience() time.Duration {
	if len(r.late) > 0 {
		return min(tick, max(r.late[0].due-r.now, 0))
	}
	return tick
}

// begin starts a transfer from the next address.
func (r *rack) begin(group, left int) {
	g := &r.job.Groups[group]
	r.serial = r.serial%uint32(len(r.addresses)-2) + 1
	if r.addresses[r.serial] != nil { // an old, slow one: let it be
		r.begin(group, left)
		return
	}
	f := &flight{
		transfer: Transfer{Request: g.Request, Manner: Manners[g.Manner]},
		group:    group, place: len(r.flights), began: r.now, left: left,
	}
	binary.BigEndian.PutUint32(f.address[:], r.base+r.serial)
	r.addresses[r.serial] = f
	r.flights = append(r.flights, f)
	r.send(f, f.transfer.Begin(r.now))
}

// lost tosses the coin.
func (r *rack) lost() bool { return r.job.Loss > 0 && r.coin.Float64() < r.job.Loss }

// receive takes the i-th datagram of the batch.
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
		r.late = append(r.late, late{r.now + slow, f, step.Block})
	} else {
		r.send(f, step)
	}
	if step.Ending == Running {
		return
	}
	r.land(f)
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

// send queues what a step sends, unless the wire loses it.
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

// land takes a transfer out.
func (r *rack) land(f *flight) {
	last := r.flights[len(r.flights)-1]
	r.flights[f.place], last.place = last, f.place
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

// sendLate sends the acknowledgements that slow clients have thought about for long enough.
func (r *rack) sendLate() {
	for len(r.late) > 0 && r.late[0].due <= r.now {
		l := r.late[0]
		r.late = r.late[1:]
		if l.flight.transfer.Server().IsValid() {
			r.send(l.flight, Step{Send: Acking, Block: l.block})
		}
	}
}

// close counts what is still under way.
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
