package sockets

// VLAN interfaces that come and go while a server runs. The kernel must support
// 802.1Q. If this one does not, a guest with another kernel runs the test.

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"github.com/pxesidecar/pxesidecar/proxydhcp/server"
)

// TestVLANInterfaces runs the tests that need such a kernel.
func TestVLANInterfaces(t *testing.T) {
	if !knowsVLANs(t) {
		runInGuest(t, "^TestVLANInterfaces$")
		return
	}
	t.Run("come and go", testVLANInterfaceComesAndGoes)
	t.Run("above a plain interface", testVLANInterfaceAbove)
	t.Run("in a bridge", testVLANInterfaceInBridge)
}

// knowsVLANs reports whether the kernel can make a VLAN interface.
func knowsVLANs(t *testing.T) bool {
	n := newNetwork(t).host("host")
	n.ip("link add b0 type bridge")
	return n.tryIP("link add link b0 name b0.20 type vlan id 20") == nil
}

// inVLAN returns the expected answer in a VLAN.
func inVLAN(id uint16, server, file string) []answer {
	list := offer(server, file)
	list[0].Tags = []tag{{unix.ETH_P_8021Q, id}}
	return list
}

// expect sends a request and compares all answers to it.
func (w *wire) expect(what string, want []answer, tags ...tag) {
	w.t.Helper()
	m := request(w.t, dhcpv4.MessageTypeDiscover)
	w.send(ethernetAll, broadcast(m), tags...)
	wait := limit
	if want == nil {
		wait = 300 * time.Millisecond
	}
	if diff := cmp.Diff(want, w.answers(m.TransactionID, wait), comparers); diff != "" {
		w.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

var twenty, thirty = tag{unix.ETH_P_8021Q, 20}, tag{unix.ETH_P_8021Q, 30}

func testVLANInterfaceComesAndGoes(t *testing.T) {
	host, client := cable(t)
	host.ip("addr add 192.0.2.1/24 dev e0")
	w := client.onWire("e0")
	v := start(t, host, setup{Interfaces: []server.Interface{{Name: "e0", VLANs: []uint16{20, 30}}}, Files: filesByVLAN})
	check := func(twentyFrom string) {
		t.Helper()
		w.expect("VLAN 20", inVLAN(20, twentyFrom, "twenty"), twenty)
		w.expect("VLAN 30", inVLAN(30, "192.0.2.1", "other"), thirty)
		w.expect("untagged", offer("192.0.2.1", "other"))
	}
	check("192.0.2.1")
	for range 3 {
		host.ip("link add link e0 name guests type vlan id 20")
		host.ip("addr add 10.20.0.1/16 dev guests")
		host.ip("link set guests up")
		v.awaitLink("guests serving [10.20.0.1/16]")
		check("10.20.0.1")
		host.ip("link del guests")
		v.awaitLink("e0 serving [192.0.2.1/24]") // with all its VLANs
		check("192.0.2.1")
	}
	stream(t, w, host)
	drain(v)
	v.checkErrors()
	// A frame whose tag was never in its bytes, because a VLAN interface sent
	// it.
	client.ip("link add link e0 name v20 type vlan id 20")
	client.ip("link set v20 up")
	v20 := client.onWire("v20")
	v20.expect("from a VLAN interface", offer("192.0.2.1", "twenty"))
}

// stream sends requests while a VLAN interface comes and goes. None may be
// answered twice, and nearly all must be answered once.
func stream(t *testing.T, w *wire, host *node) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 15 {
			host.tryIP("link add link e0 name guests type vlan id 20")
			host.tryIP("addr add 10.20.0.1/16 dev guests")
			host.tryIP("link set guests up")
			time.Sleep(150 * time.Millisecond)
			host.tryIP("link del guests")
			time.Sleep(150 * time.Millisecond)
		}
	}()
	count := map[dhcpv4.TransactionID]int{}
	take := func() bool {
		f := w.next()
		if f == nil {
			return false
		}
		if d, ok := f.udp(); ok {
			if m, err := dhcpv4.FromBytes(d.payload); err == nil {
				if _, ours := count[m.TransactionID]; ours {
					count[m.TransactionID]++
					if d.vlan() != 20 {
						t.Errorf("answered in VLAN %d", d.vlan())
					}
				}
			}
		}
		return true
	}
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
			for range 10 {
				m := request(t, dhcpv4.MessageTypeDiscover)
				count[m.TransactionID] = 0
				w.send(ethernetAll, broadcast(m), twenty)
			}
			for range 10 {
				take()
			}
		}
	}
	for take() {
	}
	var once, never, more int
	for _, n := range count {
		switch n {
		case 0:
			never++
		case 1:
			once++
		default:
			more++
		}
	}
	t.Logf("%d requests: %d answered once, %d never, %d more than once", len(count), once, never, more)
	if more > 0 || once < len(count)/2 {
		t.Errorf("of %d requests %d were answered more than once, %d never", len(count), more, never)
	}
}

// testVLANInterfaceAbove serves an interface, but not the VLAN interface above
// it. The kernel delivers such frames to a socket on either.
func testVLANInterfaceAbove(t *testing.T) {
	host, client := cable(t)
	host.ip("addr add 192.0.2.1/24 dev e0")
	host.ip("link add link e0 name e0.20 type vlan id 20")
	host.ip("addr add 10.20.0.1/16 dev e0.20")
	host.ip("link set e0.20 up")
	w := client.onWire("e0")
	v := start(t, host, setup{Interfaces: []server.Interface{{Name: "e0"}}, Files: filesByVLAN})
	w.expect("VLAN 20", nil, twenty)
	w.expect("VLAN 30", nil, thirty)
	w.expect("untagged", offer("192.0.2.1", "other"))
	drain(v)
	for _, e := range v.all {
		if e.Kind == "request" && e.Interface+fmt.Sprint(e.VLAN) != "e00" {
			t.Errorf("%+v", e)
		}
	}
}

// testVLANInterfaceInBridge serves a VLAN whose interface is a port of a
// bridge.
func testVLANInterfaceInBridge(t *testing.T) {
	host, client := cable(t)
	host.ip("link add br20 type bridge forward_delay 0")
	host.ip("link add link e0 name e0.20 type vlan id 20")
	host.ip("link set e0.20 master br20 up")
	host.ip("addr add 10.20.0.1/16 dev br20")
	host.ip("link set br20 up")
	w := client.onWire("e0")
	start(t, host, setup{Interfaces: []server.Interface{{Name: "e0", VLANs: []uint16{20}, TaggedOnly: true}}, Files: filesByVLAN})
	for end := time.Now().Add(limit); ; { // a bridge forwards when it is ready
		m := request(t, dhcpv4.MessageTypeDiscover)
		w.send(ethernetAll, broadcast(m), twenty)
		if len(w.answers(m.TransactionID, 200*time.Millisecond)) > 0 || time.Now().After(end) {
			break
		}
	}
	w.expect("VLAN 20", inVLAN(20, "10.20.0.1", "twenty"), twenty)
	w.expect("untagged", nil)
}
