package bootfiles

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/rom"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Set is the boot files of one configuration: the boot file tree, and what each
// segment gets from it. As a file system it is the tree.
type Set struct {
	*tree
	Segments []config.SegmentFiles // in the order of the configuration's segments
	Warnings []string              // what works, but probably not as meant

	images    map[string]rom.Image // of the ROMs on this host, by their names in the tree
	byDefault map[string]bool      // the files of ROMs that nobody named, nor their directory
	autoexec  bool                 // autoexec.ipxe is generated
}

// Open opens the boot files that a configuration names: the directories of its
// segments, the ROMs and the boot scripts. hostRoot is the root directory of
// this host, where distributions have their ROMs. version is our own, for the
// generated scripts. The error joins all problems, a line each. The caller
// closes the Set.
func Open(c *config.Config, hostRoot, version string) (*Set, error) {
	s, err := gather(c, hostRoot, version)
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// gather opens the boot files. Even if there are problems, the Set is what
// could be opened.
func gather(c *config.Config, hostRoot, version string) (*Set, error) {
	s := &Set{
		tree: &tree{}, Segments: make([]config.SegmentFiles, len(c.Segments)), autoexec: c.Autoexec,
		images: map[string]rom.Image{}, byDefault: map[string]bool{},
	}
	problems := c.Problems()
	// Everybody's files come first: of two layers of the tree with a name, the
	// first one serves it.
	everybody := len(c.Segments) - 1
	for i := range c.Segments {
		at := (everybody + i) % len(c.Segments)
		s.Segments[at] = s.open(c.Segments[at], c, hostRoot, problems.In(c.Segments[at].Table))
	}
	generated, err := s.generatedScripts(c, s.Segments[everybody].ROMs, version)
	problems.Note(err)
	s.addGenerated(generated)
	hasPi := s.hasRaspberryPi()
	for i := range s.Segments {
		s.Segments[i].RaspberryPi = hasPi
	}
	s.dropRejected(c)
	s.warnOfAutoexec()
	return s, problems.Err()
}

// warnOfAutoexec warns of each autoexec.ipxe of the user's own that an EFI ROM
// finds, in its directory or in one above it: it runs before any rule decides.
func (s *Set) warnOfAutoexec() {
	if !s.autoexec {
		return
	}
	known := map[string]bool{"": true}
	for r := range s.roms() {
		if r.Platform == proxydhcp.BIOS || config.IsURL(r.Name) {
			continue
		}
		dir := s.ownAutoexec(r.Name)
		source := s.Source(path.Join(dir, proxydhcp.AutoexecName))
		if !known[source] {
			s.warn("%s: every EFI iPXE that loads it runs it first, and the rules do not decide what that machine boots; remove it, or say with --no-autoexec that it is meant", source)
		}
		known[source] = true
	}
}

// ownAutoexec returns the directory of the user's own autoexec.ipxe that is
// given to who asks for one beside a name: that of the name, or one above it.
// It returns "" if there is none.
func (s *Set) ownAutoexec(name string) string {
	for dir := path.Dir(name); ; dir = path.Dir(dir) {
		if _, err := s.tree.Stat(path.Join(dir, proxydhcp.AutoexecName)); !errors.Is(err, fs.ErrNotExist) {
			return dir
		}
		if dir == "." {
			return ""
		}
	}
}

// dropRejected removes the alternatives that the policy would replace: a
// machine that runs one would be given a ROM again.
func (s *Set) dropRejected(c *config.Config) {
	// The error is about the ROMs themselves, which are reported when the
	// policy is made to be used.
	policy, _, _ := c.Policy(s.Segments)
	for i, segment := range s.Segments {
		for j := range segment.ROMs {
			r := &segment.ROMs[j]
			r.Alternatives = slices.DeleteFunc(r.Alternatives, func(other config.ROM) bool {
				return policy.Rejects(c.Segments[i].Scope, other.Platform, other.IPXE) != (proxydhcp.Unmet{})
			})
		}
	}
}

// Close closes the tree. A nil Set has none.
func (s *Set) Close() error {
	if s == nil {
		return nil
	}
	return s.tree.Close()
}

// open finds the files of one segment, and adds them to the tree.
func (s *Set) open(a config.Answers, c *config.Config, hostRoot string, problems config.Problems) config.SegmentFiles {
	if a.Deny {
		return config.SegmentFiles{}
	}
	if dir := a.Text.Root; dir != "" && !s.has(a.Mount, dir) {
		if err := s.addDir(a.Mount, dir); err != nil {
			problems.Add("root", dir, errors.Unwrap(err)) // without the directory's name
			return config.SegmentFiles{}
		}
	}
	return config.SegmentFiles{ROMs: s.findROMs(a, c, hostRoot, problems), Script: s.findScript(a, problems)}
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

// warn adds a warning.
func (s *Set) warn(format string, args ...any) {
	s.Warnings = append(s.Warnings, fmt.Sprintf(format, args...))
}

// roms returns the ROMs of all segments: those that are chosen, then their
// alternatives.
func (s *Set) roms() iter.Seq[config.ROM] {
	return func(yield func(config.ROM) bool) {
		for _, segment := range s.Segments {
			for _, r := range segment.ROMs {
				if !yield(r) {
					return
				}
			}
		}
		for _, segment := range s.Segments {
			for _, r := range segment.ROMs {
				for _, other := range r.Alternatives {
					if !yield(other) {
						return
					}
				}
			}
		}
	}
}

// rom returns the ROM of that name: one that is chosen, or an alternative.
func (s *Set) rom(name string) (r config.ROM, ok bool) {
	for r := range s.roms() {
		if r.Name == name {
			return r, true
		}
	}
	return config.ROM{}, false
}

// hasROM reports whether a name is that of a ROM: one that is chosen, or an
// alternative. The second stage of a shim is none.
func (s *Set) hasROM(name string) bool {
	_, ok := s.rom(name)
	return ok
}

// isSecondStage reports whether a name is that of the file that a shim loads.
func (s *Set) isSecondStage(name string) bool {
	for r := range s.roms() {
		if r.SecondStage == name && name != "" {
			return true
		}
	}
	return false
}

// Image returns what a ROM or a second stage says about itself. ok is false for
// one that is not on this host.
func (s *Set) Image(name string) (image rom.Image, ok bool) {
	image, ok = s.images[name]
	return image, ok
}

// OlderThan returns the first ROM that is served without anybody naming it or
// its directory, and reports an older version. ok is false if there is none.
func (s *Set) OlderThan(version proxydhcp.Version) (older config.ROM, ok bool) {
	for _, segment := range s.Segments {
		for _, r := range segment.ROMs {
			if s.byDefault[r.Source] && r.IPXE.HasVersion && r.IPXE.Version.Compare(version) < 0 {
				return r, true
			}
		}
	}
	return config.ROM{}, false
}
