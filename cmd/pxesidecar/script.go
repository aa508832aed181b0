package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/urfave/cli/v2"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/ipxescript"
)

// script: the generated iPXE scripts, printed.

// scriptCommand is the command that prints scripts.
func scriptCommand() *cli.Command {
	return &cli.Command{
		Name:      "script",
		Usage:     "print a generated iPXE script: boot, version-check or local-disk",
		ArgsUsage: "boot|version-check|local-disk",
		Description: "The same scripts are served by TFTP and HTTP as boot.ipxe, " + ipxescript.CheckName + " and local-disk.ipxe.\n" +
			"Where no DHCP answer can be changed, have the DHCP server hand out boot.ipxe, run serve --no-dhcp, and an old\n" +
			"iPXE is upgraded by script.",
		Flags:        policyFlags(),
		OnUsageError: onUsageError,
		Action:       scriptAction,
	}
}

// scriptAction prints the script that is asked for.
func scriptAction(c *cli.Context) error {
	names := map[string]string{"boot": "boot.ipxe", "version-check": ipxescript.CheckName, "local-disk": "local-disk.ipxe"}
	name, ok := names[c.Args().First()]
	if !ok || c.NArg() != 1 {
		return usageError{errors.New("which script? boot, version-check or local-disk; flags come before it")}
	}
	s, err := settings(c)
	if err != nil {
		return err
	}
	s.NoDHCP = true // what the scripts are for
	cfg, err := config.Load(s, config.Host{Root: "/", Version: version()})
	if err != nil {
		return err
	}
	defer cfg.Tree.Close()
	text, err := fs.ReadFile(cfg.Tree, name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no %s: none of the ROMs tells its version text; name what is current with --ipxe-text", name)
	}
	if err != nil {
		return err
	}
	_, err = c.App.Writer.Write(text)
	return err
}
