package tftp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// random returns bytes that are the same in every run.
func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// record collects what a server's hooks report.
type record struct {
	mu       sync.Mutex
	started  []Transfer
	finished []Transfer
	refused  []Refusal
	news     chan struct{}
}

// events returns hooks that fill the record.
func (r *record) events() Events {
	r.news = make(chan struct{}, 10000)
	return Events{
		Started:  func(t Transfer) { r.mu.Lock(); r.started = append(r.started, t); r.mu.Unlock() },
		Finished: func(t Transfer) { r.mu.Lock(); r.finished = append(r.finished, t); r.mu.Unlock(); r.news <- struct{}{} },
		Refused:  func(t Refusal) { r.mu.Lock(); r.refused = append(r.refused, t); r.mu.Unlock(); r.news <- struct{}{} },
	}
}

// snapshot returns what has been reported so far.
func (r *record) snapshot() (started, finished []Transfer, refused []Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.started), slices.Clone(r.finished), slices.Clone(r.refused)
}

// wait waits for one more Finished or Refused.
func (r *record) wait(t *testing.T) {
	t.Helper()
	select {
	case <-r.news:
	case <-time.After(10 * time.Second):
		t.Fatal("no event in ten seconds")
	}
}

// serve starts a server for a test and returns its address.
func serve(t testing.TB, c Config) netip.AddrPort {
	t.Helper()
	if c.Addr == (netip.AddrPort{}) {
		c.Addr = netip.MustParseAddrPort("127.0.0.1:0")
	}
	s, err := Listen(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s.Addr()
}

// TestServeSizes checks that files of all sizes that matter arrive whole, in
// every mode of sending.
func TestServeSizes(t *testing.T) {
	files := fstest.MapFS{}
	for _, size := range []int{0, 1, 511, 512, 513, 1468, 5 * 1468, 100 << 10, 70000 * 8} {
		files[fmt.Sprint(size)] = &fstest.MapFile{Data: random(size)}
	}
	big := random(3<<20 + 17)
	files["big"] = &fstest.MapFile{Data: big}
	for _, c := range []struct {
		name   string
		config Config
		client testClient
		skip   string
	}{
		{name: "plain", skip: "big"},
		{name: "edk2", client: testClient{options: []string{"tsize", "0", "blksize", "1468", "windowsize", "4"}}},
		{name: "window 64", client: testClient{options: []string{"blksize", "1468", "windowsize", "64"}}},
		{name: "roll-over", client: testClient{options: []string{"blksize", "8", "windowsize", "64"}}, skip: "big"},
		{name: "single port", config: Config{SinglePort: true}, client: testClient{options: []string{"blksize", "1432"}}},
		{name: "streamed", config: Config{CacheBytes: 1 << 20}, client: testClient{options: []string{"blksize", "1468", "windowsize", "16"}}},
		{name: "large blocks", client: testClient{options: []string{"blksize", "65464", "windowsize", "4"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.config.FS = files
			addr := serve(t, c.config)
			for name, file := range files {
				if name == c.skip {
					continue
				}
				client := c.client
				client.server = addr
				got, err := client.get(name)
				if err != nil {
					t.Errorf("%s: %v", name, err)
				} else if !bytes.Equal(got, file.Data) {
					t.Errorf("%s: %d bytes differ", name, len(got))
				}
			}
		})
	}
}

// TestServeStreamToMany has clients read different parts of a file that is
// never in memory as a whole: its chunks come and go, and their memory with
// them.
func TestServeStreamToMany(t *testing.T) {
	content := random(2<<20 + 17)
	addr := serve(t, Config{FS: fstest.MapFS{"big": {Data: content, ModTime: longAgo}}, CacheBytes: 2 * chunkSize, MaxTransfersPerClient: 100})
	var reading sync.WaitGroup
	for i := range 6 {
		reading.Go(func() {
			client := testClient{server: addr, options: []string{"blksize", "1468", "windowsize", fmt.Sprint(1 << i)}}
			for range 3 {
				if got, err := client.get("big"); err != nil || !bytes.Equal(got, content) {
					t.Errorf("window %d: %d bytes, %v", 1<<i, len(got), err)
				}
			}
		})
	}
	reading.Wait()
}

// TestServeEvents checks all that is reported about a transfer.
func TestServeEvents(t *testing.T) {
	var events record
	addr := serve(t, Config{FS: fstest.MapFS{"efi/ipxe.efi": {Data: random(3000)}}, Events: events.events()})
	client := testClient{server: addr, options: []string{"TSIZE", "0", "BlkSize", "1468", "windowsize", "4", "multicast", ""}}
	if _, err := client.get(`\efi\ipxe.efi`); err != nil {
		t.Fatal(err)
	}
	if want := "blksize=1468 tsize=3000 windowsize=4 "; client.oack != want {
		t.Errorf("OACK %q, want %q", client.oack, want)
	}
	events.wait(t)
	want := Transfer{
		Local: netip.MustParseAddr("127.0.0.1"), Interface: loopback(t), Asked: `\efi\ipxe.efi`, File: "efi/ipxe.efi",
		Size: 3000, BlockSize: 1468, Window: 4, Sent: 3000, Result: Completed,
	}
	started, finished, _ := events.snapshot()
	got := finished[0]
	if got.Duration <= 0 || got.Client.Addr() != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("duration %v, client %v", got.Duration, got.Client)
	}
	got.Duration, got.Client = 0, netip.AddrPort{}
	if diff := cmp.Diff(want, got, cmpNetip); diff != "" {
		t.Errorf("Finished (-want +got):\n%s", diff)
	}
	if len(started) != 1 || started[0].Result != 0 {
		t.Errorf("Started: %+v", started)
	}
}

// cmpNetip compares addresses.
var cmpNetip = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
}

