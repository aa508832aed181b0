// Package eventlog is the one place where events become log lines.
//
// Info is for what was offered and transferred, Debug for what was ignored,
// Warn for a fault in the network's set-up that a person should fix, Error for
// a failure of our own reading or writing. An event becomes a line (line.go) of
// a kind (kind.go). Repeats are folded and each kind and machine has a budget
// (limit.go), so nobody can fill the log, or hide a line behind others.
//
// The keys are an interface: docs/log.md lists them. They come in one order,
// that of line.attrs.
package eventlog

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/pxesidecar/pxesidecar/internal/httpboot"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/server"
	"github.com/pxesidecar/pxesidecar/tftp"
)

// Log writes events to a log. Its methods may be called from several
// goroutines.
type Log struct {
	log *slog.Logger

	mu      sync.Mutex
	limit   *limiter
	lines   []written // scratch
	waiting bool      // a timer will look at what is folded
}

// New returns an event log that writes to log.
func New(log *slog.Logger) *Log { return &Log{log: log, limit: newLimiter()} }

// Close writes what is folded. Nothing may be logged after it.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.write(l.limit.end(l.lines[:0], time.Now()))
}

// add takes an event.
func (l *Log) add(event *line) {
	if !l.log.Enabled(context.Background(), event.kind.row().level) {
		return
	}
	event.file = cut(event.file)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.write(l.limit.add(l.lines[:0], event, time.Now()))
	l.wait()
}

// settle writes what was folded for long enough.
func (l *Log) settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = false
	l.write(l.limit.tick(l.lines[:0], time.Now()))
	l.wait()
}

// wait has settle called soon, if anything waits to be written.
func (l *Log) wait() {
	if l.limit.isWaiting() && !l.waiting {
		l.waiting = true
		time.AfterFunc(settleEach, l.settle)
	}
}

// write writes lines.
func (l *Log) write(lines []written) {
	for i := range lines {
		w := &lines[i]
		l.log.LogAttrs(context.Background(), w.level(), w.kind.row().message, w.attrs()...)
	}
	clear(lines)
	l.lines = lines[:0]
}

// maxFile bounds what is logged and kept of a file's name in bytes: more than a
// TFTP request has room for (RFC 1350).
const maxFile = 512

// cut shortens the name of a file.
func cut(name string) string {
	if len(name) <= maxFile {
		return name
	}
	return name[:maxFile] + "..."
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
	d := &res.Decision
	event := line{
		kind: requestKind(&res), segment: res.Arrival.Segment, client: res.Client, rule: d.Rule, unmet: d.Unmet.Text,
		file: d.File, item: d.Item, nextServer: d.NextServer, err: res.Err,
	}
	event.segment.Relay = res.Client.Segment.Relay
	if res.Client.VendorClass == "" {
		event.ip = res.Arrival.From.Addr()
	}
	if res.Stepped {
		event.shape = res.Shape.String()
	}
	if res.Reason != proxydhcp.Answerable {
		event.reason = res.Reason.String()
	}
	l.add(&event)
	if res.LoopEnded != "" {
		l.loopEnded(&res)
	}
}

// requestKind returns the kind of a request's line.
func requestKind(res *proxydhcp.Result) kind {
	switch {
	case res.Err != nil:
		return answerFailed
	case res.Reason == proxydhcp.DryRun:
		return wouldOffer
	case res.Reason == proxydhcp.NoAddress:
		return cannotAnswer
	case res.Reason == proxydhcp.NoROM, res.Reason == proxydhcp.NeedsHTTP, res.Reason == proxydhcp.NeedsTFTP:
		return nothingToOffer
	case res.Reason != proxydhcp.Answerable:
		return ignored
	case res.Arrival.Port == proxydhcp.PortProxy:
		return acknowledged
	case res.Stepped:
		return offeredAnew
	}
	return offered
}

// loopEnded warns once that a ROM does not make a machine's iPXE the one that
// the policy demands, and says why and what to do.
func (l *Log) loopEnded(res *proxydhcp.Result) {
	hint := "rebuild the ROM with what is wanted, or demand less"
	if res.Decision.Unmet.Version {
		hint = "the ROM reports this version itself (iPXE 1.x built outside a git clone reports 1.0.0), or the machine did not run it; " +
			"rebuild it with a bumped VERSION_MAJOR, VERSION_MINOR or VERSION_PATCH, or demand features instead of a version"
	}
	client := res.Client
	client.IPXE.Features = 0 // its offer says them
	l.add(&line{
		kind: upgradeFailed, segment: proxydhcp.Segment{Interface: res.Arrival.Segment.Interface}, client: client,
		rom: res.LoopEnded, unmet: res.Decision.Unmet.Text, file: res.Decision.File, hint: hint,
	})
}

