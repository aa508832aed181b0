package e2e

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// garbageCount is the number of mutated packets, and memoryGrowth how much more
// memory the daemon may hold after all of them than after the first tenth.
const (
	garbageCount = 10_000
	memoryGrowth = 8 << 20
)

// TestGarbage sends mutated packets to all three ports. After every hundred
// packets the daemon must still offer and serve.
func TestGarbage(t *testing.T) {
	t.Parallel()
	r := plainSidecar(t)
	r.lab.Capture.Pause()
	hostile := newClient(t, r, "hostile")
	address := r.lab.LAN.Address(201)
	if err := hostile.IP("addr", "add", netip.PrefixFrom(address, 24).String(), "dev", "eth0"); err != nil {
		t.Fatal(err)
	}
	good := newClient(t, r, "good")
	if err := good.IP("addr", "add", netip.PrefixFrom(r.lab.LAN.Address(202), 24).String(), "dev", "eth0"); err != nil {
		t.Fatal(err)
	}
	sockets := hostileSockets(t, hostile)
	random := rand.New(rand.NewPCG(1, 2))
	seeds := garbageSeeds(t, hostile)
	var early int64
	for i := range garbageCount {
		seed := seeds[random.IntN(len(seeds))]
		to := netip.AddrPortFrom(r.daemon.Address, seed.port)
		if seed.port == 67 {
			to = netip.AddrPortFrom(netip.MustParseAddr("255.255.255.255"), 67)
		}
		if _, err := sockets[random.IntN(len(sockets))].WriteToUDPAddrPort(mutate(random, seed.payload), to); err != nil {
			t.Fatal(err)
		}
		if i%100 == 99 {
			stillServes(t, r, good)
		}
		if i == garbageCount/10 {
			early = must(r.daemon.Memory())
		}
	}
	late := must(r.daemon.Memory())
	t.Logf("resident memory: %d KiB after a tenth, %d KiB at the end", early>>10, late>>10)
	if late-early > memoryGrowth {
		t.Errorf("resident memory grew from %d to %d KiB", early>>10, late>>10)
	}
	r.sound(t)
}

// hostileSockets opens sockets on many source ports: the DHCP client's and
// unrelated ones.
func hostileSockets(t *testing.T, c *lab.Client) []*net.UDPConn {
	t.Helper()
	var sockets []*net.UDPConn
	for i := range 32 {
		port := uint16(0)
		if i == 0 {
			port = 68
		}
		s, err := c.Socket(netip.AddrPortFrom(netip.IPv4Unspecified(), port))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		sockets = append(sockets, s)
	}
	return sockets
}

// seed is a valid packet and the port it is for.
type seed struct {
	port    uint16
	payload []byte
}

// garbageSeeds returns valid packets of every kind that the daemon answers.
func garbageSeeds(t *testing.T, c *lab.Client) []seed {
	t.Helper()
	ipxe := append(pxeOptions(), dhcpv4.WithGeneric(dhcpv4.OptionUserClassInformation, []byte("iPXE")),
		dhcpv4.WithGeneric(dhcpv4.GenericOptionCode(175), []byte{0xb1, 5, 1, 0x1a, 0xf4, 0x10, 0x41, 0xeb, 3, 1, 0, 0, 0x13, 1, 1}))
	http := []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptClassIdentifier("HTTPClient:Arch:00016:UNDI:003001")),
		dhcpv4.WithGeneric(dhcpv4.OptionClientSystemArchitectureType, []byte{0, 16})}
	message := func(kind dhcpv4.MessageType, modifiers ...dhcpv4.Modifier) []byte {
		return must(c.Message(kind, modifiers...)).ToBytes()
	}
	return []seed{
		{67, message(dhcpv4.MessageTypeDiscover, pxeOptions()...)},
		{67, message(dhcpv4.MessageTypeDiscover, ipxe...)},
		{67, message(dhcpv4.MessageTypeDiscover, http...)},
		{4011, message(dhcpv4.MessageTypeRequest, pxeOptions()...)},
		{4011, message(dhcpv4.MessageTypeRequest, ipxe...)},
		{69, lab.ReadRequest("snponly.efi", "blksize", "1468", "tsize", "0", "windowsize", "4")},
		{69, lab.ReadRequest("undionly.kpxe")},
	}
}

// mutate changes a packet in one to four places.
func mutate(random *rand.Rand, packet []byte) []byte {
	p := append([]byte(nil), packet...)
	for range 1 + random.IntN(4) {
		if len(p) == 0 {
			return p
		}
		at := random.IntN(len(p))
		switch random.IntN(5) {
		case 0:
			p[at] = byte(random.Uint32())
		case 1:
			p[at] ^= 1 << random.IntN(8)
		case 2:
			p = p[:at]
		case 3:
			p = append(p[:at], append([]byte{byte(random.Uint32()), byte(random.Uint32())}, p[at:]...)...)
		case 4:
			end := min(len(p), at+random.IntN(64))
			p = append(p, p[at:end]...)
		}
	}
	return p[:min(len(p), 1472)]
}

// stillServes checks that an OFFER and the first block of a ROM arrive.
func stillServes(t *testing.T, r trial, c *lab.Client) {
	t.Helper()
	ctx := deadline(t, stepLimit)
	discover := must(c.Message(dhcpv4.MessageTypeDiscover, pxeOptions()...))
	everybody := netip.AddrPortFrom(netip.MustParseAddr("255.255.255.255"), 67)
	if _, err := c.Exchange(ctx, discover, netip.AddrPortFrom(netip.IPv4Unspecified(), 68), everybody, dhcpv4.MessageTypeOffer); err != nil {
		t.Fatalf("%v\n%s", err, r.daemon.Output)
	}
	conn, from, answer := firstBlock(t, r, c, "undionly.kpxe")
	defer conn.Close()
	// A client that stops reading sends an ERROR. Otherwise the transfer would
	// run until its timers end it.
	if _, err := conn.WriteToUDPAddrPort([]byte{0, 5, 0, 0, 'd', 'o', 'n', 'e', 0}, from); err != nil {
		t.Fatal(err)
	}
	if binary.BigEndian.Uint16(answer) != 3 {
		t.Fatalf("a read request was answered with % x", answer[:min(len(answer), 40)])
	}
}
