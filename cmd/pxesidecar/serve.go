package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/eventlog"
	"github.com/pxesidecar/pxesidecar/internal/logqueue"
)

// serveCommand returns the command that runs the daemon.
func serveCommand(stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "answer machines that boot from the network, until stopped",
		Description: "Without flags it serves the only interface, the iPXE ROMs that were fetched or that the distribution packages, and\n" +
			"a built-in boot script. Each flag has an environment variable. SIGHUP reads the configuration file again.",
		Flags:        newFlags(config.Flags()),
		OnUsageError: onUsageError,
		Before:       noArguments,
		Action:       func(c *cli.Context) error { return serve(c, stderr) },
	}
}

// logGrace is how long the end waits for somebody to read the rest of the log.
const logGrace = time.Second

// serve runs the daemon until it is told to stop. From here on whoever reads
// standard error, or does not, has no influence on it.
func serve(c *cli.Context, stderr io.Writer) error {
	h, err := thisHost()
	if err != nil {
		return err
	}
	s, err := settings(c, config.Flags())
	if err != nil {
		return err
	}
	h.waits = !s.NoWait
	l, err := load(s, h)
	if err != nil {
		return err
	}
	h.waits = true // a reload is not refused because of the network
	level := new(slog.LevelVar)
	level.Set(l.Log.Level)
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)
	queue := logqueue.New(stderr, logHandler(l.Log, level))
	defer queue.Close(logGrace)
	if err := serveLoaded(c, h, l, queue.Logger(), level); err != nil {
		printError(queue, err)
		return printedError{err}
	}
	return nil
}

// serveLoaded serves a configuration that was loaded for a host, and takes over
// its files. level is the log's.
func serveLoaded(c *cli.Context, h host, l *loaded, log *slog.Logger, level *slog.LevelVar) (err error) {
	ctx, stop := untilStopped(c.Context)
	defer stop()
	if l, err = awaitInterface(ctx, l, log, func() (*loaded, error) { return loadServed(c, h) }); l == nil {
		return err
	}
	if l.DHCP.Chosen {
		h.serves = l.DHCP.Names() // whatever else appears
	}
	events := eventlog.New(log)
	d, err := listen(l, events)
	if err != nil {
		l.files.Close()
		return err
	}
	defer d.close()
	r := &reloader{
		path: c.String("config"), watch: l.WatchConfig, read: func() (*loaded, error) { return loadServed(c, h) },
		daemon: d, log: log, level: level, started: l, changes: h.network.Changes(),
	}
	stopReloading := r.start(ctx)
	defer stopReloading()
	// Last: whoever waits for "ready" may send a signal at once.
	report(log, l, d)
	err = d.serve(ctx)
	events.Close()
	log.Info("stopped")
	return err
}

// awaitInterface waits until there is an interface to serve, if none is named,
// and returns the configuration that chooses it. It returns nil if ctx ends
// before that. read loads the configuration as it is written then.
func awaitInterface(ctx context.Context, l *loaded, log *slog.Logger, read func() (*loaded, error)) (*loaded, error) {
	if l.DHCP.Off || len(l.DHCP.Interfaces) > 0 {
		return l, nil
	}
	log.Warn("waiting for an interface to serve", "reason", errors.Join(l.Lacks...))
	ctx, stop := context.WithCancel(ctx)
	changes, ended := l.network.Changes(), make(chan struct{})
	go func() {
		defer close(ended)
		l.network.Run(ctx, func(err error) { log.Error("network fault", "error", err) })
	}()
	defer func() { stop(); <-ended }()
	for len(l.DHCP.Interfaces) == 0 {
		select {
		case <-ctx.Done():
			return nil, l.files.Close()
		case <-changes:
		}
		next, err := read()
		l.files.Close() // was only read
		if err != nil {
			return nil, err
		}
		l = next
	}
	return l, nil
}