// ScriptUpgradeFailed warns that a machine is still not the iPXE that the
// version check wants, and goes on as it is. version is its ${version}, rom the
// ROM of ours that it has read; "" if it has read none. mac is as the machine
// wrote it.
func (l *Log) ScriptUpgradeFailed(ip netip.Addr, mac, version, rom string) {
	event := line{kind: scriptUpgradeFailed, ip: ip, runs: "iPXE " + version, rom: rom,
		hint: "the machine did not start the ROM, or the ROM is not the wanted iPXE: serve another ROM, or accept what it calls itself with --ipxe-text"}
	if rom == "" {
		event.hint = "the machine has read no ROM from here: see whether it can load the one that --rom names, and whether that is the wanted iPXE"
	}
	if hardware, err := net.ParseMAC(mac); err == nil && len(hardware) <= len(event.client.Hardware.Bytes) {
		event.client.Hardware = proxydhcp.HardwareAddr{Type: 1, Len: uint8(len(hardware))}
		copy(event.client.Hardware.Bytes[:], hardware)
	}
	l.add(&event)
}

// Start writes what came of a ROM that a machine has loaded. reason is the
// likeliest one if it did not start, and hint what a person can do.
func (l *Log) Start(r proxydhcp.StartReport, reason, hint string) {
	client := r.Client
	client.IPXE.Features = 0
	event := line{kind: started, segment: client.Segment, client: client, ip: r.IP, file: r.ROM}
	if !r.Started {
		if r.Exhausted {
			hint += "; each ROM for this platform has been given once, none has started, and the first is given again"
		}
		event.kind, event.file, event.reason, event.next, event.hint = notStarted, r.File, reason, r.Next, hint
	}
	l.add(&event)
}

// Autoexec writes what an iPXE was given by autoexec.ipxe, without asking DHCP.
func (l *Log) Autoexec(a proxydhcp.Autoexec) {
	client := a.Client
	client.IPXE.Features = 0
	l.add(&line{kind: offeredByAutoexec, segment: client.Segment, client: client, rule: a.Decision.Rule, file: a.URL})
}

// NetworkFault writes that the host's interfaces could not be read.
func (l *Log) NetworkFault(err error) { l.error(server.Error{Err: err}) }

// error writes a failure of our own reading or writing.
func (l *Log) error(e server.Error) {
	l.add(&line{kind: networkFault, segment: proxydhcp.Segment{Interface: e.Interface}, err: e.Err})
}

// conflict writes what another server's answers do to network boot, with the
// step that removes it.
func (l *Log) conflict(c proxydhcp.Conflict) {
	event := line{
		kind: seriousConflict, segment: proxydhcp.Segment{Interface: c.Segment.Interface},
		client: proxydhcp.Client{Hardware: c.Client}, conflict: &c,
	}
	switch {
	case c.Kind == proxydhcp.OtherProxy:
		event.kind = otherProxy
	case c.Kind.Severity() == proxydhcp.Minor:
		event.kind = minorConflict
	case c.Kind.Severity() == proxydhcp.Harmless:
		event.kind = sameProxy
	}
	l.add(&event)
}

// link writes that a served interface has changed.
func (l *Log) link(k server.Link) {
	event := line{kind: linkServed, segment: proxydhcp.Segment{Interface: k.Interface, VLAN: k.VLAN}}
	addresses := make([]string, len(k.Addresses))
	for i, a := range k.Addresses {
		addresses[i] = a.String()
	}
	event.addresses = strings.Join(addresses, " ")
	if k.State != server.LinkServing {
		event.kind, event.reason = linkLost, k.State.String()
	}
	l.add(&event)
}

// tftpFinished writes how a transfer ended.
func (l *Log) tftpFinished(t tftp.Transfer) {
	event := line{
		kind: transferred, ip: t.Client.Addr(), file: t.File, size: counted(t.Size), resent: t.Resent, duration: t.Duration, err: t.Err,
	}
	switch t.Result {
	case tftp.Completed:
	case tftp.Probed:
		event.kind = sizeProbed
	case tftp.Failed:
		event.kind = transferFailed
	case tftp.Replaced:
		event.kind = transferReplaced
	case tftp.Aborted, tftp.TimedOut, tftp.ShutDown:
		event.kind = transferEnded
	}
	if t.Result != tftp.Completed && t.Result != tftp.Probed {
		event.sent, event.reason = counted(t.Sent), t.Result.String()
	}
	l.add(&event)
}

