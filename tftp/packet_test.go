package tftp

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// join returns a request: an opcode, then NUL-terminated strings.
func join(op byte, parts ...string) []byte {
	b := []byte{0, op}
	for _, p := range parts {
		b = append(append(b, p...), 0)
	}
	return b
}

// TestParseRequest checks the requests of real clients, byte for byte in their
// order and spelling.
func TestParseRequest(t *testing.T) {
	for _, c := range []struct {
		client  string
		packet  []byte
		want    Request
		wantErr error
	}{
		{client: "ipxe", packet: join(1, "undionly.kpxe", "octet", "blksize", "1432", "tsize", "0"),
			want: Request{File: "undionly.kpxe", Options: Options{BlockSize: 1432, Size: true}}},
		{client: "edk2 probe", packet: join(1, "ipxe-x86_64.efi", "octet", "tsize", "0", "blksize", "1468", "windowsize", "4"),
			want: Request{File: "ipxe-x86_64.efi", Options: Options{BlockSize: 1468, WindowSize: 4, Size: true}}},
		{client: "edk2 read", packet: join(1, "ipxe-x86_64.efi", "octet", "blksize", "1468", "windowsize", "4"),
			want: Request{File: "ipxe-x86_64.efi", Options: Options{BlockSize: 1468, WindowSize: 4}}},
		{client: "shim", packet: join(1, `\EFI\BOOT\grubx64.efi`, "octet", "blksize", "512", "windowsize", "4"),
			want: Request{File: `\EFI\BOOT\grubx64.efi`, Options: Options{BlockSize: 512, WindowSize: 4}}},
		{client: "u-boot", packet: join(1, "boot.scr.uimg", "octet", "timeout", "5", "tsize", "0", "blksize", "1468"),
			want: Request{File: "boot.scr.uimg", Options: Options{Timeout: 5 * time.Second, Size: true, BlockSize: 1468}}},
		{client: "u-boot windows", packet: join(1, "Image", "octet", "timeout", "5", "blksize", "1468", "windowsize", "8"),
			want: Request{File: "Image", Options: Options{Timeout: 5 * time.Second, BlockSize: 1468, WindowSize: 8}}},
		{client: "grub", packet: join(1, "/grub/grub.cfg", "octet", "blksize", "1024", "tsize", "0"),
			want: Request{File: "/grub/grub.cfg", Options: Options{BlockSize: 1024, Size: true}}},
		{client: "pxelinux", packet: join(1, "pxelinux.cfg/01-52-54-00-12-34-56", "octet", "tsize", "0", "blksize", "1408"),
			want: Request{File: "pxelinux.cfg/01-52-54-00-12-34-56", Options: Options{Size: true, BlockSize: 1408}}},
		{client: "pi 3", packet: join(1, "bootcode.bin", "octet"), want: Request{File: "bootcode.bin"}},
		{client: "intel probe", packet: join(1, "pxelinux.0\xff\xd13*G", "octet", "tsize", "0"),
			want: Request{File: "pxelinux.0\xff\xd13*G", Options: Options{Size: true}}},
		{client: "intel read", packet: join(1, "pxelinux.0\xff", "octet", "blksize", "1456"),
			want: Request{File: "pxelinux.0\xff", Options: Options{BlockSize: 1456}}},
		{client: "curl", packet: join(1, "rom", "octet", "tsize", "0", "blksize", "512", "timeout", "6"),
			want: Request{File: "rom", Options: Options{Size: true, BlockSize: 512, Timeout: 6 * time.Second}}},
		{client: "case", packet: join(1, "rom", "OcTeT", "BLKSIZE", "1024", "TSize", "0", "WindowSize", "16", "TIMEOUT", "1"),
			want: Request{File: "rom", Options: Options{BlockSize: 1024, Size: true, WindowSize: 16, Timeout: time.Second}}},
		{client: "netascii", packet: join(1, "a.txt", "NetASCII"), want: Request{File: "a.txt", Netascii: true}},
		{client: "unknown options", packet: join(1, "rom", "octet", "multicast", "", "blksize2", "1024", "tsize", "0"),
			want: Request{File: "rom", Options: Options{Size: true}}},
		{client: "first of two counts", packet: join(1, "rom", "octet", "blksize", "1024", "blksize", "512"),
			want: Request{File: "rom", Options: Options{BlockSize: 1024}}},
		{client: "out of range", packet: join(1, "rom", "octet", "blksize", "7", "windowsize", "0", "timeout", "256"), want: Request{File: "rom"}},
		{client: "too much", packet: join(1, "rom", "octet", "blksize", "65465", "windowsize", "65536", "timeout", "0"),
			want: Request{File: "rom", Options: Options{BlockSize: 65464}}},
		{client: "not numbers", packet: join(1, "rom", "octet", "blksize", "+512", "windowsize", "-1", "timeout", "", "tsize", "x"), want: Request{File: "rom"}},
		{client: "overlong number", packet: join(1, "rom", "octet", "blksize", strings.Repeat("9", 20)), want: Request{File: "rom"}},
		{client: "value cut", packet: join(1, "rom", "octet", "tsize", "0", "blksize")[:len(join(1, "rom", "octet", "tsize", "0", "blksize"))-1],
			want: Request{File: "rom", Options: Options{Size: true}}},
		{client: "longest", packet: join(1, strings.Repeat("a", 503), "octet"), want: Request{File: strings.Repeat("a", 503)}},
		{client: "too long", packet: append(join(1, "rom", "octet"), make([]byte, 510)...), wantErr: errLong},
		{client: "mail", packet: join(1, "user", "mail"), want: Request{File: "user"}, wantErr: errMail},
		{client: "mode", packet: join(1, "rom", "binary"), want: Request{File: "rom"}, wantErr: errMode},
		{client: "write", packet: join(2, "rom", "octet"), want: Request{File: "rom"}, wantErr: errWrite},
		{client: "no mode", packet: join(1, "rom"), want: Request{File: "rom"}, wantErr: errShort},
		{client: "mode cut", packet: []byte("\x00\x01rom\x00octet"), want: Request{File: "rom"}, wantErr: errShort},
		{client: "no name", packet: []byte("\x00\x01rom"), wantErr: errShort},
		{client: "empty", packet: nil, wantErr: errNoRequest},
		{client: "data", packet: join(3, "rom", "octet"), wantErr: errNoRequest},
	} {
		got, err := parseRequest(c.packet)
		if err != c.wantErr {
			t.Errorf("%s: error %v, want %v", c.client, err, c.wantErr)
		}
		if diff := cmp.Diff(c.want, got, cmp.Comparer(func(a, b Request) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.client, diff)
		}
	}
}

