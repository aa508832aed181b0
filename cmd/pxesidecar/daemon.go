package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/bootfiles"
	"github.com/pxesidecar/pxesidecar/internal/eventlog"
	"github.com/pxesidecar/pxesidecar/internal/httpboot"
	"github.com/pxesidecar/pxesidecar/internal/ipxescript"
	"github.com/pxesidecar/pxesidecar/internal/netstate"
	"github.com/pxesidecar/pxesidecar/internal/portowner"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/server"
	"github.com/pxesidecar/pxesidecar/tftp"
)

// daemon is the servers of one configuration, and what they share. Servers that
// are off are nil.
type daemon struct {
	log       *eventlog.Log
	network   *netstate.Watcher
	attached  attached
	tftpRules atomic.Pointer[config.TFTP] // as in force: whom it allows
	files     *bootfiles.Files
	machines  *proxydhcp.Machines
	responder *proxydhcp.Responder
	dhcp      *server.Server
	tftp      *tftp.Server
	http      *http.Server
	web       net.Listener
}

// newDaemon returns a daemon without sockets.
func newDaemon(l *loaded, log *eventlog.Log) *daemon {
	d := &daemon{log: log, network: l.network, attached: attached{dhcp: l.DHCP}, machines: proxydhcp.NewMachines()}
	d.tftpRules.Store(&l.TFTP)
	d.attached.follow(l.network.Host())
	d.responder = proxydhcp.NewResponder(proxydhcp.ResponderConfig{
		Policy: l.policy, Options: l.DHCP.Options, Machines: d.machines, DryRun: l.DHCP.DryRun, Allow: d.allows,
	})
	d.files = bootfiles.NewFiles(l.files, d.responder, d.machines)
	return d
}

// allows reports whether a client may read files: TFTP's rules allow it, or it
// is in a network of an interface that is served.
func (d *daemon) allows(client netip.Addr) bool {
	return d.tftpRules.Load().Allows(client) || d.attached.has(client)
}

// listen opens every socket, or none. If it succeeds, the daemon closes the
// configuration's files. HTTP comes first, because answers name its port.
func listen(l *loaded, log *eventlog.Log) (_ *daemon, err error) {
	web, err := l.listenHTTP()
	if err != nil {
		return nil, err
	}
	d := newDaemon(l, log)
	d.web = web
	defer func() {
		if err != nil {
			d.closeSockets()
		}
	}()
	if !l.DHCP.Off {
		if d.dhcp, err = server.Listen(d.dhcpConfig(l.DHCP)); err != nil {
			return nil, advise(err, "udp", proxydhcp.PortProxy)
		}
	}
	if l.DHCP.DryRun {
		return d, nil // a dry run must not take ports from other programs
	}
	if !l.TFTP.Off {
		if d.tftp, err = tftp.Listen(d.tftpConfig(l.TFTP)); err != nil {
			return nil, advise(err, "udp", l.TFTP.Addr.Port())
		}
	}
	if d.web != nil {
		d.http = d.newHTTPServer()
	}
	return d, nil
}

// listenHTTP opens the port of HTTP. It returns nil if HTTP is off, or is
// served by default and another process has the port: from then on l says so,
// and nobody is told a URL of ours.
func (l *loaded) listenHTTP() (net.Listener, error) {
	if !l.HTTP.Addr.IsValid() || l.DHCP.DryRun {
		return nil, nil
	}
	web, err := httpboot.Listen(l.HTTP.Addr)
	if err != nil {
		err = advise(fmt.Errorf("HTTP: %w", err), "tcp", l.HTTP.Addr.Port())
		if l.HTTP.ByDefault && errors.As(err, &l.httpTaken) {
			l.DHCP.Options.HTTPPort = 0
			return nil, nil
		}
		return nil, err
	}
	if l.tls != nil {
		web = tls.NewListener(web, l.tls)
	}
	return web, nil
}

// dhcpConfig returns the configuration of the DHCP server.
func (d *daemon) dhcpConfig(c config.DHCP) server.Config {
	out := server.Config{ProxyOnly: c.ProxyOnly, Relayed: c.Relayed, Host: d.network, Responder: d.responder, Events: d.log.ServerEvents()}
	for _, i := range c.Interfaces {
		out.Interfaces = append(out.Interfaces, server.Interface{Name: i.Name, VLANs: c.VLANs, TaggedOnly: c.TaggedOnly, Server: i.Server})
	}
	return out
}

// tftpConfig returns the configuration of the TFTP server.
func (d *daemon) tftpConfig(c config.TFTP) tftp.Config {
	return tftp.Config{
		FS: d.files,
		Tree: func(r tftp.Request) fs.FS {
			return d.files.For(bootfiles.Asker{Client: r.Client.Addr(), Server: r.Local, Name: r.File})
		},
		Addr:         c.Addr,
		SinglePort:   c.SinglePort,
		PortRange:    c.PortRange,
		MaxBlockSize: c.MaxBlockSize,
		MaxWindow:    c.MaxWindow,
		MaxTransfers: c.MaxTransfers,
		CacheBytes:   c.CacheBytes,
		Allow:        d.allows,
		Host:         d.network,
		Events:       tftp.JoinEvents(d.log.TFTPEvents(), d.tftpEvents()),
	}
}

