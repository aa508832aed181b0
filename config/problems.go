package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Problems collects everything that is wrong with some settings, so that it can
// be reported at once. Copies share one list.
type Problems struct {
	settings *Settings
	table    string // the table of the file that keys are in, such as "rule[2]."
	list     *problemList
}

// maxProblems is how many problems are reported at once: the first of them say
// what is wrong with a file of thousands.
const maxProblems = 20

// problemList is the first problems, each once, and how many more there were.
type problemList struct {
	errs []error
	more int
}

// add adds a problem. It is made only if there is room for it.
func (l *problemList) add(problem func() error) {
	if len(l.errs) == maxProblems {
		l.more++
		return
	}
	if err := problem(); !slices.ContainsFunc(l.errs, func(known error) bool { return known.Error() == err.Error() }) {
		l.errs = append(l.errs, err)
	}
}

// err returns the problems joined, a line each, or nil if there are none.
func (l *problemList) err() error {
	if l.more == 0 {
		return errors.Join(l.errs...)
	}
	return errors.Join(append(slices.Clone(l.errs), fmt.Errorf("and %d problems more", l.more))...)
}

// newProblems returns an empty list for settings. It finds out where a value
// was written.
func newProblems(s *Settings) Problems { return Problems{settings: s, list: new(problemList)} }

// In returns the same list for the keys of a table of the file, such as
// "rule[2].".
func (p Problems) In(table string) Problems {
	p.table = table
	return p
}

// Add adds a problem with the value of a key, if err is not nil. The text
// begins with the place where the value was written: file, line and key, or the
// flag.
func (p Problems) Add(key, value string, err error) {
	if err != nil {
		p.Note(fmt.Errorf("%s %q: %w", p.settings.place(p.table, key), value, err))
	}
}

// Note adds a problem that is of no single value, if err is not nil. What is
// known already is not added: segments share the values of everybody.
func (p Problems) Note(err error) {
	if err != nil {
		p.list.add(func() error { return err })
	}
}

// Err returns all problems joined, a line each, or nil if there are none.
func (p Problems) Err() error { return p.list.err() }

// place returns where the value of a key was written; table is the table of the
// file that the key is in, "" for none. The flag stands for its environment
// variable and its default too. A value that a segment does not have was
// written for everybody.
func (s *Settings) place(table, key string) string {
	if s.file != nil && strings.HasPrefix(table, segmentKey) && !s.file.has(table+key) && isAnswer(key) {
		table = ""
	}
	if s.file != nil && s.sources[table+key] == NotGiven {
		return s.file.place(table + key)
	}
	return "--" + table + key
}

// isAnswer reports whether a segment may have a value of its own for a key.
func isAnswer(key string) bool {
	return slices.Contains(tableKeys(reflect.TypeFor[AnswersText]()), key)
}
