package figure

import (
	"strings"
	"unicode/utf8"
)

// Table is a Markdown table that is also readable as plain text.
type Table struct {
	Head []string
	Rows [][]string
}

// Add adds a row.
func (t *Table) Add(cells ...string) { t.Rows = append(t.Rows, cells) }

// String returns the table with its columns aligned: the first to the left, the
// others to the right.
func (t *Table) String() string {
	widths := make([]int, len(t.Head))
	for _, row := range append([][]string{t.Head}, t.Rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	t.line(&b, t.Head, widths)
	for i, width := range widths {
		b.WriteString("|")
		if i == 0 {
			b.WriteString(strings.Repeat("-", width+2))
		} else {
			b.WriteString(strings.Repeat("-", width+1) + ":")
		}
	}
	b.WriteString("|\n")
	for _, row := range t.Rows {
		t.line(&b, row, widths)
	}
	return b.String()
}

// line writes one row.
func (t *Table) line(b *strings.Builder, row []string, widths []int) {
	for i, width := range widths {
		var cell string
		if i < len(row) {
			cell = row[i]
		}
		gap := strings.Repeat(" ", width-utf8.RuneCountInString(cell))
		if i == 0 {
			b.WriteString("| " + cell + gap + " ")
		} else {
			b.WriteString("| " + gap + cell + " ")
		}
	}
	b.WriteString("|\n")
}
