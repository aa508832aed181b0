package main

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// The start-up report.

// report logs in a few lines what will be answered, where and with what.
func report(log *slog.Logger, cfg *config.Config) {
	for _, warning := range cfg.Warnings {
		log.Warn(warning)
	}
	for _, i := range cfg.Interfaces {
		log.Info("answering network boot", "interface", i.Name, "address", joined(i.Addresses), "ports", "67, 4011")
	}
	for _, s := range cfg.Segments {
		reportSegment(log, cfg, s)
	}
	log.Info("ready", "tftp", tftpText(cfg), "http", httpText(cfg), "dry-run", cfg.DHCP.DryRun, "version", version())
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
	for _, r := range s.ROMs {
		attrs := []any{"arch", r.Platform.String(), "file", r.Name}
		if r.Source != "" {
			attrs = append(attrs, "from", r.Source)
		}
		if r.Image.HasVersion {
			attrs = append(attrs, "reports", "iPXE "+proxydhcp.Version(r.Image.Version).String())
		}
		log.Info("ROM", attrs...)
	}
	if len(s.NoROM) > 0 {
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
