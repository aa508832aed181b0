package tftp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/internal/netstate"
)

// recorder is an outbox that records what is sent, and checks it against the
// file.
type recorder struct {
	t       testing.TB
	content []byte
	sent    []string               // "client: what"
	data    int                    // DATA packets since the last take
	to      map[netip.AddrPort]int // bytes sent
}

func (o *recorder) packet(r *route, b []byte) {
	o.to[r.client] += len(b)
	what := fmt.Sprintf("%q", b[2:])
	switch opcodeOf(b) {
	case opError:
		what = "ERROR " + what
	case opOACK:
		what = "OACK " + what
	default:
		o.t.Fatalf("packet % x", b)
	}
	o.sent = append(o.sent, fmt.Sprintf("%v: %s", r.client.Port(), what))
}

func (o *recorder) blocks(r *route, first int64, count, blockSize int, data [][]byte) {
	joined := bytes.Join(data, nil)
	o.to[r.client] += len(joined) + count*headerLen
	o.data += count
	start := (first - 1) * int64(blockSize)
	end := min(start+int64(count*blockSize), int64(len(o.content)))
	if start > end || !bytes.Equal(joined, o.content[start:end]) {
		o.t.Fatalf("%d blocks of %d from %d are not the file's: %d bytes", count, blockSize, first, len(joined))
	}
	o.sent = append(o.sent, fmt.Sprintf("%v: DATA %d..%d", r.client.Port(), first, first+int64(count)-1))
}

// take returns what was sent since the last call.
func (o *recorder) take() []string {
	sent := o.sent
	o.sent, o.data = nil, 0
	return sent
}

// harness is an engine without sockets or goroutines.
type harness struct {
	server *Server
	engine *engine
	out    *recorder
	inbox  *inbox
	now    time.Duration
}

// newHarness returns one that serves content as "rom".
func newHarness(t testing.TB, c Config, content []byte) *harness {
	t.Helper()
	c.FS, c.Host = fstest.MapFS{"rom": {Data: content}}, netstate.Fixed(nil)
	s, err := newServer(c)
	if err != nil {
		t.Fatal(err)
	}
	s.do = func(_ string, job func()) { job() }
	h := &harness{server: s, out: &recorder{t: t, content: content, to: map[netip.AddrPort]int{}}, inbox: &inbox{wake: func() {}}}
	s.places = []place{{h.inbox, 0}}
	h.engine = newEngine(s.engineConfig(true), h.out)
	return h
}

// arrive gives a datagram to the engine, and the messages that follow.
func (h *harness) arrive(port uint16, packet []byte) {
	client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(port >> 8)}), port)
	h.engine.datagram(&datagram{client: client, local: netip.AddrFrom4([4]byte{198, 51, 100, 1}), data: packet}, h.now)
	h.deliver()
}

// deliver gives messages to the engine until there are none.
func (h *harness) deliver() {
	for messages := h.inbox.take(); len(messages) > 0; messages = h.inbox.take() {
		for _, m := range messages {
			h.engine.message(m, h.now)
		}
	}
}

// pass lets time pass.
func (h *harness) pass(by time.Duration) {
	h.now += by
	h.engine.expire(h.now)
	h.deliver()
}

// ack makes an ACK.
func ack(n uint16) []byte { return binary.BigEndian.AppendUint16([]byte{0, 4}, n) }

