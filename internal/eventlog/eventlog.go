// Package eventlog is the one place where events become log lines.
//
// Info is for what was offered and transferred, Debug for what was ignored,
// Warn for a fault in the network's set-up that a person should fix, Error for
// a failure of our own reading or writing. Lines that anybody can cause at will
// are limited in number.
//
// The keys are an interface: docs/log.md lists them. They come in one order:
// interface vlan relay mac ip arch client features rule unmet file item reason.
package eventlog

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/pxesidecar/pxesidecar/internal/httpboot"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/server"
	"github.com/pxesidecar/pxesidecar/tftp"
)

// Log writes events to a log. Its methods may be called from several
// goroutines.
type Log struct {
	log        *slog.Logger
	limit      *rate.Limiter // of lines that anybody can cause
	suppressed atomic.Int64  // lines left out since the last one
}

// linesPerSecond is how many lines a second anybody can cause.
const linesPerSecond = 20

// New returns an event log that writes to log.
func New(log *slog.Logger) *Log {
	return &Log{log: log, limit: rate.NewLimiter(linesPerSecond, linesPerSecond)}
}

// allow reports whether such a line may be written now, and
// how many were left out before it.
func (l *Log) allow(now time.Time) (suppressed int, ok bool) {
	if !l.limit.AllowN(now, 1) {
		l.suppressed.Add(1)
		return 0, false
	}
	return int(l.suppressed.Swap(0)), true
}

// ServerEvents returns hooks that write the events of a ProxyDHCP server.
func (l *Log) ServerEvents() server.Events {
	return server.Events{Request: l.request, Conflict: l.conflict, Link: l.link, Error: l.error}
}

// TFTPEvents returns hooks that write the events of a TFTP server.
func (l *Log) TFTPEvents() tftp.Events {
	return tftp.Events{Finished: l.tftpFinished, Refused: l.tftpRefused, Stalled: l.tftpStalled}
}

// request writes how a request to port 67 or 4011 ended.
func (l *Log) request(res proxydhcp.Result) {
	level, message := slog.LevelInfo, "offered"
	switch {
	case res.Err != nil:
		level, message = slog.LevelError, "answer failed"
	case res.Reason == proxydhcp.DryRun:
		message = "would offer"
	case res.Reason == proxydhcp.NoAddress:
		level, message = slog.LevelWarn, "cannot answer"
	case res.Reason == proxydhcp.NoROM, res.Reason == proxydhcp.NeedsHTTP, res.Reason == proxydhcp.NeedsTFTP:
		message = "nothing to offer"
	case res.Reason != proxydhcp.Answerable:
		level, message = slog.LevelDebug, "ignored"
	case res.Arrival.Port == proxydhcp.PortProxy:
		message = "acknowledged"
	case res.Stepped:
		message = "offered in another shape, the last was not understood"
	}
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	var suppressed int
	if res.Reason != proxydhcp.Answerable || res.Err != nil {
		var ok bool
		if suppressed, ok = l.allow(time.Now()); !ok {
			return
		}
	}
	l.log.LogAttrs(context.Background(), level, message, dhcpAttrs(res, suppressed)...)
	if res.LoopEnded != "" {
		l.loopEnded(res)
	}
}

// dhcpAttrs are the attributes of a request's line.
func dhcpAttrs(res proxydhcp.Result, suppressed int) []slog.Attr {
	c, d := res.Client, res.Decision
	attrs := make([]slog.Attr, 0, 16)
	attrs = appendText(attrs, "interface", res.Arrival.Segment.Interface)
	if v := res.Arrival.Segment.VLAN; v != 0 {
		attrs = append(attrs, slog.Int("vlan", int(v)))
	}
	if c.Segment.Relay.IsValid() {
		attrs = append(attrs, slog.String("relay", c.Segment.Relay.String()))
	}
	if c.Hardware != (proxydhcp.HardwareAddr{}) {
		attrs = append(attrs, slog.String("mac", c.Hardware.String()))
	}
	if c.VendorClass != "" {
		attrs = append(attrs, slog.String("arch", c.Arch.String()), slog.String("client", c.String()))
		attrs = appendText(attrs, "features", c.IPXE.Features.String())
	} else if res.Arrival.From.IsValid() {
		attrs = append(attrs, slog.String("ip", res.Arrival.From.Addr().String()))
	}
	attrs = appendText(attrs, "rule", d.Rule)
	attrs = appendText(attrs, "unmet", d.Unmet.Text)
	attrs = appendText(attrs, "file", d.File)
	attrs = appendText(attrs, "item", d.Item)
	if res.Stepped {
		attrs = append(attrs, slog.String("shape", res.Shape.String()))
	}
	if d.NextServer.IsValid() {
		attrs = append(attrs, slog.String("next-server", d.NextServer.String()))
	}
	if res.Reason != proxydhcp.Answerable {
		attrs = append(attrs, slog.String("reason", res.Reason.String()))
	}
	if res.Err != nil {
		attrs = append(attrs, slog.String("error", res.Err.Error()))
	}
	return appendSuppressed(attrs, suppressed)
}

