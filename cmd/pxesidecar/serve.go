package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/eventlog"
	"github.com/pxesidecar/pxesidecar/internal/netstate"
)

// serve: the daemon.

// serveCommand is the command that runs the daemon.
func serveCommand(stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "answer machines that boot from the network, until stopped",
		Description: "With no flags it serves the only interface there is, the iPXE ROMs that the distribution\n" +
			"packages, and a boot script of its own. Each flag has an environment variable. SIGHUP reads the\n" +
			"configuration file again.",
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
	cfg, err := load(s)
	if err != nil {
		return err
	}
	ctx, stop := untilStopped(c.Context)
	defer stop()
	d, err := listen(cfg, eventlog.New(log))
	if err != nil {
		cfg.Tree.Close()
		return err
	}
	defer d.close()
	report(log, cfg, d)
	r := &reloader{context: c, daemon: d, log: log, inForce: cfg, watch: s.WatchConfig}
	stopReloading := r.start(ctx)
	defer stopReloading()
	err = d.serve(ctx)
	log.Info("stopped")
	return err
}

// load holds the settings against this host.
func load(s config.Settings) (*config.Config, error) {
	interfaces, err := netstate.Read()
	if err != nil {
		return nil, err
	}
	return config.Load(s, config.Host{Root: "/", Interfaces: interfaces, Version: version()})
}

// reloader puts a changed configuration in force without a restart.
type reloader struct {
	context *cli.Context
	daemon  *daemon
	log     *slog.Logger
	inForce *config.Config
	watch   bool // reload when the file changes, too
}

// watchEvery is how often the configuration file is looked at for changes.
const watchEvery = time.Second

// start reloads at SIGHUP, and, where that was asked for, when the configuration
// file changes. The returned function ends it and waits for it.
func (r *reloader) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer signal.Stop(hangup)
		r.run(ctx, hangup)
	}()
	return func() { cancel(); <-done }
}

// run waits for reasons to reload until ctx ends.
func (r *reloader) run(ctx context.Context, hangup <-chan os.Signal) {
	path := r.context.String("config")
	var look <-chan time.Time
	if path != "" && r.watch {
		ticker := time.NewTicker(watchEvery)
		defer ticker.Stop()
		look = ticker.C
	}
	last := stampOf(path)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			last = stampOf(path)
			r.reload()
		case <-look:
			if now := stampOf(path); now != last {
				last = now
				r.reload()
			}
		}
	}
}

// stamp tells one version of a file from another.
type stamp struct {
	modified time.Time
	size     int64
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size()}
}

// reload puts the configuration as it is written now in force, whole, or keeps
// the old one and says why.
func (r *reloader) reload() {
	next, err := r.read()
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			r.log.Error("configuration not reloaded, the old one stays in force", "error", strings.TrimSpace(line))
		}
		return
	}
	if fixed := unchangeable(r.inForce, next); len(fixed) > 0 {
		r.log.Warn("these settings take effect at a restart only", "settings", strings.Join(fixed, ", "))
	}
	r.daemon.replace(next)
	r.inForce = next
	r.log.Info("configuration reloaded")
	report(r.log, next, r.daemon)
}

// read understands the configuration as it is written now.
func (r *reloader) read() (*config.Config, error) {
	s, err := settings(r.context)
	if err != nil {
		return nil, err
	}
	return load(s)
}

// unchangeable lists the settings that differ and belong to open sockets.
func unchangeable(old, next *config.Config) []string {
	var names []string
	for name, same := range map[string]bool{
		"interface, vlan, server": slices.EqualFunc(old.DHCP.Interfaces, next.DHCP.Interfaces, samePlace),
		"http":                    old.HTTP == next.HTTP,
		"tftp":                    old.TFTPOff == next.TFTPOff && old.TFTP.Addr == next.TFTP.Addr && old.TFTP.PortRange == next.TFTP.PortRange && old.TFTP.SinglePort == next.TFTP.SinglePort,
		"dry-run":                 old.DHCP.DryRun == next.DHCP.DryRun,
		"no-dhcp":                 old.NoDHCP == next.NoDHCP,
		"port-4011-only":          old.DHCP.ProxyOnly == next.DHCP.ProxyOnly,
		"relayed":                 old.DHCP.Relayed == next.DHCP.Relayed,
		"u-boot":                  old.DHCP.Options.UBoot == next.DHCP.Options.UBoot,
		"tls-cert, tls-key":       reflect.DeepEqual(certificates(old), certificates(next)),
		"tftp limits": old.TFTP.MaxBlockSize == next.TFTP.MaxBlockSize && old.TFTP.MaxWindow == next.TFTP.MaxWindow &&
			old.TFTP.MaxTransfers == next.TFTP.MaxTransfers && old.TFTP.CacheBytes == next.TFTP.CacheBytes,
		"override-dhcp-filename": old.DHCP.Options.OverrideFilename == next.DHCP.Options.OverrideFilename,
	} {
		if !same {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// certificates are what HTTP speaks TLS with, nil for plain HTTP.
func certificates(cfg *config.Config) (chains [][][]byte) {
	if cfg.TLS != nil {
		for _, c := range cfg.TLS.Certificates {
			chains = append(chains, c.Certificate)
		}
	}
	return chains
}
