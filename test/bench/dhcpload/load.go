// Package dhcpload simulates a segment full of DHCP clients in one goroutine:
// booting machines that send DISCOVERs, and ordinary systems beside them, each
// with a hardware address of its own, on a packet socket that is read and
// written in batches.
package dhcpload

import (
	"fmt"
	"net"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/pxesidecar/pxesidecar/test/bench/batch"
)

// Job is the load: a number of DISCOVERs in flight, a number per second, or
// bursts.
type Job struct {
	Interface string
	// InFlight is the number of unanswered DISCOVERs at any time.
	InFlight int
	// Rate is the number of DISCOVERs per second.
	Rate int
	// Burst is the number of DISCOVERs that are sent back to back, Bursts the
	// number of bursts.
	Burst, Bursts int
	// Ordinary is the number of other packets before each DISCOVER.
	Ordinary int
	For      time.Duration
}

// Result is the result of a job.
type Result struct {
	Elapsed          time.Duration
	Sent, Ordinary   int
	Offers, Lost     int
	Median, P99, Max time.Duration // from DISCOVER to OFFER
}

// offerTimeout is how long a client waits for an OFFER.
const offerTimeout = 500 * time.Millisecond

// segment is a running job.
type segment struct {
	job      Job
	socket   *batch.Socket
	discover frame
	ordinary []frame

	start   time.Time
	now     time.Duration
	serial  uint32          // of the next DISCOVER
	other   uint32          // of the next ordinary packet
	sentAt  []time.Duration // by serial number; 0 after the answer
	trips   trips
	result  Result
	pending int
}

// window is the number of DISCOVERs that are remembered.
const window = 1 << 16

// Run runs a job to its end.
func Run(job Job) (Result, error) {
	ifi, err := net.InterfaceByName(job.Interface)
	if err != nil {
		return Result{}, fmt.Errorf("interface %s: %w", job.Interface, err)
	}
	socket, err := batch.Packet(ifi.Index, clientFilter())
	if err != nil {
		return Result{}, fmt.Errorf("interface %s: %w", job.Interface, err)
	}
	defer socket.Close()
	s := &segment{job: job, socket: socket, discover: discover(), ordinary: ordinary(), sentAt: make([]time.Duration, window), start: time.Now()}
	switch {
	case job.Burst > 0:
		err = s.bursts()
	case job.Rate > 0:
		err = s.paced()
	default:
		err = s.flow()
	}
	s.result.Elapsed = s.now
	s.result.Median, s.result.P99, s.result.Max = s.trips.quantile(0.5), s.trips.quantile(0.99), s.trips.quantile(1)
	return s.result, err
}

// clientFilter accepts UDP from the server's port to the client's.
func clientFilter() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: ipOffset + 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 17, SkipTrue: 3},
		bpf.LoadAbsolute{Off: udpOffset, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: portServer<<16 | portClient, SkipTrue: 1},
		bpf.RetConstant{Val: 0xffff},
		bpf.RetConstant{Val: 0},
	}
}

// clock reads the time.
func (s *segment) clock() { s.now = time.Since(s.start) }

// one queues a DISCOVER and the ordinary packets before it.
func (s *segment) one() {
	for range s.job.Ordinary {
		s.queueOrdinary()
	}
	s.queueDiscover()
}

// queueOrdinary queues the next ordinary packet.
func (s *segment) queueOrdinary() {
	f := &s.ordinary[s.other%uint32(len(s.ordinary))]
	s.other++
	s.socket.QueueFrame(f.write(s.socket.Next(), 0x40000000|s.other, s.other&^Mark))
	s.result.Ordinary++
}

// queueDiscover queues the next DISCOVER.
func (s *segment) queueDiscover() {
	s.socket.QueueFrame(s.discover.write(s.socket.Next(), s.serial, Mark|s.serial))
	s.sentAt[s.serial%window] = max(s.now, 1)
	s.serial++
	s.pending++
	s.result.Sent++
}

// collect receives what has arrived and returns how many DISCOVERs were
// answered.
func (s *segment) collect() (answered int, err error) {
	n, err := s.socket.Receive()
	if err != nil {
		return 0, err
	}
	s.clock()
	for i := range n {
		xid, ok := offerOf(s.socket.Data(i))
		serial := xid &^ Mark
		if !ok || s.serial-serial > window || s.sentAt[serial%window] == 0 {
			continue
		}
		s.trips.add(s.now - s.sentAt[serial%window])
		s.sentAt[serial%window] = 0
		answered++
	}
	s.result.Offers += answered
	s.pending -= answered
	return answered, nil
}

// flow keeps a number of DISCOVERs in flight. Those without an answer are lost,
// and others replace them.
func (s *segment) flow() error {
	for range s.job.InFlight {
		s.one()
	}
	s.socket.Flush()
	for last := time.Duration(0); s.now < s.job.For; {
		answered, err := s.collect()
		if err != nil {
			return err
		}
		missing := answered
		if answered > 0 {
			last = s.now
		} else if s.now-last > offerTimeout {
			// The missing answers will not arrive any more.
			missing, last = s.pending, s.now
			s.result.Lost += s.pending
			s.pending = 0
			clear(s.sentAt)
		}
		for range missing {
			s.one()
		}
		s.socket.Flush()
		if answered == 0 {
			if err := s.socket.Wait(min(offerTimeout, s.job.For-s.now)); err != nil {
				return err
			}
			s.clock()
		}
	}
	return nil
}

// bursts sends everything at once, waits until no more answers arrive, and
// repeats that.
func (s *segment) bursts() error {
	for range max(s.job.Bursts, 1) {
		s.clock()
		for range s.job.Burst {
			s.one()
		}
		s.socket.Flush()
		s.clock()
		for last := s.now; s.pending > 0 && s.now-last < offerTimeout; {
			answered, err := s.collect()
			if err != nil {
				return err
			}
			if answered > 0 {
				last = s.now
				continue
			}
			if err := s.socket.Wait(offerTimeout); err != nil {
				return err
			}
			s.clock()
		}
		s.result.Lost += s.pending
		s.pending = 0
		clear(s.sentAt)
	}
	return nil
}

// paced sends a number of DISCOVERs per second, and the ordinary packets
// between them, each on its own.
func (s *segment) paced() error {
	// With the default slack of 50 microseconds, two packets would sometimes be
	// sent together.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("timer slack: %w", err)
	}
	group := s.job.Ordinary + 1
	interval := time.Second / time.Duration(s.job.Rate*group)
	packets := 0
	for s.clock(); s.now < s.job.For; s.clock() {
		for ; time.Duration(packets)*interval <= s.now; packets++ {
			if packets%group == s.job.Ordinary {
				s.queueDiscover()
			} else {
				s.queueOrdinary()
			}
		}
		s.socket.Flush()
		if _, err := s.collect(); err != nil {
			return err
		}
		if err := s.socket.Wait(min(time.Duration(packets)*interval, s.job.For) - s.now); err != nil {
			return err
		}
	}
	// The last answers may still arrive.
	if err := s.socket.Wait(10 * time.Millisecond); err != nil {
		return err
	}
	_, err := s.collect()
	s.result.Lost = s.pending
	return err
}
