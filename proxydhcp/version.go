package proxydhcp

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Version is an iPXE version as sub-option 235 of option 175 carries it: three
// bytes: major, minor and patch. It says less than iPXE's own ${version}:
// builds of 1.x made outside a git clone all report 1.0.0.
type Version [3]uint8

// String returns the version as "1.21.1".
func (v Version) String() string {
	return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2])
}

// Compare orders versions: negative where v is older than w.
func (v Version) Compare(w Version) int {
	return cmp.Or(cmp.Compare(v[0], w[0]), cmp.Compare(v[1], w[1]), cmp.Compare(v[2], w[2]))
}

// ParseVersion reads "2", "1.21" or "1.21.1"; missing numbers are 0. A number
// above 255 is an error: it does not fit into the byte that DHCP has for it.
func ParseVersion(s string) (Version, error) {
	var v Version
	parts := strings.Split(s, ".")
	if len(parts) > len(v) {
		return v, fmt.Errorf("%q has more than three numbers (major.minor.patch)", s)
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 8)
		if err != nil {
			return Version{}, fmt.Errorf("%q is not a number from 0 to 255", part)
		}
		v[i] = uint8(n)
	}
	return v, nil
}

// VersionRange is a demand on a version: all of its terms must hold. The zero
// VersionRange demands nothing. It is comparable.
type VersionRange struct {
	terms [maxVersionTerms]versionTerm
	n     int
}

// maxVersionTerms bounds an expression: two terms make a range, and the others
// leave room for excluded versions.
const maxVersionTerms = 8

// versionTerm is one comparison of an expression, such as ">=1.21.1".
type versionTerm struct {
	op      string
	version Version
}

// versionOps are the comparisons, the longer spellings first.
var versionOps = []string{">=", "<=", "!=", "==", "=", ">", "<"}

// ParseVersionRange reads an expression: =, !=, <, <=, > or >= before a
// version. Several are joined by commas and must all hold, such as ">=1.21.1,
// !=1.99.0". A bare version demands exactly that one.
func ParseVersionRange(s string) (VersionRange, error) {
	var r VersionRange
	for _, text := range strings.Split(s, ",") {
		text = strings.TrimSpace(text)
		term := versionTerm{op: "="}
		number := text
		for _, op := range versionOps {
			if rest, ok := strings.CutPrefix(text, op); ok {
				term.op, number = op, strings.TrimSpace(rest)
				break
			}
		}
		if term.op == "==" {
			term.op = "="
		}
		if number == "" {
			return VersionRange{}, fmt.Errorf("no version after %q; write for example >=1.21.1", text)
		}
		var err error
		if term.version, err = ParseVersion(number); err != nil {
			return VersionRange{}, err
		}
		if r.n == maxVersionTerms {
			return VersionRange{}, fmt.Errorf("more than %d comparisons", maxVersionTerms)
		}
		r.terms[r.n] = term
		r.n++
	}
	return r, nil
}

// AtLeast returns the range ">=v".
func AtLeast(v Version) VersionRange {
	return VersionRange{terms: [maxVersionTerms]versionTerm{{">=", v}}, n: 1}
}

// IsZero reports whether the range demands nothing.
func (r VersionRange) IsZero() bool { return r.n == 0 }

// Contains reports whether v meets every term.
func (r VersionRange) Contains(v Version) bool {
	for _, t := range r.terms[:r.n] {
		if !t.holds(v) {
			return false
		}
	}
	return true
}

func (t versionTerm) holds(v Version) bool {
	c := v.Compare(t.version)
	switch t.op {
	case "=":
		return c == 0
	case "!=":
		return c != 0
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	default: // ">="
		return c >= 0
	}
}

// String returns the expression in its plain form, such as ">=1.21.1, !=2.0.0".
func (r VersionRange) String() string {
	var b strings.Builder
	for i, t := range r.terms[:r.n] {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(t.op)
		b.WriteString(t.version.String())
	}
	return b.String()
}

// Example returns a version that the range contains: one that it names, or the
// one right after or before. ok is false if it contains none of these.
func (r VersionRange) Example() (v Version, ok bool) {
	for _, t := range r.terms[:r.n] {
		number := int(t.version[0])<<16 | int(t.version[1])<<8 | int(t.version[2])
		for _, n := range []int{number, number + 1, number - 1} {
			v := Version{uint8(n >> 16), uint8(n >> 8), uint8(n)}
			if n >= 0 && n < 1<<24 && r.Contains(v) {
				return v, true
			}
		}
	}
	return Version{}, false
}
