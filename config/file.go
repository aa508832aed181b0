package config

// The configuration file: every flag as a key, and rules and segments beside
// them. It is read strictly, and each value remembers its line.

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/xrash/smetrics"
)

// Example is a commented configuration file that works.
//
//go:embed example.toml
var Example []byte

// File is a configuration file.
type File struct {
	Settings Settings
	path     string
	lines    map[string]int // of each key, such as "rule[2].mac"
}

// ParseFile parses the text of a configuration file; path is for error texts.
// The error has a line for each thing that is wrong: file, line, key, and what
// is possible instead.
func ParseFile(path string, text []byte) (*File, error) {
	f := &File{path: path}
	keys := readKeys(text)
	f.lines = keys.lines
	if len(keys.unknown) > maxProblems {
		return nil, f.unknownKeys(keys.unknown) // the decoder takes the square of their number
	}
	err := toml.NewDecoder(bytes.NewReader(text)).Decode(&f.Settings)
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &wrong):
		line, _ := wrong.Position()
		return nil, fmt.Errorf("%s:%d: %s%s", path, line, keyPrefix(wrong.Key()), decodeText(wrong))
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case len(keys.unknown) > 0:
		return nil, f.unknownKeys(keys.unknown)
	}
	f.Settings.file = f
	return f, nil
}

// Under returns the settings of the flags and the environment, with the file's
// value for each key that neither of them gives. A segment can be given by flag
// and in the file; both are kept.
func (f *File) Under(given Settings) Settings {
	merged := f.Settings
	merged.sources = given.sources
	for _, flag := range flags {
		if given.sources[flag.Name] != NotGiven || !f.has(flag.Name) {
			flag.value(&merged).Set(flag.value(&given))
		}
	}
	return merged
}

// has reports whether the file sets a key.
func (f *File) has(key string) bool {
	_, ok := f.lines[key]
	return ok
}

// place returns where a key of the file was written. For a key of a table that
// the table does not have, it is where the table begins. A key that is not in
// the file is named as a flag.
func (f *File) place(key string) string {
	if line, ok := f.lines[key]; ok {
		return fmt.Sprintf("%s:%d: %s", f.path, line, key)
	}
	if table, name, ok := strings.Cut(key, "]."); ok {
		return fmt.Sprintf("%s:%d: %s", f.path, f.lines[table+"]"], name)
	}
	return "--" + key
}

// mistyped matches the decoder's text for a value of the wrong type. The
// decoder has no exported error type for that (go-toml 2.4 has the unexported
// typeMismatchError). If its text changes, it is shown as it is.
var mistyped = regexp.MustCompile(`cannot decode TOML (.*) into .* of type (.*)$`)

// goTypes says what to write for the types of the settings.
var goTypes = map[string]string{
	"string": "a text in quotes", "[]string": "a list of texts, such as [\"a\", \"b\"]", "bool": "true or false", "int": "a number",
}

// decodeText returns the text of a decoder's error in the terms of the file.
func decodeText(e *toml.DecodeError) string {
	text := strings.TrimPrefix(e.Error(), "toml: ")
	m := mistyped.FindStringSubmatch(text)
	if m == nil || goTypes[m[2]] == "" {
		return text
	}
	return fmt.Sprintf("found %s, wanted %s", m[1], goTypes[m[2]])
}

// keyPrefix returns a key as the beginning of an error text, "" for no key.
func keyPrefix(key toml.Key) string {
	if len(key) == 0 {
		return ""
	}
	return strings.Join(key, ".") + ": "
}

// unknownKeys returns the error for unknown keys, a line each.
func (f *File) unknownKeys(keys []writtenKey) error {
	var list problemList
	for _, k := range keys {
		list.add(func() error { return f.unknownKey(k) })
	}
	return list.err()
}

// unknownKey returns the error for an unknown key. It names the most similar
// key, or lists all.
func (f *File) unknownKey(k writtenKey) error {
	known := tableKeys(tableOf(k.path))
	name := strings.Join(k.path, ".")
	if near := nearest(k.path[len(k.path)-1], known); near != "" {
		return fmt.Errorf("%s:%d: unknown key %q; did you mean %q?", f.path, k.line, name, near)
	}
	return fmt.Errorf("%s:%d: unknown key %q; there are %s", f.path, k.line, name, strings.Join(known, ", "))
}

// tableOf returns the type of the table that a key is in.
func tableOf(path []string) reflect.Type {
	switch {
	case len(path) > 1 && path[0] == ruleKey:
		return reflect.TypeFor[RuleText]()
	case len(path) > 1 && path[0] == segmentKey:
		return reflect.TypeFor[SegmentText]()
	}
	return reflect.TypeFor[Settings]()
}

// tableKeys returns the keys of a table of the file, sorted.
func tableKeys(table reflect.Type) []string {
	var keys []string
	for _, field := range reflect.VisibleFields(table) {
		if key := keyOf(field); key != "" {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// keyOf returns the key of a field in the file, "" if it has none.
func keyOf(field reflect.StructField) string {
	key, _, _ := strings.Cut(field.Tag.Get("toml"), ",")
	return key
}

// nearest returns the known name that is most similar to name, "" if none is
// similar.
func nearest(name string, known []string) string {
	best, bestDistance := "", max(2, len(name)/3)+1
	for _, k := range known {
		if d := smetrics.WagnerFischer(name, k, 1, 1, 1); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}
