// Package release fetches a release of iPXE, and puts its boot ROMs into a
// directory from which they are served.
//
// A release is an archive. Fetch gets it, over HTTP or from a file of this
// host, checks its digest, unpacks the ROMs that package rom knows by name, and
// puts them in place of those that were there. Whatever fails on the way, the
// directory is either the old one or the new one, and whole.
package release

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Release is a release of iPXE.
type Release struct {
	Version proxydhcp.Version
	URL     string // of the archive with its boot files for servers
	name    string
	sha256  string // of that archive
}

// String returns the name and the version.
func (r Release) String() string { return r.name + " " + r.Version.String() }

// releases are the releases that can be fetched by name, newest first.
//
// iPXE has published such archives since 2.0.0, of 6 March 2026, which is still
// the newest (.github/workflows/build.yml and src/util/gensrvimg of ipxe/ipxe).
// The digest of an archive is the one that GitHub's API gives for the file
// (releases/tags/v2.0.0, assets[].digest); it is also pinned by other projects
// that fetch the file, such as garybowers/bootimus
// (scripts/build-secureboot-official-set.sh).
var releases = [...]Release{
	{
		name:    "iPXE",
		Version: proxydhcp.Version{2, 0, 0},
		URL:     "https://github.com/ipxe/ipxe/releases/download/v2.0.0/ipxeboot.tar.gz",
		sha256:  "01a526d4cc791fc30362259c609d6c506cc64a7bdff51b9a5eb788354e17eee1",
	},
}

// Newest returns the newest release that is known.
func Newest() Release { return releases[0] }

// withDigest returns the release whose archive has that digest.
func withDigest(digest string) (r Release, known bool) {
	for _, r := range releases {
		if r.sha256 == digest {
			return r, true
		}
	}
	return Release{}, false
}

// ParseDigest parses a SHA-256 digest in hexadecimal, with "sha256:" before it
// or without, as GitHub and sha256sum write it.
func ParseDigest(text string) (string, error) {
	digits := strings.ToLower(strings.TrimPrefix(strings.TrimSpace(text), "sha256:"))
	if sum, err := hex.DecodeString(digits); err != nil || len(sum) != 32 {
		return "", fmt.Errorf("%q is not a SHA-256 digest: write its 64 hexadecimal digits", text)
	}
	return digits, nil
}
