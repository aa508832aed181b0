package export

// The patterns for version comparisons, compared with proxydhcp's own.

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// edges returns versions at which comparisons are likely to be wrong.
func edges(v proxydhcp.Version) []proxydhcp.Version {
	n := int(v[0])<<16 | int(v[1])<<8 | int(v[2])
	list := []proxydhcp.Version{{}, {255, 255, 255}, {1, 0, 0}, {1, 21, 1}, {10, 0, 0}, {100, 100, 100}, {2, 0, 0}}
	for _, d := range []int{-65536, -257, -256, -255, -10, -1, 0, 1, 10, 255, 256, 257, 65536} {
		if m := n + d; m >= 0 && m < 1<<24 {
			list = append(list, proxydhcp.Version{byte(m >> 16), byte(m >> 8), byte(m)})
		}
	}
	return list
}

// TestVersionPatternsCompareAsVersions checks the patterns of ISC dhcpd and the
// tests of Kea.
func TestVersionPatternsCompareAsVersions(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	limits := []proxydhcp.Version{{}, {0, 0, 1}, {1, 0, 0}, {1, 21, 1}, {2, 0, 0}, {9, 99, 199}, {255, 255, 255}, {255, 255, 254}, {19, 200, 250}}
	for range 5 {
		limits = append(limits, proxydhcp.Version{byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32())})
	}
	for _, limit := range limits {
		for _, op := range []string{"<", "<=", ">", ">="} {
			required := versions(op + limit.String())
			terms := termsOf(required)
			if len(terms) != 1 || terms[0] != (term{op, limit}) {
				t.Fatalf("%s has terms %v", required, terms)
			}
			pattern := regexp.MustCompile(terms[0].pattern())
			for _, v := range edges(limit) {
				if got, want := pattern.MatchString(v.String()), required.Contains(v); got != want {
					t.Fatalf("%s %s by its pattern: %v, want %v\n%s", v, required, got, want, pattern)
				}
				k := &keaWriter{known: map[string]bool{}}
				if got, want := holds(k.term(terms[0]), k, v), required.Contains(v); got != want {
					t.Fatalf("%s %s by Kea's test: %v, want %v", v, required, got, want)
				}
			}
		}
	}
	if got, want := fmt.Sprint(termsOf(versions(">=1.21.1, !=1.99.0,<2"))), "[>=1.21.1 !=1.99.0 <2.0.0]"; got != want {
		t.Errorf("terms %s, want %s", got, want)
	}
}

// prefixTests finds the comparisons with a prefix in a test of Kea.
var prefixTests = regexp.MustCompile(`0, ([0-9]+)\) == '([0-9a-f]*)'`)

// holds evaluates a test that keaWriter.term made.
func holds(test string, k *keaWriter, v proxydhcp.Version) bool {
	rest, not := strings.CutPrefix(test, "not ")
	result := strings.Contains(rest, "'all' == 'all'")
	if strings.HasPrefix(rest, "member") {
		result = anyPrefix(k.helpers[0].members[1], fmt.Sprintf("%02x%02x%02x", v[0], v[1], v[2]))
	}
	return result != not
}

// anyPrefix reports whether a text has one of the prefixes in a test.
func anyPrefix(test, text string) bool {
	for _, m := range prefixTests.FindAllStringSubmatch(test, -1) {
		if n, _ := strconv.Atoi(m[1]); n != len(m[2]) {
			panic("a prefix of another length: " + m[0])
		}
		if strings.HasPrefix(text, m[2]) {
			return true
		}
	}
	return false
}

// TestDecimalsMatchTheirRange checks the patterns for ranges of numbers.
func TestDecimalsMatchTheirRange(t *testing.T) {
	for lo := 0; lo <= maxByte; lo++ {
		for hi := lo; hi <= maxByte; hi += 1 + hi%7 {
			pattern := regexp.MustCompile("^" + decimals(lo, hi) + "$")
			for _, n := range []int{0, lo - 1, lo, lo + 1, (lo + hi) / 2, hi - 1, hi, hi + 1, 9, 10, 99, 100, 199, 200, 255} {
				if n >= 0 && pattern.MatchString(strconv.Itoa(n)) != (n >= lo && n <= hi) {
					t.Fatalf("%d in %d to %d: %s", n, lo, hi, pattern)
				}
			}
		}
	}
}

// TestNetworkPatternsMatchTheirNetwork checks the patterns of ISC dhcpd and the
// tests of Kea.
func TestNetworkPatternsMatchTheirNetwork(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for bits := 1; bits <= 32; bits++ {
		for range 5 {
			a := netip.AddrFrom4([4]byte{byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32())})
			n := netip.PrefixFrom(a, bits)
			pattern := regexp.MustCompile(networkPattern(n))
			for i := range 32 {
				b := a.As4()
				b[i/8] ^= 1 << (7 - i%8)
				other := netip.AddrFrom4(b)
				for _, x := range []netip.Addr{a, other} {
					if got, want := pattern.MatchString(x.String()), n.Contains(x); got != want {
						t.Fatalf("%s in %s by its pattern: %v, want %v\n%s", x, n, got, want, pattern)
					}
					bytes := x.As4()
					if got, want := anyPrefix(keaNetwork(n), hexBytes(bytes[:], "")), n.Contains(x); got != want {
						t.Fatalf("%s in %s by Kea's test: %v, want %v\n%s", x, n, got, want, keaNetwork(n))
					}
				}
			}
		}
	}
}
