package tftp

// Transfers over simulated wires that lose, repeat, reorder and delay packets,
// to clients that behave like real ones, in virtual time. The result depends
// only on the seed.

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// wire says what happens to packets, in either direction.
type wire struct {
	delay     time.Duration // one way
	jitter    time.Duration // up to this much more for one in fifty, which reorders
	loss      float64
	duplicate float64
}

// clientKind is how a client answers.
type clientKind struct {
	name    string
	window  int
	timeout time.Duration // of its own timer
	reAck   bool          // answers every unexpected block with an ACK, like edk2, GRUB and pxelinux
	nack    bool          // answers one unexpected block of a loss with an ACK, like U-Boot, and as in RFC 7440
	think   time.Duration // before each ACK
	stall   time.Duration // before one ACK in two hundred
	mute    bool          // does not acknowledge the final block
}

// edk2Timeout is the time after which edk2 repeats what it sent last
// (UefiPxeBcDxe, PXEBC_MTFTP_TIMEOUT).
const edk2Timeout = 4 * time.Second

// clientKinds are the kinds of clients.
var clientKinds = []clientKind{
	{name: "u-boot", window: 1, timeout: 5 * time.Second, nack: true},
	{name: "ipxe", window: 1, timeout: 250 * time.Millisecond, reAck: true},
	{name: "pxelinux", window: 1, timeout: 110 * time.Millisecond, reAck: true},
	{name: "grub", window: 1, timeout: 400 * time.Millisecond, reAck: true, stall: 4 * time.Second},
	{name: "u-boot-window8", window: 8, timeout: 5 * time.Second, nack: true},
	{name: "edk2", window: 4, timeout: edk2Timeout, reAck: true},
	{name: "u-boot-window64", window: 64, timeout: time.Second, nack: true},
	{name: "edk2-window64", window: 64, timeout: edk2Timeout, reAck: true},
}

// event is something that happens at a time.
type event struct {
	at  time.Duration
	seq int
	do  func(now time.Duration)
}

// events is a heap of events.
type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	*e = old[:len(old)-1]
	return last
}

// simulation is one transfer.
type simulation struct {
	t      *testing.T
	random *rand.Rand
	wire   wire
	kind   clientKind
	size   int64
	block  int64

	events events
	seq    int
	now    time.Duration

	machine transfer
	fresh   transfer // machine as it was at first
	wakeAt  time.Duration
	packets int // DATA packets sent

	started  bool
	got      int64 // blocks received in order
	acked    int64 // last block acknowledged by the window count
	nacked   int64 // block whose loss was reported
	heard    time.Duration
	complete time.Duration // when the client had it all
}

// run runs a transfer to its end.
func (s *simulation) run() {
	s.nacked = -1
	s.fresh = s.machine
	s.send(s.machine.begin(0))
	s.clientTimer(0)
	for len(s.events) > 0 && (s.machine.result == 0 || s.forgotten()) {
		e := heap.Pop(&s.events).(event)
		s.now = e.at
		if s.now > 10*time.Minute {
			s.t.Fatal("ten minutes of virtual time")
		}
		e.do(e.at)
	}
}

// forgotten reports whether the transfer ended before its client had answered
// anything.
func (s *simulation) forgotten() bool { return s.machine.result == TimedOut && !s.machine.proven }

// at adds an event.
func (s *simulation) at(when time.Duration, do func(time.Duration)) {
	s.seq++
	heap.Push(&s.events, event{when, s.seq, do})
}

// carry carries a packet over the wire: not at all, once or twice.
func (s *simulation) carry(arrive func(time.Duration)) {
	copies := 1
	if s.random.Float64() < s.wire.loss {
		copies = 0
	} else if s.random.Float64() < s.wire.duplicate {
		copies = 2
	}
	for range copies {
		late := time.Duration(0)
		if s.wire.jitter > 0 && s.random.IntN(50) == 0 {
			late = time.Duration(s.random.Int64N(int64(s.wire.jitter)))
		}
		s.at(s.now+s.wire.delay+late, arrive)
	}
}

