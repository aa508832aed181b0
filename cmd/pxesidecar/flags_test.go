package main

import (
	"slices"
	"testing"

	"github.com/pxesidecar/pxesidecar/config"
)

// TestFlagsAreKeys checks that every flag of serve has its key in the
// configuration file and its environment variable, and every key its flag.
func TestFlagsAreKeys(t *testing.T) {
	keys := config.Keys()
	flags := map[string]bool{"rule": true} // a table, which no flag can hold
	for _, f := range serveFlags() {
		name := f.Names()[0]
		flags[name] = true
		if name != "config" && !slices.Contains(keys, name) {
			t.Errorf("--%s is no key of the configuration file", name)
		}
		visible, ok := f.(interface{ GetEnvVars() []string })
		if !ok || !slices.Equal(visible.GetEnvVars(), env(name)) {
			t.Errorf("--%s has not the environment variable %v", name, env(name))
		}
	}
	for _, key := range keys {
		if !flags[key] {
			t.Errorf("the key %s is no flag", key)
		}
	}
}
