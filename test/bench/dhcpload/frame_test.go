package dhcpload

import (
	"encoding/binary"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// TestFrames checks that another implementation reads from the frames what we
// wrote.
func TestFrames(t *testing.T) {
	type message struct {
		Type               dhcpv4.MessageType
		Class, Client, MAC string
	}
	const mac = "52:54:01:02:03:04"
	boot := discover()
	frames := append([]frame{boot}, ordinary()...)
	want := []message{
		{dhcpv4.MessageTypeDiscover, "PXEClient:Arch:00007:UNDI:003001", "", mac},
		{dhcpv4.MessageTypeDiscover, "MSFT 5.0", "\x01\x52\x54\x01\x02\x03\x04", mac},
		{dhcpv4.MessageTypeRequest, "MSFT 5.0", "\x01\x52\x54\x01\x02\x03\x04", mac},
		{dhcpv4.MessageTypeInform, "MSFT 5.0", "\x01\x52\x54\x01\x02\x03\x04", mac},
		{dhcpv4.MessageTypeDiscover, "", "", mac},
		{dhcpv4.MessageTypeRequest, "", "", mac},
		{dhcpv4.MessageTypeDiscover, "", "\xff\x01\x02\x03\x04\x00\x01\x00\x01\x2c\x00\x00\x00\x52\x54\x01\x02\x03\x04", mac},
		{dhcpv4.MessageTypeRequest, "", "\xff\x01\x02\x03\x04\x00\x01\x00\x01\x2c\x00\x00\x00\x52\x54\x01\x02\x03\x04", mac},
		{dhcpv4.MessageTypeDiscover, "android-dhcp-14", "\x01\x52\x54\x01\x02\x03\x04", mac},
		{dhcpv4.MessageTypeRequest, "android-dhcp-14", "\x01\x52\x54\x01\x02\x03\x04", mac},
	}
	var got []message
	for i := range frames {
		b := make([]byte, 2048)
		b = b[:frames[i].write(b, 0x01020304, 0xcafe)]
		checkHeaders(t, b)
		m, err := dhcpv4.FromBytes(b[bootpOffset:])
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		if m.TransactionID != (dhcpv4.TransactionID{0, 0, 0xca, 0xfe}) {
			t.Errorf("frame %d: transaction %v", i, m.TransactionID)
		}
		got = append(got, message{m.MessageType(), m.ClassIdentifier(), string(m.GetOneOption(dhcpv4.OptionClientIdentifier)), m.ClientHWAddr.String()})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// checkHeaders checks what a DHCP library does not read.
func checkHeaders(t *testing.T, b []byte) {
	t.Helper()
	var sum uint32
	for i := ipOffset; i < udpOffset; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if sum = sum>>16 + sum&0xffff; sum != 0xffff {
		t.Errorf("IP checksum: %#x", sum)
	}
	if got := net.HardwareAddr(b[6:12]).String(); got != "52:54:01:02:03:04" {
		t.Errorf("Ethernet source %s", got)
	}
	if n := binary.BigEndian.Uint16(b[ipOffset+2:]); int(n) != len(b)-ipOffset {
		t.Errorf("IP length %d of %d", n, len(b)-ipOffset)
	}
	if n := binary.BigEndian.Uint16(b[udpOffset+4:]); int(n) != len(b)-udpOffset {
		t.Errorf("UDP length %d of %d", n, len(b)-udpOffset)
	}
}

func TestOfferOf(t *testing.T) {
	reply := func(options ...byte) []byte {
		b := make([]byte, optionsOffset)
		b[bootpOffset] = 2
		binary.BigEndian.PutUint32(b[xidOffset:], 0x80000007)
		return append(b, options...)
	}
	request := reply(53, 1, 2, 255)
	request[bootpOffset] = 1
	for _, c := range []struct {
		name  string
		frame []byte
		xid   uint32
		ok    bool
	}{
		{"an OFFER", reply(53, 1, 2, 255), 0x80000007, true},
		{"after padding and another option", reply(0, 60, 3, 'P', 'X', 'E', 53, 1, 2, 255), 0x80000007, true},
		{"an ACK", reply(53, 1, 5, 255), 0x80000007, false},
		{"no type", reply(60, 1, 'P', 255), 0, false},
		{"an option past the end", reply(60, 9, 'P'), 0, false},
		{"a request", request, 0, false},
		{"too short", make([]byte, 100), 0, false},
	} {
		xid, ok := offerOf(c.frame)
		if ok != c.ok || ok && xid != c.xid {
			t.Errorf("%s: %#x, %v", c.name, xid, ok)
		}
	}
}

func TestTrips(t *testing.T) {
	var h trips
	if got := h.quantile(0.5); got != 0 {
		t.Errorf("of nothing: %s", got)
	}
	for i := 1; i <= 1000; i++ {
		h.add(time.Duration(i) * time.Microsecond)
	}
	for _, c := range []struct {
		share float64
		want  time.Duration
	}{{0.5, 501 * time.Microsecond}, {0.99, 991 * time.Microsecond}, {1, time.Millisecond}} {
		got := h.quantile(c.share)
		if got > c.want || got < c.want-c.want/64-1 {
			t.Errorf("quantile %v: %s, want %s less a 64th at most", c.share, got, c.want)
		}
	}
	for _, d := range []time.Duration{0, 1, 127, 128, 129, 255, 256, 12345, time.Second, time.Hour} {
		if v := value(slot(d)); v > d || v < d-d/64 {
			t.Errorf("%d is counted as %d", d, v)
		}
	}
}