// send puts a burst on the wire, checks that it is allowed, and adds an event
// for the deadline.
func (s *simulation) send(b burst) {
	if b.oack {
		s.carry(func(now time.Duration) { s.oack(now) })
	}
	if b.count > s.kind.window || b.count > 0 && (b.first < 1 || b.first+int64(b.count)-1 > s.size/s.block+1) {
		s.t.Fatalf("burst of %d blocks from %d: window %d, size %d", b.count, b.first, s.kind.window, s.size)
	}
	for i := range int64(b.count) {
		number := b.first + i
		s.packets++
		offset := (number - 1) * s.block
		length := min(s.block, s.size-offset)
		s.carry(func(now time.Duration) { s.data(uint16(number), offset, length) })
	}
	if s.machine.result == 0 && s.machine.deadline != s.wakeAt {
		s.wakeAt = s.machine.deadline
		s.at(s.wakeAt, func(now time.Duration) {
			if s.machine.deadline == now && s.machine.result == 0 {
				s.send(s.machine.expire(now))
			}
		})
	}
}

// oack is the arrival of the OACK.
func (s *simulation) oack(time.Duration) {
	if s.got > 0 {
		return
	}
	s.started = true
	s.heard = s.now
	s.ack(0)
}

// data is the arrival of a block. The wire carries 16 bits of its number; the
// rest is for the simulation to check.
func (s *simulation) data(number uint16, offset, length int64) {
	s.started = true
	if number != uint16(s.got+1) {
		switch {
		case s.kind.reAck:
			s.acked = s.got
			s.ack(s.got)
		case s.kind.nack && s.nacked != s.got:
			s.nacked, s.acked = s.got, s.got
			s.ack(s.got)
		}
		return
	}
	if s.complete != 0 {
		s.t.Fatal("a block after the end")
	}
	if offset != s.got*s.block {
		s.t.Fatalf("block %d holds the bytes from %d, want %d", number, offset, s.got*s.block)
	}
	s.got++
	s.heard = s.now
	if length < s.block {
		s.complete = s.now
		if s.got != s.size/s.block+1 {
			s.t.Fatalf("end after %d blocks", s.got)
		}
	}
	if s.complete != 0 || s.got-s.acked == int64(s.kind.window) {
		s.acked = s.got
		s.ack(s.got)
	}
}

// ack sends an ACK, after the time that the client needs.
func (s *simulation) ack(block int64) {
	if s.kind.mute && s.complete != 0 {
		return
	}
	pause := s.kind.think
	if s.kind.stall != 0 && s.random.IntN(200) == 0 {
		pause += s.kind.stall
	}
	s.at(s.now+pause, func(time.Duration) {
		s.carry(func(now time.Duration) {
			switch {
			case s.forgotten(): // it is answered with an ERROR, and the client asks again
				s.started, s.got, s.acked = false, 0, 0
			case s.machine.result == 0:
				s.send(s.machine.ack(uint16(block), now))
			}
		})
	})
}

// clientTimer is the client's own retransmission: of the request until
// something arrives, then of its last ACK.
func (s *simulation) clientTimer(since time.Duration) {
	s.at(since+s.kind.timeout, func(now time.Duration) {
		if s.complete != 0 {
			return
		}
		if now-s.heard < s.kind.timeout {
			s.clientTimer(s.heard)
			return
		}
		s.heard = now
		if s.started {
			s.acked = s.got
			s.ack(s.got)
		} else {
			s.carry(func(now time.Duration) {
				switch {
				case s.forgotten(): // to the server this is a new request
					s.machine = s.fresh
					s.send(s.machine.begin(now))
				case s.machine.result == 0:
					b, _ := s.machine.ask(true, now)
					s.send(b)
				}
			})
		}
		s.clientTimer(now)
	})
}

