package eventlog

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"syscall"
	"time"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// line is what a line of the log says, before it is written. The zero value of
// a field leaves its key out.
type line struct {
	kind       kind
	segment    proxydhcp.Segment // where the machine was heard
	client     proxydhcp.Client  // as far as it is known
	runs       string            // what runs on the machine, as it says itself, if client does not tell
	ip         netip.Addr        // of the machine
	rule       string
	rom        string
	unmet      string
	file       string
	item       string
	shape      string
	nextServer netip.Addr
	size       count
	sent       count
	reason     string
	resent     int
	duration   time.Duration
	status     int
	err        error
	next       string
	hint       string
	conflict   *proxydhcp.Conflict
	addresses  string
	of         kind // the kind of lines that were left out
}

// count is a number that may be unknown.
type count struct {
	n     int64
	known bool
}

// counted returns a known number.
func counted(n int64) count { return count{n, true} }

// source is whose line it is: a machine or, for our own failures, a cause.
type source struct {
	mac   proxydhcp.HardwareAddr
	ip    netip.Addr // if there is no MAC address
	cause cause
}

// cause is what makes something fail: nothing that a client can choose.
type cause struct {
	kind      kind
	iface     string
	errno     syscall.Errno
	errorType string // the type of an error that has no number
}

// source returns whose line it is.
func (l *line) source() source {
	switch {
	case l.kind.row().fold == causes:
		return source{cause: l.cause()}
	case l.client.Hardware != (proxydhcp.HardwareAddr{}):
		return source{mac: l.client.Hardware}
	case l.conflict != nil:
		return source{ip: l.conflict.Server}
	}
	return source{ip: l.ip}
}

// cause returns what makes something fail.
func (l *line) cause() cause {
	c := cause{kind: l.kind, iface: l.segment.Interface}
	if l.err == nil || errors.As(l.err, &c.errno) {
		return c
	}
	inner := l.err
	for next := errors.Unwrap(inner); next != nil; next = errors.Unwrap(inner) {
		inner = next
	}
	c.errorType = fmt.Sprintf("%T", inner)
	return c
}

// repeats reports whether the line says again what another one of the same
// source says.
func (l *line) repeats(o *line) bool {
	switch {
	case l.kind != o.kind:
		return false
	case l.kind.row().fold != repeats:
		return true
	}
	return l.file == o.file && l.rule == o.rule && l.item == o.item && l.reason == o.reason && l.status == o.status &&
		l.shape == o.shape && l.unmet == o.unmet && l.nextServer == o.nextServer && l.ip == o.ip && l.segment == o.segment &&
		l.client.Arch == o.client.Arch && l.client.IPXE == o.client.IPXE && l.client.VendorClass == o.client.VendorClass &&
		(l.conflict == nil) == (o.conflict == nil) && (l.conflict == nil || l.conflict.Kind == o.conflict.Kind)
}

// attrs returns the attributes of the line, in the one order of keys.
func (l *line) attrs() []slog.Attr {
	a := attrs(make([]slog.Attr, 0, 24))
	a.text("interface", l.segment.Interface)
	a.number("vlan", int(l.segment.VLAN))
	a.address("relay", l.segment.Relay)
	if l.client.Hardware != (proxydhcp.HardwareAddr{}) {
		a.text("mac", l.client.Hardware.String())
	}
	a.address("ip", l.ip)
	a.text("address", l.addresses)
	if l.client.VendorClass != "" {
		a.text("arch", l.client.Arch.String())
		a.text("client", l.client.String())
		a.text("features", l.client.IPXE.Features.String())
	}
	a.text("client", l.runs)
	a.text("rule", l.rule)
	a.text("rom", l.rom)
	a.text("unmet", l.unmet)
	a.text("file", l.file)
	a.text("item", l.item)
	a.text("shape", l.shape)
	a.address("next-server", l.nextServer)
	a.count("bytes", l.size)
	a.count("sent", l.sent)
	a.text("reason", l.reason)
	a.number("resent", l.resent)
	if l.size.known || l.kind == diskStalled {
		a = append(a, slog.Duration("duration", l.duration.Round(time.Millisecond)))
	}
	a.number("status", l.status)
	if l.err != nil {
		a.text("error", l.err.Error())
	}
	a.text("next", l.next)
	a.text("hint", l.hint)
	if c := l.conflict; c != nil {
		a = append(a, slog.String("server", c.Server.String()), slog.String("conflict", c.Kind.String()),
			slog.String("problem", c.Problem()), slog.String("affects", c.Affects()), slog.String("remedy", c.Remedy()))
	}
	return a
}

// attrs are attributes of a line.
type attrs []slog.Attr

// text appends a text that is not empty.
func (a *attrs) text(key, value string) {
	if value != "" {
		*a = append(*a, slog.String(key, value))
	}
}

// number appends a number that is not 0.
func (a *attrs) number(key string, value int) {
	if value != 0 {
		*a = append(*a, slog.Int(key, value))
	}
}

// count appends a number that is known.
func (a *attrs) count(key string, value count) {
	if value.known {
		*a = append(*a, slog.Int64(key, value.n))
	}
}

// address appends an address that is there.
func (a *attrs) address(key string, value netip.Addr) {
	if value.IsValid() {
		*a = append(*a, slog.String(key, value.String()))
	}
}
