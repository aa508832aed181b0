package tftp

// What a Server tells its owner: optional hooks, and the closed lists of how requests and transfers end.

import (
	"fmt"
	"net/netip"
	"time"
)

// Events are optional hooks. They are called from the goroutines that serve, several of them at a time: a hook must be safe for
// concurrent use and must not block, because transfers wait while it runs.
type Events struct {
	// Started is called when the first packet of a transfer (OACK or DATA 1) has been handed to the socket.
	Started func(Transfer)

	// Finished is called once for every Started, at the moment the transfer ends: for Completed that is the arrival of the final ACK.
	Finished func(Transfer)

	// Refused is called for every datagram that asked for something and got no transfer, whether it was answered with an ERROR or ignored.
	Refused func(Refusal)
}

// A Transfer tells about one transfer, as it is at Started or as it was at Finished.
type Transfer struct {
	Client    netip.AddrPort // where the request came from
	Local     netip.Addr     // our address that was asked, and that answers
	Interface int            // index of the interface the request arrived on, 0 when unknown
	Asked     string         // the file name as the client wrote it: hostile text, quote it before it is shown
	File      string         // the name that was served, relative to the root
	Size      int64          // of the file in bytes, as it goes over the wire
	BlockSize int            // in bytes
	Window    int            // in blocks

	Sent     int64         // bytes of file content put on the wire, repetitions included
	Resent   int           // blocks put on the wire again
	Duration time.Duration // from the first packet to the end
	Result   Result        // how it ended
	Err      error         // why, unless Completed or Probed; a *RemoteError when Aborted
}

// A Refusal tells about a request that got no transfer.
type Refusal struct {
	Client    netip.AddrPort // the sender, possibly forged
	Local     netip.Addr     // the address asked
	Interface int            // index of the arrival interface, 0 when unknown
	Asked     string         // the file name as the client wrote it, where it could be read
	Reason    Reason         // why
	Answered  bool           // whether an ERROR was sent
	Err       error          // the detail, for logs only; may be nil
}

// A Result is how a transfer ended.
type Result uint8

// The results.
const (
	Completed  Result = iota + 1 // the final block was acknowledged, or everything before it was and the client then fell silent
	Probed                       // the client asked for the size, got it and closed: what edk2 and iPXE do before they read; not a failure
	Aborted                      // the client sent an ERROR; Transfer.Err is a *RemoteError
	TimedOut                     // the client fell silent
	Failed                       // our own reading failed, or the file changed under a streamed transfer
	Replaced                     // the same client port asked anew, or the client's own newer requests needed the place
	ShutDown                     // the server was ending; the client was told
	resultsEnd                   // one past the last
)

// String returns the result as one lower-case word.
func (r Result) String() string {
	names := [resultsEnd]string{"none", "completed", "probed", "aborted", "timed-out", "failed", "replaced", "shut-down"}
	if r < resultsEnd {
		return names[r]
	}
	return fmt.Sprintf("result(%d)", uint8(r))
}

// A Reason is why a request got no transfer.
type Reason uint8

// The reasons.
const (
	NotFound    Reason = iota + 1 // no such file: ERROR 1
	Denied                        // outside the root, not permitted, or a name that no file may have: ERROR 2
	Illegal                       // not a read request: a write, mode mail, or not parseable: ERROR 4
	Unreadable                    // the file exists and reading it failed: ERROR 0
	UnknownPort                   // an ACK that belongs to no transfer: ERROR 5
	NotAllowed                    // Config.Allow said no: ignored
	Forged                        // from a port or address no client has: ignored
	Multicast                     // sent to a broadcast or multicast address: ignored
	TooFast                       // over the rate of requests for one address: ignored
	TooMany                       // over the number of transfers, in all or for this client: ignored
	reasonsEnd                    // one past the last
)

// String returns the reason in lower-case words joined by hyphens.
func (r Reason) String() string {
	names := [reasonsEnd]string{"none", "not-found", "denied", "illegal", "unreadable", "unknown-port", "not-allowed", "forged", "multicast", "too-fast", "too-many"}
	if r < reasonsEnd {
		return names[r]
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

// A RemoteError is an ERROR packet that a client sent.
type RemoteError struct {
	Code    uint16 // RFC 1350, appendix; 8 is RFC 2347's
	Message string // the client's text, cut to 128 bytes: hostile, quoted by Error
}

// Error tells code and message, the message quoted.
func (e *RemoteError) Error() string {
	return fmt.Sprintf("client sent error %d: %q", e.Code, e.Message)
}
