package bootfiles

import (
	"errors"
	"io/fs"
	"slices"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/rom"
)

// Set is the boot files of one configuration: the boot file tree, and what each
// segment gets from it. As a file system it is the tree.
type Set struct {
	*tree
	Segments []config.SegmentFiles // in the order of the configuration's segments
	Warnings []string              // what works, but probably not as meant

	images   map[string]rom.Image // of the ROMs on this host, by their names in the tree
	autoexec bool                 // autoexec.ipxe is generated
}

// Open opens the boot files that a configuration names: the directories of its
// segments, the ROMs and the boot scripts. hostRoot is the root directory of
// this host, where distributions have their ROMs. version is our own, for the
// generated scripts. The error joins all problems, a line each. The caller
// closes the Set.
func Open(c *config.Config, hostRoot, version string) (*Set, error) {
	s := &Set{tree: &tree{}, Segments: make([]config.SegmentFiles, len(c.Segments)), images: map[string]rom.Image{}, autoexec: c.Autoexec}
	problems := c.Problems()
	// Everybody's files come first: of two layers of the tree with a name, the
	// first one serves it.
	everybody := len(c.Segments) - 1
	for i := range c.Segments {
		at := (everybody + i) % len(c.Segments)
		s.Segments[at] = s.open(c.Segments[at], hostRoot, problems.In(c.Segments[at].Table))
	}
	generated, err := generatedScripts(c, s.Segments[everybody].ROMs, version)
	problems.Note(err)
	s.addGenerated(generated)
	hasPi := s.hasRaspberryPi()
	for i := range s.Segments {
		s.Segments[i].RaspberryPi = hasPi
	}
	if err := problems.Err(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close closes the tree. A nil Set has none.
func (s *Set) Close() error {
	if s == nil {
		return nil
	}
	return s.tree.Close()
}

// open finds the files of one segment, and adds them to the tree.
func (s *Set) open(a config.Answers, hostRoot string, problems config.Problems) config.SegmentFiles {
	if a.Deny {
		return config.SegmentFiles{}
	}
	if dir := a.Text.Root; dir != "" && !s.has(a.Mount, dir) {
		if err := s.addDir(a.Mount, dir); err != nil {
			problems.Add("root", dir, errors.Unwrap(err)) // without the directory's name
			return config.SegmentFiles{}
		}
	}
	return config.SegmentFiles{ROMs: s.findROMs(a, hostRoot, problems), Script: s.findScript(a, problems)}
}

// hasRaspberryPi reports whether the tree has boot files of a Raspberry Pi: one
// of those that its boot loaders ask for first.
func (s *Set) hasRaspberryPi() bool {
	for _, name := range []string{"bootcode.bin", "config.txt", "start4.elf"} {
		if _, err := fs.Stat(s.tree, name); err == nil {
			return true
		}
	}
	return false
}

// hasROM reports whether a name is that of a ROM.
func (s *Set) hasROM(name string) bool {
	return slices.ContainsFunc(s.Segments, func(segment config.SegmentFiles) bool {
		return slices.ContainsFunc(segment.ROMs, func(r config.ROM) bool { return r.Name == name })
	})
}

// rom returns the ROM of that name, of any segment.
func (s *Set) rom(name string) (config.ROM, bool) {
	for _, segment := range s.Segments {
		for _, r := range segment.ROMs {
			for _, one := range append([]config.ROM{r}, r.Alternatives...) {
				if one.Name == name {
					return one, true
				}
			}
		}
	}
	return config.ROM{}, false
}

// isSecondStage reports whether a name is that of a file which a ROM loads.
func (s *Set) isSecondStage(name string) bool {
	return slices.ContainsFunc(s.Segments, func(segment config.SegmentFiles) bool {
		return slices.ContainsFunc(segment.ROMs, func(r config.ROM) bool { return r.SecondStage == name })
	})
}

// Image returns what a ROM says about itself. ok is false for one that is not
// on this host.
func (s *Set) Image(name string) (image rom.Image, ok bool) {
	image, ok = s.images[name]
	return image, ok
}