// loopEnded warns once that a ROM does not make a machine's iPXE the one that
// the policy demands, and says why and what to do.
func (l *Log) loopEnded(res proxydhcp.Result) {
	hint := "rebuild the ROM with what is wanted, or demand less"
	if res.Decision.Unmet.Version {
		hint = "the ROM reports this version itself (iPXE 1.x built outside a git clone reports 1.0.0), or the machine did not run it; " +
			"rebuild it with a bumped VERSION_MAJOR, VERSION_MINOR or VERSION_PATCH, or demand features instead of a version"
	}
	c := res.Client
	l.log.LogAttrs(context.Background(), slog.LevelWarn, "upgrade did not help, giving the boot script as it is",
		slog.String("interface", res.Arrival.Segment.Interface),
		slog.String("mac", c.Hardware.String()),
		slog.String("arch", c.Arch.String()),
		slog.String("client", c.String()),
		slog.String("rom", res.LoopEnded),
		slog.String("unmet", res.Decision.Unmet.Text),
		slog.String("file", res.Decision.File),
		slog.String("hint", hint))
}

// ScriptUpgradeFailed warns that a machine is still not the iPXE that the
// version check wants, and goes on as it is. version is its ${version}, rom the
// ROM of ours that it has read; "" if it has read none. mac is as the machine
// wrote it.
func (l *Log) ScriptUpgradeFailed(ip netip.Addr, mac, version, rom string) {
	suppressed, ok := l.allow(time.Now())
	if !ok {
		return
	}
	hint := "the machine did not start the ROM, or the ROM is not the wanted iPXE: serve another ROM, or accept what it calls itself with --ipxe-text"
	if rom == "" {
		hint = "the machine has read no ROM from here: see whether it can load the one that --rom names, and whether that is the wanted iPXE"
	}
	attrs := appendText(nil, "mac", strings.ReplaceAll(mac, "-", ":"))
	attrs = append(attrs, slog.String("ip", ip.String()), slog.String("client", "iPXE "+version))
	attrs = appendText(attrs, "rom", rom)
	attrs = append(attrs, slog.String("hint", hint))
	l.log.LogAttrs(context.Background(), slog.LevelWarn, "upgrade by script did not help, going on with the iPXE as it is", appendSuppressed(attrs, suppressed)...)
}

// Start writes what came of a ROM that a machine has loaded. reason is the
// likeliest one if it did not start, and hint what a person can do.
func (l *Log) Start(r proxydhcp.StartReport, reason, hint string) {
	attrs := clientAttrs(r.Client, r.IP)
	if r.Started {
		attrs = append(attrs, slog.String("file", r.ROM))
		l.log.LogAttrs(context.Background(), slog.LevelInfo, "boot file started, after others had not", attrs...)
		return
	}
	if r.Exhausted {
		hint += "; each ROM for this platform has been given once, none has started, and the first is given again"
	}
	attrs = append(attrs, slog.String("file", r.File), slog.String("reason", reason))
	attrs = appendText(attrs, "next", r.Next)
	attrs = append(attrs, slog.String("hint", hint))
	l.log.LogAttrs(context.Background(), slog.LevelWarn, "boot file was loaded, but did not start", attrs...)
}

// Autoexec writes what an iPXE was given by autoexec.ipxe, without asking DHCP.
func (l *Log) Autoexec(a proxydhcp.Autoexec) {
	attrs := clientAttrs(a.Client, netip.Addr{})
	attrs = appendText(attrs, "rule", a.Decision.Rule)
	attrs = append(attrs, slog.String("file", a.URL))
	l.log.LogAttrs(context.Background(), slog.LevelInfo, "offered by autoexec.ipxe", attrs...)
}

