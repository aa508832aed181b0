package mmsg

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pair returns the connection of a socket, and the socket at its other end.
func pair(t testing.TB) (c *Conn, far *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	far = os.NewFile(uintptr(fds[1]), "far")
	c, err = New(os.NewFile(uintptr(fds[0]), "near"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		far.Close()
	})
	return c, far
}

// write sends datagrams to a connection.
func write(t testing.TB, far *os.File, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if _, err := far.WriteString(text); err != nil {
			t.Error(err)
		}
	}
}

// soon calls f a moment later.
func soon(f func()) { time.AfterFunc(time.Millisecond, f) }

// receive receives until a deadline from now, 0 for none. It returns how many
// datagrams came, and how long that took.
func receive(t *testing.T, c *Conn, in *Incoming, timeout time.Duration) (int, time.Duration) {
	t.Helper()
	var deadline time.Time
	began := time.Now()
	if timeout != 0 {
		deadline = began.Add(timeout)
	}
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	go func() {
		n, err := c.Receive(in, deadline)
		done <- result{n, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			t.Fatal(r.err)
		}
		return r.n, time.Since(began)
	case <-time.After(10 * time.Second):
		t.Fatal("the wait does not end")
	}
	return 0, 0
}

// TestDatagramEndsWait checks datagrams that arrive before a wait and during
// it.
func TestDatagramEndsWait(t *testing.T) {
	c, far := pair(t)
	in := NewIncoming(8)
	write(t, far, "x")
	if n, _ := receive(t, c, in, 0); n != 1 || string(in.Data(0)) != "x" {
		t.Errorf("%d datagrams, %q; want the one that was there", n, in.Data(0))
	}
	soon(func() { write(t, far, "y") })
	if n, _ := receive(t, c, in, 0); n != 1 || string(in.Data(0)) != "y" {
		t.Errorf("%d datagrams, %q; want the one that came", n, in.Data(0))
	}
	write(t, far, "a", "bb", "longer than eight")
	if n, _ := receive(t, c, in, 0); n != 3 || string(in.Data(1)) != "bb" || string(in.Data(2)) != "longer t" {
		t.Errorf("%d datagrams: %q, %q, %q", n, in.Data(0), in.Data(1), in.Data(2))
	}
}

// TestDeadline checks that a wait ends at its deadline, and not before.
func TestDeadline(t *testing.T) {
	c, far := pair(t)
	in := NewIncoming(8)
	const pause = 20 * time.Millisecond
	for range 2 {
		if n, took := receive(t, c, in, pause); n != 0 || took < pause {
			t.Errorf("%d datagrams of none, after %s of %s", n, took, pause)
		}
	}
	// A deadline that has passed does not hide what is there.
	write(t, far, "x")
	if n, _ := receive(t, c, in, -time.Second); n != 1 {
		t.Errorf("%d datagrams, want the one that is there", n)
	}
	if n, _ := receive(t, c, in, -time.Second); n != 0 {
		t.Errorf("%d datagrams of none", n)
	}
	// One deadline may be waited for several times.
	deadline := time.Now().Add(pause)
	for range 3 {
		write(t, far, "x")
		if n, err := c.Receive(in, deadline); n != 1 || err != nil {
			t.Errorf("%d datagrams, %v", n, err)
		}
	}
	if n, err := c.Receive(in, deadline); n != 0 || err != nil || time.Now().Before(deadline) {
		t.Errorf("%d datagrams of none, %v, %s early", n, err, time.Until(deadline))
	}
}

