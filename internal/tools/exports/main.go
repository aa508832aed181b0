// Command exports lists the exported names that no other package uses.
//
//	go run ./internal/tools/exports ./internal/...
//
// A name that only its own package uses should not be exported. The exit code
// is 1 if there are any. The tests of other packages count as use; the tests of
// the same package do not.
package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

func main() {
	unused, err := run(os.Args[1:])
	for _, line := range unused {
		fmt.Println(line)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "exports:", err)
	}
	if err != nil || len(unused) > 0 {
		os.Exit(1)
	}
}

// run returns a line for each unused name of the packages that match the
// patterns.
func run(patterns []string) ([]string, error) {
	if len(patterns) == 0 {
		return nil, errors.New("no packages to look at: name them, such as ./internal/... and ./tftp")
	}
	checked, err := packages.Load(&packages.Config{Mode: packages.NeedName}, patterns...)
	if err != nil {
		return nil, err
	}
	const mode = packages.NeedName | packages.NeedFiles | packages.NeedImports | packages.NeedTypes | packages.NeedSyntax | packages.NeedTypesInfo
	all, err := packages.Load(&packages.Config{Mode: mode, Tests: true}, "./...")
	if err != nil {
		return nil, err
	}
	if packages.PrintErrors(all) > 0 {
		return nil, errors.New("the packages do not compile")
	}
	m := module{packages: all, used: map[string]bool{}}
	m.findInterfaces()
	m.findUses()
	var unused []string
	for _, p := range checked {
		unused = append(unused, m.unusedIn(p.PkgPath)...)
	}
	slices.Sort(unused)
	return unused, nil
}

// module is every package of this module, with its tests.
type module struct {
	packages   []*packages.Package
	interfaces []*types.Interface
	used       map[string]bool // the positions of what another package uses
}

// findInterfaces collects the interfaces of all packages that are in sight: a
// method that one of them asks for is used by whoever has the interface.
func (m *module) findInterfaces() {
	m.interfaces = append(m.interfaces, types.Universe.Lookup("error").Type().Underlying().(*types.Interface))
	packages.Visit(m.packages, nil, func(p *packages.Package) {
		if p.Types == nil || isTestVariant(p) {
			return
		}
		scope := p.Types.Scope()
		for _, name := range scope.Names() {
			object, ok := scope.Lookup(name).(*types.TypeName)
			if !ok {
				continue
			}
			if i, ok := object.Type().Underlying().(*types.Interface); ok && i.NumMethods() > 0 {
				m.interfaces = append(m.interfaces, i)
			}
		}
	})
}

// findUses notes what each package uses of others.
func (m *module) findUses() {
	for _, p := range m.packages {
		for _, object := range p.TypesInfo.Uses {
			if object.Pkg() != nil && object.Pos().IsValid() && folder(object.Pkg().Path()) != folder(p.PkgPath) {
				m.used[m.position(p, object.Pos())] = true
			}
		}
	}
}

// folder is the package path without the suffix of an external test package.
func folder(path string) string { return strings.TrimSuffix(path, "_test") }

// position is a place in the source: the same one for every variant of a
// package.
func (m *module) position(p *packages.Package, at token.Pos) string {
	return p.Fset.Position(at).String()
}

// isTestVariant reports whether a package is one that was compiled for tests.
func isTestVariant(p *packages.Package) bool {
	return strings.Contains(p.ID, "[") || strings.HasSuffix(p.ID, ".test")
}

// unusedIn lists the unused names of one package.
func (m *module) unusedIn(path string) []string {
	i := slices.IndexFunc(m.packages, func(p *packages.Package) bool { return p.PkgPath == path && !isTestVariant(p) })
	if i < 0 || m.packages[i].Name == "main" {
		return nil
	}
	p := m.packages[i]
	names := m.names(p)
	for m.spread(p, names) {
	}
	var unused []string
	for _, n := range names {
		if !m.used[m.position(p, n.object.Pos())] {
			at := p.Fset.Position(n.object.Pos())
			unused = append(unused, fmt.Sprintf("%s:%d: %s.%s is used in no other package", shown(at.Filename), at.Line, p.Name, n.text))
		}
	}
	return unused
}

// name is an exported name of a package.
type name struct {
	object types.Object
	text   string // with its type, for a method or a field
}

