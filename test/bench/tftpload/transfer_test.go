package tftpload

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	server = netip.MustParseAddrPort("192.0.2.1:40000")
	other  = netip.MustParseAddrPort("192.0.2.1:40001")
)

// oack and data return packets of the server.
func oack(options ...string) []byte {
	return []byte("\x00\x06" + strings.Join(options, "\x00") + "\x00")
}

func data(number byte, size int) []byte {
	return append([]byte{0, opData, 0, number}, bytes.Repeat([]byte{number}, size)...)
}

// event is a packet that arrives, or a time that passes.
type event struct {
	from   netip.AddrPort
	packet []byte
	wait   time.Duration
}

// got is a step with the number of its bytes in place of the bytes.
type got struct {
	Send   Sending
	Block  uint16
	Data   int
	Ending Ending
}

func TestTransfer(t *testing.T) {
	in := func(p []byte) event { return event{from: server, packet: p} }
	later := func(d time.Duration) event { return event{wait: d} }
	windowed := Request{File: "f", Block: 8, Window: 2}
	granted := in(oack("blksize", "8", "windowsize", "2"))
	for _, c := range []struct {
		name      string
		request   Request
		behaviour string
		events    []event
		want      []got
	}{
		{"lock-step", Request{File: "f", Block: 8}, "plain",
			[]event{in(oack("blksize", "8")), in(data(1, 8)), in(data(2, 3))},
			[]got{{Send: Acking}, {Send: Acking, Block: 1, Data: 8}, {Send: Acking, Block: 2, Data: 3, Ending: Complete}}},
		{"no options", Request{File: "f", Block: 8}, "plain",
			[]event{in(data(1, 512)), in(data(2, 0))},
			[]got{{Send: Acking, Block: 1, Data: 512}, {Send: Acking, Block: 2, Ending: Complete}}},
		{"windows", windowed, "plain",
			[]event{granted, in(data(1, 8)), in(data(2, 8)), in(data(3, 0))},
			[]got{{Send: Acking}, {Block: 1, Data: 8}, {Send: Acking, Block: 2, Data: 8}, {Send: Acking, Block: 3, Ending: Complete}}},
		{"a lost block is asked for once", windowed, "plain",
			[]event{granted, in(data(2, 8)), in(data(3, 8)), in(data(1, 8)), in(data(2, 8))},
			[]got{{Send: Acking}, {Send: Acking, Block: 0}, {}, {Block: 1, Data: 8}, {Send: Acking, Block: 2, Data: 8}}},
		{"edk2 answers every unexpected block", windowed, "edk2",
			[]event{granted, in(data(2, 8)), in(data(3, 8))},
			[]got{{Send: Acking}, {Send: Acking, Block: 0}, {Send: Acking, Block: 0}}},
		{"a lost acknowledgement is sent again", windowed, "plain",
			[]event{granted, in(data(1, 8)), in(data(2, 8)), in(data(1, 8)), in(data(2, 8))},
			[]got{{Send: Acking}, {Block: 1, Data: 8}, {Send: Acking, Block: 2, Data: 8}, {}, {Send: Acking, Block: 2}}},
		{"the options come twice", windowed, "plain",
			[]event{granted, granted, in(data(1, 8)), granted},
			[]got{{Send: Acking}, {Send: Acking}, {Block: 1, Data: 8}, {}}},
		{"packets from another port are ignored", windowed, "plain",
			[]event{granted, {from: other, packet: data(1, 8)}, {from: other, packet: []byte("\x00\x05\x00\x00no\x00")}, in([]byte{0, 3})},
			[]got{{Send: Acking}, {}, {}, {}}},
		{"an error", windowed, "plain",
			[]event{in([]byte("\x00\x05\x00\x01not here\x00"))},
			[]got{{Ending: Refused}}},
		{"iPXE doubles its timer and gives up", windowed, "ipxe",
			[]event{later(250 * time.Millisecond), granted, later(250 * time.Millisecond), later(500 * time.Millisecond), later(time.Second),
				later(2 * time.Second), later(4 * time.Second), later(8 * time.Second)},
			[]got{{Send: Asking}, {Send: Acking}, {Send: Acking}, {Send: Acking}, {Send: Acking}, {Send: Acking}, {Send: Acking}, {Ending: GaveUp}}},
		{"progress starts the timer anew", windowed, "edk2",
			[]event{granted, later(4 * time.Second), in(data(1, 8)), later(4 * time.Second)},
			[]got{{Send: Acking}, {Send: Acking}, {Block: 1, Data: 8}, {Send: Acking, Block: 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			transfer := Transfer{Request: c.request, Behaviour: Behaviours[c.behaviour]}
			var now time.Duration
			if step := transfer.Begin(now); step.Send != Asking {
				t.Fatalf("it begins with %v", step)
			}
			var steps []got
			for _, e := range c.events {
				var step Step
				if e.packet != nil {
					step = transfer.Receive(e.from, e.packet, now)
				} else {
					if now += e.wait; transfer.Deadline != now {
						t.Errorf("the deadline is %s, not %s", transfer.Deadline, now)
					}
					step = transfer.Expire(now)
				}
				steps = append(steps, got{step.Send, step.Block, len(step.Data), step.Ending})
			}
			if diff := cmp.Diff(c.want, steps); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestTransferWraps checks that block numbers continue at 0 after 65,535.
func TestTransferWraps(t *testing.T) {
	transfer := Transfer{Request: Request{File: "f", Block: 8}, Behaviour: Behaviours["plain"]}
	transfer.Begin(0)
	transfer.Receive(server, oack("blksize", "8"), 0)
	const blocks = 70_000
	for n := 1; n <= blocks; n++ {
		step := transfer.Receive(server, append([]byte{0, opData, byte(n >> 8), byte(n)}, "12345678"...), 0)
		if step.Send != Acking || step.Block != uint16(n) {
			t.Fatalf("block %d: %+v", n, step)
		}
	}
	if transfer.Bytes != blocks*8 || transfer.Extra != 0 {
		t.Errorf("%d bytes, %d of no use", transfer.Bytes, transfer.Extra)
	}
}

func TestRequest(t *testing.T) {
	for _, c := range []struct {
		request Request
		want    string
	}{
		{Request{File: "a/b.efi"}, "\x00\x01a/b.efi\x00octet\x00"},
		{Request{File: "f", Block: 1468, Window: 1, Size: true}, "\x00\x01f\x00octet\x00blksize\x001468\x00tsize\x000\x00"},
		{Request{File: "f", Block: 512, Window: 64}, "\x00\x01f\x00octet\x00blksize\x00512\x00windowsize\x0064\x00"},
	} {
		if got := string(c.request.append(nil)); got != c.want {
			t.Errorf("%+v: %q, want %q", c.request, got, c.want)
		}
	}
}
