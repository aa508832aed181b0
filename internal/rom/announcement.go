package rom

import (
	"bytes"
	"slices"
)

// What an iPXE will announce of itself in DHCP, read out of its EFI image.
//
// iPXE builds sub-options of option 175 at link time: every object file that brings a feature puts one
// type-length-value triple into a table, and so does the version (include/ipxe/features.h). In memory
// and on disk the table is one run of bytes,
//
//	eb 03 02 00 00  26 01 01  17 01 01  27 01 01  24 01 01 ...
//	version 2.0.0   VLAN      DNS       Menu      EFI
//
// in link order, so the version need not stand first. Nothing marks its begin or end.

// announcement is a version and the features of the same run.
type announcement struct {
	version  [3]byte
	features []uint8
}

// The tags of option 175 in such a run. Features are 16 to 79.
const (
	tagVersion      = 0xeb
	tagFirstFeature = 0x10
	tagLastFeature  = 0x4f
)

// A run counts only with minFeatures, since five bytes occur by chance; the smallest useful iPXE
// announces more. The revision of a feature has never been above 2 (PXEXT), so maxRevision is ample.
const (
	minFeatures = 3
	maxRevision = 15
)

// dhcpMark is a part of every DHCP packet of an EFI iPXE, stored ready for sending: the user class "iPXE"
// between the vendor class and the parameter list. It shows an iPXE whose table cannot be made out.
var dhcpMark = []byte("\x4d\x04iPXE\x37")

// announce takes over what the image's sections announce, if all that was found agrees. An image that
// holds two different iPXEs (one embedded in the other) does not tell which will speak.
func (image *Image) announce(found []announcement) {
	if len(found) == 0 {
		return
	}
	image.IPXE = true
	for _, other := range found[1:] {
		if other.version != found[0].version || !slices.Equal(other.features, found[0].features) {
			return
		}
	}
	image.HasVersion, image.Version = true, found[0].version
	image.HasFeatures, image.Features = true, found[0].features
}

// findAnnouncements returns every run in data that has a version and enough features.
func findAnnouncements(data []byte) []announcement {
	var found []announcement
	for from := 0; ; {
		next := bytes.Index(data[from:], []byte{tagVersion, 3})
		if next < 0 {
			return found
		}
		version := from + next
		from = version + 2
		if len(data)-version < 5 {
			return found
		}
		features := append(featuresBefore(data[:version]), featuresAfter(data[version+5:])...)
		if slices.Sort(features); len(features) > 0 {
			features = slices.Compact(features)
		}
		if len(features) >= minFeatures {
			found = append(found, announcement{[3]byte(data[version+2 : version+5]), features})
		}
	}
}

// featuresAfter returns the features in the triples that data begins with.
func featuresAfter(data []byte) []uint8 {
	var features []uint8
	for ; len(data) >= 3 && isFeature(data[:3]); data = data[3:] {
		features = append(features, data[0])
	}
	return features
}

// featuresBefore returns the features in the triples that data ends with.
func featuresBefore(data []byte) []uint8 {
	var features []uint8
	for ; len(data) >= 3 && isFeature(data[len(data)-3:]); data = data[:len(data)-3] {
		features = append(features, data[len(data)-3])
	}
	return features
}

// isFeature reports whether a triple is a feature indicator, with length 1 and a revision.
func isFeature(triple []byte) bool {
	return triple[0] >= tagFirstFeature && triple[0] <= tagLastFeature &&
		triple[1] == 1 && triple[2] >= 1 && triple[2] <= maxRevision
}
