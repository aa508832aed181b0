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
	"github.com/pxesidecar/pxesidecar/internal/httpboot"
	"github.com/pxesidecar/pxesidecar/internal/journal"
	"github.com/pxesidecar/pxesidecar/internal/live"
	"github.com/pxesidecar/pxesidecar/internal/portowner"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/tftp"
)

// The servers of the daemon, and how they hear of each other.

// daemon is the servers of one configuration. Those that are off are nil.
type daemon struct {
	files *live.Files
	dhcp  *proxydhcp.Server
	tftp  *tftp.Server
	http  *http.Server
	web   net.Listener
}

// listen opens every socket, or none. It takes over the configuration's tree
// when it succeeds.
func listen(cfg *config.Config, j *journal.Journal) (_ *daemon, err error) {
	d := &daemon{files: live.New(cfg.Tree, cfg.ROMNames())}
	defer func() {
		if err != nil {
			d.closeSockets()
		}
	}()
	if !cfg.NoDHCP {
		dhcp := cfg.DHCP
		dhcp.Events = proxydhcp.Events{Request: j.DHCP, Found: j.Found, Link: j.Link, Fault: j.Fault}
		if d.dhcp, err = proxydhcp.Listen(dhcp); err != nil {
			return nil, advise(err, "udp", proxydhcp.PortProxy)
		}
	}
	if cfg.DHCP.DryRun {
		return d, nil // whoever only looks must not be in the way of others' ports
	}
	if !cfg.TFTPOff {
		if d.tftp, err = tftp.Listen(d.tftpConfig(cfg.TFTP, j)); err != nil {
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
		d.http = d.newHTTPServer(j)
	}
	return d, nil
}

// tftpConfig is the configuration of TFTP with its files and hooks.
func (d *daemon) tftpConfig(c tftp.Config, j *journal.Journal) tftp.Config {
	c.FS = d.files
	c.Tree = func(r tftp.Request) fs.FS { return d.files.For(r.Client.Addr(), time.Now()) }
	c.Events = tftp.Events{Started: func(t tftp.Transfer) { d.asked(t.Client.Addr()) }, Refused: j.TFTPRefused, Finished: func(t tftp.Transfer) {
		j.TFTPFinished(t)
		if t.Result == tftp.Completed {
			d.read(t.Client.Addr(), t.File)
		}
	}}
	return c
}

// newHTTPServer returns a server of the boot file tree that no client can hold
// up for ever.
func (d *daemon) newHTTPServer(j *journal.Journal) *http.Server {
	view := func(client netip.Addr) fs.FS { return d.files.For(client, time.Now()) }
	return &http.Server{
		Handler: httpboot.Handler(view, func(a httpboot.Access) {
			j.HTTP(a)
			d.asked(a.Client)
			if a.Complete {
				d.read(a.Client, a.File)
			}
		}),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
}

// asked tells that a client asks for a file.
func (d *daemon) asked(client netip.Addr) {
	if d.dhcp != nil {
		d.dhcp.BootFileAsked(client)
	}
}

// read tells those who count downloads that a client has read a file to its
// end.
func (d *daemon) read(client netip.Addr, file string) {
	d.files.Read(client, file, time.Now())
	if d.dhcp != nil {
		d.dhcp.BootFileRead(client, file)
	}
}

// replace puts another configuration's policy and files in force. What belongs
// to open sockets stays.
func (d *daemon) replace(cfg *config.Config) {
	d.files.Replace(cfg.Tree, cfg.ROMNames())
	if d.dhcp != nil {
		d.dhcp.SetPolicy(cfg.DHCP.Policy)
	}
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
func samePlace(a, b proxydhcp.Interface) bool {
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
