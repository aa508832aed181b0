// Command pxesidecar adds network boot to a network whose DHCP server somebody
// else runs. See the README.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() { os.Exit(run(os.Args, os.Stdout, os.Stderr)) }

// Exit codes.
const (
	exitOK    = 0
	exitError = 1 // it could not do what was asked
	exitUsage = 2 // what was asked makes no sense
)

// usageError is a command line that makes no sense.
type usageError struct{ error }

// printedError is an error that people have been told already.
type printedError struct{ error }

// run runs the command line and returns the exit code. Errors go to stderr, a
// line each.
func run(args []string, stdout, stderr io.Writer) int {
	err := newApp(stdout, stderr).Run(args)
	if err == nil {
		return exitOK
	}
	if printed := (printedError{}); !errors.As(err, &printed) {
		printError(stderr, err)
	}
	if usage := (usageError{}); errors.As(err, &usage) {
		return exitUsage
	}
	return exitError
}

// printError writes an error to w, a line for each of its own.
func printError(w io.Writer, err error) {
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(w, "%s: %s\n", programName, strings.TrimRight(line, "\n"))
	}
}