// TestAppendOACK checks the bytes of an OACK.
func TestAppendOACK(t *testing.T) {
	for _, c := range []struct {
		options Options
		size    int64
		want    string
	}{
		{Options{BlockSize: 1468, WindowSize: 4, Size: true}, 1 << 20, "\x00\x06blksize\x001468\x00tsize\x001048576\x00windowsize\x004\x00"},
		{Options{Timeout: 5 * time.Second}, 7, "\x00\x06timeout\x005\x00"},
		{Options{Size: true}, 0, "\x00\x06tsize\x000\x00"},
	} {
		if got := string(appendOACK(nil, c.options, c.size)); got != c.want {
			t.Errorf("%+v: %q, want %q", c.options, got, c.want)
		}
	}
}

// TestHeaders checks the bytes of DATA and ERROR.
func TestHeaders(t *testing.T) {
	for _, c := range []struct {
		block int64
		want  [4]byte
	}{{1, [4]byte{0, 3, 0, 1}}, {65535, [4]byte{0, 3, 255, 255}}, {65536, [4]byte{0, 3, 0, 0}}, {65537, [4]byte{0, 3, 0, 1}}} {
		var got [4]byte
		if putDataHeader(&got, c.block); got != c.want {
			t.Errorf("block %d: % x, want % x", c.block, got, c.want)
		}
	}
	if got, want := string(appendError(nil, codeNotFound, textNotFound)), "\x00\x05\x00\x01file not found\x00"; got != want {
		t.Errorf("ERROR %q, want %q", got, want)
	}
}

// TestParseError checks the ERRORs of clients.
func TestParseError(t *testing.T) {
	long := strings.Repeat("x", 200)
	for _, c := range []struct {
		packet string
		want   RemoteError
	}{
		{"\x00\x05\x00\x08User aborted the transfer\x00", RemoteError{8, "User aborted the transfer"}},
		{"\x00\x05\x00\x00TFTP Aborted\x00junk", RemoteError{0, "TFTP Aborted"}},
		{"\x00\x05\x00\x03no end", RemoteError{3, "no end"}},
		{"\x00\x05\x00\x01" + long, RemoteError{1, long[:128]}},
		{"\x00\x05\x00", RemoteError{}},
	} {
		if diff := cmp.Diff(&c.want, parseError([]byte(c.packet))); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.packet, diff)
		}
	}
	if got, want := (&RemoteError{8, "a\nb"}).Error(), `client sent error 8: "a\nb"`; got != want {
		t.Errorf("text %s, want %s", got, want)
	}
}

// FuzzParseRequest checks that a parsed request has a file name without NUL and
// options within their ranges, and stays the same when it is written and parsed
// again.
func FuzzParseRequest(f *testing.F) {
	f.Add(join(1, "undionly.kpxe", "octet", "blksize", "1432", "tsize", "0"))
	f.Add(join(1, "ipxe.efi", "octet", "tsize", "0", "blksize", "1468", "windowsize", "4"))
	f.Add(join(1, "a", "netascii", "timeout", "255"))
	f.Add(join(2, "rom", "octet"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRequest(b)
		if strings.ContainsRune(r.File, 0) {
			t.Fatalf("name %q", r.File)
		}
		if err != nil {
			return
		}
		o := r.Options
		if o.BlockSize != 0 && (o.BlockSize < 8 || o.BlockSize > 65464) || o.WindowSize < 0 || o.WindowSize > 65535 || o.Timeout < 0 || o.Timeout > 255*time.Second {
			t.Fatalf("options %+v", o)
		}
		mode := "octet"
		if r.Netascii {
			mode = "netascii"
		}
		again := appendOACK(join(1, r.File, mode), o, 0)
		again = append(again[:4+len(r.File)+len(mode)], again[6+len(r.File)+len(mode):]...) // without the OACK's opcode
		if len(again) > maxRequestLen {
			return
		}
		if r2, err := parseRequest(again); err != nil || r2 != r {
			t.Fatalf("%+v became %+v, %v", r, r2, err)
		}
	})
}

