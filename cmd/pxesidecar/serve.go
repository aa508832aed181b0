package main

import (
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
		Description: "Without flags it serves the only interface, the iPXE ROMs that the distribution packages, and\n" +
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
	l, err := loadServed(c)
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)
	queue := logqueue.New(stderr, logHandler(l.Log))
	defer queue.Close(logGrace)
	if err := serveLoaded(c, l, queue.Logger()); err != nil {
		printError(queue, err)
		return printedError{err}
	}
	return nil
}

// serveLoaded serves a configuration, and takes over its files.
func serveLoaded(c *cli.Context, l *loaded, log *slog.Logger) error {
	ctx, stop := untilStopped(c.Context)
	defer stop()
	events := eventlog.New(log)
	d, err := listen(l, events)
	if err != nil {
		l.files.Close()
		return err
	}
	defer d.close()
	r := &reloader{
		path: c.String("config"), watch: l.WatchConfig, read: func() (*loaded, error) { return loadServed(c) },
		daemon: d, log: log, started: l,
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
