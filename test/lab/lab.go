package lab

// The lab itself: what belongs to one scenario, where its files are, and how
// everything ends.

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Options are the options of a lab. The zero value is a lab on 10.213.0.0/24
// that reports nothing.
type Options struct {
	// Stock is where programs and firmware come from.
	Stock *Stock
	// Prefix is the network of the first segment.
	Prefix netip.Prefix
	// NoRouter leaves the segments without an IPv6 router, as many networks
	// are.
	NoRouter bool
	// Dir holds the lab's files; empty means a temporary folder that Close
	// removes.
	Dir string
	// Live is called for every event of the timeline as it happens.
	Live func(Event)
}

// Lab is one network with the programs that run in it.
type Lab struct {
	// ID is unique to this lab.
	ID    string
	Dir   string
	Stock *Stock
	// LAN is the first segment, Web a host on it with the collector, and
	// Capture its capture.
	LAN       *Segment
	Web       *Host
	Collector *Collector
	Capture   *Capture

	started  time.Time
	live     func(Event)
	noRouter bool

	mu     sync.Mutex
	closed bool
	undo   []func() error
	events []Event
	names  map[string]string
	// machines counts guests, for their addresses.
	machines int
}

// defaultPrefix is the first segment's network if none was chosen.
var defaultPrefix = netip.MustParsePrefix("10.213.0.0/24")

// The first segment's fixed addresses, counted from its start, and its pool of
// leases.
const (
	dhcpAddress    = 1
	sidecarAddress = 2
	webAddress     = 3
	poolStart      = 50
	poolEnd        = 150
)

// New builds a lab with one segment, its capture and its collector. The caller
// must close it.
func New(o Options) (*Lab, error) {
	l, err := newLab(o)
	if err != nil {
		return nil, err
	}
	if !o.Prefix.IsValid() {
		o.Prefix = defaultPrefix
	}
	if err := l.build(o.Prefix); err != nil {
		return nil, errors.Join(fmt.Errorf("lab %s: %w", l.ID, err), l.Close())
	}
	return l, nil
}

// NewBare builds a lab without segment, capture, collector and stock. Its hosts
// are connected by cables, see Host.Connect. The caller must close it.
func NewBare() (*Lab, error) { return newLab(Options{}) }

// newLab makes a lab that has an ID and a folder, and nothing else.
func newLab(o Options) (*Lab, error) {
	var id [4]byte
	rand.Read(id[:])
	l := &Lab{ID: hex.EncodeToString(id[:]), Stock: o.Stock, Dir: o.Dir, live: o.Live, noRouter: o.NoRouter, started: time.Now(), names: map[string]string{}}
	if l.Dir != "" {
		return l, nil
	}
	dir, remove, err := tempDir(l.ID)
	if err != nil {
		return nil, fmt.Errorf("lab %s: %w", l.ID, err)
	}
	l.Dir = dir
	l.onClose(remove)
	return l, nil
}

// build adds the first segment and what every lab has there.
func (l *Lab) build(prefix netip.Prefix) error {
	var err error
	if l.LAN, err = l.NewSegment("lan", prefix); err != nil {
		return err
	}
	if l.Capture, err = l.NewCapture(l.LAN); err != nil {
		return err
	}
	if l.Web, err = l.NewHost("web"); err != nil {
		return err
	}
	if _, err = l.Web.Join(l.LAN, l.LAN.Address(webAddress)); err != nil {
		return err
	}
	l.Name(l.LAN.Address(webAddress).String(), "web")
	l.Collector, err = l.NewCollector(l.Web, l.LAN.Address(webAddress))
	return err
}

// Close ends every program, guest and namespace of the lab, the newest first.
// It may be called twice.
func (l *Lab) Close() error {
	l.mu.Lock()
	undo := l.undo
	l.undo, l.closed = nil, true
	l.mu.Unlock()
	var problems []error
	for i := len(undo) - 1; i >= 0; i-- {
		problems = append(problems, undo[i]())
	}
	return errors.Join(problems...)
}

// onClose adds a step to Close. If the lab is already closed, it is done at
// once.
func (l *Lab) onClose(step func() error) {
	l.mu.Lock()
	closed := l.closed
	if !closed {
		l.undo = append(l.undo, step)
	}
	l.mu.Unlock()
	if closed {
		step()
	}
}

// Path returns a path in the lab's folder.
func (l *Lab) Path(elements ...string) string {
	return filepath.Join(append([]string{l.Dir}, elements...)...)
}

// Write puts a file into the lab's folder and returns its path.
func (l *Lab) Write(name, content string) (string, error) {
	path := l.Path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, []byte(content), 0o644)
}

// Name sets the name of a hardware or IP address in the timeline.
func (l *Lab) Name(address, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names[strings.ToLower(address)] = name
}

// nameOf returns the name of an address, or the address.
func (l *Lab) nameOf(address string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if name, ok := l.names[strings.ToLower(address)]; ok {
		return name
	}
	return address
}

// poll calls ready repeatedly until it returns true or the context ends. It is
// for states of other programs that cannot be waited for.
func poll(ctx context.Context, what string, ready func() (bool, error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := ready()
		if err != nil || ok {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		}
	}
}