// TestEngine checks whole conversations.
func TestEngine(t *testing.T) {
	rrq := join(1, "rom", "octet")
	windows := join(1, "rom", "octet", "blksize", "1024", "windowsize", "4")
	probe := join(1, "rom", "octet", "tsize", "0", "blksize", "1024")
	type step struct {
		port   uint16
		packet []byte
		after  time.Duration
		want   []string
	}
	for _, c := range []struct {
		name   string
		config Config
		steps  []step
		want   []string // results, as port:result
	}{
		{"two clients at once", Config{}, []step{
			{5000, rrq, 0, []string{"5000: DATA 1..1"}},
			{5001, windows, 0, []string{`5001: OACK "blksize\x001024\x00windowsize\x004\x00"`}},
			{5001, ack(0), 0, []string{"5001: DATA 1..4"}},
			{5000, ack(1), 0, []string{"5000: DATA 2..2"}},
			{5001, ack(4), 0, []string{"5001: DATA 5..8"}},
			{5001, ack(8), 0, []string{"5001: DATA 9..10"}},
			{5001, ack(10), 0, nil},
			{5001, ack(10), 0, nil}, // its late duplicate
		}, []string{"5001:completed"}},
		{"foreign port", Config{}, []step{
			{5000, rrq, 0, []string{"5000: DATA 1..1"}},
			{6000, ack(1), 0, []string{`6000: ERROR "\x00\x05unknown transfer\x00"`}},
			{5000, ack(1), 0, []string{"5000: DATA 2..2"}},
		}, nil},
		{"an ERROR is never answered", Config{}, []step{
			{5000, []byte("\x00\x05\x00\x00x\x00"), 0, nil},
			{5000, probe, 0, []string{`5000: OACK "blksize\x001024\x00tsize\x009999\x00"`}},
			{5000, []byte("\x00\x05\x00\x08User aborted the transfer\x00"), 0, nil},
			{5000, []byte("\x00\x05\x00\x08User aborted the transfer\x00"), 0, nil},
		}, []string{"5000:probed"}},
		{"nonsense is ignored", Config{}, []step{
			{5000, nil, 0, nil}, {5000, []byte{0}, 0, nil}, {5000, []byte{0, 3, 0, 1}, 0, nil}, {5000, []byte{0, 6}, 0, nil}, {5000, []byte{0, 4, 0}, 0, nil}, {5000, []byte{0, 9}, 0, nil},
		}, nil},
		{"ports that no client has", Config{}, []step{{7, rrq, 0, nil}, {19, rrq, 0, nil}, {53, rrq, 0, nil}, {69, rrq, 0, nil}, {123, rrq, 0, nil}, {0, rrq, 0, nil}, {69, ack(0), 0, nil}}, nil},
		{"the request repeated", Config{}, []step{
			{5000, probe, 0, []string{`5000: OACK "blksize\x001024\x00tsize\x009999\x00"`}},
			{5000, probe, 10 * time.Millisecond, []string{`5000: OACK "blksize\x001024\x00tsize\x009999\x00"`}},
			{5000, ack(0), 0, []string{"5000: DATA 1..1"}},
			{5000, probe, 0, nil},
			{5000, windows, 0, []string{`5000: OACK "blksize\x001024\x00windowsize\x004\x00"`}},
		}, []string{"5000:replaced"}},
		{"a fixed port used again after the end", Config{}, []step{
			{5000, probe, 0, []string{`5000: OACK "blksize\x001024\x00tsize\x009999\x00"`}},
			{5000, []byte("\x00\x05\x00\x08\x00"), 0, nil},
			{5000, windows, 0, []string{`5000: OACK "blksize\x001024\x00windowsize\x004\x00"`}},
			{5000, ack(0), 0, []string{"5000: DATA 1..4"}},
		}, []string{"5000:probed"}},
		{"a client's share", Config{MaxTransfersPerClient: 2}, []step{
			{5000, rrq, 0, []string{"5000: DATA 1..1"}},
			{5001, rrq, 0, []string{"5001: DATA 1..1"}},
			{5002, rrq, 0, nil},
			{6000, rrq, 0, []string{"6000: DATA 1..1"}}, // another address
		}, nil},
		{"a client's share, filled in its name", Config{MaxTransfersPerClient: 2}, []step{
			{5000, rrq, 0, []string{"5000: DATA 1..1"}},
			{5000, ack(1), 0, []string{"5000: DATA 2..2"}},
			{5001, rrq, quiet, []string{"5001: DATA 1..1"}}, // 5000 is silent, like GRUB at work
			{5002, rrq, firstRTO, []string{"5002: DATA 1..1"}},
			{5000, ack(2), 0, []string{"5000: DATA 3..3"}},
		}, []string{"5001:replaced"}},
		{"all there is", Config{MaxTransfers: 1}, []step{
			{5000, rrq, 0, []string{"5000: DATA 1..1"}},
			{5000, ack(1), 0, []string{"5000: DATA 2..2"}},
			{6000, rrq, 0, nil},
			{6000, rrq, quiet, []string{"6000: DATA 1..1"}}, // 5000 is silent by now
			{5000, rrq, 0, []string{"5000: DATA 1..1"}},     // 6000 has acknowledged nothing
			{5000, ack(1), 0, []string{"5000: DATA 2..2"}},
		}, []string{"5000:replaced", "6000:replaced"}},
		{"the rate", Config{MaxRequestRate: 2}, []step{
			{5000, join(1, "x", "octet"), 0, []string{`5000: ERROR "\x00\x01file not found\x00"`}},
			{5000, join(1, "x", "octet"), 0, []string{`5000: ERROR "\x00\x01file not found\x00"`}},
			{5000, join(1, "x", "octet"), 0, nil},
			{5000, join(1, "x", "octet"), time.Second, []string{`5000: ERROR "\x00\x01file not found\x00"`}},
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var finished []string
			c.config.Events.Finished = func(r Transfer) { finished = append(finished, fmt.Sprintf("%d:%v", r.Client.Port(), r.Result)) }
			h := newHarness(t, c.config, random(9999))
			for i, s := range c.steps {
				h.now += s.after
				h.arrive(s.port, s.packet)
				if diff := cmp.Diff(s.want, h.out.take()); diff != "" {
					t.Errorf("step %d (-want +got):\n%s", i, diff)
				}
			}
			if diff := cmp.Diff(c.want, finished); diff != "" {
				t.Errorf("finished (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEngineMakesRoom checks that a client's own silent transfers make room for
// its newer ones.
func TestEngineMakesRoom(t *testing.T) {
	var finished []Transfer
	h := newHarness(t, Config{MaxTransfersPerClient: 2, Events: Events{Finished: func(r Transfer) { finished = append(finished, r) }}}, random(9999))
	rrq := join(1, "rom", "octet", "blksize", "512")
	h.arrive(5000, rrq)
	h.now += 100 * time.Millisecond
	h.arrive(5001, rrq)
	h.now += 1500 * time.Millisecond
	h.out.take()
	h.arrive(5002, rrq)
	if diff := cmp.Diff([]string{`5002: OACK "blksize\x00512\x00"`}, h.out.take()); diff != "" {
		t.Errorf("newer request (-want +got):\n%s", diff)
	}
	if len(finished) != 1 || finished[0].Client.Port() != 5000 || finished[0].Result != Replaced {
		t.Errorf("finished %+v", finished)
	}
}

// TestEngineStrayAcknowledgment checks that an ACK to a port that the transfer
// does not have ends it if nothing is proven, and that neither this nor a late
// ACK for an earlier transfer harms an honest client.
func TestEngineStrayAcknowledgment(t *testing.T) {
	var finished []string
	h := newHarness(t, Config{Events: Events{Finished: func(r Transfer) { finished = append(finished, fmt.Sprintf("%d:%v", r.Client.Port(), r.Result)) }}}, random(999))
	h.server.places = []place{{h.inbox, 1}}
	rrq := join(1, "rom", "octet")
	step := func(via int, packet []byte, want ...string) {
		t.Helper()
		client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), 5000)
		h.engine.datagram(&datagram{via: via, client: client, local: netip.AddrFrom4([4]byte{198, 51, 100, 1}), data: packet}, h.now)
		h.deliver()
		if diff := cmp.Diff(want, h.out.take()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	step(0, rrq, "5000: DATA 1..1")
	step(2, ack(1)) // a guess
	step(1, ack(1)) // which ended it
	step(0, rrq, "5000: DATA 1..1")
	step(1, ack(1), "5000: DATA 2..2")
	step(2, ack(1)) // too late
	step(1, ack(2))
	h.server.places = []place{{h.inbox, 3}}
	step(0, rrq, "5000: DATA 1..1")
	step(1, ack(2)) // late
	step(3, ack(1), "5000: DATA 2..2")
	if diff := cmp.Diff([]string{"5000:aborted", "5000:completed"}, finished); diff != "" {
		t.Errorf("finished (-want +got):\n%s", diff)
	}
}

// TestEngineUndelivered checks what ends when packets do not reach a client: a
// transfer whose client has no such port, and one of nobody's address unless
// its client has been heard.
func TestEngineUndelivered(t *testing.T) {
	var finished []string
	h := newHarness(t, Config{Events: Events{Finished: func(r Transfer) { finished = append(finished, fmt.Sprintf("%d:%v", r.Client.Port(), r.Result)) }}}, random(9999))
	for _, port := range []uint16{5000, 5001, 5002, 5003} {
		h.arrive(port, join(1, "rom", "octet"))
	}
	h.arrive(5001, ack(1))
	h.arrive(5003, ack(1))
	for _, c := range []struct {
		port   uint16
		via    int
		closed bool
	}{{5000, 0, false}, {5001, 0, false}, {5002, 1, true}, {5003, 0, true}, {5004, 0, true}} {
		client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(c.port >> 8)}), c.port)
		h.engine.undelivered(client, c.via, c.closed, h.now)
	}
	if diff := cmp.Diff([]string{"5000:timed-out", "5003:aborted"}, finished); diff != "" {
		t.Errorf("finished (-want +got):\n%s", diff)
	}
}

// TestEngineForgedRequests checks that a flood of requests in the names of
// others, which fills the table again and again, neither ends a transfer that
// its client acknowledges nor keeps a new one from starting.
func TestEngineForgedRequests(t *testing.T) {
	ended := map[netip.AddrPort]Result{}
	h := newHarness(t, Config{MaxTransfers: 16, Events: Events{Finished: func(r Transfer) { ended[r.Client] = r.Result }}}, random(20*512+1))
	rrq := join(1, "rom", "octet")
	forged := uint32(0)
	flood := func(n int) {
		for range n {
			forged++
			client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(forged >> 8), byte(forged)}), 2000)
			h.engine.datagram(&datagram{client: client, local: netip.AddrFrom4([4]byte{198, 51, 100, 1}), data: rrq}, h.now)
			h.deliver()
		}
	}
	for port := uint16(5000); port < 5008; port++ {
		flood(40)
		h.out.take()
		h.arrive(port, rrq)
		for block := range uint16(21) {
			if sent := h.out.take(); len(sent) != 1 || sent[0] != fmt.Sprintf("%d: DATA %d..%d", port, block+1, block+1) {
				t.Fatalf("client %d got %q in place of block %d", port, sent, block+1)
			}
			if block == 20 {
				break
			}
			h.now += 300 * time.Millisecond
			h.arrive(port, ack(block+1))
			sent := h.out.take()
			flood(40)
			h.out.sent = sent
		}
		h.arrive(port, ack(21))
	}
	for client, result := range ended {
		if honest := client.Port() != 2000; honest && result != Completed {
			t.Errorf("%v: %v", client, result)
		}
	}
	if n := len(h.server.admission.unproven); n > 2*16 {
		t.Errorf("%d are remembered as unproven", n)
	}
}

