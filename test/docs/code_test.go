package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// module is the path of this module, with a slash.
const module = "github.com/pxesidecar/pxesidecar/"

// imports lists the packages of the program, each with what it imports of this
// module and of others.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	list := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./cmd/...", "./config/...", "./proxydhcp/...", "./tftp/...", "./internal/...")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		name := strings.TrimPrefix(fields[0], module)
		if strings.HasPrefix(name, "internal/tools/") || strings.HasSuffix(name, "/installcommand") {
			continue // programs beside the program
		}
		found[name] = []string{}
		for _, imported := range fields[1:] {
			if host, _, _ := strings.Cut(imported, "/"); strings.Contains(host, ".") {
				found[name] = append(found[name], strings.TrimPrefix(imported, module))
			}
		}
	}
	return found
}

// TestPackages compares the table of packages with what each imports.
func TestPackages(t *testing.T) {
	t.Parallel()
	d := documentNamed(t, documents(t), "docs/architecture.md")
	found := imports(t)
	var named []string
	for _, r := range d.tables("package", "is", "may import") {
		name := codeIn(r.cells[0])[0]
		named = append(named, name)
		allowed := codeIn(r.cells[2])
		for _, imported := range found[name] {
			if !slices.ContainsFunc(allowed, func(a string) bool { return isWithin(imported, a) }) && r.cells[2] != "everything" {
				t.Errorf("%s: %s imports %s", r.at(), name, imported)
			}
		}
	}
	for name := range found {
		if !slices.Contains(named, name) {
			t.Errorf("%s: no row for the package %s", d.name, name)
		}
	}
}

// isWithin reports whether an import is allowed by a cell of the table: a
// package of this module by its name, one of another module by the module.
func isWithin(imported, allowed string) bool {
	return imported == allowed || strings.Contains(allowed, ".") && strings.HasPrefix(imported, allowed+"/")
}

// The lines of a picture: a node with its label, and an arrow.
var (
	node  = regexp.MustCompile(`(\w+)\["([^"]+)"\]`)
	arrow = regexp.MustCompile(`(\w+)(?:\["[^"]+"\])? --> (\w+)`)
)

// TestPicture compares the arrows of the pictures with the imports of the
// packages in them.
func TestPicture(t *testing.T) {
	t.Parallel()
	found := imports(t)
	for _, b := range blocksOf(documents(t), "mermaid") {
		labels := map[string]string{}
		for _, m := range node.FindAllStringSubmatch(b.text, -1) {
			labels[m[1]] = m[2]
		}
		var drawn, real []string
		for _, m := range arrow.FindAllStringSubmatch(b.text, -1) {
			drawn = append(drawn, labels[m[1]]+" --> "+labels[m[2]])
		}
		shown := slices.Collect(maps.Values(labels))
		for _, name := range shown {
			if _, ok := found[name]; !ok {
				t.Errorf("%s: there is no package %q", b.at(0), name)
			}
			for _, imported := range found[name] {
				if slices.Contains(shown, imported) {
					real = append(real, name+" --> "+imported)
				}
			}
		}
		for name := range found {
			if !slices.Contains(shown, name) && len(found[name]) > 0 && name != "cmd/pxesidecar" {
				t.Errorf("%s: the package %s is not drawn", b.at(0), name)
			}
		}
		slices.Sort(drawn)
		slices.Sort(real)
		if diff := cmp.Diff(real, drawn); diff != "" {
			t.Errorf("%s: arrows (-imports +drawn):\n%s", b.at(0), diff)
		}
	}
}

// Pieces of code that name something in the repository.
var (
	declared = regexp.MustCompile(`^([\w./-]+\.go):([A-Za-z]\w*(?:\.\w+)?)$`)
	place    = regexp.MustCompile(`^(cmd|config|proxydhcp|tftp|internal|test|docs|\.github|\.ci)/[\w./*-]*$`)
)

// TestCode checks that the files, folders and declarations that the documents
// name exist.
func TestCode(t *testing.T) {
	t.Parallel()
	for _, d := range documents(t) {
		for _, s := range d.spans() {
			if m := declared.FindStringSubmatch(s.text); m != nil {
				if !declares(t, m[1], m[2]) {
					t.Errorf("%s: `%s` is not declared", s.at(), s.text)
				}
				continue
			}
			if !place.MatchString(s.text) || path.Ext(s.text) == ".h" { // iPXE's headers
				continue
			}
			if files, err := filepath.Glob(path.Join(root, s.text)); err != nil || len(files) == 0 {
				t.Errorf("%s: there is no %s", s.at(), s.text)
			}
		}
	}
}

// declares reports whether a file declares a name: a function, a type, a value,
// or a method as Type.Method.
func declares(t *testing.T, file, name string) bool {
	t.Helper()
	source, err := os.ReadFile(path.Join(root, file))
	if err != nil {
		return false
	}
	syntax, err := parser.ParseFile(token.NewFileSet(), file, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(syntax.Decls, func(d ast.Decl) bool { return slices.Contains(namesOf(d), name) })
}

// namesOf are the names that a declaration declares.
func namesOf(d ast.Decl) []string {
	var names []string
	switch d := d.(type) {
	case *ast.FuncDecl:
		return []string{receiverOf(d) + d.Name.Name}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				names = append(names, spec.Name.Name)
			case *ast.ValueSpec:
				for _, n := range spec.Names {
					names = append(names, n.Name)
				}
			}
		}
	}
	return names
}

// receiverOf is the type of a method with a dot, "" for a function.
func receiverOf(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if generic, ok := t.(*ast.IndexExpr); ok {
		t = generic.X
	}
	if name, ok := t.(*ast.Ident); ok {
		return name.Name + "."
	}
	return ""
}
