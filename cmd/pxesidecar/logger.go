package main

import (
	"io"
	"log/slog"

	"github.com/pxesidecar/pxesidecar/config"
)

// logHandler returns a function that returns what writes a log's records to w,
// a line each.
func logHandler(c config.Log) func(w io.Writer) slog.Handler {
	options := &slog.HandlerOptions{Level: c.Level}
	if c.JSON {
		return func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, options) }
	}
	return func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, options) }
}