// notAllowedHint is what to do about a client that is not served.
const notAllowedHint = "add its network with --tftp-allow if it is one of yours"

// tftpRefused writes that a request got no transfer.
func (l *Log) tftpRefused(r tftp.Refusal) {
	event := line{kind: refusedQuietly, ip: r.Client.Addr(), file: r.Asked, reason: r.Reason.String(), err: r.Err}
	switch r.Reason {
	case tftp.NotFound:
		event.kind, event.err = notFoundKind(r.Asked), nil
	case tftp.Denied:
		event.kind = refused
	case tftp.Unreadable:
		event.kind = unreadable
	case tftp.NotAllowed:
		event.kind, event.hint = notAllowed, notAllowedHint
	case tftp.Illegal, tftp.UnknownPort, tftp.Forged, tftp.Multicast, tftp.TooFast, tftp.TooMany:
	}
	l.add(&event)
}

// notFoundKind returns the kind of line of a file that is not there.
func notFoundKind(name string) kind {
	if isSpeculative(name) {
		return notExpected
	}
	return notFound
}

// speculative are patterns of files that clients ask for without knowing that
// they exist: the base, and the folder that it is in.
var speculative = []struct{ folder, base string }{
	{"*", proxydhcp.AutoexecName}, // every EFI iPXE begins with it
	{"*", "revocations*.efi"},     // shim.c, load_revocations_file
	{"*", "shim_certificate*.efi"},
	{"*-efi", "*.lst"}, // GRUB's normal.c: commands, file systems, terminals
	{"*-pc", "*.lst"},
	{"*", "grub.cfg-*"}, // GRUB's net.c: by MAC address and by IP address, then grub.cfg
	// pxelinux, load_config of core/fs/pxe/pxe.c: by UUID, by MAC address, by the
	// beginnings of the IP address; then default.
	{"pxelinux.cfg", "????????-????-????-????-????????????"},
	{"pxelinux.cfg", "??-??-??-??-??-??-??"},
	{"pxelinux.cfg", "[0-9A-F]*"},
	// The boot ROM of a Raspberry Pi looks for everything in a folder of its
	// serial number first, and for some files that few have.
	{"[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]", "*"},
	{"*", "pieeprom.*"}, {"*", "recover*.elf"}, {"*", "recovery8.img"}, {"*", "dt-blob.bin"}, {"*", "bootcfg.txt"}, {"*", "armstub*.bin"},
}

// tftpStalled writes that a disk does not answer. Without that line, machines
// would time out and nobody knew why.
func (l *Log) tftpStalled(s tftp.Stall) {
	l.add(&line{kind: diskStalled, file: cut(s.File), duration: s.For.Round(time.Second),
		hint: "look at what is mounted there; files on other disks are served"})
}

// isSpeculative reports whether clients ask for the file without knowing that
// it exists.
func isSpeculative(name string) bool {
	folder, base := path.Split(strings.ReplaceAll(name, `\`, "/"))
	folder = path.Base(folder)
	for _, s := range speculative {
		// The patterns are well-formed, so there is no error.
		inFolder, _ := path.Match(s.folder, folder)
		matches, _ := path.Match(s.base, base)
		if matches && (inFolder || s.folder == "*") {
			return true
		}
	}
	return false
}

// HTTP writes how a request for a boot file ended.
func (l *Log) HTTP(a httpboot.Access) {
	event := line{
		kind: transferred, ip: a.Client, file: a.File, size: counted(a.Sent), duration: a.Duration, status: a.Status, err: a.Err,
	}
	if event.file == "" {
		event.file = a.Path
	}
	switch {
	case a.Status == 404:
		event.kind = notFoundKind(a.Path)
	case a.NotAllowed:
		event.kind, event.reason, event.hint = notAllowed, tftp.NotAllowed.String(), notAllowedHint
	case a.Err != nil:
		event.kind = cannotBeMade
	case a.Status >= 400:
		event.kind = refused
	case a.Method == "HEAD":
		event.kind = sizeProbed
	case !a.Complete:
		event.kind = transferredInPart
	}
	l.add(&event)
}
