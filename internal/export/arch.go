package export

// Sets of architecture types.

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// archSet is a set of architecture types: those in only, or if only is empty,
// all types except those in except.
type archSet struct {
	only, except []proxydhcp.Arch
	empty        bool // no type at all
}

// platformArchs returns the types that run the ROMs of the platforms.
func platformArchs(platforms ...proxydhcp.Platform) []proxydhcp.Arch {
	var archs []proxydhcp.Arch
	for a := range proxydhcp.Arch(256) {
		if a.Platform() != proxydhcp.NoPlatform && slices.Contains(platforms, a.Platform()) {
			archs = append(archs, a)
		}
	}
	return archs
}

// archsOf returns the types that a match takes.
func archsOf(m proxydhcp.Match) archSet {
	var s archSet
	if len(m.Platforms) > 0 {
		s = s.within(platformArchs(m.Platforms...))
	}
	if len(m.Archs) > 0 {
		s = s.within(m.Archs)
	}
	switch m.Firmware {
	case proxydhcp.BIOSFirmware:
		s = s.within(platformArchs(proxydhcp.BIOS))
	case proxydhcp.UEFIFirmware:
		s = s.without(platformArchs(proxydhcp.BIOS))
	case proxydhcp.AnyClient, proxydhcp.HTTPBootFirmware, proxydhcp.NoIPXE, proxydhcp.RaspberryPi, proxydhcp.UBootFirmware:
	}
	return s
}

// possible reports whether any type is in the set.
func (s archSet) possible() bool { return !s.empty }

// within returns the types that are also in archs.
func (s archSet) within(archs []proxydhcp.Arch) archSet {
	var both []proxydhcp.Arch
	for _, a := range archs {
		if s.has(a) && !slices.Contains(both, a) {
			both = append(both, a)
		}
	}
	return archSet{only: both, empty: len(both) == 0}
}

// without returns the types that are not in archs.
func (s archSet) without(archs []proxydhcp.Arch) archSet {
	if len(s.only) == 0 {
		except := append(slices.Clone(s.except), archs...)
		slices.Sort(except)
		return archSet{except: slices.Compact(except), empty: s.empty}
	}
	rest := slices.DeleteFunc(slices.Clone(s.only), func(a proxydhcp.Arch) bool { return slices.Contains(archs, a) })
	return archSet{only: rest, empty: len(rest) == 0}
}

// has reports whether a type is in the set.
func (s archSet) has(a proxydhcp.Arch) bool {
	return !s.empty && (len(s.only) == 0 || slices.Contains(s.only, a)) && !slices.Contains(s.except, a)
}

// contains reports whether every type of t is in s.
func (s archSet) contains(t archSet) bool {
	switch {
	case t.empty:
		return true
	case len(t.only) > 0:
		return !slices.ContainsFunc(t.only, func(a proxydhcp.Arch) bool { return !s.has(a) })
	case s.empty || len(s.only) > 0:
		return false
	}
	return !slices.ContainsFunc(s.except, t.has)
}

// disjoint reports whether no type is in both.
func (s archSet) disjoint(t archSet) bool {
	switch {
	case s.empty || t.empty:
		return true
	case len(s.only) > 0:
		return !slices.ContainsFunc(s.only, t.has)
	case len(t.only) > 0:
		return !slices.ContainsFunc(t.only, s.has)
	}
	return false
}

// archsName returns a name for a list of types: the platform that has exactly
// these, or the names of the types, or their numbers if they are many.
func archsName(archs []proxydhcp.Arch) string {
	for _, p := range proxydhcp.Platforms() {
		if slices.Equal(archs, platformArchs(p)) {
			return p.String()
		}
	}
	if len(archs) > 3 {
		return strings.Join(render(archs, func(a proxydhcp.Arch) string { return strconv.Itoa(int(a)) }), "-")
	}
	return strings.Join(render(archs, proxydhcp.Arch.String), "-or-")
}

// joinArchs returns the types as a list in a comment.
func joinArchs(archs []proxydhcp.Arch) string {
	return strings.Join(render(archs, proxydhcp.Arch.String), ", ")
}
