package tftpload

// One client reading one file, as a state machine: what arrived and what time it is in, what to send out. Times are
// durations since an epoch of the caller's.

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

// Manner is how a client behaves when something goes wrong.
type Manner struct {
	// First is its timer, Doubling whether it doubles, Limit at which timer it gives up, Tries after how many times.
	First    time.Duration
	Doubling bool
	Limit    time.Duration
	Tries    int
	// Echo has it acknowledge every block that is not the next one.
	Echo bool
}

// Manners are those of clients in the field, and a plain one.
var Manners = map[string]Manner{
	// ipxe: a quarter of a second, doubling, given up at ten seconds.
	"ipxe": {First: 250 * time.Millisecond, Doubling: true, Limit: 10 * time.Second},
	// edk2: six times four seconds, and an answer to every unexpected block.
	"edk2": {First: 4 * time.Second, Tries: 6, Echo: true},
	// plain: ten times one second.
	"plain": {First: time.Second, Tries: 10},
}

// Request is what a client asks for.
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

// Ending says whether and how a transfer ended.
type Ending uint8

// The endings.
const (
	Running  Ending = iota
	Complete        // the last block is here
	Refused         // the server sent an ERROR
	GaveUp          // the server fell silent
)

// Sending says what a client sends.
type Sending uint8

// What is sent.
const (
	Nothing Sending = iota
	Asking          // the request
	Acking          // the acknowledgement of a block
)

// Step is what follows from a packet or from the passing of time.
type Step struct {
	Send   Sending
	Block  uint16
	Data   []byte // new bytes of the file, in order; a part of the packet
	Ending Ending
}

// Transfer is the state of one read.
type Transfer struct {
	Request Request
	Manner  Manner

	// Deadline is when to call Expire.
	Deadline time.Duration
	// Bytes is how much of the file is here, Blocks how many DATA packets came, Extra how many of them were of no use.
	Bytes         int64
	Blocks, Extra int

	server  netip.AddrPort // with the transfer's port; not valid before the first answer
	block   int
	window  int
	next    int64 // the block that is expected
	inRow   int   // blocks since the last acknowledgement
	asked   bool  // for the expected block, after another one came
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

// Server is where acknowledgements go.
func (t *Transfer) Server() netip.AddrPort { return t.server }

// progress notes that something new came.
func (t *Transfer) progress(now time.Duration) {
	t.tries, t.timer = 0, t.Manner.First
	t.Deadline = now + t.timer
}

// Receive takes a datagram.
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

// accept takes the options that the server grants.
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

// data takes a block. After a gap, the last block before it is acknowledged once, as U-Boot does, or every time, as edk2
// does (RFC 7440, section 4). A block that was here already is acknowledged again only when it is the last one that is
// here: then our acknowledgement was lost.
func (t *Transfer) data(number uint16, payload []byte, now time.Duration) Step {
	t.Blocks++
	switch ahead := int16(number - uint16(t.next)); {
	case ahead == 0:
		return t.take(payload, now)
	case ahead > 0 && !t.asked, ahead == -1, t.Manner.Echo:
		t.asked = t.asked || ahead > 0
		t.inRow = 0
		t.Extra++
		return Step{Send: Acking, Block: uint16(t.next - 1)}
	}
	t.Extra++
	return Step{}
}

// take takes the block that was expected.
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

// Expire takes the passing of the deadline: the last packet is sent again.
func (t *Transfer) Expire(now time.Duration) Step {
	t.tries++
	if t.Manner.Doubling {
		t.timer *= 2
	}
	if t.Manner.Limit > 0 && t.timer > t.Manner.Limit || t.Manner.Tries > 0 && t.tries > t.Manner.Tries {
		return Step{Ending: GaveUp}
	}
	t.Deadline = now + t.timer
	t.inRow = 0
	if t.waiting {
		return Step{Send: Asking}
	}
	return Step{Send: Acking, Block: uint16(t.next - 1)}
}
