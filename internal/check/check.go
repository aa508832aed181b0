// Package check holds a configuration against what it will meet, without
// serving: what every kind of machine would get in every part of the network,
// and what the boot files say of themselves.
package check

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Report is what a check found.
type Report struct {
	Segments []Segment `json:"segments"`
	ROMs     []ROM     `json:"roms"`
	Problems []Problem `json:"problems"`
}

// Segment is a part of the network, and what each architecture gets there.
type Segment struct {
	Name   string `json:"name"`   // "" for everybody else
	Script string `json:"script"` // the boot script there
	Deny   bool   `json:"deny"`   // nobody there is answered
	Rows   []Row  `json:"rows"`
}

// Row is what the machines of one architecture get, by what runs on them.
type Row struct {
	Arch string   `json:"arch"`
	Gets []string `json:"gets"` // in the order of Columns
}

// ROM is what a boot ROM says of itself.
type ROM struct {
	Arch     string `json:"arch"`
	File     string `json:"file"`
	From     string `json:"from,omitempty"`
	Is       string `json:"is"`
	Version  string `json:"version,omitempty"` // as DHCP will carry it
	Text     string `json:"text,omitempty"`    // as iPXE shows it
	Features string `json:"features,omitempty"`
	Signed   bool   `json:"signed"` // for Secure Boot
}

// Problem is something that a person should mend.
type Problem struct {
	Serious bool   `json:"serious"` // serving would fail
	What    string `json:"what"`
}

// column is a kind of client in the table.
type column struct {
	title string
	ipxe  proxydhcp.IPXE // zero for firmware
	http  bool
}

// bundled are the features that the iPXE in a card's flash or a hypervisor
// usually has; current are those of a build of today.
var (
	bundled = features(16, 17, 18, 19, 21, 23, 39)
	current = features(17, 18, 19, 20, 21, 23, 36, 38, 39, 41)
)

func features(list ...proxydhcp.Feature) (s proxydhcp.Features) {
	for _, f := range list {
		s = s.With(f)
	}
	return s
}

// columns are the kinds of clients, oldest first.
func columns() []column {
	ipxe := func(v proxydhcp.Version, f proxydhcp.Features) proxydhcp.IPXE {
		return proxydhcp.IPXE{Present: true, HasVersion: true, Version: v, HasFeatures: true, Features: f}
	}
	return []column{
		{title: "PXE"},
		{title: "HTTP boot", http: true},
		{title: "iPXE 1.0.0", ipxe: ipxe(proxydhcp.Version{1, 0, 0}, bundled)},
		{title: "iPXE 1.21.1", ipxe: ipxe(proxydhcp.Version{1, 21, 1}, bundled)},
		{title: "iPXE 2.0.0, https", ipxe: ipxe(proxydhcp.Version{2, 0, 0}, current)},
	}
}

// Columns are the titles of the kinds of clients.
func Columns() []string {
	var titles []string
	for _, c := range columns() {
		titles = append(titles, c.title)
	}
	return titles
}

// Run checks what can be checked without touching the network.
func Run(cfg *config.Config) Report {
	var r Report
	for _, s := range cfg.Segments {
		segment := Segment{Name: s.Name, Script: s.Script, Deny: s.Deny}
		if !s.Deny {
			segment.Rows = rows(cfg, s)
		}
		r.Segments = append(r.Segments, segment)
		for _, rom := range s.ROMs {
			if d := describe(rom); !slices.Contains(r.ROMs, d) {
				r.ROMs = append(r.ROMs, d)
			}
		}
	}
	for _, w := range cfg.Warnings {
		r.Problems = append(r.Problems, Problem{What: w})
	}
	return r
}

// rows decides for every architecture in a segment.
func rows(cfg *config.Config, s config.Segment) []Row {
	var rows []Row
	for _, platform := range proxydhcp.Platforms() {
		row := Row{Arch: platform.String()}
		for _, c := range columns() {
			row.Gets = append(row.Gets, decide(cfg, s, platform, c))
		}
		rows = append(rows, row)
	}
	return rows
}

