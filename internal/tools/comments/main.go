// Command comments checks the comments of Go files for the house style.
//
//	go run ./internal/tools/comments .
//
// A comment that stands alone has at most 80 characters in its line. A comment
// about a whole file stands before the imports. Every exported name, and every
// type, has a comment that begins with its name. The exit code is 1 if there is
// anything to report.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxLine bounds the line of a comment that stands alone, in characters.
const maxLine = 80

// archaisms are phrases for which plain English has others.
var archaisms = []string{"tells of", "tell of", "held against", "to be had", "where there is none", "suffers"}

func main() {
	found := 0
	for _, root := range os.Args[1:] {
		problems, err := checkTree(root)
		if err != nil {
			fmt.Fprintln(os.Stderr, "comments:", err)
			os.Exit(1)
		}
		for _, p := range problems {
			fmt.Println(p)
		}
		found += len(problems)
	}
	if found > 0 {
		os.Exit(1)
	}
}

// checkTree checks every Go file below root.
func checkTree(root string) (problems []string, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		name := d.Name()
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (name == "testdata" || strings.HasPrefix(name, ".")):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".go":
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		more, err := checkFile(path, source)
		problems = append(problems, more...)
		return err
	})
	return problems, err
}

// file is a Go file that is being checked.
type file struct {
	fset     *token.FileSet
	syntax   *ast.File
	lines    []string
	problems []string
}

// checkFile returns what is to be changed in one file.
func checkFile(path string, source []byte) ([]string, error) {
	f := &file{fset: token.NewFileSet(), lines: strings.Split(string(source), "\n")}
	var err error
	if f.syntax, err = parser.ParseFile(f.fset, path, source, parser.ParseComments|parser.SkipObjectResolution); err != nil {
		return nil, err
	}
	f.checkLines()
	f.checkPosition()
	if !strings.HasSuffix(path, "_test.go") {
		f.checkDocs()
	}
	return f.problems, nil
}

// report notes a problem.
func (f *file) report(at token.Pos, format string, args ...any) {
	position := f.fset.Position(at)
	f.problems = append(f.problems, fmt.Sprintf("%s:%d: %s", position.Filename, position.Line, fmt.Sprintf(format, args...)))
}

// checkLines checks width and words of every comment.
func (f *file) checkLines() {
	for _, group := range f.syntax.Comments {
		for _, c := range group.List {
			position := f.fset.Position(c.Pos())
			line := f.lines[position.Line-1]
			alone := strings.TrimSpace(line[:position.Column-1]) == ""
			if n := utf8.RuneCountInString(line); alone && n > maxLine && !isPreformatted(c.Text) {
				f.report(c.Pos(), "the comment's line has %d characters; wrap it at %d", n, maxLine)
			}
			for _, phrase := range archaisms {
				if strings.Contains(c.Text, phrase) {
					f.report(c.Pos(), "%q: say it in plain English", phrase)
				}
			}
		}
	}
}

// isPreformatted reports whether a comment is a directive, or a line of a table
// or a diagram, which gofmt leaves as it is.
func isPreformatted(text string) bool {
	return strings.HasPrefix(text, "//\t") || strings.HasPrefix(text, "//go:") || strings.HasPrefix(text, "//exhaustive:") ||
		strings.Contains(text, "://") && len(strings.Fields(text)) == 2
}

// checkPosition looks for a comment about the file between the imports and the
// first declaration.
func (f *file) checkPosition() {
	declarations := slices.DeleteFunc(slices.Clone(f.syntax.Decls), func(d ast.Decl) bool {
		g, ok := d.(*ast.GenDecl)
		return ok && g.Tok == token.IMPORT
	})
	if len(declarations) == 0 || len(f.syntax.Imports) == 0 {
		return
	}
	imports := f.syntax.Decls[0].End()
	first := startOf(declarations[0])
	for _, group := range f.syntax.Comments {
		if group.Pos() > imports && group.End() < first {
			f.report(group.Pos(), "a comment about the file stands before the imports")
		}
	}
}

// startOf is where a declaration begins, its comment included.
func startOf(d ast.Decl) token.Pos {
	var doc *ast.CommentGroup
	switch d := d.(type) {
	case *ast.GenDecl:
		doc = d.Doc
	case *ast.FuncDecl:
		doc = d.Doc
	}
	if doc != nil {
		return doc.Pos()
	}
	return d.Pos()
}

// checkDocs checks the comments of declarations.
func (f *file) checkDocs() {
	for _, d := range f.syntax.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && !isHidden(d.Recv) {
				f.checkDoc(d.Name, d.Doc)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				f.checkSpec(d, spec)
			}
		}
	}
}

// isHidden reports whether a receiver is of a type that is not exported: its
// exported methods are there for interfaces, which document them.
func isHidden(receiver *ast.FieldList) bool {
	if receiver == nil {
		return false
	}
	hidden := false
	ast.Inspect(receiver.List[0].Type, func(n ast.Node) bool {
		name, ok := n.(*ast.Ident)
		hidden = hidden || ok && !name.IsExported()
		return !ok
	})
	return hidden
}

// checkSpec checks one type, constant or variable. Those of a group may share
// the comment of the group.
func (f *file) checkSpec(d *ast.GenDecl, spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		doc := spec.Doc
		if doc == nil {
			doc = d.Doc
		}
		f.checkDoc(spec.Name, doc)
	case *ast.ValueSpec:
		if d.Lparen.IsValid() || !spec.Names[0].IsExported() {
			return
		}
		f.checkDoc(spec.Names[0], d.Doc)
	}
}

// checkDoc checks that a name has a comment that begins with it.
func (f *file) checkDoc(name *ast.Ident, doc *ast.CommentGroup) {
	switch first, _, _ := strings.Cut(doc.Text(), " "); {
	case doc.Text() == "":
		f.report(name.Pos(), "%s has no comment", name.Name)
	case strings.TrimRight(first, ",:.\n") != name.Name:
		f.report(doc.Pos(), "the comment of %s begins with %q", name.Name, first)
	}
}