// TestEngineAmplification checks that a forged request causes a bounded number
// of packets, none larger than DATA 1.
func TestEngineAmplification(t *testing.T) {
	var finished []Transfer
	h := newHarness(t, Config{Events: Events{Finished: func(r Transfer) { finished = append(finished, r) }}}, random(1<<20))
	h.arrive(5000, join(1, "rom", "octet", "blksize", "1468", "windowsize", "64"))
	h.arrive(6000, join(1, "rom", "octet"))
	for range 600 {
		h.pass(100 * time.Millisecond)
	}
	if len(h.out.sent) != 6 || len(finished) != 2 || finished[0].Result != TimedOut || finished[1].Result != TimedOut {
		t.Errorf("%d packets, %+v", len(h.out.sent), finished)
	}
	for client, sent := range h.out.to {
		if sent > 3*516 {
			t.Errorf("%d bytes to %v", sent, client)
		}
	}
	if left := h.left(); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

// TestEngineStreams checks that a streamed file is sent as its chunks come, and
// in full.
func TestEngineStreams(t *testing.T) {
	content := random(3*chunkSize + 1000)
	h := newHarness(t, Config{CacheBytes: 600 << 10}, content)
	var jobs []func()
	h.server.do = func(_ string, job func()) { jobs = append(jobs, job) }
	work := func() {
		for len(jobs) > 0 {
			job := jobs[0]
			jobs = jobs[1:]
			job()
			h.deliver()
		}
	}
	h.arrive(5000, join(1, "rom", "octet", "blksize", "65464", "windowsize", "8"))
	work()
	last := uint16(len(content)/1468 + 1)
	for block := uint16(0); block < last; block = min(block+8, last) {
		h.arrive(5000, ack(block))
		work()
		if h.out.data != int(min(8, last-block)) {
			t.Fatalf("after ACK %d: %q", block, h.out.take())
		}
		h.out.take()
	}
	h.arrive(5000, ack(last))
	if used := h.server.cache.used; used != 0 {
		t.Errorf("%d bytes held after the end", used)
	}
}

// TestEngineAbortedBetweenChunks has a client leave while its block, which
// needs two chunks, waits for the first of them.
func TestEngineAbortedBetweenChunks(t *testing.T) {
	var finished []Transfer
	h := newHarness(t, Config{CacheBytes: 600 << 10, Events: Events{Finished: func(r Transfer) { finished = append(finished, r) }}}, random(3*chunkSize))
	h.arrive(5000, join(1, "rom", "octet", "blksize", "1468"))
	straddling := uint16(chunkSize/1468 + 1)
	for block := range straddling {
		if block == straddling-1 { // as if other files had needed the memory
			for _, s := range h.engine.sessions {
				for _, c := range s.file.chunks {
					h.server.cache.discard(c)
				}
			}
		}
		var jobs []func()
		h.server.do = func(_ string, job func()) { jobs = append(jobs, job) }
		h.out.take()
		h.arrive(5000, ack(block))
		if block == straddling-1 {
			if sent := h.out.take(); len(sent) != 0 || len(jobs) == 0 {
				t.Fatalf("%q was sent, %d jobs", sent, len(jobs))
			}
			h.arrive(5000, []byte{0, 5, 0, 0, 0})
		}
		for len(jobs) > 0 {
			job := jobs[0]
			jobs = jobs[1:]
			job()
			h.deliver()
		}
	}
	h.pass(linger)
	if left := h.left(); left != "" || len(finished) != 1 || finished[0].Result != Aborted || h.server.cache.used != 0 {
		t.Errorf("left behind: %q and %d bytes; finished %+v", left, h.server.cache.used, finished)
	}
}

// TestEngineRecent checks that a late ACK for a finished transfer is ignored
// for a while, but not for ever, even if nothing else happens meanwhile.
func TestEngineRecent(t *testing.T) {
	h := newHarness(t, Config{}, random(10))
	h.arrive(5000, join(1, "rom", "octet"))
	h.arrive(5000, ack(1))
	h.out.take()
	h.now += linger - 1
	h.arrive(5000, ack(1))
	if sent := h.out.take(); len(sent) != 0 {
		t.Errorf("a late duplicate is answered with %q", sent)
	}
	h.now++
	h.arrive(5000, ack(1))
	if sent := h.out.take(); len(sent) != 1 {
		t.Errorf("an ACK of no transfer is answered with %q", sent)
	}
}

// FuzzEngine checks, whatever arrives, that an ERROR is not answered, that an
// ACK causes at most a window and only for its sender, that every byte is the
// file's, and that what is remembered stays bounded and goes away.
func FuzzEngine(f *testing.F) {
	rrq := join(1, "rom", "octet", "blksize", "64", "windowsize", "4", "tsize", "0")
	script := func(packets ...[]byte) []byte {
		var b []byte
		for _, p := range packets {
			b = append(append(b, 0, 1, byte(len(p))), p...)
		}
		return b
	}
	f.Add(script(rrq, ack(0), ack(4), ack(2), ack(8)))
	f.Add(script(rrq, []byte{0, 5, 0, 8, 0}, rrq, ack(0), rrq))
	f.Add(script(join(1, "rom", "netascii"), ack(1), ack(1), join(2, "rom", "octet")))
	f.Add(script(join(1, "rom", "octet"), ack(1), ack(2), ack(3), []byte{0, 4}))
	content := bytes.Repeat([]byte("abcdefg"), 300) // without line ends: netascii does not change it
	f.Fuzz(func(t *testing.T, b []byte) {
		began, ended := 0, 0
		h := newHarness(t, Config{MaxTransfers: 4, MaxTransfersPerClient: 2, Events: Events{
			Started:  func(Transfer) { began++ },
			Finished: func(Transfer) { ended++ },
		}}, content)
		for len(b) >= 3 {
			who, pause, n := b[0], time.Duration(b[1])*time.Millisecond, int(b[2])
			b = b[3:]
			packet := b[:min(n, len(b))]
			b = b[len(packet):]
			h.pass(pause)
			h.out.take()
			port := 5000 + uint16(who%8)*128
			h.arrive(port, packet)
			check(t, h, port, packet)
		}
		for range 200 {
			h.pass(time.Second)
		}
		if left := h.left(); began != ended || left != "" {
			t.Fatalf("%d began, %d ended; left behind: %s", began, ended, left)
		}
	})
}

// check checks what was sent in answer to one packet.
func check(t *testing.T, h *harness, port uint16, packet []byte) {
	t.Helper()
	if opcodeOf(packet) == opError && len(h.out.sent) > 0 {
		t.Fatalf("ERROR answered with %q", h.out.sent)
	}
	if h.out.data > 64 || len(h.out.sent) > 1 {
		t.Fatalf("one packet answered with %d blocks, %q", h.out.data, h.out.sent)
	}
	if opcodeOf(packet) == opRead && h.out.data > 1 {
		t.Fatalf("request answered with %d blocks", h.out.data)
	}
	for _, sent := range h.out.sent {
		if prefix := fmt.Sprint(port, ": "); len(sent) < len(prefix) || sent[:len(prefix)] != prefix {
			t.Fatalf("packet of %d answered with %q", port, sent)
		}
	}
	if len(h.engine.sessions) > 4 || len(h.engine.queue) > 4 || len(h.engine.recent.order) > 4 || len(h.engine.recent.ended) > 4 || len(h.server.admission.sessions) > 4 {
		t.Fatalf("too much: %s", h.left())
	}
}

// left describes what is in memory. It returns "" if nothing is.
func (h *harness) left() string {
	e, a := h.engine, h.server.admission
	counts := [...]int{len(e.sessions), len(e.queue), len(e.recent.order), len(e.recent.ended), len(a.sessions), len(a.clients)}
	if counts == [len(counts)]int{} {
		return ""
	}
	return fmt.Sprintf("%d sessions, %d deadlines, %d ends of %d clients, admitted: %d sessions of %d clients",
		counts[0], counts[1], counts[2], counts[3], counts[4], counts[5])
}
