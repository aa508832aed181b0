package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/bootfiles"
	"github.com/pxesidecar/pxesidecar/internal/eventlog"
	"github.com/pxesidecar/pxesidecar/internal/httpboot"
	"github.com/pxesidecar/pxesidecar/internal/portowner"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/server"
	"github.com/pxesidecar/pxesidecar/tftp"
)

// daemon is the servers of one configuration, and what they share. Servers that
// are off are nil.
type daemon struct {
	files     *bootfiles.Files
	machines  *proxydhcp.Machines
	responder *proxydhcp.Responder
	dhcp      *server.Server
	tftp      *tftp.Server
	http      *http.Server
	web       net.Listener
}

// newDaemon returns a daemon without sockets.
func newDaemon(cfg *config.Config) *daemon {
	d := &daemon{machines: proxydhcp.NewMachines()}
	d.files = bootfiles.NewFiles(cfg.Tree, cfg.ROMNames(), func(client netip.Addr) bool { return d.machines.HasReadROM(client, time.Now()) })
	d.responder = proxydhcp.NewResponder(proxydhcp.ResponderConfig{
		Policy: cfg.DHCP.Policy, Options: cfg.DHCP.Options, Machines: d.machines, DryRun: cfg.DHCP.DryRun,
	})
	return d
}

// listen opens every socket, or none. It takes over the configuration's tree if
// it succeeds.
func listen(cfg *config.Config, log *eventlog.Log) (_ *daemon, err error) {
	d := newDaemon(cfg)
	defer func() {
		if err != nil {
			d.closeSockets()
		}
	}()
	if !cfg.NoDHCP {
		d.dhcp, err = server.Listen(server.Config{
			Interfaces: cfg.DHCP.Interfaces, ProxyOnly: cfg.DHCP.ProxyOnly, Relayed: cfg.DHCP.Relayed, Responder: d.responder, Events: log.ServerEvents(),
		})
		if err != nil {
			return nil, advise(err, "udp", proxydhcp.PortProxy)
		}
	}
	if cfg.DHCP.DryRun {
		return d, nil // a dry run must not be in the way of others' ports
	}
	if !cfg.TFTPOff {
		if d.tftp, err = tftp.Listen(d.tftpConfig(cfg.TFTP, log)); err != nil {
			return nil, advise(err, "udp", cfg.TFTP.Addr.Port())
		}
	}
	if cfg.HTTP.IsValid() {
		if d.web, err = net.Listen("tcp4", cfg.HTTP.String()); err != nil {
			return nil, advise(fmt.Errorf("HTTP: %w", err), "tcp", cfg.HTTP.Port())
		}
		if cfg.TLS != nil {
			d.web = tls.NewListener(d.web, cfg.TLS)
		}
		d.http = d.newHTTPServer(log)
	}
	return d, nil
}

// tftpConfig returns the configuration of TFTP with its files and hooks.
func (d *daemon) tftpConfig(c tftp.Config, log *eventlog.Log) tftp.Config {
	c.FS = d.files
	c.Tree = func(r tftp.Request) fs.FS { return d.files.For(r.Client.Addr()) }
	c.Events = log.TFTPEvents()
	written := c.Events.Finished
	c.Events.Started = func(t tftp.Transfer) { d.machines.FileRequested(t.Client.Addr(), time.Now()) }
	c.Events.Finished = func(t tftp.Transfer) {
		written(t)
		if t.Result == tftp.Completed {
			d.fileRead(t.Client.Addr(), t.File)
		}
	}
	return c
}

// newHTTPServer returns a server of the boot file tree that no client can hold
// up for ever.
func (d *daemon) newHTTPServer(log *eventlog.Log) *http.Server {
	return &http.Server{
		Handler: httpboot.Handler(d.files.For, func(a httpboot.Access) {
			log.HTTP(a)
			d.machines.FileRequested(a.Client, time.Now())
			if a.Complete {
				d.fileRead(a.Client, a.File)
			}
		}),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
}

// fileRead notes that a client has read a file to its end, if that says
// something of the machine.
func (d *daemon) fileRead(client netip.Addr, file string) {
	switch {
	case d.files.IsROM(file):
		d.machines.ROMRead(client, file, time.Now())
	case bootfiles.IsVersionCheck(file):
		d.machines.VersionCheckRead(client)
	}
}

// replace puts another configuration's policy and files in force. What belongs
// to open sockets stays.
func (d *daemon) replace(cfg *config.Config) {
	d.files.Replace(cfg.Tree, cfg.ROMNames())
	d.responder.SetPolicy(cfg.DHCP.Policy)
}

// close closes what listen opened or took over.
func (d *daemon) close() {
	d.closeSockets()
	d.files.Close()
}

// closeSockets closes the sockets.
func (d *daemon) closeSockets() {
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
	g.Go(func() error { <-ctx.Done(); return nil })
	if d.dhcp != nil {
		g.Go(func() error { return d.dhcp.Serve(ctx) })
	}
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

// samePlace reports whether two places are served by the same sockets.
func samePlace(a, b server.Interface) bool {
	return a.Name == b.Name && a.TaggedOnly == b.TaggedOnly && a.Server == b.Server && slices.Equal(a.VLANs, b.VLANs)
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
