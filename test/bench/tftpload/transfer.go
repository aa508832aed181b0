package tftpload

// One client that reads one file, as a state machine: its inputs are packets
// and the time, its outputs packets to send. Times are durations since an epoch
// that the caller chooses.

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strconv"
	"time"
)

// The packets of RFC 1350, section 5, and of RFC 2347.
const (
	opRequest = 1
	opData    = 3
	opAck     = 4
	opError   = 5
	opOptions = 6

	headerLen    = 4
	defaultBlock = 512
)

// Behaviour is how a client behaves when packets are lost.
type Behaviour struct {
	// First is its first timer. Doubling means that the timer doubles. Limit is
	// the timer at which it gives up, Tries the number of timeouts after which
	// it does.
	First    time.Duration
	Doubling bool
	Limit    time.Duration
	Tries    int
	// Echo makes it acknowledge every block that is not the next one.
	Echo bool
}

// Behaviours are those of real clients, and a plain one.
var Behaviours = map[string]Behaviour{
	// ipxe: a quarter of a second, doubling; it gives up at ten seconds.
	"ipxe": {First: 250 * time.Millisecond, Doubling: true, Limit: 10 * time.Second},
	// edk2: six times four seconds, and an answer to every unexpected block.
	"edk2": {First: 4 * time.Second, Tries: 6, Echo: true},
	// plain: ten times one second.
	"plain": {First: time.Second, Tries: 10},
}

// Request is what a client requests.
type Request struct {
	File   string
	Block  int  // blksize; 0 asks for none
	Window int  // windowsize; up to 1 asks for none
	Size   bool // tsize
}

// append appends the read request.
func (r Request) append(b []byte) []byte {
	b = append(b, 0, opRequest)
	b = append(append(b, r.File...), 0)
	b = append(b, "octet\x00"...)
	if r.Block > 0 {
		b = append(strconv.AppendInt(append(b, "blksize\x00"...), int64(r.Block), 10), 0)
	}
	if r.Window > 1 {
		b = append(strconv.AppendInt(append(b, "windowsize\x00"...), int64(r.Window), 10), 0)
	}
	if r.Size {
		b = append(b, "tsize\x000\x00"...)
	}
	return b
}

// Ending is whether and how a transfer ended.
type Ending uint8

// The endings.
const (
	Running  Ending = iota
	Complete        // the last block has arrived
	Refused         // the server sent an ERROR
	GaveUp          // the server did not answer any more
)

// Sending is what a client sends.
type Sending uint8

// The packets that a client sends.
const (
	Nothing Sending = iota
	Asking          // the request
	Acking          // the acknowledgement of a block
)

// Step is the result of a packet or of a timeout.
type Step struct {
	Send   Sending
	Block  uint16
	Data   []byte // new bytes of the file, in order; a part of the packet
	Ending Ending
}

// Transfer is the state of one read.
type Transfer struct {
	Request   Request
	Behaviour Behaviour

	// Deadline is when Expire must be called.
	Deadline time.Duration
	// Bytes is how much of the file has arrived, Blocks the number of DATA
	// packets, and Extra the number of useless ones.
	Bytes         int64
	Blocks, Extra int

	server  netip.AddrPort // with the transfer's port; not valid before the first answer
	block   int
	window  int
	next    int64 // the block that is expected
	inRow   int   // blocks since the last acknowledgement
	asked   bool  // for the expected block, after another one arrived
	tries   int
	timer   time.Duration
	waiting bool // for the answer to the request
}

// Begin returns the first step of a read from the server's well-known port.
func (t *Transfer) Begin(now time.Duration) Step {
	t.block, t.window, t.next, t.waiting = defaultBlock, 1, 1, true
	t.progress(now)
	return Step{Send: Asking}
}

// Server returns the address for acknowledgements.
func (t *Transfer) Server() netip.AddrPort { return t.server }

// progress restarts the timer after a new packet.
func (t *Transfer) progress(now time.Duration) {
	t.tries, t.timer = 0, t.Behaviour.First
	t.Deadline = now + t.timer
}

// Receive handles a datagram.
func (t *Transfer) Receive(from netip.AddrPort, p []byte, now time.Duration) Step {
	if len(p) < headerLen || t.server.IsValid() && from != t.server {
		return Step{}
	}
	switch binary.BigEndian.Uint16(p) {
	case opError:
		return Step{Ending: Refused}
	case opOptions:
		if t.waiting {
			t.server, t.waiting = from, false
			t.accept(p[2:])
			t.progress(now)
		}
		if t.next > 1 {
			return Step{}
		}
		return Step{Send: Acking, Block: 0}
	case opData:
		t.server, t.waiting = from, false
		return t.data(binary.BigEndian.Uint16(p[2:]), p[headerLen:], now)
	}
	return Step{}
}

// accept applies the options that the server grants.
func (t *Transfer) accept(p []byte) {
	for {
		name, rest, ok := bytes.Cut(p, []byte{0})
		value, rest, ok2 := bytes.Cut(rest, []byte{0})
		if !ok || !ok2 {
			return
		}
		n, err := strconv.Atoi(string(value))
		if err == nil && n > 0 {
			switch string(bytes.ToLower(name)) {
			case "blksize":
				t.block = n
			case "windowsize":
				t.window = n
			}
		}
		p = rest
	}
}

// data handles a block. After a gap, the last block before it is acknowledged
// once, as U-Boot does, or every time, as edk2 does (RFC 7440, section 4). A
// block that has arrived before is acknowledged again only if it is the last
// one: then our acknowledgement was lost.
func (t *Transfer) data(number uint16, payload []byte, now time.Duration) Step {
	t.Blocks++
	switch ahead := int16(number - uint16(t.next)); {
	case ahead == 0:
		return t.take(payload, now)
	case ahead > 0 && !t.asked, ahead == -1, t.Behaviour.Echo:
		t.asked = t.asked || ahead > 0
		t.inRow = 0
		t.Extra++
		return Step{Send: Acking, Block: uint16(t.next - 1)}
	}
	t.Extra++
	return Step{}
}

// take handles the expected block.
func (t *Transfer) take(payload []byte, now time.Duration) Step {
	s := Step{Data: payload, Block: uint16(t.next)}
	t.Bytes += int64(len(payload))
	t.next++
	t.inRow++
	t.asked = false
	t.progress(now)
	if len(payload) < t.block {
		s.Ending = Complete
	}
	if s.Ending == Complete || t.inRow >= t.window {
		t.inRow = 0
		s.Send = Acking
	}
	return s
}

// Expire handles a timeout: the last packet is sent again.
func (t *Transfer) Expire(now time.Duration) Step {
	t.tries++
	if t.Behaviour.Doubling {
		t.timer *= 2
	}
	if t.Behaviour.Limit > 0 && t.timer > t.Behaviour.Limit || t.Behaviour.Tries > 0 && t.tries > t.Behaviour.Tries {
		return Step{Ending: GaveUp}
	}
	t.Deadline = now + t.timer
	t.inRow = 0
	if t.waiting {
		return Step{Send: Asking}
	}
	return Step{Send: Acking, Block: uint16(t.next - 1)}
}
