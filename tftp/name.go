package tftp

// Which files a requested name may mean. Firmware writes names with
// backslashes, leading slashes, doubled slashes, and bytes of its own memory
// after the name.

import (
	"errors"
	"io/fs"
	"iter"
	"strings"
)

// maxNameLen is the longest requested name, in bytes.
const maxNameLen = 255

// errName is why a name that no file can have is refused.
var errName = errors.New("name is not allowed: it leaves the root, is too long, or holds control characters")

// candidates yields the names that a requested name may mean, relative to the
// root and valid for [fs.FS], the likeliest first. The first one that exists is
// meant. It yields nothing when the name can mean no file: when it has a ".."
// element or control characters, is longer than 255 bytes, or empty.
//
// Intel's boot ROMs append 0xff to the name, and what follows it in their
// memory. So the exact name is followed by the name without trailing bytes
// above 0x7f, spaces and control characters, and by the name cut at its first
// byte above 0x7f.
func candidates(asked string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if len(asked) > maxNameLen {
			return
		}
		previous := ""
		for _, variant := range [...]string{asked, strings.TrimRightFunc(asked, isResidue), cutAtHigh(asked)} {
			name, ok := cleanName(variant)
			if !ok || name == previous {
				continue
			}
			if !yield(name) {
				return
			}
			previous = name
		}
	}
}

// cleanName turns a requested name into a path below the root.
func cleanName(asked string) (string, bool) {
	if strings.ContainsFunc(asked, isControl) {
		return "", false
	}
	var kept []string
	for element := range strings.SplitSeq(strings.ReplaceAll(asked, `\`, "/"), "/") {
		if element != "" && element != "." {
			kept = append(kept, element)
		}
	}
	name := strings.Join(kept, "/")
	return name, fs.ValidPath(name)
}

// cutAtHigh cuts a name at its first byte above 0x7f, and removes the spaces
// and control characters before it. It returns nothing if there is no such
// byte.
func cutAtHigh(asked string) string {
	for i := range len(asked) {
		if asked[i] >= 0x80 {
			return strings.TrimRightFunc(asked[:i], isResidue)
		}
	}
	return ""
}

// isControl reports whether r is an ASCII control character.
func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// isResidue reports whether r may be what firmware left after a name: a space,
// a control character, or a character that is not ASCII.
func isResidue(r rune) bool { return r <= ' ' || r >= 0x7f }
