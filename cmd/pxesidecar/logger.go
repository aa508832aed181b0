package main

import (
	"io"
	"log/slog"

	"github.com/pxesidecar/pxesidecar/config"
)

// newLogger returns a log that writes to w.
func newLogger(c config.Log, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level}
	if c.JSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