// tftpEvents returns events that note which files machines read. Anybody can
// send a request in a machine's name; what was acknowledged, or was stopped
// after its size was told, went to the machine.
func (d *daemon) tftpEvents() tftp.Events {
	return tftp.Events{
		Started: func(t tftp.Transfer) { d.machines.FileRequested(t.Client.Addr(), t.File, true, time.Now()) },
		Finished: func(t tftp.Transfer) {
			switch t.Result {
			case tftp.Completed:
				d.fileRead(t.Client.Addr(), t.File)
			case tftp.Probed:
				d.machines.FileReceived(t.Client.Addr(), time.Now())
			case tftp.Aborted, tftp.TimedOut, tftp.Failed, tftp.Replaced, tftp.ShutDown:
			}
		},
		Refused: func(r tftp.Refusal) {
			if r.Reason == tftp.NotFound {
				d.machines.FileRequested(r.Client.Addr(), r.Asked, false, time.Now())
			}
		},
	}
}

// newHTTPServer returns a server of the boot file tree. It serves whom TFTP
// serves, and the machines that were heard to boot, wherever they are.
func (d *daemon) newHTTPServer() *http.Server {
	return httpboot.NewServer(httpboot.Handler{
		View:  d.webView,
		Allow: func(client netip.Addr) bool { return d.allows(client) || d.machines.HasBooted(client, time.Now()) },
		Done: func(a httpboot.Access) {
			d.log.HTTP(a)
			if a.NotAllowed {
				return
			}
			d.machines.FileRequested(a.Client, a.Path, a.File != "", time.Now())
			if a.Complete {
				d.fileRead(a.Client, a.File)
			}
		},
	})
}

// webView returns the boot files as the client of an HTTP request sees them.
func (d *daemon) webView(client netip.Addr, r *http.Request) fs.FS {
	asker := bootfiles.Asker{Client: client, Name: r.URL.Path, Query: r.URL.Query(), Fills: true}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		asker.Server = local.AddrPort().Addr().Unmap()
	}
	return d.files.For(asker)
}

// fileRead notes that a client has read a file to its end, if that says
// something of its machine.
func (d *daemon) fileRead(client netip.Addr, file string) {
	now := time.Now()
	switch {
	case d.files.IsROM(file):
		d.machines.ROMRead(client, file, now)
	case d.files.IsSecondStage(file):
		d.machines.SecondStageRead(client, file, now)
	case bootfiles.IsVersionCheck(file):
		d.machines.VersionCheckRead(client, now)
	case path.Base(file) == proxydhcp.AutoexecName:
		if a, ok := d.machines.AutoexecRead(client, now); ok {
			d.log.Autoexec(a)
		}
	default:
		if want, ok := ipxescript.ParseWant(file); ok {
			d.upgradeWanted(client, want, now)
			return
		}
		d.machines.FileReceived(client, now)
	}
}

// upgradeWanted notes that a client is not the iPXE that the version check
// wants, and has read what we say to that.
func (d *daemon) upgradeWanted(client netip.Addr, want ipxescript.Want, now time.Time) {
	if d.machines.ScriptUpgradeWanted(client, want.Tried, now) {
		d.log.ScriptUpgradeFailed(client, want.MAC, want.Version, d.machines.LastROM(client, now))
	}
}

// watchStarts reports until ctx ends which machines do not start what they have
// loaded.
func (d *daemon) watchStarts(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			for _, r := range d.machines.StartReports(now) {
				reason, hint := d.files.Suspect(r)
				d.log.Start(r, reason, hint)
			}
		}
	}
}

// watchNetwork follows the host's interfaces until ctx ends.
func (d *daemon) watchNetwork(ctx context.Context) {
	changes := d.network.Changes()
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() { d.network.Run(ctx, d.log.NetworkFault) })
	for {
		d.attached.follow(d.network.Host())
		select {
		case <-ctx.Done():
			return
		case <-changes:
		}
	}
}

// replace puts another configuration's policy and files in force. What belongs
// to open sockets stays.
func (d *daemon) replace(l *loaded) {
	d.files.Replace(l.files) // nothing was written
	d.responder.SetPolicy(l.policy)
	d.tftpRules.Store(&l.TFTP)
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
	g.Go(func() error { d.watchStarts(ctx); return nil })
	g.Go(func() error { d.watchNetwork(ctx); return nil })
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

// portTakenError is the error of a port that another process uses.
type portTakenError struct {
	err   error
	owner portowner.Owner // zero if it was not found
}

// Error returns the text, with what a person can do.
func (e *portTakenError) Error() string {
	if e.owner == (portowner.Owner{}) {
		return fmt.Sprintf("%v: another process has it; %s shows which", e.err, portLister)
	}
	return fmt.Sprintf("%v: %s has it; stop that, or let only one of the two serve", e.err, e.owner)
}

// Unwrap returns the error of the socket.
func (e *portTakenError) Unwrap() error { return e.err }

// advise adds what a person can do about a socket that could not be opened. For
// a port in use it returns a portTakenError.
func advise(err error, network string, port uint16) error {
	switch {
	case isPortTaken(err):
		owner, _ := portowner.Find(network, port)
		return &portTakenError{err, owner}
	case errors.Is(err, os.ErrPermission):
		return adviseCapability(err, os.Geteuid())
	}
	return err
}

// adviseCapability says which capability a socket needed, and how a user gets
// it. Root lacks one in a container, or where systemd takes it away, so it
// does not help to become root.
func adviseCapability(err error, user int) error {
	capability := "net_bind_service" // bind, for ports below 1024: EACCES (ip(7))
	if errors.Is(err, syscall.EPERM) {
		capability = "net_raw" // socket: EPERM (packet(7))
	}
	name := strings.ToUpper(capability)
	if user == 0 {
		return fmt.Errorf("CAP_%s is missing, although this is root: %w; add it: docker run --cap-add %s, "+
			"in Kubernetes capabilities.add of the securityContext, in a systemd unit CapabilityBoundingSet", name, err, name)
	}
	program, _ := os.Executable()
	return fmt.Errorf("CAP_%s is missing: %w; run as root, or once: setcap cap_net_raw,cap_net_bind_service=ep %s", name, err, program)
}
