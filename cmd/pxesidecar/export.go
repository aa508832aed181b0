package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/export"
	"github.com/pxesidecar/pxesidecar/internal/netstate"
)

// exportCommand returns the command that prints the policy as the configuration
// of another DHCP server.
func exportCommand() *cli.Command {
	return &cli.Command{
		Name:  "export",
		Usage: "print the policy as configuration for a DHCP server of your own: " + strings.Join(export.Formats(), ", "),
		Description: "For those who may touch their DHCP server after all. What the server cannot express is said in a comment. The boot\n" +
			"files still come from here, or from any TFTP server that has them.",
		Flags: slices.Concat([]cli.Flag{
			&cli.StringFlag{Name: "format", Usage: "for `SERVER`: " + strings.Join(export.Formats(), ", "), Required: true},
			&cli.StringFlag{Name: "server", Usage: "the boot files are on `IP` (by default the only interface's address)"},
		}, newFlags(policyFlags())),
		OnUsageError: onUsageError,
		Before:       noArguments,
		Action:       exportAction,
	}
}

// exportAction prints the policy.
func exportAction(c *cli.Context) error {
	format := c.String("format")
	if !slices.Contains(export.Formats(), format) {
		return usageError{fmt.Errorf("--format %q: one of %s", format, strings.Join(export.Formats(), ", "))}
	}
	s, err := settings(c, policyFlags())
	if err != nil {
		return err
	}
	server, err := exportServer(c)
	if err != nil {
		return err
	}
	l, err := loadPolicy(s)
	if err != nil {
		return err
	}
	defer l.files.Close()
	source := "the flags"
	if path := c.String("config"); path != "" {
		source = path
	}
	return export.Write(format, c.App.Writer, l.policy, export.Facts{
		Server: server, HTTPPort: l.HTTP.Addr.Port(), Source: source, Program: programName + " " + version(),
	})
}

// exportServer returns the address of the server that has the boot files.
func exportServer(c *cli.Context) (netip.Addr, error) {
	if text := c.String("server"); text != "" {
		a, err := netip.ParseAddr(text)
		if err != nil || !a.Is4() {
			return a, usageError{fmt.Errorf("--server %q: not an IPv4 address", text)}
		}
		return a, nil
	}
	host, err := netstate.Read()
	if err != nil {
		return netip.Addr{}, err
	}
	chosen, err := config.ChooseInterface(host)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("which address has the boot files? name it with --server: %w", err)
	}
	return chosen.Addresses[0].Addr(), nil
}
