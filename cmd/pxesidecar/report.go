package main

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/server"
)

// The start-up report.

// report logs in a few lines what will be answered, where and with what.
func report(log *slog.Logger, cfg *config.Config, d *daemon) {
	for _, warning := range cfg.Warnings {
		log.Warn(warning)
	}
	if d.dhcp != nil {
		reportSockets(log, cfg, d.dhcp)
	}
	for _, s := range cfg.Segments {
		reportSegment(log, cfg, s)
	}
	log.Info("ready", "tftp", tftpText(cfg), "http", httpText(cfg), "dry-run", cfg.DHCP.DryRun, "version", version())
}

// reportSockets logs where requests are heard.
func reportSockets(log *slog.Logger, cfg *config.Config, dhcp *server.Server) {
	reception, why := dhcp.Reception()
	ports := "67, 4011"
	switch {
	case reception == server.NotAtAll && !cfg.DHCP.ProxyOnly:
		log.Warn("port 67 is not heard here; only machines whose DHCP server on this host announces PXEClient will ask on port 4011", "error", why)
		ports = "4011"
	case reception == server.NotAtAll:
		ports = "4011"
	case reception == server.ByUDPSocket:
		log.Info("port 67 is ours alone: no DHCP server can run on this host beside us")
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

// reportSegment logs what one part of the network gets.
func reportSegment(log *slog.Logger, cfg *config.Config, s config.Segment) {
	if s.Name != "" {
		log = log.With("segment", s.Name)
	}
	if s.Deny {
		log.Info("nobody there gets an answer")
		return
	}
	everybody := cfg.Segments[len(cfg.Segments)-1]
	for _, r := range s.ROMs {
		if s.Name != "" && slices.ContainsFunc(everybody.ROMs, func(o config.ROM) bool { return o.Name == r.Name && o.Platform == r.Platform }) {
			continue // told for everybody
		}
		attrs := []any{"arch", r.Platform.String(), "file", r.Name}
		if r.Source != "" {
			attrs = append(attrs, "from", r.Source)
		}
		if r.Image.HasVersion {
			attrs = append(attrs, "reports", "iPXE "+proxydhcp.Version(r.Image.Version).String())
		}
		log.Info("ROM", attrs...)
	}
	if len(s.NoROM) > 0 && s.Name == "" {
		log.Info("no ROM, firmware of these gets no answer", "arch", joined(s.NoROM))
	}
	source := cfg.Tree.Source(s.Script)
	if source == "" {
		source = "elsewhere"
	}
	log.Info("boot script", "file", s.Script, "from", source)
}

func tftpText(cfg *config.Config) string {
	if cfg.TFTPOff || cfg.DHCP.DryRun {
		return "off"
	}
	return cfg.TFTP.Addr.String()
}

func httpText(cfg *config.Config) string {
	if !cfg.HTTP.IsValid() || cfg.DHCP.DryRun {
		return "off"
	}
	return cfg.HTTP.String()
}

// joined lists values for people.
func joined[T fmt.Stringer](values []T) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = v.String()
	}
	return strings.Join(texts, ", ")
}
