package main

import (
	"context"
	"crypto/tls"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"
)

// reloader puts a changed configuration in force without a restart.
type reloader struct {
	path    string // of the configuration file; "" if there is none
	watch   bool   // reload also when the file changes
	daemon  *daemon
	log     *slog.Logger
	level   *slog.LevelVar          // of log
	changes <-chan struct{}         // of the host's network; nil if it does not matter
	refused string                  // why the file as it was last read was refused; "" if it was not
	started *loaded                 // the configuration that the sockets were opened with
	read    func() (*loaded, error) // loads the configuration as it is written now
}

// watchEvery is how often the configuration file is checked for changes.
const watchEvery = time.Second

// start reloads at SIGHUP, and, if that is asked for, when the configuration
// file changes. The returned function ends it. It does not wait for a reload
// that has begun, which may hang in a file system: that has no effect any more.
func (r *reloader) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	go func() {
		defer signal.Stop(hangup)
		r.run(ctx, hangup)
	}()
	return cancel
}

// run waits for reasons to reload until ctx ends.
func (r *reloader) run(ctx context.Context, hangup <-chan os.Signal) {
	var look <-chan time.Time
	if r.path != "" && r.watch {
		ticker := time.NewTicker(watchEvery)
		defer ticker.Stop()
		look = ticker.C
	}
	last := stampOf(r.path)
	for {
		var again <-chan struct{}
		if r.watch && r.refused != "" {
			again = r.changes // what was wrong may be right now
		}
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			last = stampOf(r.path)
			r.reload(ctx)
		case <-again:
			r.retry(ctx)
		case <-look:
			if now := stampOf(r.path); now != last {
				last = now
				r.reload(ctx)
			}
		}
	}
}

// stamp distinguishes the versions of a file.
type stamp struct {
	modified time.Time
	size     int64
}

// stampOf returns the stamp of a file, the zero stamp if it cannot be read.
func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size()}
}

// retry reloads what was refused, and is silent if it is refused for the same
// reason again.
func (r *reloader) retry(ctx context.Context) {
	next, err := r.read()
	if err == nil || err.Error() != r.refused {
		r.apply(ctx, next, err)
	}
}

// reload puts the configuration as it is written now in force, whole, or keeps
// the old one and logs why. If ctx has ended meanwhile, it does neither.
func (r *reloader) reload(ctx context.Context) {
	next, err := r.read()
	r.apply(ctx, next, err)
}

// apply puts a configuration that was read in force, or logs why it cannot.
func (r *reloader) apply(ctx context.Context, next *loaded, err error) {
	if ctx.Err() != nil {
		if err == nil {
			next.files.Close() // was only read
		}
		return
	}
	if err != nil {
		r.refused = err.Error()
		for line := range strings.Lines(err.Error()) {
			r.log.Error("configuration not reloaded, the old one stays in force", "error", strings.TrimSpace(line))
		}
		return
	}
	r.refused = ""
	if keys := needRestart(r.started, next); len(keys) > 0 {
		r.log.Warn("these settings take effect at a restart only", "settings", strings.Join(keys, ", "))
	}
	r.level.Set(next.Log.Level)
	r.daemon.replace(next)
	r.log.Info("configuration reloaded")
	report(r.log, next, r.daemon)
}

// needRestart returns the keys that next has changed, but which take effect at
// a restart only. The certificate belongs to them also if its file was
// replaced.
func needRestart(started, next *loaded) []string {
	keys := started.NeedRestart(next.Config)
	if !reflect.DeepEqual(chains(started.tls), chains(next.tls)) {
		keys = append(keys, "tls-cert")
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// chains returns the certificate chains of TLS, nil for plain HTTP.
func chains(c *tls.Config) (list [][][]byte) {
	if c != nil {
		for _, certificate := range c.Certificates {
			list = append(list, certificate.Certificate)
		}
	}
	return list
}
