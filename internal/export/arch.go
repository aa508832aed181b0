package export

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Sets of architecture types.

// archSet is the types of only, or where that is empty all types, but for those
// of none.
type archSet struct {
	only, none []proxydhcp.Arch
	empty      bool // no type at all
}

// platformArchs are the types that run a platform's ROM.
func platformArchs(platforms ...proxydhcp.Platform) []proxydhcp.Arch {
	var archs []proxydhcp.Arch
	for a := range proxydhcp.Arch(256) {
		if a.Platform() != proxydhcp.NoPlatform && slices.Contains(platforms, a.Platform()) {
			archs = append(archs, a)
		}
	}
	return archs
}

// archsOf are the types that a match takes.
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
	}
	return s
}

// possible reports whether any type is in the set.
func (s archSet) possible() bool { return !s.empty }

// within returns the types that are in archs too.
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
		none := append(slices.Clone(s.none), archs...)
		slices.Sort(none)
		return archSet{none: slices.Compact(none), empty: s.empty}
	}
	rest := slices.DeleteFunc(slices.Clone(s.only), func(a proxydhcp.Arch) bool { return slices.Contains(archs, a) })
	return archSet{only: rest, empty: len(rest) == 0}
}

// has reports whether a type is in the set.
func (s archSet) has(a proxydhcp.Arch) bool {
	return !s.empty && (len(s.only) == 0 || slices.Contains(s.only, a)) && !slices.Contains(s.none, a)
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
	return !slices.ContainsFunc(s.none, t.has)
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

// archsName is a name for a list of types: the platform whose list it is, else
// the types by their names, or where they are many by their numbers.
func archsName(archs []proxydhcp.Arch) string {
	for _, p := range proxydhcp.Platforms() {
		if slices.Equal(archs, platformArchs(p)) {
			return p.String()
		}
	}
	if len(archs) > 3 {
		return strings.Join(texts(archs, func(a proxydhcp.Arch) string { return strconv.Itoa(int(a)) }), "-")
	}
	return strings.Join(texts(archs, proxydhcp.Arch.String), "-or-")
}

// joinArchs lists types for people.
func joinArchs(archs []proxydhcp.Arch) string {
	return strings.Join(texts(archs, proxydhcp.Arch.String), ", ")
}