// clientAttrs are the attributes that say which machine it is. An address that
// is not valid is left out.
func clientAttrs(c proxydhcp.Client, ip netip.Addr) []slog.Attr {
	attrs := make([]slog.Attr, 0, 12)
	attrs = appendText(attrs, "interface", c.Segment.Interface)
	if c.Segment.VLAN != 0 {
		attrs = append(attrs, slog.Int("vlan", int(c.Segment.VLAN)))
	}
	if c.Segment.Relay.IsValid() {
		attrs = append(attrs, slog.String("relay", c.Segment.Relay.String()))
	}
	attrs = append(attrs, slog.String("mac", c.Hardware.String()))
	if ip.IsValid() {
		attrs = append(attrs, slog.String("ip", ip.String()))
	}
	return append(attrs, slog.String("arch", c.Arch.String()), slog.String("client", c.String()))
}

// NetworkFault writes that the host's interfaces could not be read.
func (l *Log) NetworkFault(err error) { l.error(server.Error{Err: err}) }

// error writes a failure of our own reading or writing.
func (l *Log) error(e server.Error) {
	suppressed, ok := l.allow(time.Now())
	if !ok {
		return
	}
	attrs := appendText(nil, "interface", e.Interface)
	attrs = append(attrs, slog.String("error", e.Err.Error()))
	l.log.LogAttrs(context.Background(), slog.LevelError, "network fault", appendSuppressed(attrs, suppressed)...)
}

// conflict writes what another server's answers do to network boot, with the
// step that removes it.
func (l *Log) conflict(c proxydhcp.Conflict) {
	level, message := slog.LevelWarn, "the DHCP server gets in the way of network boot"
	switch {
	case c.Kind == proxydhcp.OtherProxy:
		message = "another ProxyDHCP server gets in the way of network boot"
	case c.Kind.Severity() == proxydhcp.Minor:
		level, message = slog.LevelInfo, "the DHCP server has boot options of its own"
	case c.Kind.Severity() == proxydhcp.Harmless:
		level, message = slog.LevelDebug, "another ProxyDHCP server answers as we do"
	}
	attrs := appendText(nil, "interface", c.Segment.Interface)
	attrs = append(attrs,
		slog.String("mac", c.Client.String()), slog.String("server", c.Server.String()), slog.String("conflict", c.Kind.String()),
		slog.String("problem", c.Problem()), slog.String("affects", c.Affects()), slog.String("remedy", c.Remedy()))
	l.log.LogAttrs(context.Background(), level, message, attrs...)
}

// link writes that a served interface has changed.
func (l *Log) link(k server.Link) {
	level, message := slog.LevelWarn, "interface not served"
	if k.State == server.LinkServing {
		level, message = slog.LevelInfo, "interface served"
	}
	attrs := appendText(nil, "interface", k.Interface)
	if k.VLAN != 0 {
		attrs = append(attrs, slog.Int("vlan", int(k.VLAN)))
	}
	addresses := make([]string, len(k.Addresses))
	for i, a := range k.Addresses {
		addresses[i] = a.String()
	}
	attrs = appendText(attrs, "address", strings.Join(addresses, " "))
	if k.State != server.LinkServing {
		attrs = append(attrs, slog.String("reason", k.State.String()))
	}
	l.log.LogAttrs(context.Background(), level, message, attrs...)
}

// tftpFinished writes how a transfer ended.
func (l *Log) tftpFinished(t tftp.Transfer) {
	level, message := slog.LevelInfo, "transferred"
	switch t.Result {
	case tftp.Completed:
	case tftp.Probed:
		level, message = slog.LevelDebug, "size probed"
	case tftp.Failed:
		level, message = slog.LevelError, "transfer failed"
	case tftp.Replaced:
		level, message = slog.LevelDebug, "transfer replaced"
	case tftp.Aborted, tftp.TimedOut, tftp.ShutDown:
		message = "transfer ended early"
	}
	attrs := []slog.Attr{slog.String("ip", t.Client.Addr().String()), slog.String("file", t.File), slog.Int64("bytes", t.Size)}
	if t.Result != tftp.Completed && t.Result != tftp.Probed {
		attrs = append(attrs, slog.Int64("sent", t.Sent), slog.String("reason", t.Result.String()))
	}
	if t.Resent > 0 {
		attrs = append(attrs, slog.Int("resent", t.Resent))
	}
	attrs = append(attrs, slog.Duration("duration", t.Duration.Round(time.Millisecond)))
	if t.Err != nil {
		attrs = append(attrs, slog.String("error", t.Err.Error()))
	}
	l.log.LogAttrs(context.Background(), level, message, attrs...)
}

