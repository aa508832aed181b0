package config

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestUnknownKeys checks where unknown keys are found: in tables, in dotted
// keys, and in tables in a line.
func TestUnknownKeys(t *testing.T) {
	text := `
root = "/srv/pxe"
top = 1
rule = [{name = "a"}, {mack = ["52"], outcome = "ignore"}]
menu.first = 1
[other]
anything = 1
[[segment]]
name = "s"
names = 1
[[segment]]
deeper.still = 1
root = {x = 1}
[[others]]
name = 1
`
	var got []string
	for _, k := range readKeys([]byte(text)).unknown {
		got = append(got, fmt.Sprint(k.line, " ", strings.Join(k.path, ".")))
	}
	want := []string{"3 top", "4 rule.mack", "6 other", "10 segment.names", "12 segment.deeper.still", "14 others"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestManyMistakes checks that a file with a great many mistakes of one kind is
// refused in a time that grows with its size alone, and that only the first of
// them are named.
func TestManyMistakes(t *testing.T) {
	for name, make := range map[string]func(n int) string{
		"unknown keys":          func(n int) string { return lines(n, "key%d = 1\n") },
		"unknown keys in a row": func(n int) string { return "rule = [" + lines(n, "{key%d = 1}, ") + "]\n" },
		"unknown tables":        func(n int) string { return lines(n, "[table%d]\nx = 1\n") },
		"values":                func(n int) string { return "allow-mac = [" + lines(n, `"x%d", `) + "]\n" },
		"rules":                 func(n int) string { return lines(n, "[[rule]]\nname = \"r%d\"\noutcome = \"x\"\n") },
	} {
		t.Run(name, func(t *testing.T) {
			few, many := timeOfMistakes(t, make(500)), timeOfMistakes(t, make(8000))
			if many > 64*few+time.Second { // a busy machine takes a second for nothing
				t.Errorf("500 take %v, 8000 take %v", few, many)
			}
		})
	}
}

// lines repeats a format with numbers.
func lines(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// timeOfMistakes returns the least of several times that it takes to refuse a
// file, and checks how many lines that error has.
func timeOfMistakes(t *testing.T, text string) time.Duration {
	t.Helper()
	least := time.Hour
	for range 3 {
		began := time.Now()
		f, err := ParseFile("x.toml", []byte(text))
		if err == nil {
			_, err = Parse(f.Settings, nil)
		}
		least = min(least, time.Since(began))
		if err == nil {
			t.Fatal("accepted")
		}
		if lines := strings.Split(err.Error(), "\n"); len(lines) != maxProblems+1 || !strings.HasPrefix(lines[maxProblems], "and ") {
			t.Fatalf("%d lines, the last of them %q", len(lines), lines[len(lines)-1])
		}
	}
	return least
}
