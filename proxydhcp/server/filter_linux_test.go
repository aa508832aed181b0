package server

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"golang.org/x/net/bpf"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// ipHeaderLen is the length of the IPv4 header in these tests, in bytes.
const ipHeaderLen = 20

// testClient is a client of an architecture and vendor class.
func testClient(arch proxydhcp.Arch, vendorClass string) proxydhcp.Client {
	return proxydhcp.Client{
		Hardware: dhcp4.HardwareAddr{Type: dhcp4.Ethernet, Len: 6, Bytes: [16]byte{0x52, 0x54, 0, 0, 0, 1}},
		Arch:     arch, VendorClass: vendorClass,
	}
}

// TestVLANFilter runs the program for sets of VLANs on every id there is.
func TestVLANFilter(t *testing.T) {
	seeded := rand.New(rand.NewPCG(1, 2))
	var all, scattered vlanSet
	for id := uint16(1); id <= 4094; id++ {
		all.add(id)
		if seeded.IntN(3) == 0 {
			scattered.add(id)
		}
	}
	for _, set := range []vlanSet{{}, setOf(1), setOf(4094), setOf(20, 52, 31, 32), all, scattered} {
		program := append([]bpf.Instruction{bpf.LoadAbsolute{Off: 0, Size: 2}}, vlanFilter(&set)...)
		vm, err := bpf.NewVM(program)
		if err != nil {
			t.Fatal(err)
		}
		wanted := map[uint16]bool{}
		for _, id := range set.ids() {
			wanted[id] = true
		}
		for id := range uint16(4096) {
			n, err := vm.Run(binary.BigEndian.AppendUint16(nil, id))
			if err != nil || (n > 0) != wanted[id] {
				t.Fatalf("VLAN %d of %d: kept %d bytes, %v", id, len(wanted), n, err)
			}
		}
	}
}

// maxProgram is the longest program that the kernel takes, BPF_MAXINSNS.
const maxProgram = 4096

// TestServerFilterLength checks that the longest program is one that the kernel
// takes.
func TestServerFilterLength(t *testing.T) {
	p := scope{key: scopeKey{trunk: true}}
	for id := uint16(1); id <= 4094; id++ {
		p.tagged.add(id)
	}
	program, err := bpf.Assemble(serverFilter(&p, true))
	if err != nil || len(program) > maxProgram/2 {
		t.Errorf("%d instructions, %v", len(program), err)
	}
}

// TestServerFilter runs the program on packets, with what only the kernel knows
// taken for right.
func TestServerFilter(t *testing.T) {
	boots := testClient(proxydhcp.ArchX64, "PXEClient:Arch:00000:UNDI:002001")
	ask, tell := boots.Discover(), boots.Discover()
	tell[0] = dhcp4.BootReply
	packet := func(from, to uint16, payload []byte) []byte {
		any := netip.IPv4Unspecified()
		return dhcp4.Datagram{From: netip.AddrPortFrom(any, from), To: netip.AddrPortFrom(any, to), Payload: payload}.Append(nil)
	}
	with := func(b []byte, at int, v byte) []byte {
		b[at] = v
		return b
	}
	options := append(with(packet(68, 67, ask), 0, 0x46)[:ipHeaderLen], append([]byte{1, 1, 1, 0}, packet(68, 67, ask)[ipHeaderLen:]...)...)
	for _, tt := range []struct {
		name         string
		in           []byte
		plain, heard bool
	}{
		{"request", packet(68, 67, ask), true, true},
		{"request of a relay", packet(67, 67, ask), true, true},
		{"request behind IP options", options, true, true},
		{"don't fragment", with(packet(68, 67, ask), 6, 0x40), true, true},
		{"first fragment", with(packet(68, 67, ask), 6, 0x20), false, false},
		{"later fragment", with(packet(68, 67, ask), 7, 1), false, false},
		{"TCP", with(packet(68, 67, ask), 9, 6), false, false},
		{"request to port 68", packet(67, 68, ask), false, false},
		{"answer to port 67", packet(67, 67, tell), false, false},
		{"answer", packet(67, 68, tell), false, true},
		{"answer from another port", packet(4011, 68, tell), false, false},
		{"answer to another port", packet(67, 69, tell), false, false},
		{"no DHCP", with(packet(68, 67, ask), ipHeaderLen+dhcp4.UDPHeaderLen+dhcp4.CookieOffset, 0), false, false},
		{"short", packet(68, 67, ask[:dhcp4.CookieOffset]), false, false},
		{"of no booting client", packet(68, 67, append((&dhcp4.Header{Op: dhcp4.BootRequest}).Append(nil), 255)), false, false},
		{"empty", nil, false, false},
	} {
		for _, answers := range []bool{false, true} {
			want := tt.plain
			if answers {
				want = tt.heard
			}
			if got := keeps(t, serverFilter(&scope{}, answers), tt.in); got != want {
				t.Errorf("%s, hearing answers %v: kept %v", tt.name, answers, got)
			}
		}
	}
}