// TestWake checks that a wake ends one wait, the current one or the next.
func TestWake(t *testing.T) {
	c, far := pair(t)
	in := NewIncoming(8)
	const pause = 20 * time.Millisecond
	for _, timeout := range []time.Duration{0, time.Hour} {
		c.Wake()
		c.Wake()
		receive(t, c, in, timeout)
		if _, took := receive(t, c, in, pause); took < pause {
			t.Errorf("the wait after a wake ended after %s", took)
		}
		soon(c.Wake)
		receive(t, c, in, timeout)
		if _, took := receive(t, c, in, pause); took < pause {
			t.Errorf("the wait after a wake ended after %s", took)
		}
	}
	// What has arrived is received all the same.
	write(t, far, "x")
	c.Wake()
	if n, _ := receive(t, c, in, 0); n != 1 {
		t.Errorf("%d datagrams, want the one that is there", n)
	}
}

// TestWakeRace checks that what happens before a wake is seen at the end of
// some wait, whatever the wake coincides with.
func TestWakeRace(t *testing.T) {
	c, far := pair(t)
	in := NewIncoming(8)
	var posted atomic.Int32
	for i := range int32(2000) {
		go func() {
			if i%3 == 0 {
				write(t, far, "x")
			}
			posted.Store(i + 1)
			c.Wake()
		}()
		for posted.Load() != i+1 {
			receive(t, c, in, time.Duration(i%2)*time.Hour)
		}
	}
}

// TestFullBatch checks that Receive does not wait after a full batch.
func TestFullBatch(t *testing.T) {
	c, far := pair(t)
	in := NewIncoming(8)
	for range BatchSize + 1 {
		write(t, far, "x")
	}
	for _, want := range []int{BatchSize, 1} {
		if n, _ := receive(t, c, in, 0); n != want {
			t.Errorf("%d datagrams, want %d", n, want)
		}
	}
	for range BatchSize {
		write(t, far, "x")
	}
	for _, want := range []int{BatchSize, 0} {
		if n, _ := receive(t, c, in, 0); n != want {
			t.Errorf("%d datagrams, want %d", n, want)
		}
	}
	soon(func() { write(t, far, "x") })
	if n, _ := receive(t, c, in, 0); n != 1 {
		t.Errorf("%d datagrams, want the one that is waited for", n)
	}
}

// TestClose checks that Close ends a wait, and that nothing works after it.
func TestClose(t *testing.T) {
	c, _ := pair(t)
	in := NewIncoming(8)
	waiting := make(chan error)
	go func() {
		_, err := c.Receive(in, time.Time{})
		waiting <- err
	}()
	time.Sleep(time.Millisecond)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-waiting; err == nil {
		t.Error("the wait ends without an error")
	}
	if err := c.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed again: %v", err)
	}
	c.Wake()
	if n, err := c.Receive(in, time.Time{}); n != 0 || err == nil {
		t.Errorf("received %d, %v", n, err)
	}
	out := NewOutgoing(1, 1)
	out.AppendCopy([]byte("x"))
	out.End(netip.AddrPort{}, PacketInfo{}, 0)
	if n, err := c.Send(out, 0); n != 0 || err == nil {
		t.Errorf("sent %d, %v", n, err)
	}
}

// queue puts messages of one byte for the other end of a pair into a batch.
func queue(out *Outgoing, count int) {
	for range count {
		out.AppendCopy([]byte("x"))
		out.End(netip.AddrPort{}, PacketInfo{}, 0)
	}
}

// TestSendToFullSocket checks that a socket without room is waited for, but no
// longer than SendTimeout.
func TestSendToFullSocket(t *testing.T) {
	c, far := pair(t)
	out := NewOutgoing(BatchSize, BatchSize)
	queue(out, BatchSize)
	sent := 0
	fill := func() (took time.Duration, err error) {
		for {
			began := time.Now()
			n, err := c.Send(out, 0)
			if err != nil {
				return time.Since(began), err
			}
			sent += n
		}
	}
	if took, err := fill(); !errors.Is(err, unix.EAGAIN) || took < SendTimeout || took > time.Minute {
		t.Errorf("%v after %s", err, took)
	}
	// When it gets room in time, sending goes on.
	queued := sent
	soon(func() {
		for range queued {
			far.Read(make([]byte, 8))
		}
	})
	began := time.Now()
	if n, err := c.Send(out, 0); n < 1 || err != nil || time.Since(began) >= SendTimeout {
		t.Errorf("%d messages, %v, after %s", n, err, time.Since(began))
	}
	if took, err := fill(); !errors.Is(err, unix.EAGAIN) || took < SendTimeout {
		t.Errorf("%v after %s", err, took)
	}
}

