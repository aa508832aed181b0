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
	files    *bootfiles.Set
	policy   *proxydhcp.Policy
	tls      *tls.Config // nil if HTTP is plain or off, or nothing is served
	warnings []string    // what works, but probably not as meant

	httpTaken *portTakenError // why HTTP is not served, if it should be by default
}

// host is the machine that a configuration is for.
type host struct {
	root       string               // the root directory of its file system
	interfaces []netstate.Interface // nil if nothing is served
}

// loadServed loads the configuration of a command that serves, as it is written
// now.
func loadServed(c *cli.Context) (*loaded, error) {
	s, err := settings(c, config.Flags())
	if err != nil {
		return nil, err
	}
	return loadHere(s)
}

// loadHere loads a configuration that is served on this host.
func loadHere(s config.Settings) (*loaded, error) {
	interfaces, err := netstate.Read()
	if err != nil {
		return nil, err
	}
	return load(s, host{root: hostRoot(), interfaces: interfaces})
}

// loadPolicy loads a configuration for the sake of its policy and its files.
// Nothing is served.
func loadPolicy(s config.Settings) (*loaded, error) { return load(s, host{root: hostRoot()}) }

// load parses settings, opens the boot files that they name, and makes the
// policy. The error joins all problems, a line each. The caller closes the
// files.
func load(s config.Settings, h host) (*loaded, error) {
	cfg, parseErr := config.Parse(s, h.interfaces)
	files, filesErr := bootfiles.Open(cfg, h.root, version())
	var certificate *tls.Config
	var tlsErr error
	if h.interfaces != nil {
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
	return &loaded{Config: cfg, files: files, policy: policy, tls: certificate, warnings: distinct(files.Warnings, warnings, cfg.Warnings)}, nil
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
