package tftp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/pxesidecar/pxesidecar/internal/poll"
)

// A window is one message that the kernel cuts up; where a single client waits, its first block goes ahead of it. Without segmentation offload
// each block is a message.
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
			s := &socket{gso: c.gso, filled: c.clients}
			s.layOut()
			to := &route{client: netip.MustParseAddrPort("192.0.2.50:1024"), local: netip.MustParseAddr("192.0.2.2")}
			s.blocks(to, 1, 4, 512, [][]byte{make([]byte, 3*512+100)})
			if diff := cmp.Diff(c.want, s.out.segments[:s.out.count]); diff != "" {
				t.Errorf("segments (-want +got):\n%s", diff)
			}
			if want := 4*headerLen + 3*512 + 100; s.out.bytes != want {
				t.Errorf("%d bytes, want %d", s.out.bytes, want)
			}
		})
	}
}

// A wire that takes nothing is waited for once in a batch, and is not taken for one without segmentation offload. A pair of sockets whose other
// end nobody reads stands for it: it takes a few messages, whatever addresses they carry.
func TestFlushToStuckWire(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	patience := unix.NsecToTimeval(int64(sendPatience))
	if err := unix.SetsockoptTimeval(fds[0], unix.SOL_SOCKET, unix.SO_SNDTIMEO, &patience); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 1); err != nil { // the least there is
		t.Fatal(err)
	}
	poller, err := poll.New(fds[0])
	if err != nil {
		t.Fatal(err)
	}
	defer poller.Close()
	s := &socket{fd: fds[0], poller: poller, gso: true}
	s.layOut()
	for i := range s.out.messages {
		s.out.messages[i].header.Namelen = 0
	}
	to := &route{client: netip.MustParseAddrPort("192.0.2.50:1024"), local: netip.MustParseAddr("192.0.2.2")}
	data := [][]byte{make([]byte, 4*512)}
	const messages = 40
	for range messages {
		s.blocks(to, 1, 4, 512, data)
	}
	if s.out.count != messages {
		t.Fatalf("%d messages, want %d", s.out.count, messages)
	}
	began := time.Now()
	s.flush()
	if took := time.Since(began); took < sendPatience || took > messages/2*sendPatience {
		t.Errorf("flushing took %s, the patience with a wire is %s", took, sendPatience)
	}
	if to.plain || s.out.count != 0 {
		t.Errorf("plain: %t, %d messages left", to.plain, s.out.count)
	}
}