// decide says in a few words what one kind of client gets.
func decide(cfg *config.Config, s config.Segment, platform proxydhcp.Platform, col column) string {
	client := proxydhcp.Client{Segment: s.Place, IPXE: col.ipxe}
	found := false
	for _, a := range platform.Archs() {
		if a.HTTP() == col.http && !found {
			client.Arch, found = a, true
		}
	}
	if !found || col.http && platform == proxydhcp.BIOS {
		return "-"
	}
	if col.ipxe.Present {
		client.UserClass = "iPXE"
	}
	client.VendorClass = "PXEClient"
	if col.http {
		client.VendorClass = "HTTPClient"
	}
	arrival := proxydhcp.Arrival{
		Port: proxydhcp.PortServer, From: netip.AddrPortFrom(netip.IPv4Unspecified(), proxydhcp.PortClient),
		Segment: s.Place, Ours: []netip.Prefix{exampleServer},
	}
	res := proxydhcp.NewResponder(proxydhcp.ResponderConfig{Policy: cfg.DHCP.Policy, Options: cfg.DHCP.Options}).
		Respond(nil, client.Discover(), arrival, time.Now())
	switch {
	case res.Err != nil:
		return "error: " + res.Err.Error()
	case res.Reason == proxydhcp.NoROM:
		return "no ROM"
	case res.Reason == proxydhcp.NeedsHTTP:
		return "needs --http"
	case res.Reason == proxydhcp.NeedsTFTP:
		return "needs a TFTP name"
	case res.Reason != proxydhcp.Answerable:
		return res.Reason.String()
	case res.Decision.Kind == proxydhcp.BootScript && res.Decision.File == s.Script:
		return "script"
	}
	return res.Decision.File
}

// exampleServer stands for our address.
var exampleServer = netip.MustParsePrefix("192.0.2.10/24")

// describe says what a ROM is.
func describe(r config.ROM) ROM {
	out := ROM{Arch: r.Platform.String(), File: r.Name, From: r.Source, Is: "elsewhere, not looked at"}
	if r.Source == "" {
		return out
	}
	out.Is, out.Signed, out.Text = r.Image.Kind(), r.Image.Signed, r.Image.VersionText
	if r.Image.HasVersion {
		out.Version = proxydhcp.Version(r.Image.Version).String()
	}
	var f proxydhcp.Features
	for _, n := range r.Image.Features {
		f = f.With(proxydhcp.Feature(n))
	}
	out.Features = f.String()
	return out
}

// Serious reports whether serving would fail.
func (r Report) Serious() bool {
	for _, p := range r.Problems {
		if p.Serious {
			return true
		}
	}
	return false
}

// Write writes the report for people.
func (r Report) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range r.Segments {
		name := "everybody"
		if s.Name != "" {
			name = s.Name
		}
		if s.Deny {
			fmt.Fprintf(t, "%s: nobody is answered\n\n", name)
			continue
		}
		fmt.Fprintf(t, "%s: the script is %s\n  arch\t%s\n", name, s.Script, strings.Join(Columns(), "\t"))
		for _, row := range s.Rows {
			fmt.Fprintf(t, "  %s\t%s\n", row.Arch, strings.Join(row.Gets, "\t"))
		}
		fmt.Fprintln(t)
	}
	fmt.Fprintf(t, "boot ROMs\n  arch\tfile\tis\treports\tcalls itself\tsigned\tfeatures\n")
	for _, rom := range r.ROMs {
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\t%s\n", rom.Arch, rom.File, rom.Is, known(rom.Version), known(rom.Text), yes(rom.Signed), known(rom.Features))
	}
	fmt.Fprintln(t)
	if err := t.Flush(); err != nil {
		return err
	}
	for _, p := range r.Problems {
		kind := "warning"
		if p.Serious {
			kind = "error"
		}
		if _, err := fmt.Fprintf(w, "%s: %s\n", kind, p.What); err != nil {
			return err
		}
	}
	if len(r.Problems) == 0 {
		_, err := fmt.Fprintln(w, "no problems found")
		return err
	}
	return nil
}

func known(s string) string {
	if s == "" {
		return "?"
	}
	return s
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
