package dhcp4

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDatagramAppend compares with bytes whose checksums were computed by hand
// elsewhere: the OFFER header of a plain broadcast with the payload "abc".
func TestDatagramAppend(t *testing.T) {
	d := Datagram{From: netip.MustParseAddrPort("192.0.2.10:67"), To: netip.MustParseAddrPort("255.255.255.255:68"), Payload: []byte("abc")}
	got := d.Append([]byte("before"))
	if string(got[:6]) != "before" {
		t.Fatalf("what was there is lost: % x", got)
	}
	got = got[6:]
	if checksum(0, got[:ipHeaderLen]) != 0xffff {
		t.Errorf("the IP header's checksum does not add up: % x", got[:ipHeaderLen])
	}
	pseudo := append(append([]byte{}, got[12:20]...), 0, ProtocolUDP, 0, 11)
	if checksum(0, append(pseudo, got[ipHeaderLen:]...)) != 0xffff {
		t.Errorf("the UDP checksum does not add up: % x", got[ipHeaderLen:])
	}
	const want = "45c0001f000000004011b804c000020affffffff00430044000b78e4616263"
	if hex.EncodeToString(got) != want {
		t.Errorf("%x, want %s", got, want)
	}
}

// TestDatagramParse checks what is taken as a datagram.
func TestDatagramParse(t *testing.T) {
	good := Datagram{From: netip.MustParseAddrPort("192.0.2.10:67"), To: netip.MustParseAddrPort("192.0.2.11:68"), Payload: []byte("abcdef")}
	wire := good.Append(nil)
	with := func(at int, v byte) []byte {
		b := append([]byte{}, wire...)
		b[at] = v
		return b
	}
	for _, tt := range []struct {
		name string
		in   []byte
		want string // the payload; "-" for refused
	}{
		{"whole", wire, "abcdef"},
		{"with Ethernet padding", append(append([]byte{}, wire...), 0, 0, 0, 0), "abcdef"},
		{"UDP shorter than IP", with(25, UDPHeaderLen+3), "abc"},
		{"no checksum", with(26, 0), "abcdef"},
		{"cut", wire[:len(wire)-1], "-"},
		{"IPv6", with(0, 0x65), "-"},
		{"header too short", with(0, 0x44), "-"},
		{"header beyond the end", with(0, 0x4f), "-"},
		{"TCP", with(9, 6), "-"},
		{"first fragment", with(6, 0x20), "-"},
		{"later fragment", with(7, 1), "-"},
		{"don't fragment", with(6, 0x40), "abcdef"},
		{"UDP length beyond the end", with(25, 200), "-"},
		{"UDP length below the header", with(25, 7), "-"},
		{"empty", nil, "-"},
	} {
		d, ok := ParseDatagram(tt.in)
		got := "-"
		if ok {
			got = string(d.Payload)
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	d, _ := ParseDatagram(wire)
	if diff := cmp.Diff([]netip.AddrPort{good.From, good.To}, []netip.AddrPort{d.From, d.To}, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

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
	for _, all := range [][]byte{mixed, bytes.Repeat([]byte{0xff}, 600), make([]byte, 600)} {
		for n := range len(all) {
			for _, start := range []uint32{0, 1, 0xffff, 0xffffffff} {
				if got, want := checksum(start, all[:n]), plain(start, all[:n]); got != want {
					t.Fatalf("%d bytes from %#x: %#x, want %#x", n, start, got, want)
				}
			}
		}
	}
}