// TestBootFilter checks on random options that the kernel drops nothing which
// proxydhcp.MayBoot would take, and takes little else.
func TestBootFilter(t *testing.T) {
	program := append([]bpf.Instruction{bpf.LoadConstant{Dst: bpf.RegX, Val: ipHeaderLen}}, append(bootFilter(), keepAll)...)
	seeded := rand.New(rand.NewPCG(3, 4))
	values := [][]byte{nil, []byte("PXEClient:Arch:00007"), []byte("HTTPClient"), []byte("PXE"), []byte("PXEClien"), []byte("U-Boot.armv8"), []byte("MSFT 5.0"), []byte("android-dhcp-14"), {1}}
	codes := []byte{1, 3, 6, 12, 43, 50, 53, 54, 55, 61, 77, 93}
	taken, both := 0, 0
	for range 20_000 {
		in := (&dhcp4.Header{Op: dhcp4.BootRequest}).Append(nil)
		for range seeded.IntN(2 * filterOptions) {
			code := codes[seeded.IntN(len(codes))]
			switch seeded.IntN(40) {
			case 0:
				code = byte(dhcp4.OptionClassIdentifier)
			case 1:
				code = byte(dhcp4.OptionOptionOverload)
			case 2:
				code = byte(dhcp4.OptionEnd)
			case 3:
				in = append(in, 0)
				continue
			}
			value := values[seeded.IntN(len(values))]
			in = append(append(in, code, byte(len(value))), value...)
		}
		in = in[:len(in)-seeded.IntN(3)]
		any := netip.AddrPortFrom(netip.IPv4Unspecified(), proxydhcp.PortServer)
		kept := keeps(t, program, dhcp4.Datagram{From: any, To: any, Payload: in}.Append(nil))
		if proxydhcp.MayBoot(in, true) && !kept {
			t.Fatalf("dropped: % x", in)
		}
		if kept {
			taken++
			if proxydhcp.MayBoot(in, true) {
				both++
			}
		}
	}
	if both*3 < taken {
		t.Errorf("%d packets taken, %d of them worth it", taken, both)
	}
	for _, options := range []string{
		"\x35\x01\x01\x3d\x07\x01\x52\x54\x00\x00\x00\x01\x0c\x02PC\x3c\x08MSFT 5.0\x37\x01\x01\xff",
		"\x35\x01\x03\x32\x04\xc0\x00\x02\x07\x37\x01\x01\xff",
	} {
		any := netip.AddrPortFrom(netip.IPv4Unspecified(), proxydhcp.PortServer)
		in := append((&dhcp4.Header{Op: dhcp4.BootRequest}).Append(nil), options...)
		if keeps(t, program, dhcp4.Datagram{From: any, To: any, Payload: in}.Append(nil)) {
			t.Errorf("taken: % x", options)
		}
	}
}

// keeps runs a program whose packet is one of ours by all that the kernel
// knows.
func keeps(t *testing.T, program []bpf.Instruction, in []byte) bool {
	t.Helper()
	for i, instruction := range program {
		if _, ok := instruction.(bpf.LoadExtension); ok {
			program[i] = bpf.LoadConstant{Dst: bpf.RegA, Val: 0}
			if jump, ok := program[i+1].(bpf.JumpIf); ok {
				jump.Cond = bpf.JumpEqual
				jump.Val = 0
				program[i+1] = jump
				if second, ok := program[i+2].(bpf.JumpIf); ok {
					second.Cond = bpf.JumpEqual
					second.Val = 0
					program[i+2] = second
				}
			}
		}
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	n, err := vm.Run(in)
	if err != nil {
		t.Fatal(err)
	}
	return n > 0
}