// TestSendRefused checks that a message that cannot be sent is reported after
// those before it are sent.
func TestSendRefused(t *testing.T) {
	c, far := pair(t)
	out := NewOutgoing(BatchSize, 1<<20)
	queue(out, 2)
	out.AppendCopy(make([]byte, 1<<19)) // more than the socket's buffer
	out.End(netip.AddrPort{}, PacketInfo{}, 0)
	queue(out, 1)
	if n, err := c.Send(out, 0); n != 2 || err != nil {
		t.Errorf("%d messages, %v; want the two before the long one", n, err)
	}
	if n, err := c.Send(out, 2); n != 0 || !errors.Is(err, unix.EMSGSIZE) || !strings.Contains(err.Error(), "sendmmsg") {
		t.Errorf("%d messages, %v; want the long one refused", n, err)
	}
	if n, err := c.Send(out, 3); n != 1 || err != nil {
		t.Errorf("%d messages, %v; want the one behind the long one", n, err)
	}
	for range 3 {
		if n, err := far.Read(make([]byte, 8)); n != 1 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
}

// TestAllocations checks that no datagram costs an allocation.
func TestAllocations(t *testing.T) {
	c, far := pair(t)
	in, out := NewIncoming(8), NewOutgoing(BatchSize, BatchSize)
	payload, buffer := []byte("x"), make([]byte, 8)
	if n := testing.AllocsPerRun(100, func() {
		far.Write(payload)
		c.Receive(in, time.Time{})
		queue(out, 1)
		c.Send(out, 0)
		out.Reset()
		far.Read(buffer)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestUDP checks that a message in pieces arrives as one datagram, with the
// right addresses, and that one in segments arrives as several, whether the
// kernel cuts it or we do.
func TestUDP(t *testing.T) {
	c, addr := listenUDP(t)
	in, out := NewIncoming(2048), NewOutgoing(100, 100)
	local := netip.MustParseAddr("127.1.2.3")
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), addr.Port())
	info := PacketInfo{Local: local}
	out.AppendCopy([]byte("head"))
	out.Append(nil)
	out.Append([]byte(" and body"))
	out.End(to, info, 0)
	if out.Len() != 1 || out.Bytes() != len("head and body") {
		t.Errorf("%d messages of %d bytes", out.Len(), out.Bytes())
	}
	out.AppendCopy([]byte("12"))
	out.Append([]byte("345"))
	out.AppendCopy([]byte("12"))
	out.Append([]byte("3"))
	out.End(to, info, 5)
	if n, err := c.Send(out, 0); n != 2 || err != nil {
		t.Fatalf("sent %d messages, %v", n, err)
	}
	if out.Segment(0) != 0 || out.Segment(1) != 5 {
		t.Errorf("segments of %d and %d bytes", out.Segment(0), out.Segment(1))
	}
	out.eachSegment(1, func(one []message) { _, _ = c.sendMessages(one, true) })
	out.Reset()
	want := []string{"head and body", "12345", "123", "12345", "123"}
	for len(want) > 0 {
		n, _ := receive(t, c, in, time.Second)
		if n == 0 || n > len(want) {
			t.Fatalf("%d datagrams, want %q", n, want)
		}
		for i := range n {
			got := in.PacketInfo(i)
			if !bytes.Equal(in.Data(i), []byte(want[i])) || in.Sender(i) != netip.AddrPortFrom(local, addr.Port()) ||
				got.Destination != to.Addr() || got.Interface == 0 || in.VLAN(i) != 0 {
				t.Errorf("%q from %s, %+v; want %q", in.Data(i), in.Sender(i), got, want[i])
			}
		}
		want = want[n:]
	}
}

// listenUDP returns a socket that listens on all addresses.
func listenUDP(t *testing.T) (*Conn, netip.AddrPort) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(os.NewFile(uintptr(fd), "udp"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1), unix.Bind(fd, &unix.SockaddrInet4{})); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	bound := name.(*unix.SockaddrInet4)
	return c, netip.AddrPortFrom(netip.AddrFrom4(bound.Addr), uint16(bound.Port))
}

// TestHasRoom checks that a batch has room for so many messages, pieces and
// copied bytes.
func TestHasRoom(t *testing.T) {
	for _, c := range []struct {
		name                   string
		messages, pieces, copy int // in the batch
		want                   bool
	}{
		{"empty", 0, 0, 0, true},
		{"just", BatchSize - 1, 100 - 2, 100 - 3, true},
		{"messages", BatchSize, 0, 0, false},
		{"pieces", 0, 100 - 1, 0, false},
		{"copies", 0, 0, 100 - 2, false},
	} {
		out := NewOutgoing(100, 100)
		out.count, out.vectors, out.copies = c.messages, out.vectors[:c.pieces], out.copies[:c.copy]
		if got := out.HasRoom(2, 3); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
		out.Reset()
		if !out.HasRoom(100, 100) || out.HasRoom(101, 0) || out.HasRoom(0, 101) {
			t.Errorf("%s: not empty after Reset", c.name)
		}
	}
}

// TestControlMessages checks that a control message is read, but not another
// one, or one that is cut short.
func TestControlMessages(t *testing.T) {
	in := NewIncoming(8)
	info := PacketInfo{Interface: 7, Local: netip.MustParseAddr("192.0.2.1")}
	in.controls[0].set(info, 0)
	if got := in.PacketInfo(0); got.Interface != info.Interface || got.Local != info.Local {
		t.Errorf("read %+v, want %+v", got, info)
	}
	if vlan := in.VLAN(0); vlan != 0 {
		t.Errorf("VLAN %d out of another message", vlan)
	}
	in.messages[0].header.SetControllen(unix.CmsgLen(0))
	if got := in.PacketInfo(0); got != (PacketInfo{}) {
		t.Errorf("read %+v out of a short message", got)
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&in.controls[1]))
	h.Level, h.Type = unix.SOL_PACKET, unix.PACKET_AUXDATA
	(*unix.TpacketAuxdata)(unsafe.Add(unsafe.Pointer(h), unix.CmsgLen(0))).Vlan_tci = 0xe014
	if vlan := in.VLAN(1); vlan != 20 {
		t.Errorf("VLAN %d, want 20", vlan)
	}
	if got := in.PacketInfo(1); got != (PacketInfo{}) {
		t.Errorf("read %+v out of another message", got)
	}
}

// TestLinkAddress checks the address that a packet is sent to, by reading it
// like that of a sender.
func TestLinkAddress(t *testing.T) {
	to := LinkAddr{Bytes: [8]byte{2, 0, 0, 0, 0, 1}, Len: 6}
	out := NewOutgoing(1, 8)
	out.AppendCopy([]byte("packet"))
	out.EndLink(to, unix.ETH_P_IP, 3)
	in := NewIncoming(8)
	in.addresses[0] = out.addresses[0]
	if got := in.LinkSender(0); got != to {
		t.Errorf("address %v, want %v", got, to)
	}
	name := (*unix.RawSockaddrLinklayer)(unsafe.Pointer(&out.addresses[0]))
	if name.Family != unix.AF_PACKET || bigEndian(name.Protocol) != unix.ETH_P_IP || name.Ifindex != 3 || out.messages[0].header.Namelen != unix.SizeofSockaddrLinklayer {
		t.Errorf("%+v", name)
	}
}