// names lists the exported names of a package. Those that are used by other
// means than their name are marked as used: see keep.
func (m *module) names(p *packages.Package) []name {
	var list []name
	scope := p.Types.Scope()
	for _, text := range scope.Names() {
		object := scope.Lookup(text)
		if !object.Exported() {
			continue
		}
		list = append(list, name{object, text})
		if t, ok := object.(*types.TypeName); ok && !t.IsAlias() {
			list = append(list, m.members(p, t)...)
		}
	}
	return list
}

// members lists the exported methods and fields of a type.
func (m *module) members(p *packages.Package, t *types.TypeName) []name {
	named, ok := t.Type().(*types.Named)
	if !ok {
		return nil
	}
	var list []name
	template := m.isForTemplates(p, t.Pos())
	add := func(object types.Object, kept bool) {
		if !object.Exported() {
			return
		}
		if kept || template {
			m.keep(p, object)
		}
		list = append(list, name{object, t.Name() + "." + object.Name()})
	}
	if template {
		m.keep(p, t)
	}
	for method := range named.Methods() {
		add(method, m.isAskedFor(named, method.Name()))
	}
	if s, ok := named.Underlying().(*types.Struct); ok {
		for i := range s.NumFields() {
			add(s.Field(i), s.Tag(i) != "" || s.Field(i).Embedded())
		}
	}
	return list
}

// keep marks a name as used: a method that an interface asks for, a field that
// is read by reflection, and what templates read.
func (m *module) keep(p *packages.Package, object types.Object) {
	m.used[m.position(p, object.Pos())] = true
}

// spread marks the types of used names as used, and all members of an
// enumeration of which one is. It reports whether there was anything to mark.
func (m *module) spread(p *packages.Package, names []name) (changed bool) {
	mark := func(object types.Object) {
		if object.Pkg() == p.Types && !m.used[m.position(p, object.Pos())] {
			m.keep(p, object)
			changed = true
		}
	}
	enumerations := map[types.Type]bool{}
	for _, n := range names {
		if !m.used[m.position(p, n.object.Pos())] {
			continue
		}
		if _, isType := n.object.(*types.TypeName); !isType {
			eachNamed(n.object.Type(), func(t *types.Named) { mark(t.Obj()) })
		}
		if c, ok := n.object.(*types.Const); ok && !isBasic(c.Type()) {
			enumerations[c.Type()] = true
		}
	}
	for _, n := range names {
		if c, ok := n.object.(*types.Const); ok && enumerations[c.Type()] {
			mark(c)
		}
	}
	return changed
}

func isBasic(t types.Type) bool { _, basic := t.(*types.Basic); return basic }

// eachNamed visits the named types that a type is made of.
func eachNamed(t types.Type, visit func(*types.Named)) {
	switch t := t.(type) {
	case *types.Named:
		visit(t)
		for a := range t.TypeArgs().Types() {
			eachNamed(a, visit)
		}
	case *types.Pointer:
		eachNamed(t.Elem(), visit)
	case *types.Slice:
		eachNamed(t.Elem(), visit)
	case *types.Array:
		eachNamed(t.Elem(), visit)
	case *types.Chan:
		eachNamed(t.Elem(), visit)
	case *types.Map:
		eachNamed(t.Key(), visit)
		eachNamed(t.Elem(), visit)
	case *types.Signature:
		for v := range t.Params().Variables() {
			eachNamed(v.Type(), visit)
		}
		for v := range t.Results().Variables() {
			eachNamed(v.Type(), visit)
		}
	}
}

// isAskedFor reports whether an interface that the type implements has the
// method.
func (m *module) isAskedFor(t *types.Named, method string) bool {
	return slices.ContainsFunc(m.interfaces, func(i *types.Interface) bool {
		for f := range i.Methods() {
			if f.Name() == method {
				return types.Implements(t, i) || types.Implements(types.NewPointer(t), i)
			}
		}
		return false
	})
}

// isForTemplates reports whether the type that is declared there is marked as
// one that templates read: by "//exports:template" in its documentation.
func (m *module) isForTemplates(p *packages.Package, at token.Pos) bool {
	for _, file := range p.Syntax {
		for _, d := range file.Decls {
			decl, ok := d.(*ast.GenDecl)
			if !ok || decl.Doc == nil || at < decl.Pos() || at > decl.End() {
				continue
			}
			return slices.ContainsFunc(decl.Doc.List, func(c *ast.Comment) bool { return c.Text == "//exports:template" })
		}
	}
	return false
}

// shown is a file's name from here, if it is below.
func shown(file string) string {
	here, err := os.Getwd()
	if err != nil {
		return file
	}
	if relative, err := filepath.Rel(here, file); err == nil && filepath.IsLocal(relative) {
		return relative
	}
	return file
}
