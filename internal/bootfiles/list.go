package bootfiles

// Every ROM that is known, and why it is or is not served.

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/rom"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Use is what a ROM is used for.
type Use uint8

// The uses.
const (
	Unused      Use = iota // never served
	Alternative            // for a machine that does not start the chosen one
	Chosen                 // for every machine of its platform
)

// useNames are the uses, for people.
var useNames = [...]string{Unused: "not used", Alternative: "alternative", Chosen: "chosen"}

// String returns the use's name.
func (u Use) String() string { return useNames[u] }

// Listed is a ROM that is known.
type Listed struct {
	Segment string // "" for everybody else
	ROM     config.ROM
	Place   string    // where it was found: a directory, or --rom
	Image   rom.Image // what the file says about itself
	Second  rom.Image // what it loads, if it is a shim
	Use     Use
	Why     string // it is not used; "" if it is
}

// List returns every ROM that is known: those that are named, and those in the
// user's directories, in ours and in the distribution's. A segment that differs
// from everybody's has a list of its own. warnings are those of the ROMs. If
// the configuration cannot be served, the error says why, and the list is what
// there is.
func List(c *config.Config, hostRoot, version string) (list []Listed, warnings []string, err error) {
	s, err := gather(c, hostRoot, version)
	defer func() { s.Close() }() // even if there are problems
	warnings = s.Warnings
	everybody := s.list(len(c.Segments)-1, c, hostRoot)
	for i := range c.Segments[:len(c.Segments)-1] {
		own := s.list(i, c, hostRoot)
		if !slices.EqualFunc(own, everybody, sameUse) {
			for j := range own {
				own[j].Segment = c.Segments[i].Name
			}
			list = append(list, own...)
		}
	}
	return append(list, everybody...), warnings, err
}

// sameUse reports whether two ROMs are the same file, used in the same way.
func sameUse(a, b Listed) bool {
	return a.ROM.Platform == b.ROM.Platform && a.ROM.Name == b.ROM.Name && a.ROM.Source == b.ROM.Source && a.Use == b.Use && a.Why == b.Why
}

// lister lists the ROMs of one segment.
type lister struct {
	romFinder
	named  map[proxydhcp.Platform]config.ROMChoice
	chosen map[proxydhcp.Platform]config.ROM
	used   string // the place whose ROMs are used; "" if there is none yet
	list   []Listed
}

// list lists the ROMs of the segment of that index.
func (s *Set) list(index int, c *config.Config, hostRoot string) []Listed {
	a := c.Segments[index]
	if a.Deny {
		return nil
	}
	l := &lister{
		romFinder: romFinder{set: s, answers: a, secureBoot: c.SecureBoot, fallback: c.ROMFallback, hostRoot: hostRoot},
		named:     map[proxydhcp.Platform]config.ROMChoice{}, chosen: map[proxydhcp.Platform]config.ROM{},
	}
	for _, r := range s.Segments[index].ROMs {
		l.chosen[r.Platform] = r
	}
	for _, choice := range a.ROMs {
		l.addNamed(choice)
	}
	if a.Remote {
		return l.list
	}
	if dir := a.Text.Root; dir != "" {
		found := map[proxydhcp.Platform]rom.Choices{}
		for _, platform := range proxydhcp.Platforms() {
			found[platform] = rom.Choose(os.DirFS(dir), ".", platform, l.shims())
		}
		l.addPlace(dir, found, l.inRoot)
	}
	for place := range rom.Places(os.DirFS(hostRoot), l.shims()) {
		l.addPlace(filepath.Join(hostRoot, filepath.FromSlash(place.Dir)), place.Choices, l.onHost)
	}
	slices.SortStableFunc(l.list, func(a, b Listed) int { return int(a.ROM.Platform) - int(b.ROM.Platform) })
	return l.list
}

// addNamed adds the ROM that the user names for a platform.
func (l *lister) addNamed(choice config.ROMChoice) {
	l.named[choice.Platform] = choice
	r, isUsed := l.chosen[choice.Platform]
	if !isUsed {
		return // none, or a mistake that is reported
	}
	l.list = append(l.list, Listed{ROM: r, Place: "--rom", Image: l.set.images[r.Name], Second: l.set.images[r.SecondStage], Use: Chosen})
}

// addPlace adds the ROMs of a place. file returns one of them as a file of this
// host.
func (l *lister) addPlace(place string, found map[proxydhcp.Platform]rom.Choices, file func(rom.Choice) romFile) {
	hasAny := false
	for _, platform := range proxydhcp.Platforms() {
		for _, choice := range found[platform].Usable {
			hasAny = true
			l.add(place, platform, file(choice), "")
		}
		for _, other := range found[platform].Others {
			l.add(place, platform, file(other.Choice), other.Why)
		}
	}
	if hasAny && l.used == "" {
		l.used = place
	}
}

// add adds a ROM of a place. why is why it cannot be used; "" if it can.
func (l *lister) add(place string, platform proxydhcp.Platform, r romFile, why string) {
	if slices.ContainsFunc(l.list, func(o Listed) bool { return o.ROM.Platform == platform && o.ROM.Source == r.source }) {
		return // --rom names it
	}
	row := Listed{ROM: r.describe(platform), Place: place, Image: r.image, Second: r.second.image}
	chosen, isUsed := l.chosen[platform]
	if isUsed && chosen.Source == r.source {
		row.Use, row.ROM.Name, row.ROM.SecondStage = Chosen, chosen.Name, chosen.SecondStage
	} else if other, ok := alternative(chosen, r.source); isUsed && ok {
		row.Use, row.ROM.Name, row.ROM.SecondStage = Alternative, other.Name, other.SecondStage
	}
	if row.Use == Unused {
		row.Why = l.whyNot(platform, place, r, why)
		row.ROM.SecondStage = r.second.asked
		if row.ROM.Name == "" {
			row.ROM.Name = filepath.Base(r.source)
		}
	}
	l.list = append(l.list, row)
}

// alternative returns the alternative that is a file of this host.
func alternative(r config.ROM, source string) (config.ROM, bool) {
	at := slices.IndexFunc(r.Alternatives, func(o config.ROM) bool { return o.Source == source })
	if at < 0 {
		return config.ROM{}, false
	}
	return r.Alternatives[at], true
}

// whyNot returns why a ROM is not used. why is what its place says.
func (l *lister) whyNot(platform proxydhcp.Platform, place string, r romFile, why string) string {
	switch choice, isNamed := l.named[platform]; {
	case isNamed:
		return "--rom " + choice.Text
	case l.used != "" && l.used != place:
		return fmt.Sprintf("the ROMs of %s are used, and those of two places are not mixed", l.used)
	case why != "":
		return why
	case l.secureBoot == config.SecureBootRequire && r.unsigned() != "" && platform != proxydhcp.BIOS:
		return r.unsigned()
	case l.alternatives() == 0:
		return "--rom-fallback " + l.fallback.String()
	case len(l.chosen[platform].Alternatives) >= l.alternatives():
		return "there are enough alternatives"
	}
	return "the policy would replace it at once"
}
