package main

import (
	"context"
	"os"
	"os/signal"

	"golang.org/x/sys/windows/svc"
)

// untilStopped returns a context that ends when the daemon is told to stop: by
// Ctrl-C, or, where it runs as a service, by the service manager. The returned
// function tells the manager that it has stopped.
func untilStopped(parent context.Context) (context.Context, func()) {
	ctx, cancel := signal.NotifyContext(parent, os.Interrupt)
	if isService, err := svc.IsWindowsService(); err != nil || !isService {
		return ctx, cancel
	}
	s := &service{stop: cancel, stopped: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer cancel() // without a manager there is nobody to stop it
		svc.Run("pxesidecar", s)
	}()
	return ctx, func() {
		close(s.stopped)
		<-ended
	}
}

// service answers the service manager.
type service struct {
	stop    context.CancelFunc
	stopped chan struct{} // closed when the daemon has stopped
}

// Execute runs as long as the service does (golang.org/x/sys/windows/svc).
func (s *service) Execute(_ []string, requests <-chan svc.ChangeRequest, status chan<- svc.Status) (bool, uint32) {
	status <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
	for {
		select {
		case <-s.stopped:
			return false, 0
		case r := <-requests:
			switch r.Cmd {
			case svc.Interrogate:
				status <- r.CurrentStatus
			case svc.Stop, svc.Shutdown:
				status <- svc.Status{State: svc.StopPending}
				s.stop()
			}
		}
	}
}
