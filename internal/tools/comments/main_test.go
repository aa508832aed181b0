package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCheckFile checks one file with every fault, and one with none.
func TestCheckFile(t *testing.T) {
	for _, tt := range []struct {
		name, source string
		want         []string
	}{
		{"faulty", `package a

import "fmt"

// This comment is about the file.

// A Thing is a thing, and this comment goes on beyond the eightieth column of it.
type Thing struct{}

type hidden int // tells of nothing

func Do() { fmt.Println() }

var Global int

// The Limit.
const Limit = 1
`, []string{
			"a.go:7: the comment's line has 82 characters; wrap it at 80",
			"a.go:10: \"tells of\": say it in plain English",
			"a.go:5: a comment about the file stands before the imports",
			"a.go:7: the comment of Thing begins with \"A\"",
			"a.go:10: hidden has no comment",
			"a.go:12: Do has no comment",
			"a.go:14: Global has no comment",
			"a.go:16: the comment of Limit begins with \"The\"",
		}},
		{"good", `package a

// This comment is about the file.
//
//	a table with a line that is as long as it has to be, and no shorter than that

import "fmt"

// Thing is a thing.
type Thing struct{} // a comment behind code may stand as far to the right as the code wants it to

// The levels.
const (
	Low = iota
	High
)

// Do prints.
func (Thing) Do() { fmt.Println() }
`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := checkFile("a.go", []byte(tt.source))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