// loopback returns the index of the loopback interface.
func loopback(t *testing.T) int {
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 {
			return i.Index
		}
	}
	t.Fatal("no loopback interface")
	return 0
}

// TestServeRefusals checks that what cannot be served is refused at once, with
// the code that firmware acts on and no detail.
func TestServeRefusals(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{
		os.Mkdir(filepath.Join(dir, "dir"), 0o755),
		os.WriteFile(filepath.Join(dir, "rom"), random(100), 0o644),
		os.Symlink("/etc/passwd", filepath.Join(dir, "outside")),
		os.Symlink("rom", filepath.Join(dir, "inside")),
		os.Symlink("loop", filepath.Join(dir, "loop")),
		makePipe(filepath.Join(dir, "fifo")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var events record
	addr := serve(t, Config{FS: root.FS(), Events: events.events()})
	for _, c := range []struct {
		packet []byte
		want   string
		reason Reason
	}{
		{join(1, "missing", "octet"), "\x00\x05\x00\x01file not found\x00", NotFound},
		{join(1, "dir", "octet"), "\x00\x05\x00\x01file not found\x00", NotFound},
		{join(1, "rom/x", "octet"), "\x00\x05\x00\x01file not found\x00", NotFound},
		{join(1, "../rom", "octet"), "\x00\x05\x00\x02access denied\x00", Denied},
		{join(1, "outside", "octet"), "\x00\x05\x00\x02access denied\x00", Denied},
		{join(1, "loop", "octet"), "\x00\x05\x00\x02access denied\x00", Denied},
		{join(1, "fifo", "octet"), "\x00\x05\x00\x02access denied\x00", Denied},
		{join(1, strings.Repeat("a", 256), "octet"), "\x00\x05\x00\x02access denied\x00", Denied},
		{join(2, "rom", "octet"), "\x00\x05\x00\x04illegal request\x00", Illegal},
		{join(1, "rom", "mail"), "\x00\x05\x00\x04illegal request\x00", Illegal},
		{[]byte("\x00\x01rom"), "\x00\x05\x00\x04illegal request\x00", Illegal},
		{[]byte("\x00\x04\x00\x07"), "\x00\x05\x00\x05unknown transfer\x00", UnknownPort},
		{join(1, "inside", "octet"), "\x00\x03\x00\x01" + string(random(100)), 0},
	} {
		if got := exchange(t, addr, c.packet); got != c.want {
			t.Errorf("%q: %q, want %q", c.packet, got, c.want)
		}
		if c.reason != 0 {
			events.wait(t)
			_, _, refused := events.snapshot()
			if last := refused[len(refused)-1]; last.Reason != c.reason || !last.Answered {
				t.Errorf("%q: refused %+v", c.packet, last)
			}
		}
	}
}

// exchange sends a packet and returns the answer, "" if none comes.
func exchange(t *testing.T, addr netip.AddrPort, packet []byte) string {
	t.Helper()
	conn, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.WriteToUDPAddrPort(packet, addr); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	buffer := make([]byte, 2000)
	n, _, err := conn.ReadFromUDPAddrPort(buffer)
	if err != nil {
		return ""
	}
	return string(buffer[:n])
}

// TestServeReplySource checks that the answer comes from the address that was
// asked, though the server listens on all.
func TestServeReplySource(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("only Linux has 127.0.0.2")
		return
	}
	for _, single := range []bool{false, true} {
		addr := serve(t, Config{FS: fstest.MapFS{"rom": {Data: random(5000)}}, SinglePort: single, Addr: netip.MustParseAddrPort("0.0.0.0:0")})
		for _, asked := range []string{"127.0.0.1", "127.0.0.2", "127.1.2.3"} {
			client := testClient{server: netip.AddrPortFrom(netip.MustParseAddr(asked), addr.Port()), options: []string{"blksize", "1024"}}
			if _, err := client.get("rom"); err != nil {
				t.Fatal(err)
			}
			if client.from.Addr().String() != asked {
				t.Errorf("asked %s, answered from %s", asked, client.from)
			}
			if (client.from.Port() == addr.Port()) != single {
				t.Errorf("single port %v: answered from %s", single, client.from)
			}
		}
	}
}

// TestServePortRange checks that transfers keep to a range of ports.
func TestServePortRange(t *testing.T) {
	taken, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	low := taken.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	addr := serve(t, Config{FS: fstest.MapFS{"rom": {Data: random(5000)}}, PortRange: [2]uint16{low, low + 20}})
	client := testClient{server: addr}
	if _, err := client.get("rom"); err != nil {
		t.Fatal(err)
	}
	if p := client.from.Port(); p <= low || p > low+20 {
		t.Errorf("answered from port %d, range %d-%d, of which the first is taken", p, low, low+20)
	}
	_, err = Listen(Config{FS: fstest.MapFS{}, Addr: netip.MustParseAddrPort("127.0.0.1:0"), PortRange: [2]uint16{low, low}})
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), fmt.Sprintf("no free port in %d-%d", low, low)) {
		t.Errorf("range of one taken port: %v", err)
	}
}

