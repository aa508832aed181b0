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
)

// A paper is an outbox that writes down what is sent, and checks it against the file.
type paper struct {
	t       testing.TB
	content []byte
	sent    []string // "client: what"
	blocks_ int      // DATA packets since it was last reset
	errors  int
	to      map[netip.AddrPort]int // bytes sent
}

func (p *paper) packet(r *route, b []byte) {
	p.to[r.client] += len(b)
	what := fmt.Sprintf("%q", b[2:])
	switch kindOf(b) {
	case opError:
		p.errors++
		what = "ERROR " + what
	case opOACK:
		what = "OACK " + what
	default:
		p.t.Fatalf("packet % x", b)
	}
	p.sent = append(p.sent, fmt.Sprintf("%v: %s", r.client.Port(), what))
}

func (p *paper) blocks(r *route, first int64, count, blockSize int, data [][]byte) {
	joined := bytes.Join(data, nil)
	p.to[r.client] += len(joined) + count*headerLen
	p.blocks_ += count
	start := (first - 1) * int64(blockSize)
	end := min(start+int64(count*blockSize), int64(len(p.content)))
	if start > end || !bytes.Equal(joined, p.content[start:end]) {
		p.t.Fatalf("%d blocks of %d from %d are not the file's: %d bytes", count, blockSize, first, len(joined))
	}
	p.sent = append(p.sent, fmt.Sprintf("%v: DATA %d..%d", r.client.Port(), first, first+int64(count)-1))
}

// take returns what was sent since the last call.
func (p *paper) take() []string {
	sent := p.sent
	p.sent, p.blocks_, p.errors = nil, 0, 0
	return sent
}

// A desktop is an engine without sockets or goroutines.
type desktop struct {
	server *Server
	engine *engine
	paper  *paper
	box    *letterBox
	now    time.Duration
}

// newDesktop makes one that serves content as "rom".
func newDesktop(t testing.TB, c Config, content []byte) *desktop {
	t.Helper()
	c.FS = fstest.MapFS{"rom": {Data: content}}
	s, err := newServer(c)
	if err != nil {
		t.Fatal(err)
	}
	s.do = func(job func()) { job() }
	s.links.read = func() (links, error) { return links{}, nil }
	d := &desktop{server: s, paper: &paper{t: t, content: content, to: map[netip.AddrPort]int{}}, box: &letterBox{wake: func() {}}}
	s.boxes = []*letterBox{d.box}
	d.engine = newEngine(s, d.paper, true)
	return d
}

// arrive feeds a datagram and what follows from it.
func (d *desktop) arrive(port uint16, packet []byte) {
	client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(port >> 8)}), port)
	d.engine.datagram(&datagram{client: client, local: netip.AddrFrom4([4]byte{198, 51, 100, 1}), data: packet}, d.now)
	d.mail()
}

// mail delivers letters until there are none.
func (d *desktop) mail() {
	for letters := d.box.empty(); len(letters) > 0; letters = d.box.empty() {
		for _, l := range letters {
			d.engine.letter(l, d.now)
		}
	}
}

// pass lets time pass.
func (d *desktop) pass(by time.Duration) {
	d.now += by
	d.engine.expire(d.now)
	d.mail()
}

// ack makes an ACK.
func ack(n uint16) []byte { return binary.BigEndian.AppendUint16([]byte{0, 4}, n) }

// Whole conversations as the engine has them.
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
		{"all there is", Config{MaxTransfers: 1}, []step{
			{5000, rrq, 0, []string{"5000: DATA 1..1"}},
			{6000, rrq, 0, nil},
		}, nil},
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
			d := newDesktop(t, c.config, random(9999))
			for i, s := range c.steps {
				d.now += s.after
				d.arrive(s.port, s.packet)
				if diff := cmp.Diff(s.want, d.paper.take()); diff != "" {
					t.Errorf("step %d (-want +got):\n%s", i, diff)
				}
			}
			if diff := cmp.Diff(c.want, finished); diff != "" {
				t.Errorf("finished (-want +got):\n%s", diff)
			}
		})
	}
}

