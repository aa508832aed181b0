package main

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/bootfiles"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/server"
)

// report logs at the start and after a reload what is answered, where, and with
// which files.
func report(log *slog.Logger, l *loaded, d *daemon) {
	for _, warning := range l.warnings {
		log.Warn(warning)
	}
	if d.dhcp != nil {
		reportSockets(log, l.DHCP, d.dhcp)
	}
	if l.httpTaken != nil {
		log.Warn(httpOff, "error", l.httpTaken, "hint", httpOffHint)
	}
	for i := range l.Segments {
		reportSegment(log, l, i)
	}
	if r, newest, ok := l.newer(); ok {
		log.Info(newerMessage, "arch", r.Platform.String(), "file", r.Name, "hint", newerHint,
			"from", r.Source, "reports", "iPXE "+r.IPXE.Version.String(), "release", newest.String())
	}
	log.Info("ready", "tftp", tftpText(l), "http", d.httpText(), "dry-run", l.DHCP.DryRun, "version", version())
}

// reportSockets logs where requests are received.
func reportSockets(log *slog.Logger, c config.DHCP, dhcp *server.Server) {
	reception, why := dhcp.Reception()
	ports := "67, 4011"
	switch {
	case reception == server.NotAtAll && !c.ProxyOnly:
		log.Warn("port 67 is not heard here; only machines whose DHCP server on this host announces PXEClient will ask on port 4011", "error", why)
		ports = "4011"
	case reception == server.NotAtAll:
		ports = "4011"
	case reception == server.ByUDPSocket:
		log.Info("port 67 is heard by an ordinary socket: a DHCP server on this host would take requests from us, or not start")
	}
	for _, l := range dhcp.Links() {
		attrs := []any{"interface", l.Interface, "address", joined(l.Addresses), "ports", ports}
		if l.VLAN != 0 {
			attrs = append(attrs, "vlan", l.VLAN)
		}
		if len(l.Tagged) > 0 {
			attrs = append(attrs, "tagged", strings.Trim(fmt.Sprint(l.Tagged), "[]"))
		}
		if l.State != server.LinkServing {
			log.Warn("interface not served yet", append(attrs, "reason", l.State.String())...)
			continue
		}
		log.Info("answering network boot", attrs...)
	}
}

// reportSegment logs what the segment of that index gets.
func reportSegment(log *slog.Logger, l *loaded, index int) {
	segment, files := l.Segments[index], l.files.Segments[index]
	if segment.Name != "" {
		log = log.With("segment", segment.Name)
	}
	if segment.Deny {
		log.Info("nobody there gets an answer")
		return
	}
	everybody := l.files.Segments[len(l.Segments)-1]
	for _, r := range files.ROMs {
		if segment.Name != "" && slices.ContainsFunc(everybody.ROMs, func(o config.ROM) bool { return o.Name == r.Name && o.Platform == r.Platform }) {
			continue // it is reported for everybody
		}
		reportROM(log, l.files, r)
	}
	if none := withoutROM(files); len(none) > 0 && segment.Name == "" {
		log.Info("no ROM, firmware of these gets no answer", "arch", joined(none))
	}
	source := l.files.Source(files.Script)
	if source == "" {
		source = "elsewhere"
	}
	log.Info("boot script", "file", files.Script, "from", source)
}

// reportROM logs which ROM a platform gets, who signed it and what it loads,
// and which ROMs a machine gets that does not start it.
func reportROM(log *slog.Logger, files *bootfiles.Set, r config.ROM) {
	attrs := []any{"arch", r.Platform.String(), "file", r.Name}
	if r.Source != "" {
		attrs = append(attrs, "from", r.Source)
	}
	if r.IPXE.HasVersion {
		attrs = append(attrs, "reports", "iPXE "+r.IPXE.Version.String())
	}
	if image, ok := files.Image(r.Name); ok && image.Signed() {
		attrs = append(attrs, "signed", image.Signers())
	}
	if second, ok := files.Image(r.SecondStage); ok {
		attrs = append(attrs, "second-stage", r.SecondStage, "second-stage-signed", second.Signers())
	}
	if len(r.Alternatives) > 0 {
		var names []string
		for _, other := range r.Alternatives {
			names = append(names, other.Name)
		}
		attrs = append(attrs, "alternatives", strings.Join(names, ", "))
	}
	log.Info("ROM", attrs...)
}

// withoutROM returns the platforms that have no ROM.
func withoutROM(files config.SegmentFiles) []proxydhcp.Platform {
	return slices.DeleteFunc(proxydhcp.Platforms(), func(p proxydhcp.Platform) bool {
		return slices.ContainsFunc(files.ROMs, func(r config.ROM) bool { return r.Platform == p })
	})
}

// tftpText returns where TFTP is served.
func tftpText(l *loaded) string {
	if l.TFTP.Off || l.DHCP.DryRun {
		return "off"
	}
	return l.TFTP.Addr.String()
}

// httpText returns where HTTP is served.
func (d *daemon) httpText() string {
	if d.web == nil {
		return "off"
	}
	return d.web.Addr().String()
}

// What is said if another process has the port on which HTTP is served by
// default.
const (
	httpOff     = "HTTP is off, its port is in use: UEFI HTTP boot gets no answer"
	httpOffHint = "--http names another port, --http off ends this warning"
)

// joined lists values for people.
func joined[T fmt.Stringer](values []T) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = v.String()
	}
	return strings.Join(texts, ", ")
}
