package export

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// Versions where a server cannot compare numbers: as patterns of text.

// term is one comparison of a range of versions.
type term struct {
	op      string // =, !=, <, <=, > or >=
	version proxydhcp.Version
}

// String returns the comparison, such as ">=1.21.1".
func (t term) String() string { return t.op + t.version.String() }

// termsOf takes a range apart. It reads the range's own text, whose form
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
			panic("export: " + err.Error()) // VersionRange.String does not do that
		}
		terms = append(terms, term{strings.TrimSuffix(text, number), v})
	}
	return terms
}

// maxByte is the largest number of a version.
const maxByte = 255

// pattern returns an extended regular expression for the decimal text of the
// versions that an ordering term (<, <=, > or >=) takes.
func (t term) pattern() string {
	var ways []string
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
			ways = append(ways, prefix+decimals(lo, hi)+strings.Repeat(`\.[0-9]+`, len(t.version)-1-i))
		}
		prefix += strconv.Itoa(int(n)) + `\.`
	}
	if len(ways) == 0 {
		return "^none$"
	}
	return "^(" + strings.Join(ways, "|") + ")$"
}

// decimals returns a regular expression for the decimal text of the numbers
// from lo to hi, at most three digits each.
func decimals(lo, hi int) string {
	var ways []string
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
		head := ""
		if lo/size >= 10 {
			head = strconv.Itoa(lo / size / 10)
		}
		ways = append(ways, head+digitClass(digit, last)+strings.Repeat("[0-9]", len(strconv.Itoa(size))-1))
		lo += (last - digit + 1) * size
	}
	if len(ways) == 1 {
		return ways[0]
	}
	return "(" + strings.Join(ways, "|") + ")"
}

// digitClass is a regular expression for the digits from a to b.
func digitClass(a, b int) string {
	if a == b {
		return strconv.Itoa(a)
	}
	return fmt.Sprintf("[%d-%d]", a, b)
}

// below lists the beginnings of the six hexadecimal digits of the versions
// before v: a version is before v where its digits begin with one of these.
func below(v proxydhcp.Version) []string {
	digits := fmt.Sprintf("%02x%02x%02x", v[0], v[1], v[2])
	var heads []string
	for i := range digits {
		n, _ := strconv.ParseUint(digits[i:i+1], 16, 8)
		for d := range n {
			heads = append(heads, fmt.Sprintf("%s%x", digits[:i], d))
		}
	}
	return heads
}

// next returns the version right behind v; not ok behind the last one.
func next(v proxydhcp.Version) (proxydhcp.Version, bool) {
	n := (int(v[0])<<16 | int(v[1])<<8 | int(v[2])) + 1
	return proxydhcp.Version{uint8(n >> 16), uint8(n >> 8), uint8(n)}, n < 1<<24
}
