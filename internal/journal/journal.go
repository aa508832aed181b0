// Package journal is the one place where what happened becomes log lines.
//
// Info tells what was offered and transferred, Debug what was ignored, Warn a
// fault in the network's set-up that a person should mend, Error a failure of
// our own reading or writing. Lines that strangers can provoke at will are
// limited in number. Attributes come in one order: interface vlan mac arch
// client rule file reason.
package journal

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/pxesidecar/pxesidecar/internal/httpboot"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/tftp"
)

// Journal writes events to a log. Its methods may be called from several
// goroutines.
type Journal struct {
	log      *slog.Logger
	provoked limiter
}

// New returns a journal that writes to log.
func New(log *slog.Logger) *Journal { return &Journal{log: log} }

// perSecond is how many lines a second strangers can provoke.
const perSecond = 20

// DHCP writes how a request to port 67 or 4011 ended.
func (j *Journal) DHCP(res proxydhcp.Result) {
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
	if !j.log.Enabled(context.Background(), level) {
		return
	}
	var suppressed int
	if res.Reason != proxydhcp.Answerable || res.Err != nil {
		var ok bool
		if suppressed, ok = j.provoked.allow(time.Now()); !ok {
			return
		}
	}
	j.log.LogAttrs(context.Background(), level, message, dhcpAttrs(res, suppressed)...)
	if res.Ended != "" {
		j.loopEnded(res)
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
		attrs = append(attrs, slog.String("from", res.Arrival.From.String()))
	}
	attrs = appendText(attrs, "rule", d.Rule)
	attrs = appendText(attrs, "unmet", d.Unmet)
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

// loopEnded warns once that a machine's iPXE cannot be made what the policy
// wants, and says why and what to do.
func (j *Journal) loopEnded(res proxydhcp.Result) {
	hint := "rebuild the ROM with what is wanted, or demand less"
	if strings.Contains(res.Decision.Unmet, "version") {
		hint = "the ROM reports this version itself (iPXE 1.x built outside a git clone reports 1.0.0), or the machine did not run it; " +
			"rebuild it with a bumped VERSION_MAJOR, VERSION_MINOR or VERSION_PATCH, or demand features instead of a version"
	}
	c := res.Client
	j.log.LogAttrs(context.Background(), slog.LevelWarn, "upgrade did not help, giving the boot script as it is",
		slog.String("interface", res.Arrival.Segment.Interface),
		slog.String("mac", c.Hardware.String()),
		slog.String("arch", c.Arch.String()),
		slog.String("client", c.String()),
		slog.String("rom", res.Ended),
		slog.String("unmet", res.Decision.Unmet),
		slog.String("file", res.Decision.File),
		slog.String("hint", hint))
}

// Fault writes a failure of our own reading or writing.
func (j *Journal) Fault(interfaceName string, err error) {
	if suppressed, ok := j.provoked.allow(time.Now()); ok {
		attrs := appendText(nil, "interface", interfaceName)
		attrs = append(attrs, slog.String("error", err.Error()))
		j.log.LogAttrs(context.Background(), slog.LevelError, "network fault", appendSuppressed(attrs, suppressed)...)
	}
}

// Found writes a fault in another DHCP server's answers, with what mends it.
func (j *Journal) Found(f proxydhcp.Finding) {
	level := slog.LevelWarn
	if f.Fault.Harmless() {
		level = slog.LevelInfo
	}
	attrs := appendText(nil, "interface", f.Segment.Interface)
	attrs = append(attrs,
		slog.String("server", f.Server.String()), slog.String("fault", f.Fault.String()), slog.String("mac", f.Client.String()),
		slog.String("problem", f.Problem()), slog.String("suffers", f.Suffers()), slog.String("remedy", f.Remedy()))
	j.log.LogAttrs(context.Background(), level, "the DHCP server gets in the way of network boot", attrs...)
}

// Link writes that a served interface has changed.
func (j *Journal) Link(l proxydhcp.Link) {
	level, message := slog.LevelWarn, "interface not served"
	if l.State == proxydhcp.LinkServing {
		level, message = slog.LevelInfo, "interface served"
	}
	attrs := appendText(nil, "interface", l.Interface)
	if l.VLAN != 0 {
		attrs = append(attrs, slog.Int("vlan", int(l.VLAN)))
	}
	addresses := make([]string, len(l.Addresses))
	for i, a := range l.Addresses {
		addresses[i] = a.String()
	}
	attrs = appendText(attrs, "address", strings.Join(addresses, " "))
	if l.State != proxydhcp.LinkServing {
		attrs = append(attrs, slog.String("reason", l.State.String()))
	}
	j.log.LogAttrs(context.Background(), level, message, attrs...)
}

// TFTPFinished writes how a transfer ended.
func (j *Journal) TFTPFinished(t tftp.Transfer) {
	level, message := slog.LevelInfo, "transferred"
	switch t.Result {
	case tftp.Completed:
	case tftp.Probed:
		level, message = slog.LevelDebug, "size probed"
	case tftp.Failed:
		level, message = slog.LevelError, "transfer failed"
	case tftp.Replaced:
		level, message = slog.LevelDebug, "transfer replaced"
	default:
		message = "transfer ended early"
	}
	attrs := []slog.Attr{slog.String("client", t.Client.Addr().String()), slog.String("file", t.File), slog.Int64("bytes", t.Size)}
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
	j.log.LogAttrs(context.Background(), level, message, attrs...)
}

// TFTPRefused writes a request that got no transfer.
func (j *Journal) TFTPRefused(r tftp.Refusal) {
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
	}
	if !j.log.Enabled(context.Background(), level) {
		return
	}
	suppressed, ok := j.provoked.allow(time.Now())
	if !ok {
		return
	}
	attrs := []slog.Attr{slog.String("client", r.Client.Addr().String()), slog.String("file", r.Asked), slog.String("reason", r.Reason.String())}
	if r.Err != nil && r.Reason != tftp.NotFound {
		attrs = append(attrs, slog.String("error", r.Err.Error()))
	}
	if r.Reason == tftp.NotAllowed {
		attrs = append(attrs, slog.String("hint", "add its network with --tftp-allow if it is one of yours"))
	}
	j.log.LogAttrs(context.Background(), level, message, appendSuppressed(attrs, suppressed)...)
}

