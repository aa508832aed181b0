package config

import (
	"fmt"
	"io"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Print writes the settings that are given or not zero as a configuration file.
// Behind each is where its value comes from.
func (s Settings) Print(w io.Writer) error {
	for _, f := range flags {
		value := f.value(&s)
		if f.Name == segmentKey || value.IsZero() && !s.isGiven(f.Name) {
			continue
		}
		text, err := toml.Marshal(map[string]any{f.Name: value.Interface()})
		if err != nil {
			return fmt.Errorf("printing %s: %w", f.Name, err)
		}
		if _, err := fmt.Fprintf(w, "%s # %s\n", strings.TrimSpace(string(text)), s.origin(f)); err != nil {
			return err
		}
	}
	return s.printTables(w)
}

// origin returns where the value of a flag comes from.
func (s *Settings) origin(f Flag) string {
	switch source := s.sources[f.Name]; {
	case source == CommandLine:
		return "flag"
	case source == Environment:
		return "environment " + f.Env()
	case s.file != nil && s.file.has(f.Name):
		return fmt.Sprintf("%s:%d", s.file.path, s.file.lines[f.Name])
	}
	return "default"
}

// printTables writes the segments and the rules. A segment of a flag becomes a
// table too.
func (s Settings) printTables(w io.Writer) error {
	var tables struct {
		Segments []SegmentText `toml:"segment,omitempty"`
		Rules    []RuleText    `toml:"rule,omitempty"`
	}
	for _, text := range s.SegmentFlags {
		segment, err := parseSegment(text)
		if err != nil {
			return fmt.Errorf("--%s %q: %w", segmentKey, text, err)
		}
		tables.Segments = append(tables.Segments, segment)
	}
	tables.Segments = append(tables.Segments, s.Segments...)
	tables.Rules = s.Rules
	text, err := toml.Marshal(tables)
	if err != nil {
		return fmt.Errorf("printing segments and rules: %w", err)
	}
	_, err = w.Write(text)
	return err
}