// notAllowedHint is what to do about a client that is not served.
const notAllowedHint = "add its network with --tftp-allow if it is one of yours"

// tftpRefused writes that a request got no transfer.
func (l *Log) tftpRefused(r tftp.Refusal) {
	level, message := slog.LevelDebug, "transfer refused"
	switch r.Reason {
	case tftp.NotFound:
		message = "boot file not found"
		if !isSpeculative(r.Asked) {
			level = slog.LevelInfo
		}
	case tftp.Denied:
		level = slog.LevelInfo
	case tftp.Unreadable:
		level = slog.LevelError
	case tftp.NotAllowed:
		level = slog.LevelWarn
	case tftp.Illegal, tftp.UnknownPort, tftp.Forged, tftp.Multicast, tftp.TooFast, tftp.TooMany:
	}
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	suppressed, ok := l.allow(time.Now())
	if !ok {
		return
	}
	attrs := []slog.Attr{slog.String("ip", r.Client.Addr().String()), slog.String("file", r.Asked), slog.String("reason", r.Reason.String())}
	if r.Err != nil && r.Reason != tftp.NotFound {
		attrs = append(attrs, slog.String("error", r.Err.Error()))
	}
	if r.Reason == tftp.NotAllowed {
		attrs = append(attrs, slog.String("hint", notAllowedHint))
	}
	l.log.LogAttrs(context.Background(), level, message, appendSuppressed(attrs, suppressed)...)
}

// tftpStalled writes that a disk does not answer. Without that line, machines
// would time out and nobody knew why.
func (l *Log) tftpStalled(s tftp.Stall) {
	l.log.LogAttrs(context.Background(), slog.LevelWarn, "a disk does not answer, boot files there are not served",
		slog.String("file", s.File), slog.Duration("duration", s.For.Round(time.Second)),
		slog.String("hint", "look at what is mounted there; files on other disks are served"))
}

// isSpeculative reports whether clients ask for the file without knowing that
// it exists: every EFI iPXE begins with autoexec.ipxe, and every shim with
// lists of what is revoked and certified (shim.c, load_revocations_file and
// load_certs).
func isSpeculative(name string) bool {
	base := name[strings.LastIndexAny(name, `/\`)+1:]
	return base == proxydhcp.AutoexecName ||
		strings.HasSuffix(base, ".efi") && (strings.HasPrefix(base, "revocations") || strings.HasPrefix(base, "shim_certificate"))
}

// HTTP writes how a request for a boot file ended.
func (l *Log) HTTP(a httpboot.Access) {
	level, message := slog.LevelInfo, "transferred"
	switch {
	case a.Status == 404:
		message = "boot file not found"
		if isSpeculative(a.Path) {
			level = slog.LevelDebug
		}
	case a.NotAllowed:
		level, message = slog.LevelWarn, "transfer refused"
	case a.Err != nil:
		level, message = slog.LevelError, "boot file cannot be made"
	case a.Status >= 400:
		message = "transfer refused"
	case a.Method == "HEAD":
		level, message = slog.LevelDebug, "size probed"
	case !a.Complete:
		level, message = slog.LevelDebug, "transferred in part"
	}
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	var suppressed int
	if a.Status >= 400 {
		var ok bool
		if suppressed, ok = l.allow(time.Now()); !ok {
			return
		}
	}
	file := a.File
	if file == "" {
		file = a.Path
	}
	attrs := []slog.Attr{
		slog.String("ip", a.Client.String()), slog.String("file", file), slog.Int64("bytes", a.Sent),
		slog.Duration("duration", a.Duration.Round(time.Millisecond)), slog.Int("status", a.Status),
	}
	if a.NotAllowed {
		attrs = append(attrs, slog.String("reason", tftp.NotAllowed.String()), slog.String("hint", notAllowedHint))
	}
	if a.Err != nil {
		attrs = append(attrs, slog.String("error", a.Err.Error()))
	}
	l.log.LogAttrs(context.Background(), level, message, appendSuppressed(attrs, suppressed)...)
}

// appendText appends an attribute that is not empty.
func appendText(attrs []slog.Attr, key, value string) []slog.Attr {
	if value == "" {
		return attrs
	}
	return append(attrs, slog.String(key, value))
}

// appendSuppressed appends how many lines were left out before this one.
func appendSuppressed(attrs []slog.Attr, n int) []slog.Attr {
	if n == 0 {
		return attrs
	}
	return append(attrs, slog.Int("suppressed", n))
}
