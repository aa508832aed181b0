// Package check reports what a configuration would do, without serving: what
// each kind of machine would get in each part of the network, and what the boot
// files say about themselves.
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
	"github.com/pxesidecar/pxesidecar/internal/bootfiles"
	"github.com/pxesidecar/pxesidecar/internal/rom"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Input is what is checked.
type Input struct {
	Config   *config.Config
	Files    *bootfiles.Set
	Policy   *proxydhcp.Policy
	Warnings []string // of all these
}

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
	Gets []string `json:"gets"` // in the order of columns
}

// ROM is what a boot ROM says about itself.
type ROM struct {
	Arch     string `json:"arch"`
	File     string `json:"file"`
	From     string `json:"from,omitempty"`
	Is       string `json:"is"`
	Version  string `json:"version,omitempty"` // as it is reported in DHCP
	Text     string `json:"text,omitempty"`    // as iPXE shows it
	Features string `json:"features,omitempty"`
	Signed   bool   `json:"signed"`          // for Secure Boot
	Chain    string `json:"chain,omitempty"` // what firmware loads, what that loads, and who signed it
}

// Problem is something that a person should fix.
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
// usually has: pxeext, iscsi, aoe, http, tftp, dns and menu. current are those
// of a new build: the same without pxeext, and https, efi, vlan and nfs.
var (
	bundled = features(16, 17, 18, 19, 21, 23, 39)
	current = features(17, 18, 19, 20, 21, 23, 36, 38, 39, 41)
)

// features returns a set of features.
func features(list ...proxydhcp.Feature) (s proxydhcp.Features) {
	for _, f := range list {
		s = s.With(f)
	}
	return s
}

// columns returns the kinds of clients, oldest first.
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

// Run checks what can be checked without using the network.
func Run(in Input) Report {
	var r Report
	for i, a := range in.Config.Segments {
		files := in.Files.Segments[i]
		segment := Segment{Name: a.Name, Script: files.Script, Deny: a.Deny}
		if !a.Deny {
			segment.Rows = in.rows(a.Scope.Segment(), files.Script)
		}
		r.Segments = append(r.Segments, segment)
		for _, served := range files.ROMs {
			image, _ := in.Files.Image(served.Name)
			second, _ := in.Files.Image(served.SecondStage)
			if d := describe(served, image, second); !slices.Contains(r.ROMs, d) {
				r.ROMs = append(r.ROMs, d)
			}
		}
	}
	for _, w := range in.Warnings {
		r.Problems = append(r.Problems, Problem{What: w})
	}
	return r
}

// rows returns what each platform gets in a segment.
func (in Input) rows(segment proxydhcp.Segment, script string) []Row {
	var rows []Row
	for _, platform := range proxydhcp.Platforms() {
		row := Row{Arch: platform.String()}
		for _, c := range columns() {
			text := "-"
			if client, ok := c.client(platform, segment); ok {
				text = in.gets(client, script)
			}
			row.Gets = append(row.Gets, text)
		}
		rows = append(rows, row)
	}
	return rows
}

// client returns a client of that kind. ok is false if there is none on the
// platform.
func (col column) client(platform proxydhcp.Platform, segment proxydhcp.Segment) (client proxydhcp.Client, ok bool) {
	archs := platform.Archs()
	at := slices.IndexFunc(archs, func(a proxydhcp.Arch) bool { return a.HTTP() == col.http })
	if at < 0 || col.http && platform == proxydhcp.BIOS {
		return proxydhcp.Client{}, false
	}
	client = proxydhcp.Client{Arch: archs[at], Segment: segment, IPXE: col.ipxe, VendorClass: "PXEClient"}
	if col.ipxe.Present {
		client.UserClass = "iPXE"
	}
	if col.http {
		client.VendorClass = "HTTPClient"
	}
	return client, true
}

