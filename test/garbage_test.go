package test

// Garbage and ends: what the network can throw at the daemon, and how it goes when it is told to.

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// garbageCount is how many mutated packets are sent, memoryGrowth how much more memory the daemon may hold after them
// than after the first tenth.
const (
	garbageCount = 10_000
	memoryGrowth = 8 << 20
)

// TestGarbage sends mutated packets to all three ports. After every hundred the daemon must still offer and serve.
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

// hostileSockets are many source ports, the ones of DHCP and of nobody in particular.
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

// seed is a good packet and the port it is for.
type seed struct {
	port    uint16
	payload []byte
}

// garbageSeeds are good packets of every kind that the daemon answers.
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
		{69, readRequest("snponly.efi", "blksize", "1468", "tsize", "0", "windowsize", "4")},
		{69, readRequest("undionly.kpxe")},
	}
}

// readRequest is a TFTP read request.
func readRequest(file string, options ...string) []byte {
	p := append([]byte{0, 1}, file...)
	p = append(p, "\x00octet\x00"...)
	for _, o := range options {
		p = append(append(p, o...), 0)
	}
	return p
}

// mutate spoils a packet in one to four places.
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

// stillServes wants an OFFER and the first block of a ROM.
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
	// A client that goes away says so; the transfer is not left to its timers.
	if _, err := conn.WriteToUDPAddrPort([]byte{0, 5, 0, 0, 'd', 'o', 'n', 'e', 0}, from); err != nil {
		t.Fatal(err)
	}
	if binary.BigEndian.Uint16(answer) != 3 {
		t.Fatalf("a read request was answered with % x", answer[:min(len(answer), 40)])
	}
}

// firstBlock asks for a file and returns what came first, the socket that it came to, and where it came from.
func firstBlock(t *testing.T, r trial, c *lab.Client, file string) (*net.UDPConn, netip.AddrPort, []byte) {
	t.Helper()
	conn, err := c.Socket(netip.AddrPortFrom(netip.IPv4Unspecified(), 0))
	if err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 2048)
	for range 10 {
		if _, err := conn.WriteToUDPAddrPort(readRequest(file), r.daemon.At(69)); err != nil {
			t.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(time.Second))
		n, from, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil || n < 4 {
			continue
		}
		return conn, from, buffer[:n]
	}
	t.Fatalf("no answer to a read request\n%s", r.daemon.Output)
	return nil, netip.AddrPort{}, nil
}

// TestSIGTERM ends a daemon in the middle of a transfer: within a second, with a word to the client.
func TestSIGTERM(t *testing.T) {
	t.Parallel()
	r := plainSidecar(t)
	if err := os.WriteFile(filepath.Join(r.daemon.Root, "large.bin"), make([]byte, 10<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, r, "reading")
	if err := c.IP("addr", "add", netip.PrefixFrom(r.lab.LAN.Address(201), 24).String(), "dev", "eth0"); err != nil {
		t.Fatal(err)
	}
	conn, _, first := firstBlock(t, r, c, "large.bin")
	defer conn.Close()
	if binary.BigEndian.Uint16(first) != 3 {
		t.Fatalf("the transfer began with % x", first[:4])
	}
	told := time.Now()
	if err := r.daemon.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := r.daemon.Wait(deadline(t, stepLimit)); err != nil {
		t.Errorf("exit: %v\n%s", err, r.daemon.Output)
	}
	if took := time.Since(told); took > time.Second {
		t.Errorf("it took %s to end, want less than a second", took)
	}
	buffer := make([]byte, 2048)
	conn.SetReadDeadline(time.Now().Add(time.Second))
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			t.Fatalf("the client was not told: %v", err)
		}
		if binary.BigEndian.Uint16(buffer) == 5 {
			t.Logf("the client was told: %q", buffer[4:n])
			return
		}
	}
}

// TestFaultsAreSeen checks the check: a malformed packet from a sidecar's address is found by tshark.
func TestFaultsAreSeen(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	host, err := l.NewServerHost("pxesidecar")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := host.UDP(netip.AddrPortFrom(l.SidecarAddress(), 67))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	good := must(dhcpv4.New(dhcpv4.WithMessageType(dhcpv4.MessageTypeOffer), dhcpv4.WithGeneric(dhcpv4.OptionClassIdentifier, []byte("PXEClient"))))
	good.OpCode = dhcpv4.OpcodeBootReply
	bad := good.ToBytes()
	bad = append(bad[:240], 53, 1, 2, 60, 200, 'P', 'X', 'E')
	for i, payload := range [][]byte{good.ToBytes(), bad} {
		if _, err := conn.WriteToUDPAddrPort(payload, netip.AddrPortFrom(l.LAN.Address(255), 68)); err != nil {
			t.Fatal(err)
		}
		ctx := deadline(t, stepLimit)
		if err := l.Capture.Traffic.AwaitSent(ctx, l.SidecarAddress(), i+1); err != nil {
			t.Fatal(err)
		}
		found, err := l.Capture.Malformed(ctx, l.SidecarAddress())
		if err != nil {
			t.Fatal(err)
		}
		if len(found) != i {
			t.Errorf("after %s: faults found: %q, want %d", fmt.Sprint(i+1, " packets"), found, i)
		}
	}
}
