package check

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/pxesidecar/pxesidecar/internal/bootfiles"
	"github.com/pxesidecar/pxesidecar/internal/rom"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// List is every ROM that is known.
type List struct {
	ROMs     []ListedROM `json:"roms"`
	Problems []Problem   `json:"problems"`
}

// ListedROM is a ROM that is known, and what it is used for.
type ListedROM struct {
	Segment string `json:"segment,omitempty"` // "" for everybody
	ROM
	Place    string `json:"place"`              // where it was found: a directory, or --rom
	Loads    string `json:"loads,omitempty"`    // the name that a shim asks for
	SignedBy string `json:"signedBy,omitempty"` // of the first file that a machine loads; "" where it does not matter
	Use      string `json:"use"`                // one of bootfiles.Use
	Why      string `json:"why,omitempty"`      // it is not used
}

// NewList returns a list of ROMs, with what they say about themselves.
func NewList(roms []bootfiles.Listed, warnings []string) List {
	l := List{ROMs: []ListedROM{}, Problems: []Problem{}}
	for _, r := range roms {
		row := ListedROM{
			Segment: r.Segment, ROM: describe(r.ROM, r.Image, r.Second), Place: r.Place, Loads: r.ROM.SecondStage, Use: r.Use.String(), Why: r.Why,
		}
		if r.ROM.Source != "" && r.ROM.Platform != proxydhcp.BIOS {
			row.SignedBy = signedBy(r.Image, r.Second)
		}
		l.ROMs = append(l.ROMs, row)
	}
	for _, w := range warnings {
		l.Problems = append(l.Problems, Problem{What: w})
	}
	return l
}

// signedBy returns who signed a file and, if it is a shim, its second stage.
func signedBy(image, second rom.Image) string {
	plain := func(image rom.Image) string {
		return strings.TrimPrefix(strings.ReplaceAll(image.Signers(), "and signed by", "and"), "signed by ")
	}
	if second.Size == 0 {
		return plain(image)
	}
	return plain(image) + " -> " + plain(second)
}

// Write writes the list for people.
func (l List) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	segment := "-"
	for _, r := range l.ROMs {
		if r.Segment != segment {
			segment = r.Segment
			if segment != "" {
				fmt.Fprintf(t, "%s\n", segment)
			} else if l.ROMs[0].Segment != "" {
				fmt.Fprintf(t, "everybody\n")
			}
			fmt.Fprintf(t, "arch\tfile\tversion\tsigned by\tfeatures\tuse\n")
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Arch, r.path(), known(r.Version), dash(r.SignedBy), known(r.Features), r.use())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, p := range l.Problems {
		if _, err := fmt.Fprintf(w, "warning: %s\n", p.What); err != nil {
			return err
		}
	}
	return nil
}

// use returns what a ROM is used for, and why it is not.
func (r ListedROM) use() string {
	if r.Why == "" {
		return r.Use
	}
	return r.Use + ": " + r.Why
}

// path returns the file, and what it loads.
func (r ListedROM) path() string {
	path := r.From
	if path == "" {
		path = r.File
	}
	if r.Loads == "" {
		return path
	}
	return path + " -> " + r.Loads[strings.LastIndexByte(r.Loads, '/')+1:]
}

// dash returns a text, or a dash for none.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