// A client's own silent transfers make room for its newer ones.
func TestEngineMakesRoom(t *testing.T) {
	var finished []Transfer
	d := newDesktop(t, Config{MaxTransfersPerClient: 2, Events: Events{Finished: func(r Transfer) { finished = append(finished, r) }}}, random(9999))
	rrq := join(1, "rom", "octet", "blksize", "512")
	d.arrive(5000, rrq)
	d.now += 100 * time.Millisecond
	d.arrive(5001, rrq)
	d.now += 1500 * time.Millisecond
	d.paper.take()
	d.arrive(5002, rrq)
	if diff := cmp.Diff([]string{`5002: OACK "blksize\x00512\x00"`}, d.paper.take()); diff != "" {
		t.Errorf("newer request (-want +got):\n%s", diff)
	}
	if len(finished) != 1 || finished[0].Client.Port() != 5000 || finished[0].Result != Replaced {
		t.Errorf("finished %+v", finished)
	}
}

// A forged request is worth a bounded number of packets, none larger than DATA 1.
func TestEngineAmplification(t *testing.T) {
	var finished []Transfer
	d := newDesktop(t, Config{Events: Events{Finished: func(r Transfer) { finished = append(finished, r) }}}, random(1<<20))
	d.arrive(5000, join(1, "rom", "octet", "blksize", "1468", "windowsize", "64"))
	d.arrive(6000, join(1, "rom", "octet"))
	for range 600 {
		d.pass(100 * time.Millisecond)
	}
	if len(d.paper.sent) != 14 || len(finished) != 2 || finished[0].Result != TimedOut || finished[1].Result != TimedOut {
		t.Errorf("%d packets, %+v", len(d.paper.sent), finished)
	}
	for client, sent := range d.paper.to {
		if sent > 7*516 {
			t.Errorf("%d bytes to %v", sent, client)
		}
	}
	if left := d.left(); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

// A streamed file is sent as its chunks come, and in full.
func TestEngineStreams(t *testing.T) {
	content := random(3*chunkSize + 1000)
	d := newDesktop(t, Config{CacheBytes: 600 << 10}, content)
	var jobs []func()
	d.server.do = func(job func()) { jobs = append(jobs, job) }
	work := func() {
		for len(jobs) > 0 {
			job := jobs[0]
			jobs = jobs[1:]
			job()
			d.mail()
		}
	}
	d.arrive(5000, join(1, "rom", "octet", "blksize", "65464", "windowsize", "8"))
	work()
	last := uint16(len(content)/1468 + 1)
	for block := uint16(0); block < last; block = min(block+8, last) {
		d.arrive(5000, ack(block))
		work()
		if d.paper.blocks_ != int(min(8, last-block)) {
			t.Fatalf("after ACK %d: %q", block, d.paper.take())
		}
		d.paper.take()
	}
	d.arrive(5000, ack(last))
	if used := d.server.library.used; used != 0 {
		t.Errorf("%d bytes held after the end", used)
	}
}

// A client may leave while its block, which lies over two chunks, waits for the first of them.
func TestEngineAbortedBetweenChunks(t *testing.T) {
	var finished []Transfer
	d := newDesktop(t, Config{CacheBytes: 600 << 10, Events: Events{Finished: func(r Transfer) { finished = append(finished, r) }}}, random(3*chunkSize))
	d.arrive(5000, join(1, "rom", "octet", "blksize", "1468"))
	straddling := uint16(chunkSize/1468 + 1)
	for block := range straddling {
		if block == straddling-1 { // as if others had needed the room
			for _, s := range d.engine.sessions {
				for _, c := range s.file.chunks {
					d.server.library.discard(c)
				}
			}
		}
		var jobs []func()
		d.server.do = func(job func()) { jobs = append(jobs, job) }
		d.paper.take()
		d.arrive(5000, ack(block))
		if block == straddling-1 {
			if sent := d.paper.take(); len(sent) != 0 || len(jobs) == 0 {
				t.Fatalf("%q was sent, %d jobs", sent, len(jobs))
			}
			d.arrive(5000, []byte{0, 5, 0, 0, 0})
		}
		for len(jobs) > 0 {
			job := jobs[0]
			jobs = jobs[1:]
			job()
			d.mail()
		}
	}
	d.pass(linger)
	if left := d.left(); left != "" || len(finished) != 1 || finished[0].Result != Aborted || d.server.library.used != 0 {
		t.Errorf("left behind: %q and %d bytes; finished %+v", left, d.server.library.used, finished)
	}
}

// A client whose transfer ended is no stranger for a while, but not for ever, though nothing else happens meanwhile.
func TestEngineRecent(t *testing.T) {
	d := newDesktop(t, Config{}, random(10))
	d.arrive(5000, join(1, "rom", "octet"))
	d.arrive(5000, ack(1))
	d.paper.take()
	d.now += linger - 1
	d.arrive(5000, ack(1))
	if sent := d.paper.take(); len(sent) != 0 {
		t.Errorf("a late duplicate is answered with %q", sent)
	}
	d.now++
	d.arrive(5000, ack(1))
	if sent := d.paper.take(); len(sent) != 1 {
		t.Errorf("a stranger is answered with %q", sent)
	}
}

// Whatever arrives: an ERROR is not answered, nobody gets more than a window for an ACK or anything he did not cause, every byte is the file's, and
// what is remembered stays bounded and goes away.
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
	content := bytes.Repeat([]byte("abcdefg"), 300) // without line ends: netascii leaves it alone
	f.Fuzz(func(t *testing.T, b []byte) {
		began, ended := 0, 0
		d := newDesktop(t, Config{MaxTransfers: 4, MaxTransfersPerClient: 2, Events: Events{
			Started:  func(Transfer) { began++ },
			Finished: func(Transfer) { ended++ },
		}}, content)
		for len(b) >= 3 {
			who, pause, n := b[0], time.Duration(b[1])*time.Millisecond, int(b[2])
			b = b[3:]
			packet := b[:min(n, len(b))]
			b = b[len(packet):]
			d.pass(pause)
			d.paper.take()
			port := 5000 + uint16(who%8)*128
			d.arrive(port, packet)
			check(t, d, port, packet)
		}
		for range 200 {
			d.pass(time.Second)
		}
		if left := d.left(); began != ended || left != "" {
			t.Fatalf("%d began, %d ended; left behind: %s", began, ended, left)
		}
	})
}

