package rom

// The version and the features that an iPXE reports in DHCP, read from its EFI
// image.
//
// iPXE builds sub-options of option 175 at link time. Every object file with a
// feature adds one type-length-value triple to a table, and so does the version
// (include/ipxe/features.h). In memory and on disk the table is one run of
// bytes,
//
//	eb 03 02 00 00  26 01 01  17 01 01  27 01 01  24 01 01 ...
//	version 2.0.0   VLAN      DNS       Menu      EFI
//
// in link order, so the version is not always first. Nothing marks where the
// table begins or ends.

import (
	"bytes"
	"slices"
)

// featureTable is the version and the features of one table.
type featureTable struct {
	version  [3]byte
	features []uint8
}

// The sub-options of option 175 in a table. Features are 16 to 79.
const (
	tagVersion      = 0xeb
	tagFirstFeature = 0x10
	tagLastFeature  = 0x4f
)

// minFeatures is how many features a table must have, because the five bytes of
// a version occur by chance. The smallest useful iPXE has more features.
const minFeatures = 3

// maxRevision is the highest revision of a feature that is accepted. iPXE has
// never used more than 2 (PXEXT).
const maxRevision = 15

// dhcpMark is part of every DHCP packet of an EFI iPXE and stored in the image
// as it is sent: the user class "iPXE" between the vendor class and the
// parameter request list. It identifies an iPXE whose feature table cannot be
// read.
var dhcpMark = []byte("\x4d\x04iPXE\x37")

// setFeatures sets the version and the features of the image, if all tables
// found in it agree. An image with two different iPXEs (one embedded in the
// other) does not show which of them will send DHCP packets.
func (image *Image) setFeatures(found []featureTable) {
	if len(found) == 0 {
		return
	}
	image.isIPXE = true
	for _, other := range found[1:] {
		if other.version != found[0].version || !slices.Equal(other.features, found[0].features) {
			return
		}
	}
	image.HasVersion, image.Version = true, found[0].version
	image.HasFeatures, image.Features = true, found[0].features
}

// findFeatureTables returns every table in data that has a version and enough
// features.
func findFeatureTables(data []byte) []featureTable {
	var found []featureTable
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
		slices.Sort(features)
		features = slices.Compact(features)
		if len(features) >= minFeatures {
			found = append(found, featureTable{[3]byte(data[version+2 : version+5]), features})
		}
	}
}

// featuresAfter returns the features in the triples at the start of data.
func featuresAfter(data []byte) []uint8 {
	var features []uint8
	for ; len(data) >= 3 && isFeature(data[:3]); data = data[3:] {
		features = append(features, data[0])
	}
	return features
}

// featuresBefore returns the features in the triples at the end of data.
func featuresBefore(data []byte) []uint8 {
	var features []uint8
	for ; len(data) >= 3 && isFeature(data[len(data)-3:]); data = data[:len(data)-3] {
		features = append(features, data[len(data)-3])
	}
	return features
}

// isFeature reports whether a triple is a feature: a tag in the range of
// features, length 1, and a revision.
func isFeature(triple []byte) bool {
	return triple[0] >= tagFirstFeature && triple[0] <= tagLastFeature &&
		triple[1] == 1 && triple[2] >= 1 && triple[2] <= maxRevision
}
