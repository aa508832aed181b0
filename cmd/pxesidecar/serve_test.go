package main

import (
	"crypto/tls"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/proxydhcp/server"
)

// TestUnchangeable checks that a reload names every setting that it cannot put
// in force, and none that it can.
func TestUnchangeable(t *testing.T) {
	for _, tt := range []struct {
		change func(*config.Config)
		want   []string
	}{
		{func(c *config.Config) { c.Warnings = []string{"new"}; c.Segments = []config.Segment{{Script: "new"}} }, nil},
		{func(c *config.Config) { c.DHCP.ProxyOnly, c.DHCP.Relayed = true, true }, []string{"port-4011-only", "relayed"}},
		{func(c *config.Config) { c.DHCP.Options.UBoot, c.DHCP.Options.OverrideFilename = true, true }, []string{"override-dhcp-filename", "u-boot"}},
		{func(c *config.Config) { c.TFTP.MaxWindow = 1; c.TFTP.SinglePort = true }, []string{"tftp", "tftp limits"}},
		{func(c *config.Config) {
			c.DHCP.Interfaces = []server.Interface{{Server: netip.IPv4Unspecified()}}
			c.TFTP.CacheBytes = 1
		}, []string{"interface, vlan, server", "tftp limits"}},
		{func(c *config.Config) { c.NoDHCP, c.DHCP.DryRun = true, true }, []string{"dry-run", "no-dhcp"}},
		{func(c *config.Config) {
			c.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{{1}}}}}
		}, []string{"tls-cert, tls-key"}},
	} {
		next := &config.Config{}
		tt.change(next)
		if diff := cmp.Diff(tt.want, unchangeable(&config.Config{}, next)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}
