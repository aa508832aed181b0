package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/bootfiles"
	"github.com/pxesidecar/pxesidecar/internal/check"
	"github.com/pxesidecar/pxesidecar/internal/release"
)

// romCommand returns the command about the ROMs that machines are given.
func romCommand(stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:        "rom",
		Usage:       "fetch a release of iPXE, or list every ROM that is known",
		Subcommands: []*cli.Command{romFetchCommand(stderr), romListCommand()},
		Action:      onNoSubcommand,
	}
}

// onNoSubcommand answers a command line that names no subcommand, or an unknown
// one.
func onNoSubcommand(c *cli.Context) error {
	if !c.Args().Present() {
		return cli.ShowSubcommandHelp(c)
	}
	return usageError{fmt.Errorf("unknown command %q; pxesidecar %s --help lists the commands", c.Command.Name+" "+c.Args().First(), c.Command.Name)}
}

// romFetchCommand returns the command that fetches a release of iPXE.
func romFetchCommand(stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "fetch",
		Usage: "fetch the boot ROMs of a release of iPXE",
		Description: "Fetches " + release.Newest().String() + ", checks its SHA-256, and puts the ROMs that serve knows by name into a directory\n" +
			"where serve finds them. The proxy of the environment is used (HTTPS_PROXY). A download that broke off goes on where it\n" +
			"ended. If anything fails, the ROMs that were there stay as they were.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "secure-boot", Usage: "of the ROMs for UEFI, take the signed ones alone", DisableDefaultText: true},
			&cli.StringFlag{Name: "to", Usage: "put the ROMs into `DIR`, which may have nothing else in it", Value: release.Dir(hostRoot())},
			&cli.StringFlag{Name: "url", Usage: "the archive: a `URL`, or a file of this host", Value: release.Newest().URL},
			&cli.StringFlag{Name: "sha256", Usage: "the archive must have the SHA-256 digest `HEX` (that of the release by default)"},
		},
		OnUsageError: onUsageError,
		Before:       noArguments,
		Action:       func(c *cli.Context) error { return romFetch(c, stderr) },
	}
}

// hostRoot returns the root directory of this host. On Windows it is that of
// the system's drive.
func hostRoot() string {
	if drive := os.Getenv("SystemDrive"); runtime.GOOS == "windows" && drive != "" {
		return drive + `\`
	}
	return "/"
}

// romFetch fetches the release that the flags name, and shows what came.
func romFetch(c *cli.Context, stderr io.Writer) error {
	digest := c.String("sha256")
	if digest != "" {
		var err error
		if digest, err = release.ParseDigest(digest); err != nil {
			return usageError{fmt.Errorf("--sha256: %w", err)}
		}
	}
	ctx, stop := untilStopped(c.Context)
	defer stop()
	meter := newProgress(stderr)
	got, err := release.Fetch(ctx, release.Request{
		Source: c.String("url"), SHA256: digest, To: c.String("to"), SecureBoot: c.Bool("secure-boot"),
		UserAgent: programName + "/" + version(), Progress: meter.update, Note: meter.note,
	})
	meter.end()
	if err != nil {
		return err
	}
	return showFetched(c, got)
}

// showFetched writes which ROMs a fetch has brought, and who serves them.
func showFetched(c *cli.Context, got release.Result) error {
	name := got.Source
	if got.Release != (release.Release{}) {
		name = got.Release.String()
	}
	w := c.App.Writer
	if got.Already {
		fmt.Fprintf(w, "%s is in %s already: nothing was fetched\n\n", name, got.Dir)
	} else {
		fmt.Fprintf(w, "%s is in %s now\nsha256 %s\n\n", name, got.Dir, got.SHA256)
	}
	list, err := listIn(got.Dir)
	if err != nil {
		return err
	}
	if err := list.Write(w); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "\n%s\n", whoServes(got.Dir))
	return err
}

// listIn lists the ROMs of a directory that would be served from it, as check
// sees them.
func listIn(dir string) (check.List, error) {
	cfg, err := config.Parse(config.Settings{AnswersText: config.AnswersText{Root: dir}}, nil)
	if err != nil {
		return check.List{}, err
	}
	// There is no place beside it: its own files are not where a system has its.
	roms, warnings, err := bootfiles.List(cfg, dir, version())
	roms = slices.DeleteFunc(roms, func(r bootfiles.Listed) bool { return r.Use == bootfiles.Unused })
	return check.NewList(roms, warnings), err
}

// whoServes says how the ROMs of a directory are served.
func whoServes(dir string) string {
	if own, err := filepath.EvalSymlinks(release.Dir(hostRoot())); err == nil && own == dir {
		return "serve uses them if --root has no ROMs of its own; a server that runs reads them after SIGHUP or a restart"
	}
	return "serve uses them with --root " + dir
}

// romListCommand returns the command that lists every ROM that is known.
func romListCommand() *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "list every ROM that is known, and which one each architecture gets",
		Description: "Lists what --rom names, and what is in --root, in the directory of rom fetch and in those of the distribution's packages:\n" +
			"version, features, who signed it, what a shim loads, whether it is used, and why not.",
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "print the list as JSON", DisableDefaultText: true},
		}, newFlags(policyFlags())...),
		OnUsageError: onUsageError,
		Before:       noArguments,
		Action:       romList,
	}
}

// romList lists the ROMs that the flags name, and those that are there anyhow.
// If they cannot be served, it says why after the list.
func romList(c *cli.Context) error {
	s, err := settings(c, policyFlags())
	if err != nil {
		return err
	}
	cfg, err := config.Parse(s, nil)
	if err != nil {
		return err
	}
	roms, warnings, problem := bootfiles.List(cfg, hostRoot(), version())
	list := check.NewList(roms, warnings)
	if err := writeReport(c, list, list.Write); err != nil {
		return err
	}
	return problem
}