// FuzzNegotiate checks that what is granted is never more than was asked or is
// allowed, never an option that was not asked, and that the OACK says so.
func FuzzNegotiate(f *testing.F) {
	f.Add(1468, 4, 0, true, false, 1500, 64, int64(1<<20))
	f.Add(65464, 65535, 255, true, true, 9000, 1, int64(0))
	f.Fuzz(func(t *testing.T, block, window, timeout int, size, netascii bool, mtu, limit int, bytesOfFile int64) {
		packet := append(join(1, "f", map[bool]string{true: "netascii", false: "octet"}[netascii]), appendOACK(nil, Options{BlockSize: block, WindowSize: window, Timeout: time.Duration(timeout) * time.Second, Size: size}, 0)[2:]...)
		r, err := parseRequest(packet)
		if err != nil {
			return
		}
		l := limits{blockSize: maxBlockSize, window: min(max(limit, 1), windowCeiling)}.forMTU(mtu)
		got := negotiate(r, l)
		asked, granted := r.Options, got.granted
		switch {
		case asked.BlockSize == 0 && (granted.BlockSize != 0 || got.block != 512):
			t.Fatal("a block size nobody asked for")
		case granted.BlockSize > asked.BlockSize, granted.WindowSize > asked.WindowSize, granted.Size && !asked.Size:
			t.Fatalf("asked %+v, granted %+v", asked, granted)
		case granted.Timeout != asked.Timeout:
			t.Fatal("timeout changed")
		case got.window > l.window || got.window < 1 || asked.BlockSize != 0 && got.block > l.blockSize || got.block < 8:
			t.Fatalf("%+v beyond %+v", got, l)
		case netascii && (granted.Size || granted.WindowSize != 0):
			t.Fatal("netascii with tsize or windows")
		}
		oack := appendOACK(nil, granted, max(bytesOfFile, 0))
		if !bytes.Equal(oack, bytes.ToLower(oack)) || binary.BigEndian.Uint16(oack) != 6 || len(oack) > 2 && oack[len(oack)-1] != 0 {
			t.Fatalf("OACK %q", oack)
		}
	})
}

// TestNegotiate checks what is granted.
func TestNegotiate(t *testing.T) {
	for _, c := range []struct {
		name   string
		asked  Options
		ascii  bool
		limits limits
		mtu    int
		want   terms
	}{
		{"nothing", Options{}, false, limits{65464, 64}, 1500, terms{Options{}, 512, 1}},
		{"edk2", Options{BlockSize: 1468, WindowSize: 4, Size: true}, false, limits{65464, 64}, 1500, terms{Options{BlockSize: 1468, WindowSize: 4, Size: true}, 1468, 4}},
		{"ethernet clamps", Options{BlockSize: 65464}, false, limits{65464, 64}, 1500, terms{Options{BlockSize: 1468}, 1468, 1}},
		{"unknown mtu", Options{BlockSize: 8192}, false, limits{65464, 64}, 0, terms{Options{BlockSize: 1468}, 1468, 1}},
		{"jumbo", Options{BlockSize: 65464}, false, limits{65464, 64}, 9000, terms{Options{BlockSize: 8968}, 8968, 1}},
		{"admin cap", Options{BlockSize: 1468}, false, limits{1280, 64}, 1500, terms{Options{BlockSize: 1280}, 1280, 1}},
		{"tiny mtu", Options{BlockSize: 1468}, false, limits{65464, 64}, 20, terms{Options{BlockSize: 8}, 8, 1}},
		{"small block", Options{BlockSize: 8}, false, limits{65464, 64}, 1500, terms{Options{BlockSize: 8}, 8, 1}},
		{"window cap", Options{WindowSize: 65535}, false, limits{65464, 64}, 1500, terms{Options{WindowSize: 64}, 512, 64}},
		{"timeout as it is", Options{Timeout: 255 * time.Second}, false, limits{65464, 64}, 1500, terms{Options{Timeout: 255 * time.Second}, 512, 1}},
		{"netascii", Options{BlockSize: 1024, WindowSize: 8, Size: true, Timeout: time.Second}, true, limits{65464, 64}, 1500, terms{Options{BlockSize: 1024, Timeout: time.Second}, 1024, 1}},
		{"netascii alone", Options{Size: true}, true, limits{65464, 64}, 1500, terms{Options{}, 512, 1}},
	} {
		got := negotiate(Request{Options: c.asked, Netascii: c.ascii}, c.limits.forMTU(c.mtu))
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(terms{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
