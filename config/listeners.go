package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
)

// off is the value of a listener's flag that switches it off.
const off = "off"

// defaultHTTP is where HTTP is served if nobody says otherwise. It is not port
// 80, which web servers have on many hosts, and WDS and IIS on those of
// Windows: the port is written in every URL that clients get, so any will do.
const defaultHTTP = ":8067"

// HTTP is where files are served over HTTP.
type HTTP struct {
	Addr              netip.AddrPort // invalid for not at all
	ByDefault         bool           // nobody asked for it: if its port is in use, everything else is served
	CertFile, KeyFile string         // PEM files; "" for plain HTTP
}

// TFTP is where files are served over TFTP, and within which limits. A limit of
// zero is the server's default.
type TFTP struct {
	Off          bool
	Addr         netip.AddrPort
	SinglePort   bool
	PortRange    [2]uint16 // that transfers are sent from; zero for any
	MaxBlockSize int       // bytes
	MaxWindow    int       // blocks
	MaxTransfers int
	CacheBytes   int64
	allowed      []netip.Prefix // beside the attached networks
}

// Allows reports whether requests from an address are served, wherever it is
// attached.
func (t TFTP) Allows(client netip.Addr) bool {
	return slices.ContainsFunc(t.allowed, func(n netip.Prefix) bool { return n.Contains(client) })
}

// Log is what is logged, and how.
type Log struct {
	Level slog.Level
	JSON  bool // as JSON, not as text
}

// maxBlockSize is the largest block size of TFTP in bytes (RFC 2348).
const maxBlockSize = 65464

// maxWindow is the largest window of TFTP in blocks: with more, the numbers of
// a window's blocks could be confused, which are modulo 65536.
const maxWindow = 16384

// http parses where HTTP is served, and with which certificate.
func (p *parser) http() HTTP {
	s := p.settings
	h := HTTP{ByDefault: !s.isGiven("http") && s.TLSCert == ""}
	if s.HTTP != "" && s.HTTP != off {
		var err error
		h.Addr, err = parseListen(s.HTTP, 80)
		p.Add("http", s.HTTP, err)
	}
	switch {
	case s.TLSCert == "" && s.TLSKey == "":
	case s.TLSCert == "" || s.TLSKey == "" || !h.Addr.IsValid():
		p.Add("tls-cert", s.TLSCert, errors.New("--tls-cert, --tls-key and --http go together"))
	default:
		h.CertFile, h.KeyFile = s.TLSCert, s.TLSKey
	}
	return h
}

// tftp parses where TFTP is served, the limits, and who is served wherever he
// is attached: clients in private networks, and in those that are named.
func (p *parser) tftp() TFTP {
	s := p.settings
	t := TFTP{Off: s.TFTP == off, SinglePort: s.TFTPSinglePort}
	var err error
	if !t.Off && s.TFTP != "" {
		t.Addr, err = parseListen(s.TFTP, 69)
		p.Add("tftp", s.TFTP, err)
	}
	t.PortRange, err = parsePorts(s.TFTPPorts)
	p.Add("tftp-ports", s.TFTPPorts, err)
	t.MaxBlockSize = p.limit("tftp-block-size", s.TFTPBlockSize, 512, maxBlockSize)
	t.MaxWindow = p.limit("tftp-window-size", s.TFTPWindow, 1, maxWindow)
	t.MaxTransfers = p.limit("tftp-max-transfers", s.TFTPMaxTransfers, 1, 1<<20)
	t.CacheBytes = int64(p.limit("tftp-cache", s.TFTPCache, 1, 1<<20)) << 20
	t.allowed = append(privateNetworks(), parseAll(p.Problems, "tftp-allow", s.TFTPAllow, parseNetwork)...)
	return t
}

// The values of --log-level and --log-format.
var (
	logLevels  = []string{"debug", "info", "warn", "error"}
	logFormats = []string{"text", "json"}
)

// log parses what is logged. "" is the default.
func (p *parser) log() Log {
	s := p.settings
	var l Log
	if s.LogLevel != "" && l.Level.UnmarshalText([]byte(s.LogLevel)) != nil {
		p.Add("log-level", s.LogLevel, fmt.Errorf("one of %s", strings.Join(logLevels, ", ")))
	}
	if s.LogFormat != "" && !slices.Contains(logFormats, s.LogFormat) {
		p.Add("log-format", s.LogFormat, fmt.Errorf("one of %s", strings.Join(logFormats, ", ")))
	}
	l.JSON = s.LogFormat == "json"
	return l
}

// limit checks a number that is 0 or between least and most.
func (p *parser) limit(key string, value, least, most int) int {
	if value != 0 && (value < least || value > most) {
		p.Add(key, fmt.Sprint(value), fmt.Errorf("not between %d and %d", least, most))
	}
	return value
}

// privateNetworks returns the networks whose clients are always served: nobody
// on the Internet can forge requests from there and have the answers sent to
// another (RFC 1918, RFC 3927, RFC 6598, and loopback).
func privateNetworks() []netip.Prefix {
	var list []netip.Prefix
	for _, s := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "127.0.0.0/8"} {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}
