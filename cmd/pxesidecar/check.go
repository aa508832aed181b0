package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/bootfiles"
	"github.com/pxesidecar/pxesidecar/internal/check"
	"github.com/pxesidecar/pxesidecar/internal/eventlog"
	"github.com/pxesidecar/pxesidecar/proxydhcp/server"
)

// checkCommand returns the command that checks a configuration.
func checkCommand() *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "check configuration, ROMs, interfaces and ports without serving",
		Description: "Reports what each kind of machine would get in each part of the network, what the ROMs say about themselves, and\n" +
			"what would prevent serving. Exit code 0: it would serve; 1: it would not.",
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "print the report as JSON", DisableDefaultText: true},
			&cli.BoolFlag{Name: "fetch", Usage: "fetch the boot URL, too", DisableDefaultText: true},
			&cli.BoolFlag{Name: "print", Usage: "print the settings in force, and where each comes from", DisableDefaultText: true},
			&cli.BoolFlag{Name: "example", Usage: "print a commented configuration file", DisableDefaultText: true},
		}, newFlags(config.Flags())...),
		OnUsageError: onUsageError,
		Before:       noArguments,
		Action:       checkAction,
	}
}

// errProblems is the error of a check that found why serving would fail.
var errProblems = errors.New("it would not serve; see the errors above")

// checkAction checks what the flags ask for.
func checkAction(c *cli.Context) error {
	if c.Bool("example") {
		_, err := c.App.Writer.Write(config.Example)
		return err
	}
	s, err := settings(c, config.Flags())
	if err != nil {
		return err
	}
	if c.Bool("print") {
		return s.Print(c.App.Writer)
	}
	h, err := thisHost()
	if err != nil {
		return err
	}
	l, err := load(s, h)
	if err != nil {
		return err
	}
	defer l.files.Close()
	sockets := checkSockets(l) // first: without its port HTTP is not offered
	report := check.Run(l.checked())
	if r, newest, ok := l.newer(); ok {
		report.Problems = append(report.Problems, check.Problem{
			What: fmt.Sprintf("%s: ROM %s reports iPXE %s, and %s is there: %s", newerMessage, r.Source, r.IPXE.Version, newest, newerHint),
		})
	}
	report.Problems = append(report.Problems, sockets...)
	report.Problems = append(report.Problems, checkFirewall(c.Context)...)
	if c.Bool("fetch") {
		report.Problems = append(report.Problems, checkScripts(c.Context, l.files)...)
	}
	if err := writeReport(c, report, report.Write); err != nil || !report.Serious() {
		return err
	}
	return errProblems
}

// writeReport writes a report: with --json as JSON, else by forPeople.
func writeReport(c *cli.Context, report any, forPeople func(io.Writer) error) error {
	if !c.Bool("json") {
		return forPeople(c.App.Writer)
	}
	encoder := json.NewEncoder(c.App.Writer)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false) // it is no web page, and has arrows
	return encoder.Encode(report)
}

// checked returns what package check needs.
func (l *loaded) checked() check.Input {
	return check.Input{Config: l.Config, Files: l.files, Policy: l.policy, Warnings: l.warnings}
}

// checkSockets opens what serving would open, and closes it again.
func checkSockets(l *loaded) []check.Problem {
	d, err := listen(l, eventlog.New(slog.New(slog.DiscardHandler)))
	if err == nil {
		defer d.closeSockets()
		problems := checkLinks(d)
		if l.httpTaken != nil {
			problems = append(problems, check.Problem{What: fmt.Sprintf("%s: %v; %s", httpOff, l.httpTaken, httpOffHint)})
		}
		return problems
	}
	var taken *portTakenError
	if errors.As(err, &taken) && taken.owner.Program == programName {
		return []check.Problem{{What: fmt.Sprintf("%s is running already: %v", programName, err)}}
	}
	return []check.Problem{{Serious: true, What: err.Error()}}
}

// checkLinks reports interfaces that would not be served, and VLANs whose
// clients may not reach us.
func checkLinks(d *daemon) []check.Problem {
	if d.dhcp == nil {
		return nil
	}
	var problems []check.Problem
	for _, l := range d.dhcp.Links() {
		if l.State != server.LinkServing {
			problems = append(problems, check.Problem{What: fmt.Sprintf("interface %s is not served as it is: %s", l.Interface, l.State)})
			continue
		}
		if len(l.Tagged) > 0 {
			problems = append(problems, check.Problem{What: fmt.Sprintf("VLANs %s have no interface on this host and are served as tagged frames on %s: "+
				"machines there are told %s, which they must be able to reach through their router", strings.Trim(fmt.Sprint(l.Tagged), "[]"), l.Interface, joined(l.Addresses))})
		}
	}
	return problems
}

// checkFirewall reports a firewall of this host that may drop requests.
func checkFirewall(ctx context.Context) []check.Problem {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, command := range [][]string{{"nft", "list", "ruleset"}, {"iptables-save"}} {
		out, err := exec.CommandContext(ctx, command[0], command[1:]...).Output()
		if err != nil {
			continue
		}
		text := string(out)
		if strings.Contains(text, "policy drop") || strings.Contains(text, ":INPUT DROP") || strings.Contains(text, "reject with") {
			return []check.Problem{{What: "this host has a firewall that drops or rejects: let in UDP 4011 and 69, the ports of --tftp-ports, and TCP 8067 or what --http says (port 67 is read before the firewall)"}}
		}
		return nil
	}
	return nil
}

// checkScripts fetches the boot scripts that are elsewhere.
func checkScripts(ctx context.Context, files *bootfiles.Set) []check.Problem {
	var problems []check.Problem
	for _, segment := range files.Segments {
		if !isHTTP(segment.Script) || strings.Contains(segment.Script, "{") {
			continue
		}
		if err := fetchScript(ctx, segment.Script); err != nil {
			problems = append(problems, check.Problem{What: fmt.Sprintf("boot URL %s: %v", segment.Script, err)})
		}
	}
	return problems
}

// isHTTP reports whether a name is an HTTP or HTTPS URL.
func isHTTP(name string) bool {
	return strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://")
}

// fetchScript fetches the beginning of a boot script.
func fetchScript(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the server says %s", response.Status)
	}
	head := make([]byte, len("#!ipxe"))
	if _, err := io.ReadFull(response.Body, head); err != nil || string(head) != "#!ipxe" {
		return errors.New("what is there does not begin with #!ipxe, so it is no iPXE script")
	}
	return nil
}
