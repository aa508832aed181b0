package config

// The keys of a configuration file, and where they are. One pass reads them, so
// that a file of any content takes a time that grows with its size alone.

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// ruleKey is the table of a rule in the file.
const ruleKey = "rule"

// writtenKey is a key as it is written in a file.
type writtenKey struct {
	path []string // the names of its tables, and its own
	line int
}

// fileKeys are the keys of a file.
type fileKeys struct {
	lines   map[string]int // of each key: of "boot-url" at the top, of "rule[2].mac" in the third rule, and of "rule[2]" itself
	unknown []writtenKey   // those that no setting has
}

// keyReader reads the keys of a file.
type keyReader struct {
	fileKeys
	parser unstable.Parser
	text   []byte
	offset int // up to which lines were counted
	line   int
	known  map[reflect.Type]map[string]bool
	table  []string // that the next keys are in
	prefix string   // of their names in lines
	counts map[string]int
}

// readKeys reads the keys of a file. It ends where the text is no TOML;
// decoding then reports what is wrong.
func readKeys(text []byte) fileKeys {
	r := &keyReader{
		fileKeys: fileKeys{lines: map[string]int{}}, text: text, line: 1,
		known: map[reflect.Type]map[string]bool{}, counts: map[string]int{},
	}
	r.parser.Reset(text)
	for r.parser.NextExpression() {
		r.expression(r.parser.Expression())
	}
	return r.fileKeys
}

// expression reads a line of the file: a key with its value, or the beginning
// of a table.
func (r *keyReader) expression(node *unstable.Node) {
	names, line := r.names(node)
	name := strings.Join(names, ".")
	switch node.Kind {
	case unstable.ArrayTable:
		indexed := fmt.Sprintf("%s[%d]", name, r.counts[name])
		r.counts[name]++
		r.lines[indexed] = line
		r.table, r.prefix = names, indexed+"."
		r.check(names, line)
	case unstable.Table:
		r.table, r.prefix = names, name+"."
		r.check(names, line)
	case unstable.KeyValue:
		r.lines[r.prefix+name] = line
		if len(r.table) == 0 || r.isKnown(r.table) {
			r.key(slices.Concat(r.table, names), line, node.Value())
		}
	}
}

// names returns the names of a key, and the line of the last one.
func (r *keyReader) names(node *unstable.Node) (names []string, line int) {
	for key := node.Key(); key.Next(); {
		names = append(names, string(key.Node().Data))
		line = r.lineAt(int(key.Node().Raw.Offset))
	}
	return names, line
}

// lineAt returns the line of an offset, which never is before the last one.
func (r *keyReader) lineAt(offset int) int {
	if offset > r.offset {
		r.line += bytes.Count(r.text[r.offset:offset], []byte("\n"))
		r.offset = offset
	}
	return r.line
}

// inline reads the keys of tables in a value: rule = [{name = "a"}].
func (r *keyReader) inline(path []string, value *unstable.Node) {
	switch value.Kind {
	case unstable.Array:
		for at := value.Children(); at.Next(); {
			r.inline(path, at.Node())
		}
	case unstable.InlineTable:
		for at := value.Children(); at.Next(); {
			names, line := r.names(at.Node())
			r.key(slices.Concat(path, names), line, at.Node().Value())
		}
	}
}

// key checks a key and those in its value. What is in a table that is unknown
// itself is not checked.
func (r *keyReader) key(path []string, line int, value *unstable.Node) {
	if r.check(path, line) {
		r.inline(path, value)
	}
}

// check notes a key that no setting has. It reports whether one has it.
func (r *keyReader) check(path []string, line int) bool {
	known := r.isKnown(path)
	if !known {
		r.unknown = append(r.unknown, writtenKey{path, line})
	}
	return known
}

// isKnown reports whether a setting has a key. What is below a setting that is
// no table is the decoder's business.
func (r *keyReader) isKnown(path []string) bool {
	top := path[:1]
	if !r.keys(tableOf(top))[path[0]] {
		return false
	}
	if len(path) == 1 || tableOf(path) == tableOf(top) {
		return true
	}
	return r.keys(tableOf(path))[path[1]]
}

// keys returns the keys of a table.
func (r *keyReader) keys(table reflect.Type) map[string]bool {
	keys := r.known[table]
	if keys == nil {
		keys = map[string]bool{}
		for _, key := range tableKeys(table) {
			keys[key] = true
		}
		r.known[table] = keys
	}
	return keys
}
