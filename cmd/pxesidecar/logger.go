package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/pxesidecar/pxesidecar/config"
)

// newLogger returns the log that the settings ask for.
func newLogger(s config.Settings, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		return nil, usageError{fmt.Errorf("--log-level %q: one of debug, info, warn, error", s.LogLevel)}
	}
	options := &slog.HandlerOptions{Level: level}
	switch s.LogFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, usageError{fmt.Errorf("--log-format %q: one of text, json", s.LogFormat)}
}