// check holds what was sent in answer to one packet against the invariants.
func check(t *testing.T, d *desktop, port uint16, packet []byte) {
	t.Helper()
	if kindOf(packet) == opError && len(d.paper.sent) > 0 {
		t.Fatalf("ERROR answered with %q", d.paper.sent)
	}
	if d.paper.blocks_ > 64 || len(d.paper.sent) > 1 {
		t.Fatalf("one packet answered with %d blocks, %q", d.paper.blocks_, d.paper.sent)
	}
	if kindOf(packet) == opRead && d.paper.blocks_ > 1 {
		t.Fatalf("request answered with %d blocks", d.paper.blocks_)
	}
	for _, sent := range d.paper.sent {
		if prefix := fmt.Sprint(port, ": "); len(sent) < len(prefix) || sent[:len(prefix)] != prefix {
			t.Fatalf("packet of %d answered with %q", port, sent)
		}
	}
	if len(d.engine.sessions) > 4 || len(d.engine.queue) > 4 || len(d.engine.recent.order) > 4 || len(d.engine.recent.ended) > 4 || len(d.server.desk.sessions) > 4 {
		t.Fatalf("too much: %s", d.left())
	}
}

// left tells what is in memory, "" where that is nothing.
func (d *desktop) left() string {
	e, desk := d.engine, d.server.desk
	counts := [...]int{len(e.sessions), len(e.queue), len(e.recent.order), len(e.recent.ended), len(desk.sessions), len(desk.clients)}
	if counts == [len(counts)]int{} {
		return ""
	}
	return fmt.Sprintf("%d sessions, %d deadlines, %d ends of %d clients, at the desk %d sessions of %d clients",
		counts[0], counts[1], counts[2], counts[3], counts[4], counts[5])
}

func TestStrings(t *testing.T) {
	var got []string
	for r := range resultsEnd + 1 {
		got = append(got, r.String())
	}
	for r := range reasonsEnd + 1 {
		got = append(got, r.String())
	}
	want := []string{
		"none", "completed", "probed", "aborted", "timed-out", "failed", "replaced", "shut-down", "result(8)",
		"none", "not-found", "denied", "illegal", "unreadable", "unknown-port", "not-allowed", "forged", "multicast", "too-fast", "too-many", "reason(11)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
