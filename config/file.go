package config

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// The configuration file: every flag as a key, and rules and segments beside
// them. It is read strictly, and each value remembers its line.

// Example is a commented configuration file that works.
//
//go:embed example.toml
var Example []byte

// File is a configuration file that was read.
type File struct {
	Path     string
	Settings Settings
	lines    map[string]int // of each key, such as "rule[2].mac"
}

// ReadFile reads a configuration file. The error has a line for each thing that
// is wrong: file, line, key, and what there is instead.
func ReadFile(path string) (*File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	return parseFile(path, text)
}

// parseFile reads the text of a configuration file.
func parseFile(path string, text []byte) (*File, error) {
	f := &File{Path: path, lines: keyLines(text)}
	decoder := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	err := decoder.Decode(&f.Settings)
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		var errs []error
		for i := range unknown.Errors {
			errs = append(errs, f.unknownKey(&unknown.Errors[i]))
		}
		return nil, errors.Join(errs...)
	case errors.As(err, &wrong):
		line, _ := wrong.Position()
		return nil, fmt.Errorf("%s:%d: %s%s", path, line, keyText(wrong.Key()), decodeText(wrong))
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f.Settings.origin = f.origin
	return f, nil
}

// mistyped is how the decoder words a value of another type.
var mistyped = regexp.MustCompile(`cannot decode TOML (.*) into .* of type (.*)$`)

// goTypes says what to write for the types of the settings.
var goTypes = map[string]string{
	"string": "a text in quotes", "[]string": "a list of texts, such as [\"a\", \"b\"]", "bool": "true or false", "int": "a number",
}

// decodeText words what the decoder found in the words of the file.
func decodeText(e *toml.DecodeError) string {
	text := strings.TrimPrefix(e.Error(), "toml: ")
	m := mistyped.FindStringSubmatch(text)
	if m == nil || goTypes[m[2]] == "" {
		return text
	}
	return fmt.Sprintf("found %s, wanted %s", m[1], goTypes[m[2]])
}

// keyText is a key in front of an error, nothing where there is none.
func keyText(key toml.Key) string {
	if len(key) == 0 {
		return ""
	}
	return strings.Join(key, ".") + ": "
}

// unknownKey words a key that there is not, with the nearest that there is.
func (f *File) unknownKey(e *toml.DecodeError) error {
	line, _ := e.Position()
	key := e.Key()
	known := knownKeys(key)
	name := key[len(key)-1]
	if near := nearest(name, known); near != "" {
		return fmt.Errorf("%s:%d: unknown key %q; did you mean %q?", f.Path, line, strings.Join(key, "."), near)
	}
	return fmt.Errorf("%s:%d: unknown key %q; there are %s", f.Path, line, strings.Join(key, "."), strings.Join(known, ", "))
}

// knownKeys lists the keys of the table that a key is in.
func knownKeys(key toml.Key) []string {
	table := reflect.TypeFor[Settings]()
	switch {
	case len(key) > 1 && key[0] == "rule":
		table = reflect.TypeFor[RuleText]()
	case len(key) > 1 && key[0] == "segment":
		table = reflect.TypeFor[SegmentText]()
	}
	return tableKeys(table)
}

// Keys lists the keys of the file, but for those of its tables.
func Keys() []string { return tableKeys(reflect.TypeFor[Settings]()) }

// nearest returns the known name that is a slip of the pen away, "" where none
// is.
func nearest(name string, known []string) string {
	best, bestDistance := "", max(2, len(name)/3)+1
	for _, k := range known {
		if d := distance(name, k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance counts the letters to insert, delete or replace to make b of a
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// Has reports whether the file says anything under a key.
func (f *File) Has(key string) bool {
	_, ok := f.lines[key]
	return ok
}

// origin says where a key of the file was written.
func (f *File) origin(key string) string {
	if line, ok := f.lines[key]; ok {
		return fmt.Sprintf("%s:%d: %s", f.Path, line, key)
	}
	if table, name, ok := strings.Cut(key, "]."); ok {
		return fmt.Sprintf("%s:%d: %s", f.Path, f.lines[table+"]"], name)
	}
	return "--" + key
}

// Under returns the settings of the flags and the environment, with the file's
// where isSet says that neither has a key.
func (f *File) Under(flags Settings, isSet func(key string) bool) Settings {
	merged := f.Settings
	from, to := reflect.ValueOf(flags), reflect.ValueOf(&merged).Elem()
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Settings]()) {
		key := keyOf(field)
		switch {
		case key == "" || key == "rule" || key == "segment":
			// Tables of the file alone. A flag's segments come before them.
		case isSet(key) || !f.Has(key):
			to.FieldByIndex(field.Index).Set(from.FieldByIndex(field.Index))
		}
	}
	merged.origin = func(key string) string {
		if isSet(key) {
			return "--" + key
		}
		return f.origin(key)
	}
	return merged
}

// keyLines finds the line of each key: of "boot-url" at the top, of "rule[2].mac"
// in the third rule, and of "rule[2]" itself. Text that is no TOML ends the
// list; decoding tells what is wrong with it.
func keyLines(text []byte) map[string]int {
	lines := map[string]int{}
	tables := map[string]int{}
	prefix := ""
	var p unstable.Parser
	p.Reset(text)
	for p.NextExpression() {
		node := p.Expression()
		var names []string
		var raw unstable.Range
		for key := node.Key(); key.Next(); {
			names = append(names, string(key.Node().Data))
			raw = key.Node().Raw
		}
		name := strings.Join(names, ".")
		line := p.Shape(raw).Start.Line
		switch node.Kind {
		case unstable.ArrayTable:
			name = fmt.Sprintf("%s[%d]", name, tables[name])
			tables[strings.Join(names, ".")]++
			lines[name] = line
			prefix = name + "."
		case unstable.Table:
			prefix = name + "."
		case unstable.KeyValue:
			lines[prefix+name] = line
		}
	}
	return lines
}