// simulate runs the transfer of a seed.
func simulate(t *testing.T, seed uint64, w wire, kind clientKind, size, block int64) *simulation {
	t.Helper()
	agreed := terms{granted: Options{BlockSize: int(block), Size: true}, block: int(block), window: kind.window}
	s := &simulation{
		t: t, random: rand.New(rand.NewPCG(seed, 1)), wire: w, kind: kind, size: size, block: block,
		machine: newTransfer(agreed, size, uint32(seed)),
	}
	s.run()
	return s
}

// TestSimulationBadWires checks that every kind of client gets every byte in
// order over bad wires, and that what is sent stays in proportion to what was
// lost.
func TestSimulationBadWires(t *testing.T) {
	t.Parallel()
	const seeds = 10_000
	for seed := range uint64(seeds) {
		random := rand.New(rand.NewPCG(seed, 2))
		w := wire{
			delay:     time.Duration(1+random.IntN(3000)) * time.Microsecond,
			jitter:    time.Duration(random.IntN(2)*random.IntN(2000)) * time.Microsecond,
			loss:      []float64{0, 0.01, 0.05, 0.1}[random.IntN(4)],
			duplicate: []float64{0, 0.01, 0.03}[random.IntN(3)],
		}
		kind := clientKinds[random.IntN(len(clientKinds))]
		block := []int64{512, 1024, 1432, 1468}[random.IntN(4)]
		size := random.Int64N(100 * block)
		if random.IntN(4) == 0 {
			size -= size % block
		}
		s := simulate(t, seed, w, kind, size, block)
		label := fmt.Sprintf("seed %d: %s, %+v, %d bytes in blocks of %d", seed, kind.name, w, size, block)
		if s.complete == 0 || s.machine.result != Completed && kind.window == 1 {
			t.Fatalf("%s: result %v, client complete: %v", label, s.machine.result, s.complete != 0)
		}
		if bound := int(s.got)*3 + 20*kind.window; s.packets > bound {
			t.Errorf("%s: %d packets for %d blocks, bound %d", label, s.packets, s.got, bound)
		}
	}
}

// TestSimulationNoApprentice checks wires that only repeat packets: a packet
// sent twice must not cause another one at every round trip.
func TestSimulationNoApprentice(t *testing.T) {
	t.Parallel()
	for _, kind := range clientKinds {
		kind.stall = 0
		var packets, blocks int
		for seed := range uint64(200) {
			s := simulate(t, seed, wire{delay: 500 * time.Microsecond, duplicate: 0.002}, kind, 1_000_000, 1432)
			packets += s.packets
			blocks += int(s.got)
		}
		t.Logf("%s: %.3f packets for each block", kind.name, float64(packets)/float64(blocks))
		if float64(packets) > 1.25*float64(blocks) {
			t.Errorf("%s: %d packets for %d blocks", kind.name, packets, blocks)
		}
	}
}

// TestSimulationOneLossOnly checks that one loss does not double packets until
// the end, with clients that answer every duplicate and any window.
func TestSimulationOneLossOnly(t *testing.T) {
	t.Parallel()
	for _, kind := range clientKinds {
		kind.stall = 0
		for lost := range 40 {
			agreed := terms{granted: Options{BlockSize: 1432}, block: 1432, window: kind.window}
			s := &simulation{t: t, random: rand.New(rand.NewPCG(1, 1)), wire: wire{delay: 50 * time.Microsecond}, kind: kind, size: 1432 * 1000, block: 1432, machine: newTransfer(agreed, 1432*1000, 1)}
			s.at(0, func(time.Duration) {})
			count := 0
			s.loseWhen(func() bool { count++; return count == 20+lost })
			if s.machine.result != Completed {
				t.Fatalf("%s: %v", kind.name, s.machine.result)
			}
			if extra := s.packets - int(s.got); extra > 2*kind.window {
				t.Errorf("%s: packet %d lost: %d packets too many", kind.name, 20+lost, extra)
			}
		}
	}
}

// loseWhen runs with a wire that loses exactly the packets for which lose
// returns true.
func (s *simulation) loseWhen(lose func() bool) {
	s.wire.loss = 0
	s.random = rand.New(chosen{lose})
	s.wire.loss = 0.5
	s.run()
}

