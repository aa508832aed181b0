package lab

// The collector: a web server inside the lab. Boot scripts report to it which
// program runs them.

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"
)

// evidencePath is the path below which scripts report.
const evidencePath = "/evidence/"

// Evidence is what a boot script reported about the machine that ran it.
type Evidence struct {
	At time.Time
	// From is the machine's IP address.
	From netip.Addr
	// MAC is the hardware address that the script reported.
	MAC string
	// Version is the boot program's own text, such as "2.0.0+dfsg-5".
	Version string
	// Platform is "pcbios" or "efi", Arch "i386", "x86_64", "arm64", ...
	Platform, Arch string
	UUID           string
	// Boot is the name under which the collector served the script.
	Boot string
}

// Visit is one request that reached the collector.
type Visit struct {
	At   time.Time
	From netip.Addr
	Path string
}

// Collector serves boot scripts and records what they report.
type Collector struct {
	// Address is the address where it listens, on port 80.
	Address netip.Addr

	lab *Lab
	mu  sync.Mutex
	// changed is closed and replaced at every request.
	changed  chan struct{}
	evidence []Evidence
	visits   []Visit
	files    map[string]string
}

// NewCollector starts a collector in a host.
func (l *Lab) NewCollector(h *Host, address netip.Addr) (*Collector, error) {
	c := &Collector{Address: address, lab: l, changed: make(chan struct{}), files: map[string]string{}}
	c.Serve("/boot.ipxe", c.Script("main"))
	var listener net.Listener
	err := h.Do(func() (err error) {
		listener, err = net.Listen("tcp4", netip.AddrPortFrom(address, 80).String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("collector in %s: %w", h.Name, err)
	}
	server := &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(listener) }()
	l.onClose(func() error { err := server.Close(); <-done; return err })
	return c, nil
}

// URL returns the address of one of the collector's files.
func (c *Collector) URL(path string) string { return "http://" + c.Address.String() + path }

// Serve adds a file.
func (c *Collector) Serve(path, content string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files[path] = content
}

// Script returns an iPXE script that reports to the collector and then waits
// until the machine is switched off.
func (c *Collector) Script(boot string) string {
	return "#!ipxe\n" +
		"echo Boot script " + boot + " runs in iPXE ${version}\n" +
		"imgfetch --name evidence " + c.URL(evidencePath+boot) +
		"?version=${version}&platform=${platform}&mac=${net0/mac}&arch=${buildarch}&uuid=${uuid} ||\n" +
		"sleep 600\n"
}

// ServeHTTP answers boot clients.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	from := netip.Addr{}
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		from = ap.Addr().Unmap()
	}
	now := time.Now()
	boot, isEvidence := strings.CutPrefix(r.URL.Path, evidencePath)
	c.mu.Lock()
	c.visits = append(c.visits, Visit{At: now, From: from, Path: r.URL.Path})
	content, found := c.files[r.URL.Path]
	var e Evidence
	if isEvidence {
		e = parseEvidence(now, from, boot, r.URL.RawQuery)
		c.evidence = append(c.evidence, e)
	}
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
	switch {
	case isEvidence:
		c.lab.note(now, c.lab.nameOf(e.MAC), "the boot script runs in iPXE %s (%s, %s)", e.Version, e.Platform, e.Arch)
		fmt.Fprintln(w, "thank you")
	case found:
		fmt.Fprint(w, content)
	default:
		http.NotFound(w, r)
	}
}

// parseEvidence reads the query of a report. A plus sign is a plus sign here:
// iPXE does not escape the one in its version.
func parseEvidence(at time.Time, from netip.Addr, boot, query string) Evidence {
	e := Evidence{At: at, From: from, Boot: boot}
	fields := map[string]*string{"version": &e.Version, "platform": &e.Platform, "mac": &e.MAC, "arch": &e.Arch, "uuid": &e.UUID}
	for _, pair := range strings.Split(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if plain, err := url.PathUnescape(value); err == nil {
			value = plain
		}
		if field := fields[key]; field != nil {
			*field = strings.ToLower(value)
		}
	}
	return e
}

// Evidence returns the reports so far of machines with this hardware address.
// An empty address means all machines.
func (c *Collector) Evidence(mac string) []Evidence {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []Evidence
	for _, e := range c.evidence {
		if mac == "" || strings.EqualFold(e.MAC, mac) {
			found = append(found, e)
		}
	}
	return found
}

// Visits returns the requests so far, in order.
func (c *Collector) Visits() []Visit {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Visit(nil), c.visits...)
}

// Await waits for a machine's first report.
func (c *Collector) Await(ctx context.Context, mac string) (Evidence, error) {
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		if found := c.Evidence(mac); len(found) > 0 {
			return found[0], nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Evidence{}, fmt.Errorf("waiting for %s to run the boot script: %w", c.lab.nameOf(mac), context.Cause(ctx))
		}
	}
}
