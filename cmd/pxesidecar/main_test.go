package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the scripts run this program as a command.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"pxesidecar": func() { os.Exit(run(os.Args, os.Stdout, os.Stderr)) },
	})
}

// TestScripts runs the command line as people do; what needs a network of its
// own is in test/.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Setup: newReleases(t).setUp})
}
