package tftp

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"
)

// TestWall checks that the files that decide know no socket and no server. They
// import nothing that reaches the network or the operating system, and do not
// name the types that do.
func TestWall(t *testing.T) {
	pure := []string{
		"admission.go", "deadlines.go", "engine.go", "events.go", "inbox.go", "name.go", "negotiate.go", "neighbors.go",
		"packet.go", "recent.go", "rtt.go", "send.go", "session.go", "transfer.go",
	}
	imports := []string{
		"bytes", "encoding/binary", "errors", "fmt", "io/fs", "iter", "maps", "math", "net/netip",
		"slices", "strconv", "strings", "sync", "sync/atomic", "time",
	}
	outside := []string{"Config", "Listen", "Server", "interfaces", "openSocket", "port", "socket"}
	for _, name := range pure {
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if path, _ := strconv.Unquote(i.Path.Value); !slices.Contains(imports, path) {
				t.Errorf("%s imports %s", set.Position(i.Pos()), path)
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if i, ok := n.(*ast.Ident); ok && slices.Contains(outside, i.Name) {
				t.Errorf("%s uses %s", set.Position(i.Pos()), i.Name)
			}
			return true
		})
	}
}