// isSpeculative reports whether a client asks for the file on the chance that
// there is one: every EFI iPXE begins with autoexec.ipxe.
func isSpeculative(name string) bool { return strings.HasSuffix(name, "autoexec.ipxe") }

// HTTP writes how a request for a boot file ended.
func (j *Journal) HTTP(a httpboot.Access) {
	level, message := slog.LevelInfo, "transferred"
	switch {
	case a.Status == 404:
		message = "boot file not found"
		if isSpeculative(a.Path) {
			level = slog.LevelDebug
		}
	case a.Err != nil:
		level, message = slog.LevelError, "boot file cannot be made"
	case a.Status >= 400:
		message = "transfer refused"
	case a.Method == "HEAD":
		level, message = slog.LevelDebug, "size probed"
	case !a.Complete:
		level, message = slog.LevelDebug, "transferred in part"
	}
	if !j.log.Enabled(context.Background(), level) {
		return
	}
	var suppressed int
	if a.Status >= 400 {
		var ok bool
		if suppressed, ok = j.provoked.allow(time.Now()); !ok {
			return
		}
	}
	file := a.File
	if file == "" {
		file = a.Path
	}
	attrs := []slog.Attr{
		slog.String("client", a.Client.String()), slog.String("file", file), slog.Int64("bytes", a.Sent),
		slog.Duration("duration", a.Duration.Round(time.Millisecond)), slog.Int("status", a.Status),
	}
	if a.Err != nil {
		attrs = append(attrs, slog.String("error", a.Err.Error()))
	}
	j.log.LogAttrs(context.Background(), level, message, appendSuppressed(attrs, suppressed)...)
}

// appendText appends an attribute that is not empty.
func appendText(attrs []slog.Attr, key, value string) []slog.Attr {
	if value == "" {
		return attrs
	}
	return append(attrs, slog.String(key, value))
}

// appendSuppressed tells how many lines were left out before this one.
func appendSuppressed(attrs []slog.Attr, n int) []slog.Attr {
	if n == 0 {
		return attrs
	}
	return append(attrs, slog.Int("suppressed", n))
}

// limiter lets perSecond lines a second through and counts the others.
type limiter struct {
	mu         sync.Mutex
	second     int64
	passed     int
	suppressed int
}

// allow reports whether a line may be written at now, and how many were left
// out since the last one.
func (l *limiter) allow(now time.Time) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := now.Unix(); s != l.second {
		l.second, l.passed = s, 0
	}
	if l.passed >= perSecond {
		l.suppressed++
		return 0, false
	}
	l.passed++
	suppressed, l.suppressed = l.suppressed, 0
	return suppressed, true
}
