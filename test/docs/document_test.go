package docs

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// kinds are the kinds of fenced blocks. Each is tried by some test; a block of
// another kind is an error, because nobody would try it.
var kinds = []string{"sh", "console", "toml", "ini", "powershell", "ipxe", "log", "mermaid"}

// root is where the documents are.
const root = "../.."

// document is one Markdown file.
type document struct {
	name   string // from the root of the repository
	text   string
	prose  string // the text without the fenced blocks, which are empty lines
	blocks []block
}

// block is a fenced block.
type block struct {
	doc  *document
	kind string
	line int // of its first line
	text string
}

// at is where a line of the block is, for people.
func (b *block) at(line int) string { return b.doc.at(b.line + line) }

// fence begins or ends a block.
var fence = regexp.MustCompile("^( *)```(.*)$")

// documents reads every document of the repository.
func documents(t *testing.T) []*document {
	t.Helper()
	var docs []*document
	add := func(name string) {
		text, err := os.ReadFile(path.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, parse(t, name, string(text)))
	}
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"} {
		add(name)
	}
	err := fs.WalkDir(os.DirFS(root), "docs", func(name string, _ fs.DirEntry, err error) error {
		if err == nil && path.Ext(name) == ".md" {
			add(name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

// documentNamed returns one of the documents.
func documentNamed(t *testing.T, docs []*document, name string) *document {
	t.Helper()
	i := slices.IndexFunc(docs, func(d *document) bool { return d.name == name })
	if i < 0 {
		t.Fatalf("%s: no such document", name)
	}
	return docs[i]
}

// parse takes a document apart.
func parse(t *testing.T, name, text string) *document {
	t.Helper()
	d := &document{name: name, text: text}
	var prose strings.Builder
	var open *block
	var indent string
	for i, line := range strings.Split(text, "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case m != nil && open == nil:
			if !slices.Contains(kinds, m[2]) {
				t.Errorf("%s: a block of kind %q, which no test tries", d.at(i+1), m[2])
			}
			indent, open = m[1], &block{doc: d, kind: m[2], line: i + 2}
		case m != nil:
			open.text = strings.TrimSuffix(open.text, "\n")
			d.blocks = append(d.blocks, *open)
			open = nil
		case open != nil:
			open.text += strings.TrimPrefix(line, indent) + "\n"
		default:
			prose.WriteString(line)
		}
		prose.WriteString("\n")
	}
	if open != nil {
		t.Errorf("%s: a block that does not end", d.at(open.line-1))
	}
	d.prose = prose.String()
	return d
}

// at is where a line is, for people.
func (d *document) at(line int) string { return d.name + ":" + itoa(line) }

// blocksOf returns the blocks of a kind in all documents.
func blocksOf(docs []*document, kind string) []block {
	var found []block
	for _, d := range docs {
		for _, b := range d.blocks {
			if b.kind == kind {
				found = append(found, b)
			}
		}
	}
	return found
}

// span is a piece of code in the running text or in a table.
type span struct {
	doc  *document
	line int
	text string
}

// at is where the span is, for people.
func (s span) at() string { return s.doc.at(s.line) }

// spans are the pieces of code of a document that no block has. One may go on
// over the end of a line.
func (d *document) spans() []span {
	var spans []span
	line := 1
	for i, part := range strings.Split(d.prose, "`") {
		if i%2 == 1 {
			spans = append(spans, span{d, line, strings.ReplaceAll(part, "\n", " ")})
		}
		line += strings.Count(part, "\n")
	}
	return spans
}

// codeIn are the pieces of code in a text.
func codeIn(text string) []string {
	var found []string
	for i, part := range strings.Split(text, "`") {
		if i%2 == 1 {
			found = append(found, part)
		}
	}
	return found
}

// row is a row of a table.
type row struct {
	doc   *document
	line  int
	cells []string
}

// at is where the row is, for people.
func (r row) at() string { return r.doc.at(r.line) }

// tables returns the rows of every table whose heading has these cells. The
// heading itself is left out.
func (d *document) tables(heading ...string) []row {
	var rows []row
	inside := false
	for i, line := range strings.Split(d.prose, "\n") {
		if !strings.HasPrefix(line, "|") {
			inside = false
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for n := range cells {
			cells[n] = strings.TrimSpace(cells[n])
		}
		switch {
		case slices.Equal(cells, heading):
			inside = true
		case inside && strings.Trim(line, "|-: ") != "":
			rows = append(rows, row{d, i + 1, cells})
		}
	}
	return rows
}
