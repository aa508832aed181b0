package tftp

// The configuration of a Server.

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/pxesidecar/pxesidecar/internal/netstate"
)

// The defaults of a Config's zero fields.
const (
	DefaultMaxWindow    = 64
	DefaultMaxTransfers = 4096
	DefaultCacheBytes   = 16 << 20

	defaultMaxTransfersPerClient = 8
	defaultMaxRequestRate        = 100
)

// Config says what a server serves, and its limits. FS or Tree must be set;
// every other zero field has a default.
type Config struct {
	// FS holds the files. Use a file system with a root (os.Root.FS):
	// everything in it is served.
	FS fs.FS

	// Tree chooses the files for one request, so that interfaces and addresses
	// can have their own. If it is nil or returns nil, the files are those of
	// FS. It is called from several goroutines and may block. It must return
	// the same comparable value for the same tree, because that is part of the
	// key under which content is shared.
	Tree func(Request) fs.FS

	// Addr is where requests are received, 0.0.0.0:69 by default. IPv4 only.
	Addr netip.AddrPort

	// SinglePort has everything sent from Addr's port, for networks where
	// nothing else gets through (Docker, Kubernetes, some firewalls).
	SinglePort bool

	// PortRange is the first and the last port that transfers may be sent from,
	// for firewalls; any port by default.
	PortRange [2]uint16

	// MaxBlockSize limits blksize further than the interface's MTU does, for
	// tunnels with a smaller MTU on the way. In bytes; at least 8.
	MaxBlockSize int

	// MaxWindow limits windowsize, in blocks; DefaultMaxWindow by default.
	MaxWindow int

	// MaxTransfers and MaxTransfersPerClient limit how many transfers run at
	// once; DefaultMaxTransfers and 8 by default. A further request takes the
	// place of a transfer that nobody has acknowledged, or whose client is silent.
	// Otherwise it is ignored, and succeeds when the client repeats it.
	MaxTransfers, MaxTransfersPerClient int

	// MaxRequestRate limits the requests of one address in a second; 100 by
	// default. Further ones are ignored. Boot loaders that probe for their
	// configuration (pxelinux, GRUB with its modules, the Raspberry Pi) ask for
	// dozens of names in a moment, one after the other.
	MaxRequestRate int

	// CacheBytes limits the file content kept in memory; DefaultCacheBytes by
	// default. Files of up to half of it are held whole, larger ones streamed.
	// The chunks of these that are being read, and memory for more, may take 4
	// MiB on top.
	CacheBytes int64

	// IgnoreCase has a name that does not exist match one that differs only in
	// case.
	IgnoreCase bool

	// Allow reports whether a client's requests are answered; nil allows all.
	// It is called for each request and must not block.
	Allow func(netip.Addr) bool

	// Host knows the host's interfaces. Whoever sets it runs it; if it is nil,
	// the server has one of its own.
	Host *netstate.Watcher

	// Events are the hooks.
	Events Events
}

// windowCeiling keeps block numbers within a window unambiguous modulo 65536.
const windowCeiling = 16384

// withDefaults sets the zero fields and checks the others.
func (c Config) withDefaults() (Config, error) {
	if c.FS == nil && c.Tree == nil {
		return c, errors.New("tftp: neither FS nor Tree is set")
	}
	if c.Addr == (netip.AddrPort{}) {
		c.Addr = netip.AddrPortFrom(netip.IPv4Unspecified(), 69)
	}
	if !c.Addr.Addr().Is4() {
		return c, fmt.Errorf("tftp: address %s is not IPv4", c.Addr)
	}
	if c.PortRange[0] > c.PortRange[1] {
		return c, fmt.Errorf("tftp: port range %d-%d ends before it begins", c.PortRange[0], c.PortRange[1])
	}
	if c.Allow == nil {
		c.Allow = func(netip.Addr) bool { return true }
	}
	c.Events = c.Events.withDefaults()
	err := c.checkNumbers()
	return c, err
}

// checkNumbers sets the zero numbers and checks the others.
func (c *Config) checkNumbers() error {
	for _, field := range []struct {
		name          string
		value         *int
		low, standard int
		high          int
	}{
		{"block size", &c.MaxBlockSize, minBlockSize, maxBlockSize, maxBlockSize},
		{"window", &c.MaxWindow, 1, DefaultMaxWindow, windowCeiling},
		{"number of transfers", &c.MaxTransfers, 1, DefaultMaxTransfers, 1 << 20},
		{"rate of requests", &c.MaxRequestRate, 1, defaultMaxRequestRate, 1 << 20},
		{"number of transfers per client", &c.MaxTransfersPerClient, 1, defaultMaxTransfersPerClient, 1 << 20},
	} {
		if *field.value == 0 {
			*field.value = field.standard
		}
		if *field.value < field.low || *field.value > field.high {
			return fmt.Errorf("tftp: %s %d is not within %d..%d", field.name, *field.value, field.low, field.high)
		}
	}
	if c.CacheBytes < 0 {
		return fmt.Errorf("tftp: cache of %d bytes", c.CacheBytes)
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = DefaultCacheBytes
	}
	return nil
}
