package tftp

// What a Server reports: optional hooks, and the closed lists of how requests
// and transfers end.

import (
	"fmt"
	"net/netip"
	"time"
)

// Events are optional hooks. They are called from the goroutines that serve,
// several at a time. A hook must be safe for concurrent use and must not block,
// because transfers wait while it runs.
type Events struct {
	// Started is called when the first packet of a transfer (OACK or DATA 1)
	// has been handed to the socket.
	Started func(Transfer)

	// Finished is called once for every Started, at the moment the transfer
	// ends. For Completed that is when the final ACK arrives.
	Finished func(Transfer)

	// Refused is called for every datagram that asked for something and got no
	// transfer, whether it was answered with an ERROR or ignored.
	Refused func(Refusal)

	// Stalled is called when a disk has not answered for some time, once until
	// all that waits for one has been answered.
	Stalled func(Stall)
}

// JoinEvents returns hooks that call the hooks of all, in order. A hook that
// nobody has set stays nil.
func JoinEvents(all ...Events) Events {
	var joined Events
	for _, e := range all {
		joined.Started = joinHooks(joined.Started, e.Started)
		joined.Finished = joinHooks(joined.Finished, e.Finished)
		joined.Refused = joinHooks(joined.Refused, e.Refused)
		joined.Stalled = joinHooks(joined.Stalled, e.Stalled)
	}
	return joined
}

// joinHooks returns a hook that calls two. Either may be nil.
func joinHooks[T any](first, second func(T)) func(T) {
	switch {
	case first == nil:
		return second
	case second == nil:
		return first
	}
	return func(event T) {
		first(event)
		second(event)
	}
}

// withDefaults returns the hooks with one that does nothing in place of each
// nil.
func (e Events) withDefaults() Events {
	ignore := Events{Started: func(Transfer) {}, Finished: func(Transfer) {}, Refused: func(Refusal) {}, Stalled: func(Stall) {}}
	if e.Started == nil {
		e.Started = ignore.Started
	}
	if e.Finished == nil {
		e.Finished = ignore.Finished
	}
	if e.Refused == nil {
		e.Refused = ignore.Refused
	}
	if e.Stalled == nil {
		e.Stalled = ignore.Stalled
	}
	return e
}

// Transfer describes one transfer, as it is at Started or as it was at
// Finished.
type Transfer struct {
	Client    netip.AddrPort // where the request came from
	Local     netip.Addr     // our address that was asked, and that answers
	Interface int            // index of the interface the request arrived on, 0 when unknown
	Asked     string         // the file name as the client wrote it: hostile text, quote it before showing it
	File      string         // the name that was served, relative to the root
	Size      int64          // of the file in bytes, as it goes over the wire
	BlockSize int            // in bytes
	Window    int            // in blocks

	Sent     int64         // bytes of file content sent, repetitions included
	Resent   int           // blocks sent again
	Duration time.Duration // from the first packet to the end
	Result   Result        // how it ended
	Err      error         // why, unless Completed or Probed; a *RemoteError when Aborted
}

// Refusal describes a request that got no transfer.
type Refusal struct {
	Client    netip.AddrPort // the sender, possibly forged
	Local     netip.Addr     // the address asked
	Interface int            // index of the arrival interface, 0 when unknown
	Asked     string         // the file name as the client wrote it, if it could be read
	Reason    Reason         // why
	Answered  bool           // whether an ERROR was sent
	Err       error          // the detail, for logs only; may be nil
}

// Stall is a file whose disk does not answer.
type Stall struct {
	File string        // the name, relative to the root: hostile text if it is not there
	For  time.Duration // how long it has not answered
}

// Result is how a transfer ended.
type Result uint8

// The results.
const (
	Completed Result = iota + 1 // the final block was acknowledged, or all blocks before it were and the client then fell silent
	Probed                      // the client asked for the size, got it and closed: edk2 and iPXE do that before they read; not a failure
	Aborted                     // the client sent an ERROR; Transfer.Err is a *RemoteError
	TimedOut                    // the client fell silent
	Failed                      // our own reading failed, or the file changed under a streamed transfer
	Replaced                    // the same client port sent a new request, or the client's own newer requests needed the room
	ShutDown                    // the server was ending; the client was told
)

// resultNames are the results as lower-case words.
var resultNames = [...]string{
	0:         "none",
	Completed: "completed",
	Probed:    "probed",
	Aborted:   "aborted",
	TimedOut:  "timed-out",
	Failed:    "failed",
	Replaced:  "replaced",
	ShutDown:  "shut-down",
}

// String returns the result in lower-case words joined by hyphens.
func (r Result) String() string {
	if int(r) < len(resultNames) {
		return resultNames[r]
	}
	return fmt.Sprintf("result(%d)", uint8(r))
}

// Reason is why a request got no transfer.
type Reason uint8

// The reasons.
const (
	NotFound    Reason = iota + 1 // no such file: ERROR 1
	Denied                        // outside the root, not permitted, or a name that no file can have: ERROR 2
	Illegal                       // not a read request: a write, mode mail, or not parseable: ERROR 4
	Unreadable                    // the file exists and reading it failed: ERROR 0
	UnknownPort                   // an ACK that belongs to no transfer: ERROR 5
	NotAllowed                    // Config.Allow said no: ignored
	Forged                        // from a port or address that no client has: ignored
	Multicast                     // sent to a broadcast or multicast address: ignored
	TooFast                       // over the rate of requests for one address: ignored
	TooMany                       // over the number of transfers, in all or for this client: ignored
)

// reasonNames are the reasons as lower-case words.
var reasonNames = [...]string{
	0:           "none",
	NotFound:    "not-found",
	Denied:      "denied",
	Illegal:     "illegal",
	Unreadable:  "unreadable",
	UnknownPort: "unknown-port",
	NotAllowed:  "not-allowed",
	Forged:      "forged",
	Multicast:   "multicast",
	TooFast:     "too-fast",
	TooMany:     "too-many",
}

// String returns the reason in lower-case words joined by hyphens.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

// RemoteError is an ERROR packet that a client sent.
type RemoteError struct {
	Code    uint16 // RFC 1350, appendix; 8 is RFC 2347's
	Message string // the client's text, cut to 128 bytes: hostile, quoted by Error
}

// Error returns the code and the quoted message.
func (e *RemoteError) Error() string {
	return fmt.Sprintf("client sent error %d: %q", e.Code, e.Message)
}
