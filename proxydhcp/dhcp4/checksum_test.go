package dhcp4

import (
	"bytes"
	"testing"
)

// TestChecksum compares the checksum with one that is added as RFC 1071 words
// it: 16 bits at a time, at every length, and with as many carries as there can
// be.
func TestChecksum(t *testing.T) {
	plain := func(start uint32, b []byte) uint16 {
		sum := uint64(start)
		for i, v := range b {
			sum += uint64(v) << (8 * (1 - i%2))
		}
		for sum > 0xffff {
			sum = sum>>16 + sum&0xffff
		}
		return uint16(sum)
	}
	mixed := make([]byte, 600)
	for i := range mixed {
		mixed[i] = byte(i*i + i>>3)
	}
	for _, bytes := range [][]byte{mixed, bytes.Repeat([]byte{0xff}, 600), make([]byte, 600)} {
		for n := range len(bytes) {
			for _, start := range []uint32{0, 1, 0xffff, 0xffffffff} {
				if got, want := checksum(start, bytes[:n]), plain(start, bytes[:n]); got != want {
					t.Fatalf("%d bytes from %#x: %#x, want %#x", n, start, got, want)
				}
			}
		}
	}
}
