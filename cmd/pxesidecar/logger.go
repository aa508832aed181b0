package main

import (
	"io"
	"log/slog"

	"github.com/pxesidecar/pxesidecar/config"
)

// newLogger returns a log that writes to w what is of a level, as it is then,
// or above.
func newLogger(c config.Log, level slog.Leveler, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if c.JSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
