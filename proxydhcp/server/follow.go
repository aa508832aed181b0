package server

import (
	"context"
	"errors"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pxesidecar/pxesidecar/internal/netstate"
)

// Changes of the host's network come in bursts, and one look serves for a whole
// burst. What failed to open is tried again. Changes are reported when they are
// over: the kernel takes up to a second to report a carrier.
const (
	settleTime = 50 * time.Millisecond
	retryTime  = time.Second
	reportTime = 1200 * time.Millisecond
)

// follow keeps what is served in step with the host's interfaces.
func (s *Server) follow(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		s.watch(ctx, changed)
		return nil
	})
	g.Go(func() error {
		s.keepUp(ctx, changed)
		return nil
	})
	return g.Wait()
}

// watch signals each change until ctx ends.
func (s *Server) watch(ctx context.Context, changed chan<- struct{}) {
	for ctx.Err() == nil {
		err := netstate.Watch(ctx, func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
		if err != nil {
			report(s.config.Events.Error, Error{"", err})
			pause(ctx, retryTime)
		}
	}
}

// keepUp adapts to each change, and reports it, until ctx ends.
func (s *Server) keepUp(ctx context.Context, changed <-chan struct{}) {
	reported := s.network.Load().links
	var retry, due <-chan time.Time
	for {
		select {
		case <-changed:
			pause(ctx, settleTime)
		case <-retry:
		case <-due:
			due = nil
			reported = s.reportLinks(reported)
			continue
		case <-ctx.Done():
			return
		}
		retry = nil
		if !s.adapt() {
			retry = time.After(retryTime)
		}
		if due == nil {
			due = time.After(reportTime)
		}
	}
}

// adapt serves what is there now, and reports whether all of it is served.
func (s *Server) adapt() bool {
	host, err := netstate.Read()
	if err != nil {
		report(s.config.Events.Error, Error{"", err})
		return false
	}
	n := newNetwork(s.config.Interfaces, host)
	s.network.Store(n)
	if s.config.ProxyOnly {
		return true
	}
	failures := s.port67.adapt(s, n)
	for _, f := range failures {
		if !errors.Is(f.Err, syscall.ENODEV) { // gone since we looked, which the kernel reports
			report(s.config.Events.Error, f)
		}
	}
	return len(failures) == 0
}

// reportLinks reports what has become of the links since before, and returns
// how they are now.
func (s *Server) reportLinks(before []Link) []Link {
	now := s.network.Load().links
	for _, l := range changedLinks(before, now) {
		report(s.config.Events.Link, l)
	}
	return now
}
