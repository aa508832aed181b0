package main

import (
	"crypto/tls"
	"errors"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/bootfiles"
	"github.com/pxesidecar/pxesidecar/internal/netstate"
	"github.com/pxesidecar/pxesidecar/internal/release"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// loaded is a configuration that can be served. Its files are open.
type loaded struct {
	*config.Config
	network  *netstate.Watcher // of this host; nil if nothing is served
	files    *bootfiles.Set
	policy   *proxydhcp.Policy
	tls      *tls.Config // nil if HTTP is plain or off, or nothing is served
	warnings []string    // what works, but probably not as meant

	httpTaken *portTakenError // why HTTP is not served, if it should be by default
}

// host is the machine that a configuration is for.
type host struct {
	root    string            // the root directory of its file system
	network *netstate.Watcher // nil if nothing is served
	waits   bool              // what it lacks now is waited for
	serves  []string          // the interfaces that are served if none is named; nil to choose
}

// thisHost returns this machine as it is now.
func thisHost() (host, error) {
	network, err := netstate.NewWatcher()
	return host{root: hostRoot(), network: network}, err
}

// loadServed loads the configuration of a command that serves on a host, as it
// is written now.
func loadServed(c *cli.Context, h host) (*loaded, error) {
	s, err := settings(c, config.Flags())
	if err != nil {
		return nil, err
	}
	return load(s, h)
}

// loadPolicy loads a configuration for the sake of its policy and its files.
// Nothing is served.
func loadPolicy(s config.Settings) (*loaded, error) { return load(s, host{root: hostRoot()}) }

// load parses settings, opens the boot files that they name, and makes the
// policy. The error joins all problems, a line each. The caller closes the
// files.
func load(s config.Settings, h host) (*loaded, error) {
	if len(s.Interfaces) == 0 {
		s.Interfaces = h.serves
	}
	var interfaces []netstate.Interface
	if h.network != nil {
		interfaces = append([]netstate.Interface{}, h.network.Host().Interfaces...) // not nil
	}
	cfg, parseErr := config.Parse(s, interfaces)
	if !h.waits {
		parseErr = errors.Join(append([]error{parseErr}, cfg.Lacks...)...)
	}
	files, filesErr := bootfiles.Open(cfg, h.root, version())
	var certificate *tls.Config
	var tlsErr error
	if h.network != nil {
		certificate, tlsErr = loadCertificate(cfg)
	}
	if err := errors.Join(parseErr, filesErr, tlsErr); err != nil {
		files.Close()
		return nil, err
	}
	policy, warnings, err := cfg.Policy(files.Segments)
	if err != nil {
		files.Close()
		return nil, err
	}
	return &loaded{
		Config: cfg, network: h.network, files: files, policy: policy, tls: certificate,
		warnings: distinct(files.Warnings, warnings, cfg.Warnings),
	}, nil
}

// loadCertificate reads the certificate of HTTP. It returns nil if HTTP is
// plain or off.
func loadCertificate(cfg *config.Config) (*tls.Config, error) {
	if cfg.HTTP.CertFile == "" {
		return nil, nil
	}
	certificate, err := tls.LoadX509KeyPair(cfg.HTTP.CertFile, cfg.HTTP.KeyFile)
	problems := cfg.Problems()
	problems.Add("tls-cert", cfg.HTTP.CertFile, err)
	return &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}, problems.Err()
}

// distinct joins lists, without repetitions.
func distinct(lists ...[]string) []string {
	var all []string
	for _, text := range slices.Concat(lists...) {
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return all
}

// The parts of what is said of ROMs that are older than the newest release.
const (
	newerMessage = "a newer iPXE is released"
	newerHint    = "pxesidecar rom fetch fetches it"
)

// newer returns a ROM that is served because it is there, and the release of
// iPXE that is newer. ok is false if there is none. A ROM that somebody chose
// is older on purpose.
func (l *loaded) newer() (r config.ROM, newest release.Release, ok bool) {
	newest = release.Newest()
	r, ok = l.files.OlderThan(newest.Version)
	return r, newest, ok
}
