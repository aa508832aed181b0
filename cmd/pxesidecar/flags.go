package main

import (
	"flag"
	"fmt"
	"io"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/regularfile"
)

// policyFlags returns the flags that say who gets what.
func policyFlags() []config.Flag {
	return slices.DeleteFunc(config.Flags(), func(f config.Flag) bool { return !f.Policy })
}

// newFlags returns the flags of the command line: --config, and those of the
// table.
func newFlags(table []config.Flag) []cli.Flag {
	flags := []cli.Flag{newConfigFlag()}
	for _, f := range table {
		flags = append(flags, newFlag(f))
	}
	return flags
}

// newFlag returns a flag of the command line with its environment variable.
func newFlag(f config.Flag) cli.Flag {
	env := []string{f.Env()}
	switch f.Field(&config.Settings{}).(type) {
	case *string:
		value, _ := f.Default.(string)
		return &cli.StringFlag{Name: f.Name, Aliases: f.Aliases, Category: f.Category, Usage: f.Usage, EnvVars: env, Value: value}
	case *[]string:
		return &cli.StringSliceFlag{Name: f.Name, Aliases: f.Aliases, Category: f.Category, Usage: f.Usage, EnvVars: env}
	case *bool:
		return &cli.BoolFlag{Name: f.Name, Aliases: f.Aliases, Category: f.Category, Usage: f.Usage, EnvVars: env, DisableDefaultText: true}
	case *int:
		value, _ := f.Default.(int)
		return &cli.IntFlag{Name: f.Name, Aliases: f.Aliases, Category: f.Category, Usage: f.Usage, EnvVars: env, Value: value}
	}
	panic("a flag whose field has another type: " + f.Name)
}

// configFlag is the flag --config. It also keeps the flag set of its command:
// for the library, a flag is set by its environment variable too, and only the
// flag set knows which flags are on the command line.
type configFlag struct {
	*cli.StringFlag
	set *flag.FlagSet
}

// newConfigFlag returns the flag --config.
func newConfigFlag() *configFlag {
	f := config.Flag{Name: "config"}
	return &configFlag{StringFlag: &cli.StringFlag{
		Name: f.Name, Aliases: []string{"c"}, Usage: "read the configuration `FILE`; flags win over it", EnvVars: []string{f.Env()},
	}}
}

// Apply adds the flag to a flag set (cli.Flag).
func (f *configFlag) Apply(set *flag.FlagSet) error {
	f.set = set
	return f.StringFlag.Apply(set)
}

// onCommandLine returns the names of the flags on the command line.
func onCommandLine(c *cli.Context) map[string]bool {
	names := map[string]bool{}
	for _, f := range c.Command.Flags {
		if keeper, ok := f.(*configFlag); ok {
			keeper.set.Visit(func(f *flag.Flag) { names[f.Name] = true })
		}
	}
	return names
}

// settings gathers what the flags of the table, the environment and the
// configuration file say.
func settings(c *cli.Context, table []config.Flag) (config.Settings, error) {
	s := given(c, table)
	path := c.String("config")
	if path == "" {
		return s, nil
	}
	text, err := readConfig(path)
	if err != nil {
		return s, fmt.Errorf("--config: %w", err)
	}
	file, err := config.ParseFile(path, text)
	if err != nil {
		return s, err
	}
	return file.Under(s), nil
}

// maxConfigSize is the largest configuration file in bytes. A thousand rules
// take a fifth of it.
const maxConfigSize = 1 << 20

// readConfig reads a configuration file. It waits for nobody: a reload must not
// hang because something else has its name.
func readConfig(path string) ([]byte, error) {
	f, err := regularfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfigSize+1))
	if err == nil && len(text) > maxConfigSize {
		err = fmt.Errorf("%s is larger than %d KiB, so it is no configuration file", path, maxConfigSize>>10)
	}
	return text, err
}

// given gathers what the flags of the table and the environment say.
func given(c *cli.Context, table []config.Flag) config.Settings {
	var s config.Settings
	typed := onCommandLine(c)
	for _, f := range table {
		switch field := f.Field(&s).(type) {
		case *string:
			*field = c.String(f.Name)
		case *[]string:
			*field = c.StringSlice(f.Name)
		case *bool:
			*field = c.Bool(f.Name)
		case *int:
			*field = c.Int(f.Name)
		}
		switch {
		case typed[f.Name]:
			s.SetSource(f.Name, config.CommandLine)
		case c.IsSet(f.Name):
			s.SetSource(f.Name, config.Environment)
		}
	}
	return s
}
