package server

import (
	"context"
	"errors"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// What failed to open is tried again. Changes are reported when they are over:
// the kernel takes up to a second to report a carrier.
const (
	retryTime  = time.Second
	reportTime = 1200 * time.Millisecond
)

// follow keeps what is served in step with the host's interfaces.
func (s *Server) follow(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if s.ownHost {
		g.Go(func() error {
			s.config.Host.Run(ctx, func(err error) { report(s.config.Events.Error, Error{"", err}) })
			return nil
		})
	}
	g.Go(func() error {
		s.keepUp(ctx, s.changes)
		return nil
	})
	return g.Wait()
}

// keepUp adapts to each change, and reports it, until ctx ends.
func (s *Server) keepUp(ctx context.Context, changed <-chan struct{}) {
	reported := s.network.Load().links
	var retry, due <-chan time.Time
	for {
		select {
		case <-changed:
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
	n := newNetwork(s.config.Interfaces, s.config.Host.Host())
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