// gets returns in a few words what a client gets. script is the boot script of
// its segment.
func (in Input) gets(client proxydhcp.Client, script string) string {
	arrival := proxydhcp.Arrival{
		Port: proxydhcp.PortServer, From: netip.AddrPortFrom(netip.IPv4Unspecified(), proxydhcp.PortClient),
		Segment: client.Segment, Ours: []netip.Prefix{exampleServer},
	}
	res := proxydhcp.NewResponder(proxydhcp.ResponderConfig{Policy: in.Policy, Options: in.Config.DHCP.Options}).
		Respond(nil, client.Discover(), arrival, time.Now())
	switch {
	case res.Err != nil:
		return "error: " + res.Err.Error()
	case res.Reason == proxydhcp.NoROM:
		return "no ROM"
	case res.Reason == proxydhcp.NeedsHTTP && in.Config.DHCP.Options.HTTPPort == 0:
		return "HTTP is off"
	case res.Reason == proxydhcp.NeedsHTTP:
		return "needs a URL"
	case res.Reason == proxydhcp.NeedsTFTP:
		return "needs a TFTP name"
	case res.Reason != proxydhcp.Answerable:
		return res.Reason.String()
	case res.Decision.Kind == proxydhcp.BootScript && res.Decision.File == script:
		return "script"
	case res.Decision.Kind == proxydhcp.BootMenu:
		return "menu"
	}
	return res.Decision.File
}

// exampleServer stands for our address.
var exampleServer = netip.MustParsePrefix("192.0.2.10/24")

// describe returns what a ROM says about itself. image is its file, and second
// its second stage.
func describe(r config.ROM, image, second rom.Image) ROM {
	out := ROM{Arch: r.Platform.String(), File: r.Name, From: r.Source, Is: "elsewhere, not looked at"}
	if r.Source == "" {
		return out
	}
	out.Chain = chain(r, image, second)
	out.Is, out.Signed, out.Text, out.Features = image.Kind(), image.Signed(), r.VersionText, r.IPXE.Features.String()
	if r.IPXE.HasVersion {
		out.Version = r.IPXE.Version.String()
	}
	return out
}

// Serious reports whether serving would fail.
func (r Report) Serious() bool {
	return slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.Serious })
}

// Write writes the report for people.
func (r Report) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range r.Segments {
		s.write(t)
	}
	r.writeChains(t)
	fmt.Fprintf(t, "boot ROMs\n  arch\tfile\tis\treports\tcalls itself\tsigned\tfeatures\n")
	for _, rom := range r.ROMs {
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\t%s\n", rom.Arch, rom.File, rom.Is, known(rom.Version), known(rom.Text), yesNo(rom.Signed), known(rom.Features))
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

// writeChains writes what firmware loads, a line for each ROM on this host.
func (r Report) writeChains(w io.Writer) {
	title := "what firmware loads\n"
	for _, rom := range r.ROMs {
		if rom.Chain != "" {
			fmt.Fprintf(w, "%s  %s\t%s\n", title, rom.Arch, rom.Chain)
			title = ""
		}
	}
	if title == "" {
		fmt.Fprintln(w)
	}
}

// write writes the table of a segment.
func (s Segment) write(w io.Writer) {
	name := "everybody"
	if s.Name != "" {
		name = s.Name
	}
	if s.Deny {
		fmt.Fprintf(w, "%s: nobody is answered\n\n", name)
		return
	}
	fmt.Fprintf(w, "%s: the script is %s\n  arch", name, s.Script)
	for _, c := range columns() {
		fmt.Fprintf(w, "\t%s", c.title)
	}
	fmt.Fprintln(w)
	for _, row := range s.Rows {
		fmt.Fprintf(w, "  %s\t%s\n", row.Arch, strings.Join(row.Gets, "\t"))
	}
	fmt.Fprintln(w)
}

// known returns a text, or a mark if there is none.
func known(s string) string {
	if s == "" {
		return "?"
	}
	return s
}

// yesNo returns a condition for people.
func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
