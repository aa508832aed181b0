package export

// Version comparisons as text patterns, for servers that cannot compare
// numbers.

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// term is one comparison in a range of versions.
type term struct {
	op      string // =, !=, <, <=, > or >=
	version proxydhcp.Version
}

// String returns the comparison, such as ">=1.21.1".
func (t term) String() string { return t.op + t.version.String() }

// termsOf returns the terms of a range. It parses the range's text, whose form
// proxydhcp guarantees.
func termsOf(r proxydhcp.VersionRange) []term {
	var terms []term
	if r.IsZero() {
		return nil
	}
	for text := range strings.SplitSeq(r.String(), ", ") {
		number := strings.TrimLeft(text, "=!<>")
		v, err := proxydhcp.ParseVersion(number)
		if err != nil {
			panic("export: " + err.Error()) // VersionRange.String returns valid versions
		}
		terms = append(terms, term{strings.TrimSuffix(text, number), v})
	}
	return terms
}

// maxByte is the largest number in a version.
const maxByte = 255

// pattern returns an extended regular expression for the decimal text of the
// versions that an ordering term (<, <=, > or >=) takes.
func (t term) pattern() string {
	var alternatives []string
	prefix := ""
	for i, n := range t.version {
		lo, hi := 0, int(n)-1
		if t.op[0] == '>' {
			lo, hi = int(n)+1, maxByte
		}
		if last := i == len(t.version)-1; last && t.op == "<=" {
			hi++
		} else if last && t.op == ">=" {
			lo--
		}
		if lo <= hi {
			alternatives = append(alternatives, prefix+decimals(lo, hi)+strings.Repeat(`\.[0-9]+`, len(t.version)-1-i))
		}
		prefix += strconv.Itoa(int(n)) + `\.`
	}
	if len(alternatives) == 0 {
		return "^none$"
	}
	return "^(" + strings.Join(alternatives, "|") + ")$"
}

// decimals returns a regular expression for the decimal text of the numbers
// from lo to hi, at most three digits each.
func decimals(lo, hi int) string {
	var alternatives []string
	for lo <= hi {
		size := 1 // of a block of numbers that share all but their last digits
		for _, s := range []int{10, 100} {
			if lo%s == 0 && lo >= s && lo+s-1 <= hi {
				size = s
			}
		}
		digit := lo / size % 10
		last := digit
		for last < 9 && lo+(last-digit+2)*size-1 <= hi {
			last++
		}
		first := ""
		if lo/size >= 10 {
			first = strconv.Itoa(lo / size / 10)
		}
		alternatives = append(alternatives, first+digitClass(digit, last)+strings.Repeat("[0-9]", len(strconv.Itoa(size))-1))
		lo += (last - digit + 1) * size
	}
	if len(alternatives) == 1 {
		return alternatives[0]
	}
	return "(" + strings.Join(alternatives, "|") + ")"
}

// digitClass returns a regular expression for the digits from a to b.
func digitClass(a, b int) string {
	if a == b {
		return strconv.Itoa(a)
	}
	return fmt.Sprintf("[%d-%d]", a, b)
}

// prefixesBefore returns prefixes of the six hexadecimal digits of a version. A
// version is before v if its digits begin with one of them.
func prefixesBefore(v proxydhcp.Version) []string {
	digits := fmt.Sprintf("%02x%02x%02x", v[0], v[1], v[2])
	var prefixes []string
	for i := range digits {
		n, _ := strconv.ParseUint(digits[i:i+1], 16, 8)
		for d := range n {
			prefixes = append(prefixes, fmt.Sprintf("%s%x", digits[:i], d))
		}
	}
	return prefixes
}

// nextVersion returns the version after v. It is not ok if v is the last one.
func nextVersion(v proxydhcp.Version) (next proxydhcp.Version, ok bool) {
	n := (int(v[0])<<16 | int(v[1])<<8 | int(v[2])) + 1
	return proxydhcp.Version{uint8(n >> 16), uint8(n >> 8), uint8(n)}, n < 1<<24
}
