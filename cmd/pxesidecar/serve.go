package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/httpboot"
	"github.com/pxesidecar/pxesidecar/internal/journal"
	"github.com/pxesidecar/pxesidecar/internal/portowner"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/tftp"
)

// serve: the daemon.

// serveCommand is the command that runs the daemon.
func serveCommand(stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "answer machines that boot from the network, until stopped",
		Description: "With no flags it serves the only interface there is, the iPXE ROMs that the distribution\n" +
			"packages, and a boot script of its own. Each flag has an environment variable.",
		Flags:        serveFlags(),
		OnUsageError: onUsageError,
		Before:       noArguments,
		Action:       func(c *cli.Context) error { return serve(c, stderr) },
	}
}

// serve runs the daemon until it is told to stop.
func serve(c *cli.Context, stderr io.Writer) error {
	s, err := settings(c)
	if err != nil {
		return err
	}
	log, err := newLogger(s, stderr)
	if err != nil {
		return err
	}
	interfaces, err := config.HostInterfaces()
	if err != nil {
		return err
	}
	cfg, err := config.Load(s, config.Host{Root: "/", Interfaces: interfaces, Version: version()})
	if err != nil {
		return err
	}
	defer cfg.Tree.Close()
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	d, err := listen(cfg, journal.New(log))
	if err != nil {
		return err
	}
	defer d.close()
	report(log, cfg)
	err = d.serve(ctx)
	log.Info("stopped")
	return err
}

// daemon is the servers of one configuration. Those that are off are nil.
type daemon struct {
	dhcp *proxydhcp.Server
	tftp *tftp.Server
	http *http.Server
	web  net.Listener
}

// listen opens every socket, or none.
func listen(cfg *config.Config, j *journal.Journal) (_ *daemon, err error) {
	d := &daemon{}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	dhcp := cfg.DHCP
	dhcp.Events = proxydhcp.Events{Request: j.DHCP, Fault: j.Fault}
	if d.dhcp, err = proxydhcp.Listen(dhcp); err != nil {
		return nil, advise(err, "udp", proxydhcp.PortProxy)
	}
	if dhcp.DryRun {
		return d, nil // whoever only looks must not be in the way of others' ports
	}
	if !cfg.TFTPOff {
		files := cfg.TFTP
		files.Events = tftp.Events{Refused: j.TFTPRefused, Finished: func(t tftp.Transfer) {
			j.TFTPFinished(t)
			if t.Result == tftp.Completed {
				d.dhcp.BootFileRead(t.Client.Addr(), t.File)
			}
		}}
		if d.tftp, err = tftp.Listen(files); err != nil {
			return nil, advise(err, "udp", files.Addr.Port())
		}
	}
	if cfg.HTTP.IsValid() {
		if d.web, err = net.Listen("tcp4", cfg.HTTP.String()); err != nil {
			return nil, advise(fmt.Errorf("HTTP: %w", err), "tcp", cfg.HTTP.Port())
		}
		d.http = newHTTPServer(cfg, func(a httpboot.Access) {
			j.HTTP(a)
			if a.Complete {
				d.dhcp.BootFileRead(a.Client, a.File)
			}
		})
	}
	return d, nil
}

// newHTTPServer returns a server of the boot file tree that no client can hold
// up for ever.
func newHTTPServer(cfg *config.Config, done func(httpboot.Access)) *http.Server {
	return &http.Server{
		Handler:           httpboot.Handler(cfg.Tree, done),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
}

// close closes what listen opened.
func (d *daemon) close() {
	if d.dhcp != nil {
		d.dhcp.Close()
	}
	if d.tftp != nil {
		d.tftp.Close()
	}
	if d.web != nil {
		d.web.Close()
	}
}

// serve serves until ctx ends or a server fails.
func (d *daemon) serve(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.dhcp.Serve(ctx) })
	if d.tftp != nil {
		g.Go(func() error { return d.tftp.Serve(ctx) })
	}
	if d.http != nil {
		stop := context.AfterFunc(ctx, func() { d.http.Close() })
		defer stop()
		g.Go(func() error {
			if err := d.http.Serve(d.web); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("HTTP: %w", err)
			}
			return nil
		})
	}
	return g.Wait()
}

// advise adds what a person can do about a socket that could not be opened.
func advise(err error, network string, port uint16) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		if owner := portowner.Find(network, port); owner != "" {
			return fmt.Errorf("%w: %s has it; stop that, or let only one of the two serve", err, owner)
		}
		return fmt.Errorf("%w: another process has it; ss -lnp shows which", err)
	case errors.Is(err, os.ErrPermission):
		program, _ := os.Executable()
		return fmt.Errorf("%w: run as root, or once: setcap cap_net_raw,cap_net_bind_service=ep %s", err, program)
	}
	return err
}
