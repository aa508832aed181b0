package main

import (
	"io"
	"log/slog"

	"github.com/pxesidecar/pxesidecar/config"
)

// logHandler returns a function that returns what writes a log's records to w,
// a line each, if they are of a level, as it is then, or above.
func logHandler(c config.Log, level slog.Leveler) func(w io.Writer) slog.Handler {
	options := &slog.HandlerOptions{Level: level}
	if c.JSON {
		return func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, options) }
	}
	return func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, options) }
}
