package server

import "github.com/pxesidecar/pxesidecar/proxydhcp"

// Events are the hooks through which a Server reports. Each may be nil. They
// are called from the goroutines that read the sockets, so they must not block,
// and several may be called at once.
type Events struct {
	Request  func(proxydhcp.Result)   // how a request ended
	Heard    func(Heard)              // another server's broadcast answer
	Conflict func(proxydhcp.Conflict) // another server's answers have a fault
	Link     func(Link)               // a served interface changed; Server.Links is how they began
	Error    func(Error)              // our own reading or writing failed; the server goes on
}

// Heard is another server's answer to a client. It is valid during the call.
type Heard struct {
	Arrival proxydhcp.Arrival
	Payload []byte // DHCP, without its UDP header
}

// Error is a failure of our own reading or writing.
type Error struct {
	Interface string // "" if it is of no single interface
	Err       error
}

// JoinEvents returns events that call the hooks of all listeners in turn.
func JoinEvents(listeners ...Events) Events {
	var joined Events
	for _, l := range listeners {
		joined.Request = joinHooks(joined.Request, l.Request)
		joined.Heard = joinHooks(joined.Heard, l.Heard)
		joined.Conflict = joinHooks(joined.Conflict, l.Conflict)
		joined.Link = joinHooks(joined.Link, l.Link)
		joined.Error = joinHooks(joined.Error, l.Error)
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
	return func(v T) {
		first(v)
		second(v)
	}
}

// listens reports whether anybody wants to know of other servers' answers.
func (e Events) listens() bool { return e.Heard != nil || e.Conflict != nil }

// report calls a hook, if there is one.
func report[T any](hook func(T), v T) {
	if hook != nil {
		hook(v)
	}
}
