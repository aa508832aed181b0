package tftp

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/fstest"
	"time"
)

// BenchmarkParseRequest measures parsing a request.
func BenchmarkParseRequest(b *testing.B) {
	packet := join(1, "ipxe-x86_64.efi", "octet", "tsize", "0", "blksize", "1468", "windowsize", "4")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseRequest(packet); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkNegotiate measures granting options.
func BenchmarkNegotiate(b *testing.B) {
	r := Request{Options: Options{BlockSize: 65464, WindowSize: 4, Size: true}}
	l := limits{blockSize: maxBlockSize, window: 64}
	b.ReportAllocs()
	for b.Loop() {
		if negotiate(r, l.forMTU(1500)).block != 1468 {
			b.Fatal("wrong block")
		}
	}
}

// BenchmarkTransferStep measures one ACK and the window that follows, without a
// socket.
func BenchmarkTransferStep(b *testing.B) {
	m := newTransfer(terms{granted: Options{WindowSize: 8}, block: 1468, window: 8}, 1<<50, 1)
	m.begin(0)
	now := time.Millisecond
	m.ack(0, now)
	b.ReportAllocs()
	for b.Loop() {
		now += time.Millisecond
		if m.ack(uint16(m.sent), now).count != 8 {
			b.Fatal("no window")
		}
	}
}

// BenchmarkEngineAck measures an ACK in an engine with a thousand transfers.
func BenchmarkEngineAck(b *testing.B) {
	h := newHarness(b, Config{MaxTransfersPerClient: 1000, MaxRequestRate: 1000}, make([]byte, 1<<20))
	h.engine.out = nowhere{}
	rrq := join(1, "rom", "octet", "blksize", "8")
	var arrivals []datagram
	for i := range 1000 {
		h.arrive(uint16(5000+i), rrq)
		client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte((5000 + i) >> 8)}), uint16(5000+i))
		arrivals = append(arrivals, datagram{client: client, local: netip.AddrFrom4([4]byte{198, 51, 100, 1}), data: ack(0)})
	}
	if running := len(h.engine.sessions); running != len(arrivals) {
		b.Fatalf("%d transfers", running)
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		i, block := n%1000, uint16(n/1000)
		arrivals[i].data[2], arrivals[i].data[3] = byte(block>>8), byte(block)
		h.engine.datagram(&arrivals[i], h.now)
		h.now += time.Microsecond
	}
}

// nowhere is an outbox that drops everything.
type nowhere struct{}

func (nowhere) packet(*route, []byte)                    {}
func (nowhere) blocks(*route, int64, int, int, [][]byte) {}

// BenchmarkLoopback measures whole transfers over loopback.
func BenchmarkLoopback(b *testing.B) {
	content := random(1 << 20)
	for _, c := range []struct {
		clients, window int
	}{{1, 1}, {1, 8}, {1, 64}, {128, 1}, {128, 8}} {
		b.Run(fmt.Sprintf("clients=%d/window=%d", c.clients, c.window), func(b *testing.B) {
			s, err := Listen(Config{FS: fstest.MapFS{"rom": {Data: content}}, Addr: netip.MustParseAddrPort("127.0.0.1:0"), MaxTransfersPerClient: 1000, MaxRequestRate: 1 << 20})
			if err != nil {
				b.Fatal(err)
			}
			ctx, stop := context.WithCancel(context.Background())
			var serving sync.WaitGroup
			serving.Go(func() {
				if err := s.Serve(ctx); err != nil {
					b.Error(err)
				}
			})
			b.SetBytes(int64(c.clients * len(content)))
			b.ReportAllocs()
			for b.Loop() {
				var reading sync.WaitGroup
				for range c.clients {
					reading.Go(func() {
						client := testClient{server: s.Addr(), options: []string{"blksize", "1432", "windowsize", fmt.Sprint(c.window)}}
						if got, err := client.get("rom"); err != nil || len(got) != len(content) {
							b.Errorf("%d bytes, %v", len(got), err)
						}
					})
				}
				reading.Wait()
			}
			stop()
			serving.Wait()
		})
	}
}