// TestListenErrors checks the errors of a wrong configuration and of a port in
// use.
func TestListenErrors(t *testing.T) {
	taken, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.LocalAddr().(*net.UDPAddr).AddrPort()
	_, err = Listen(Config{FS: fstest.MapFS{}, Addr: addr})
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), addr.String()) {
		t.Errorf("address in use: %v", err)
	}
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{}, "tftp: neither FS nor Tree is set"},
		{Config{FS: fstest.MapFS{}, Addr: netip.MustParseAddrPort("[::1]:69")}, "tftp: address [::1]:69 is not IPv4"},
		{Config{FS: fstest.MapFS{}, PortRange: [2]uint16{5, 4}}, "tftp: port range 5-4 ends before it begins"},
		{Config{FS: fstest.MapFS{}, MaxBlockSize: 4}, "tftp: block size 4 is not within 8..65464"},
		{Config{FS: fstest.MapFS{}, MaxWindow: 70000}, "tftp: window 70000 is not within 1..16384"},
		{Config{FS: fstest.MapFS{}, MaxTransfers: -1}, "tftp: number of transfers -1 is not within 1..1048576"},
		{Config{FS: fstest.MapFS{}, CacheBytes: -1}, "tftp: cache of -1 bytes"},
	} {
		if _, err := Listen(c.config); err == nil || err.Error() != c.want {
			t.Errorf("error %v, want %s", err, c.want)
		}
	}
}

