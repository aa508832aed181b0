package tftp

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/pxesidecar/pxesidecar/internal/mmsg"
)

// TestWindowAsMessages checks that a window is one message that the kernel cuts
// up. When a single client waits, the first block goes ahead. Without
// segmentation offload each block is a message.
func TestWindowAsMessages(t *testing.T) {
	for _, c := range []struct {
		name    string
		gso     bool
		clients int   // heard last
		want    []int // bytes of a segment, message by message
	}{
		{"many clients", true, 2, []int{516}},
		{"a single client", true, 1, []int{0, 516}},
		{"no offload", false, 1, []int{0, 0, 0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSocket(nil)
			s.segments, s.received = c.gso, c.clients
			to := &route{client: netip.MustParseAddrPort("192.0.2.50:1024"), local: netip.MustParseAddr("192.0.2.2")}
			s.blocks(to, 1, 4, 512, [][]byte{make([]byte, 3*512+100)})
			var got []int
			for i := range s.out.Len() {
				got = append(got, s.out.Segment(i))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("segments (-want +got):\n%s", diff)
			}
			if want := 4*headerLen + 3*512 + 100; s.out.Bytes() != want {
				t.Errorf("%d bytes, want %d", s.out.Bytes(), want)
			}
		})
	}
}

// TestFlushToStuckPort checks that nobody waits for a port whose buffer is
// full, and that this does not count as a wire without segmentation offload. A
// pair of sockets whose other end nobody reads stands for the port: it takes a
// few messages.
func TestFlushToStuckPort(t *testing.T) {
	group, err := mmsg.NewGroup()
	if err != nil {
		t.Fatal(err)
	}
	s := newSocket(group)
	s.segments = true
	defer s.close()
	var peers [2]int
	for i, size := range []int{1, 1 << 20} { // the least there is, and enough
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fds[1])
		if err := errors.Join(unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUF, size), group.Add(fds[0])); err != nil {
			t.Fatal(err)
		}
		peers[i] = fds[1]
	}
	stuck := &route{local: netip.MustParseAddr("192.0.2.2")}
	other := &route{local: netip.MustParseAddr("192.0.2.2"), via: 1}
	data := [][]byte{make([]byte, 4*512)}
	const messages = 40
	for range messages {
		s.blocks(stuck, 1, 4, 512, data)
	}
	s.blocks(other, 1, 4, 512, data)
	if s.out.Len() != messages+1 {
		t.Fatalf("%d messages, want %d", s.out.Len(), messages+1)
	}
	began := time.Now()
	s.flush()
	if took := time.Since(began); took > mmsg.SendTimeout/2 {
		t.Errorf("flushing took %s", took)
	}
	if stuck.plain || s.out.Len() != 0 {
		t.Errorf("plain: %t, %d messages left", stuck.plain, s.out.Len())
	}
	if n, err := unix.Read(peers[1], make([]byte, 4096)); err != nil || n == 0 {
		t.Errorf("the other port sent %d bytes, %v", n, err)
	}
}
