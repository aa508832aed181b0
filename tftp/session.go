package tftp

// A transfer with all that belongs to it.

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"
)

// route is where a transfer's packets go, and how.
type route struct {
	client netip.AddrPort
	local  netip.Addr // the source address
	via    int        // the source port: which of the goroutine's
	iface  int        // the interface to leave by, 0 for the routing table to choose
	plain  bool       // no segmentation offload on this way
}

// clientKey is a client's IPv4 address and port. A map finds it in half the
// time of a netip.AddrPort.
type clientKey uint64

// keyOf returns the key of a client.
func keyOf(client netip.AddrPort) clientKey {
	a := client.Addr().As4()
	return clientKey(binary.BigEndian.Uint32(a[:]))<<16 | clientKey(client.Port())
}

// stage is how far a transfer has come.
type stage = int32

const (
	stageOpening stage = iota // its file is being opened
	stageOffered              // its first packet is sent: the request may be forged
	stageProven               // its client has acknowledged something
)

// session is a transfer with all that belongs to it.
type session struct {
	// What each ACK touches comes first, on as few cache lines as possible.
	heard   atomic.Int64 // when the client was last heard, a time.Duration; admission reads it
	stage   atomic.Int32 // a stage; admission reads it
	over    bool         // finished, or dropped before it began
	waiting bool         // a message with the chunks of pending is on its way
	file    *file
	sent    int64
	slot    int           // in deadlines, from 1; 0 when not there
	alarm   time.Duration // when deadlines has it come up
	route   route
	machine transfer
	terms   terms

	held    []*chunk // chunks that the last message brought
	pending burst    // what waits for chunks to be read
	inbox   *inbox   // where its socket's goroutine gets messages
	began   time.Duration
	request Request
}

// summary describes the state of a transfer.
func (s *session) summary(now time.Duration) Transfer {
	return Transfer{
		Client: s.request.Client, Local: s.request.Local, Interface: s.request.Interface,
		Asked: s.request.File, File: s.file.key.name, Size: s.file.size,
		BlockSize: s.terms.block, Window: s.terms.window,
		Sent: s.sent, Resent: s.machine.repeats, Duration: now - s.began, Result: s.machine.result,
	}
}
