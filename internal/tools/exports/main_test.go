package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// sources are a module with a package that is used in every way that counts.
var sources = map[string]string{
	"go.mod": "module example.org/m\n\ngo 1.26\n",
	"a/a.go": `package a

type Used struct {
	Read   int
	Unread int
	Tagged int ` + "`json:\"tagged\"`" + `
}

func (Used) String() string { return "" }
func (Used) Unasked()       {}

type Result struct{}

func Get() Result { return Result{} }

type Level int

const (
	Low Level = iota
	High
)

type Alone struct{}

//exports:template
type ForTemplates struct{ Name string }
`,
	"a/a_test.go": `package a_test

import (
	"testing"

	"example.org/m/a"
)

func TestAlone(*testing.T) { _ = a.Alone{} }
`,
	"b/b.go": `package b

import (
	"fmt"

	"example.org/m/a"
)

var _ = fmt.Sprint(a.Used{Read: int(a.Low)})
var _ = a.Get()
`,
}

// TestRun checks which names count as used.
func TestRun(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range sources {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := run([]string{"./..."})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"a/a.go:23: a.Alone is used in no other package",
		"a/a.go:5: a.Used.Unread is used in no other package",
		"a/a.go:10: a.Used.Unasked is used in no other package",
	}
	less := func(a, b string) bool { return a < b }
	if diff := cmp.Diff(want, got, cmpopts.SortSlices(less)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
