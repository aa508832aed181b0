package main

import (
	"io"

	"github.com/urfave/cli/v2"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/eventlog"
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

// serve runs the daemon until it is told to stop.
func serve(c *cli.Context, stderr io.Writer) error {
	l, err := loadServed(c)
	if err != nil {
		return err
	}
	log := newLogger(l.Log, stderr)
	ctx, stop := untilStopped(c.Context)
	defer stop()
	d, err := listen(l, eventlog.New(log))
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
	log.Info("stopped")
	return err
}