// chosen is a random source that makes Float64 less than one half when lose
// returns true.
type chosen struct{ lose func() bool }

func (c chosen) Uint64() uint64 {
	if c.lose() {
		return 0
	}
	return 1<<64 - 1
}

// TestSimulationLossTimes checks how long 100 KiB take with a round trip of 1
// ms and losses. Clients that answer only one unexpected block (nack) and lose
// that answer wait for their own timer, which no server can shorten.
func TestSimulationLossTimes(t *testing.T) {
	t.Parallel()
	const seeds = 500
	for _, kind := range clientKinds {
		kind.stall = 0
		for _, c := range []struct {
			loss               float64
			median, p99, worst time.Duration
		}{
			{0.01, 100 * time.Millisecond, 300 * time.Millisecond, time.Second},
			{0.05, 300 * time.Millisecond, 700 * time.Millisecond, 4 * time.Second},
			{0.10, 600 * time.Millisecond, 2500 * time.Millisecond, 4 * time.Second},
		} {
			var times []time.Duration
			for seed := range uint64(seeds) {
				s := simulate(t, seed, wire{delay: 500 * time.Microsecond, loss: c.loss}, kind, 100<<10, 1432)
				times = append(times, s.complete)
			}
			slices.Sort(times)
			median, p99, worst := times[seeds/2], times[seeds*99/100], times[seeds-1]
			t.Logf("%s at %.0f %%: median %v, p99 %v, worst %v", kind.name, c.loss*100, median, p99, worst)
			if kind.nack {
				c.median, c.p99, c.worst = 2*c.median, c.p99+5*kind.timeout, c.worst+6*kind.timeout
			}
			// The first packet is sent three times. Of the clients that lose all
			// three, or their answers, edk2 waits longest to ask again. They are
			// one in 1,079 at 5 % losses, and one in 145 at 10 %.
			if kind.timeout == edk2Timeout && c.loss >= 0.05 {
				c.worst += edk2Timeout
			}
			if kind.timeout == edk2Timeout && c.loss >= 0.10 {
				c.p99 += edk2Timeout
			}
			if median > c.median || p99 > c.p99 || worst > c.worst {
				t.Errorf("%s at %.0f %% loss: median %v, p99 %v, worst %v; want %v, %v, %v", kind.name, c.loss*100, median, p99, worst, c.median, c.p99, c.worst)
			}
		}
	}
}

// TestSimulationSlowClient checks that a client that takes 100 ms for each ACK
// is not sent everything twice.
func TestSimulationSlowClient(t *testing.T) {
	t.Parallel()
	for _, kind := range clientKinds {
		kind.stall, kind.think = 0, 100*time.Millisecond
		s := simulate(t, 7, wire{delay: 50 * time.Microsecond}, kind, 200_000, 1432)
		if extra := s.packets - int(s.got); extra > 2*kind.window {
			t.Errorf("%s: %d packets for %d blocks", kind.name, s.packets, s.got)
		}
	}
}

// TestSimulationRollOver checks block numbers that roll over twice, with any
// window.
func TestSimulationRollOver(t *testing.T) {
	t.Parallel()
	for _, kind := range clientKinds {
		kind.stall = 0
		const blocks = 140_000
		s := simulate(t, 3, wire{delay: 100 * time.Microsecond, loss: 0.001}, kind, blocks*8, 8)
		if s.machine.result != Completed || s.got != blocks+1 {
			t.Errorf("%s: %v after %d blocks", kind.name, s.machine.result, s.got)
		}
	}
}

// TestSimulationMuteClient checks that a transfer completes when the client
// does not acknowledge the final block.
func TestSimulationMuteClient(t *testing.T) {
	t.Parallel()
	kind := clientKind{name: "intel", window: 1, timeout: time.Second, mute: true}
	s := simulate(t, 1, wire{delay: 100 * time.Microsecond}, kind, 5000, 1432)
	if s.machine.result != Completed || s.now > 15*time.Second {
		t.Errorf("%v at %v", s.machine.result, s.now)
	}
}