// TestServeShutDown checks that running transfers are told when the server
// ends, and that this takes no time.
func TestServeShutDown(t *testing.T) {
	var events record
	s, err := Listen(Config{FS: fstest.MapFS{"rom": {Data: random(1 << 20)}}, Addr: netip.MustParseAddrPort("127.0.0.1:0"), Events: events.events()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	client := testClient{server: s.Addr()}
	conn, err := client.ask("rom")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	buffer := make([]byte, 1000)
	if n, err := client.receive(conn, buffer); err != nil || n != 516 {
		t.Fatalf("%d bytes, %v", n, err)
	}
	stop()
	begun := time.Now()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > time.Second/2 {
		t.Errorf("the end took %v", took)
	}
	n, err := client.receive(conn, buffer)
	if got, want := string(buffer[:n]), "\x00\x05\x00\x00server is shutting down\x00"; err != nil || got != want {
		t.Errorf("client got %q, %v", got, err)
	}
	if _, finished, _ := events.snapshot(); len(finished) != 1 || finished[0].Result != ShutDown {
		t.Errorf("finished: %+v", finished)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Serve(ctx); err == nil {
		t.Error("served twice")
	}
}

// TestCloseBeforeServe checks that Close frees the port.
func TestCloseBeforeServe(t *testing.T) {
	s, err := Listen(Config{FS: fstest.MapFS{}, Addr: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	again, err := Listen(Config{FS: fstest.MapFS{}, Addr: s.Addr()})
	if err != nil {
		t.Fatalf("the port is still taken: %v", err)
	}
	again.Close()
}

// TestServeTreeAndAllow checks trees by request, and clients that are not
// allowed.
func TestServeTreeAndAllow(t *testing.T) {
	one, other := fstest.MapFS{"rom": {Data: []byte("one")}}, fstest.MapFS{"rom": {Data: []byte("other")}}
	var events record
	addr := serve(t, Config{
		FS: one,
		Tree: func(r Request) fs.FS {
			if r.Client.Addr() == netip.MustParseAddr("127.0.0.2") {
				return other
			}
			return nil
		},
		Allow:  func(a netip.Addr) bool { return a != netip.MustParseAddr("127.0.0.3") },
		Events: events.events(),
	})
	for bind, want := range map[string]string{"127.0.0.1": "one", "127.0.0.2": "other"} {
		client := testClient{server: addr, bind: bind}
		if got, err := client.get("rom"); string(got) != want {
			t.Errorf("%s: %q, %v; want %q", bind, got, err, want)
		}
		events.wait(t)
	}
	client := testClient{server: addr, bind: "127.0.0.3"}
	conn, err := client.ask("rom")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	events.wait(t)
	if _, _, got := events.snapshot(); len(got) != 1 || got[0].Reason != NotAllowed || got[0].Answered {
		t.Errorf("refused %+v", got)
	}
}

// TestServeNetascii checks the conversion of line ends.
func TestServeNetascii(t *testing.T) {
	addr := serve(t, Config{FS: fstest.MapFS{"text": {Data: []byte("a\nb\rc\r\n")}}})
	client := testClient{server: addr, mode: "netascii", options: []string{"tsize", "0", "blksize", "100", "windowsize", "4"}}
	got, err := client.get("text")
	if want := "a\r\nb\r\x00c\r\x00\r\n"; string(got) != want || err != nil {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	if want := "blksize=100 "; client.oack != want {
		t.Errorf("OACK %q, want %q", client.oack, want)
	}
}

// TestServeIgnoreCase checks names in another case.
func TestServeIgnoreCase(t *testing.T) {
	addr := serve(t, Config{FS: fstest.MapFS{"EFI/Boot/bootX64.efi": {Data: []byte("x")}}, IgnoreCase: true})
	client := testClient{server: addr}
	if got, err := client.get(`\efi\BOOT\BOOTX64.EFI`); string(got) != "x" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestServeChangingFile replaces a file, or overwrites it in place, while it is
// read. The transfer gets the version it began with, or an ERROR, but never a
// mixture. The next request gets the new version.
func TestServeChangingFile(t *testing.T) {
	old, fresh := bytes.Repeat([]byte("old "), 1<<18), bytes.Repeat([]byte("new "), 1<<18)
	for _, c := range []struct {
		name   string
		cache  int64
		change func(path string) error
		cut    bool // the transfer may end with an ERROR
	}{
		{"cached, overwritten", 8 << 20, func(p string) error { return os.WriteFile(p, fresh, 0o644) }, false},
		{"cached, replaced", 8 << 20, func(p string) error {
			return errors.Join(os.WriteFile(p+".new", fresh, 0o644), os.Rename(p+".new", p))
		}, false},
		{"streamed, overwritten", 1 << 20, func(p string) error { return os.WriteFile(p, fresh, 0o644) }, true},
		{"streamed, replaced", 1 << 20, func(p string) error {
			return errors.Join(os.WriteFile(p+".new", fresh, 0o644), os.Rename(p+".new", p))
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "rom")
			past := time.Now().Add(-time.Hour)
			if err := errors.Join(os.WriteFile(path, old, 0o644), os.Chtimes(path, past, past)); err != nil {
				t.Fatal(err)
			}
			addr := serve(t, Config{FS: os.DirFS(dir), CacheBytes: c.cache})
			client := testClient{server: addr, options: []string{"blksize", "1468"}}
			conn, err := client.ask("rom")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			buffer := make([]byte, 2000)
			if _, err := client.receive(conn, buffer); err != nil {
				t.Fatal(err)
			}
			client.ack(conn, 0) // answered with block 1: the file is open
			if _, err := client.receive(conn, buffer); err != nil {
				t.Fatal(err)
			}
			if err := c.change(path); err != nil {
				t.Fatal(err)
			}
			got, err := client.readOn(conn, buffer[4:1472], 1468)
			var remote *RemoteError
			switch {
			case err == nil && !bytes.Equal(got, old):
				t.Error("a mixture")
			case err != nil && (!c.cut || !errors.As(err, &remote) || remote.Message != textChanged):
				t.Error(err)
			case err == nil && c.cut:
				t.Error("an overwritten file was not noticed")
			}
			next := testClient{server: addr, options: []string{"blksize", "1468", "windowsize", "32"}}
			if got, err := next.get("rom"); err != nil || !bytes.Equal(got, fresh) {
				t.Errorf("the next request got %d bytes, %v", len(got), err)
			}
		})
	}
}

// readOn continues in lock-step after the first block.
func (c *testClient) readOn(conn *net.UDPConn, first []byte, block int) ([]byte, error) {
	content := append([]byte(nil), first...)
	buffer := make([]byte, 70000)
	c.ack(conn, 1)
	for next := uint16(2); ; {
		n, err := c.receive(conn, buffer)
		if err != nil {
			return nil, err
		}
		if opcodeOf(buffer[:n]) == opError {
			return nil, parseError(buffer[:n])
		}
		if binary.BigEndian.Uint16(buffer[2:]) != next {
			continue // a block repeated, because this machine was slow
		}
		content = append(content, buffer[4:n]...)
		c.ack(conn, next)
		if n-4 < block {
			return content, nil
		}
		next++
	}
}

// TestServeManyClients checks that many clients at once get their files whole,
// and that the server starts no goroutines for them.
func TestServeManyClients(t *testing.T) {
	content := random(200_000)
	addr := serve(t, Config{FS: fstest.MapFS{"rom": {Data: content}}, MaxTransfersPerClient: 1000})
	first := testClient{server: addr}
	if _, err := first.get("rom"); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	const clients = 200
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			client := testClient{server: addr, bind: fmt.Sprintf("127.0.%d.%d", i/100+1, i%100+1), options: []string{"blksize", "1432", "windowsize", fmt.Sprint(i%8 + 1)}}
			got, err := client.get("rom")
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("client %d: %d bytes, %v", i, len(got), err)
			}
		})
	}
	wg.Wait()
	if after := runtime.NumGoroutine(); after > before+5 {
		t.Errorf("%d goroutines before, %d after", before, after)
	}
}
