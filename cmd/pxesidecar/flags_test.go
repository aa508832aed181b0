package main

import (
	"io"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/urfave/cli/v2"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/tftp"
)

// TestCommandFlags checks that each command has --config and the flags of the
// table that concern it, each with its environment variable.
func TestCommandFlags(t *testing.T) {
	all, policy := []string{"config"}, []string{"config"}
	for _, f := range config.Flags() {
		all = append(all, f.Name)
		if f.Policy {
			policy = append(policy, f.Name)
		}
	}
	app := newApp(io.Discard, io.Discard)
	for command, want := range map[string][]string{"serve": all, "check": all, "explain": policy, "script": policy, "export": policy} {
		var got []string
		for _, f := range app.Command(command).Flags {
			name := f.Names()[0]
			documented, ok := f.(cli.DocGenerationFlag)
			if !ok {
				t.Errorf("%s: --%s is not documented", command, name)
				continue
			}
			if env := documented.GetEnvVars(); len(env) > 0 {
				got = append(got, name)
				if !slices.Equal(env, []string{config.Flag{Name: name}.Env()}) {
					t.Errorf("%s: --%s has the environment variables %v", command, name, env)
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", command, diff)
		}
	}
}

// TestGiven checks that the command line's flags, their aliases and the
// environment arrive in the settings, each with its source, and defaults
// otherwise.
func TestGiven(t *testing.T) {
	t.Setenv("PXESIDECAR_HTTP", ":8080")
	t.Setenv("PXESIDECAR_TFTP", ":6969")
	t.Setenv("PXESIDECAR_RELAYED", "true")
	want := config.Settings{
		AnswersText: config.AnswersText{BootURL: "http://boot.example/"}, Interfaces: []string{"eth0", "eth1"}, HTTP: ":80", TFTP: ":6969",
		Relayed: true, DryRun: true, TFTPCache: 5, TFTPWindow: 64, LogLevel: "info",
	}
	for name, source := range map[string]config.Source{
		"boot-url": config.CommandLine, "interface": config.CommandLine, "http": config.CommandLine, "tftp": config.Environment,
		"relayed": config.Environment, "dry-run": config.CommandLine, "tftp-cache": config.CommandLine,
	} {
		want.SetSource(name, source)
	}
	table := slices.DeleteFunc(config.Flags(), func(f config.Flag) bool {
		return !slices.Contains([]string{"boot-url", "interface", "http", "tftp", "relayed", "dry-run", "tftp-cache", "tftp-window-size", "log-level"}, f.Name)
	})
	app := newApp(io.Discard, io.Discard)
	app.Command("serve").Action = func(c *cli.Context) error {
		got := given(c, table)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(config.Settings{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		return nil
	}
	if err := app.Run([]string{"pxesidecar", "serve", "-i", "eth0", "-i", "eth1", "--http", ":80", "--boot-url=http://boot.example/", "--dry-run", "--tftp-cache", "5"}); err != nil {
		t.Fatal(err)
	}
}

// TestTFTPDefaults checks that the defaults in the help text are the server's.
func TestTFTPDefaults(t *testing.T) {
	want := map[string]any{
		"tftp-window-size":   tftp.DefaultMaxWindow,
		"tftp-max-transfers": tftp.DefaultMaxTransfers,
		"tftp-cache":         tftp.DefaultCacheBytes >> 20,
	}
	for _, f := range config.Flags() {
		if value, ok := want[f.Name]; ok && f.Default != value {
			t.Errorf("--%s: default %v, the server's is %v", f.Name, f.Default, value)
		}
	}
}
