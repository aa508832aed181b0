package main

import (
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v2"
)

// programName is the name of this program, as a process too.
const programName = "pxesidecar"

// newApp returns the command line.
func newApp(stdout, stderr io.Writer) *cli.App {
	return &cli.App{
		Name:  programName,
		Usage: "network boot beside a DHCP server that you may not touch",
		Description: "pxesidecar answers machines that boot from the network (PXE, UEFI HTTP boot, iPXE) and leaves\n" +
			"addresses to the DHCP server that is there. It hands old iPXEs a newer ROM, then the boot script.",
		Version: version(),
		Commands: []*cli.Command{
			serveCommand(stderr), checkCommand(), explainCommand(), scriptCommand(), exportCommand(), romCommand(stderr),
			completionCommand(), manCommand(),
		},
		EnableBashCompletion:      true,
		Writer:                    stdout,
		ErrWriter:                 stderr,
		DisableSliceFlagSeparator: true, // config splits values itself, and a value may hold commas
		OnUsageError:              onUsageError,
		ExitErrHandler:            func(*cli.Context, error) {}, // run turns errors into exit codes
		Suggest:                   true,
		Action:                    onNoCommand,
	}
}

// onNoCommand answers a command line without a command, or with an unknown one.
func onNoCommand(c *cli.Context) error {
	if !c.Args().Present() {
		return cli.ShowAppHelp(c)
	}
	name := c.Args().First()
	hint := "pxesidecar --help lists the commands"
	if near := cli.SuggestCommand(c.App.Commands, name); near != "" {
		hint = near // a whole question: Did you mean "serve"?
	}
	return usageError{fmt.Errorf("unknown command %q; %s", name, hint)}
}

// onUsageError turns an error of the flag parser into one line.
func onUsageError(c *cli.Context, err error, _ bool) error {
	return usageError{fmt.Errorf("%w; %s --help lists the flags", err, strings.TrimSpace(programName+" "+commandName(c)))}
}

// noArguments refuses arguments behind the flags.
func noArguments(c *cli.Context) error {
	if c.Args().Present() {
		return usageError{fmt.Errorf("stray argument %q: %s takes flags only", c.Args().First(), commandName(c))}
	}
	return nil
}

// commandName returns the command that is run, such as "rom fetch"; "" if none
// is.
func commandName(c *cli.Context) string {
	if c.Command == nil {
		return ""
	}
	return strings.TrimSpace(strings.TrimPrefix(c.Command.HelpName, programName))
}

// buildVersion is set by the release build (-ldflags -X main.buildVersion=...).
var buildVersion string

// version returns our version: the release's, or else the module's or the
// commit's.
func version() string {
	if buildVersion != "" {
		return buildVersion
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}

// either lists names for people: "a, b or c".
func either(names []string) string {
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}
