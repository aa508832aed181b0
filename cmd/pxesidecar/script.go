package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/ipxescript"
)

// scripts are the generated scripts as arguments.
var scripts = []string{"boot", "version-check", "local-disk"}

// scriptFiles are the names under which they are served.
var scriptFiles = map[string]string{
	"boot": config.BootScriptName, "version-check": ipxescript.CheckName, "local-disk": config.LocalDiskScriptName,
}

// scriptCommand returns the command that prints generated scripts.
func scriptCommand() *cli.Command {
	return &cli.Command{
		Name:      "script",
		Usage:     "print a generated iPXE script: " + either(scripts),
		ArgsUsage: strings.Join(scripts, "|"),
		Description: "The same scripts are served by TFTP and HTTP as " + config.BootScriptName + ", " + ipxescript.CheckName + " and " + config.LocalDiskScriptName + ".\n" +
			"Where no DHCP answer can be changed, have the DHCP server hand out boot.ipxe, run serve --no-dhcp, and an old\n" +
			"iPXE is upgraded by script.",
		Flags:        newFlags(policyFlags()),
		OnUsageError: onUsageError,
		Action:       scriptAction,
	}
}

// scriptAction prints the script that is asked for.
func scriptAction(c *cli.Context) error {
	name, ok := scriptFiles[c.Args().First()]
	if !ok || c.NArg() != 1 {
		return usageError{fmt.Errorf("which script? %s; flags come before it", either(scripts))}
	}
	s, err := settings(c, policyFlags())
	if err != nil {
		return err
	}
	s.NoDHCP = true // what the scripts are for
	l, err := loadPolicy(s)
	if err != nil {
		return err
	}
	defer l.files.Close()
	text, err := fs.ReadFile(l.files, name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no %s: none of the ROMs tells its version text; name what is current with --ipxe-text", name)
	}
	if err != nil {
		return err
	}
	_, err = c.App.Writer.Write(text)
	return err
}
