package proxydhcp

import (
	"fmt"
	"iter"
	"math/bits"
	"strconv"
	"strings"
)

// Feature is the number of an iPXE feature indicator: a sub-option of option
// 175 in the range 16 to 79, which iPXE reserves for features.
type Feature uint8

// The bounds of the feature range.
const (
	minFeature Feature = 16
	maxFeature Feature = 79
)

// The features that a URL needs.
const (
	FeatureHTTP  Feature = 19
	FeatureHTTPS Feature = 20
)

// featureNames are iPXE's own names of its indicators. Not every feature has
// one: IPv6, Secure Boot and console drivers have none.
var featureNames = map[Feature]string{
	16: "pxeext", 17: "iscsi", 18: "aoe", FeatureHTTP: "http", FeatureHTTPS: "https", 21: "tftp", 22: "ftp", 23: "dns",
	24: "bzimage", 25: "multiboot", 26: "slam", 27: "srp", 32: "nbi", 33: "pxe", 34: "elf", 35: "comboot",
	36: "efi", 37: "fcoe", 38: "vlan", 39: "menu", 40: "sdi", 41: "nfs",
}

// String returns the feature's name in lower case, or "feature-77".
func (f Feature) String() string {
	if name, ok := featureNames[f]; ok {
		return name
	}
	return "feature-" + strconv.Itoa(int(f))
}

// ParseFeature reads a feature's name, or its number from 16 to 79.
func ParseFeature(s string) (Feature, error) {
	name := strings.ToLower(s)
	for f, n := range featureNames {
		if n == name {
			return f, nil
		}
	}
	if n, err := strconv.ParseUint(name, 10, 8); err == nil && Feature(n) >= minFeature && Feature(n) <= maxFeature {
		return Feature(n), nil
	}
	var known Features
	for f := range featureNames {
		known = known.With(f)
	}
	return 0, fmt.Errorf("unknown iPXE feature %q: one of %s, or a number from %d to %d", s, known, minFeature, maxFeature)
}

// Features is a set of iPXE features. The zero value is the empty set.
type Features uint64

// With returns the set with f in it. A number outside the feature range adds
// nothing.
func (s Features) With(f Feature) Features {
	if f < minFeature || f > maxFeature {
		return s
	}
	return s | 1<<(f-minFeature)
}

// Has reports whether every feature of want is in the set.
func (s Features) Has(want Features) bool { return s&want == want }

// Without returns the features of s that are not in t.
func (s Features) Without(t Features) Features { return s &^ t }

// All yields the features in ascending order.
func (s Features) All() iter.Seq[Feature] {
	return func(yield func(Feature) bool) {
		for rest := s; rest != 0; rest &= rest - 1 {
			if !yield(minFeature + Feature(bits.TrailingZeros64(uint64(rest)))) {
				return
			}
		}
	}
}

// String returns the names in the order of their numbers, joined by commas.
func (s Features) String() string {
	var names []string
	for f := range s.All() {
		names = append(names, f.String())
	}
	return strings.Join(names, ",")
}
