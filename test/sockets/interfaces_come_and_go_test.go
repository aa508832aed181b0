package sockets

// Interfaces that come and go under a running server.

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/pxesidecar/pxesidecar/proxydhcp/server"
)

// resumeLimit is how soon the server must answer again.
const resumeLimit = 2 * time.Second

// awaitService sends requests until the server answers from an address, and
// fails if that takes too long.
func (w *wire) awaitService(server string) {
	w.t.Helper()
	began := time.Now()
	for time.Since(began) < resumeLimit {
		m := request(w.t, dhcpv4.MessageTypeDiscover)
		w.send(ethernetAll, broadcast(m))
		if got := w.answers(m.TransactionID, 100*time.Millisecond); len(got) > 0 {
			if diff := cmp.Diff(offer(server, "any"), got, comparers); diff == "" {
				return
			} else if time.Since(began) > resumeLimit/2 {
				w.t.Fatalf("(-want +got):\n%s", diff)
			}
		}
	}
	w.t.Fatalf("not served within %s", resumeLimit)
}

// checkSilent checks that a request is not answered.
func (w *wire) checkSilent() {
	w.t.Helper()
	m := request(w.t, dhcpv4.MessageTypeDiscover)
	w.send(ethernetAll, broadcast(m))
	if got := w.answers(m.TransactionID, 300*time.Millisecond); len(got) > 0 {
		w.t.Fatalf("answered: %+v", got)
	}
}

// awaitLink waits until the server reports this state of an interface, and
// forgets all events so far.
func (v *child) awaitLink(want string) {
	v.t.Helper()
	v.await(want, func(e event) bool { return e.Kind == "link" && e.text() == want })
	v.checkErrors()
	v.all = nil
}

// text returns the state of a link.
func (e event) text() string {
	return fmt.Sprint(e.Link.Interface, " ", e.Link.State, " ", e.Link.Addresses)
}

// checkErrors fails the test for each error that the server reported.
func (v *child) checkErrors() {
	v.t.Helper()
	for _, e := range v.all {
		if e.Kind == "error" {
			v.t.Errorf("error of %q: %s", e.Interface, e.Error)
		}
	}
}

// reported checks that the server has reported exactly these states of its
// interfaces since the last call, and no error.
func (v *child) reported(want ...string) {
	v.t.Helper()
	for range want {
		// The server reports a state only when it is stable.
		if e, ok := v.within(2*resumeLimit, func(e event) bool { return e.Kind == "link" }); ok {
			v.all = append(v.all, e)
		}
	}
	drain(v)
	var got []string
	for _, e := range v.all {
		if e.Kind == "link" {
			got = append(got, e.text())
		}
	}
	v.checkErrors()
	v.all = nil
	if diff := cmp.Diff(want, got); diff != "" {
		v.t.Errorf("reported (-want +got):\n%s", diff)
	}
}

// TestLive changes an interface in every way. Each time it must be served
// again, and the change must be reported once.
func TestLive(t *testing.T) {
	host, client := cable(t)
	host.ip("addr add 192.0.2.1/24 dev e0")
	v := start(t, host, setup{Interfaces: []server.Interface{{Name: "e0"}}, Files: []fileOf{{File: "any"}}})
	want := []server.Link{{Interface: "e0", Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}}}
	for i := range v.ready.Links {
		v.ready.Links[i].Index = 0
	}
	if diff := cmp.Diff(want, v.ready.Links, comparers); diff != "" {
		t.Errorf("at the start (-want +got):\n%s", diff)
	}
	w := client.onWire("e0")
	w.awaitService("192.0.2.1")
	v.reported()

	host.ip("link set e0 down")
	v.reported("e0 down [192.0.2.1/24]")
	host.ip("link set e0 up")
	w.awaitService("192.0.2.1")
	v.reported("e0 serving [192.0.2.1/24]")

	client.ip("link set e0 down")
	v.reported("e0 down [192.0.2.1/24]")
	client.ip("link set e0 up")
	w.awaitService("192.0.2.1")
	v.reported("e0 serving [192.0.2.1/24]")

	host.ip("addr add 192.0.2.2/24 dev e0")
	v.reported("e0 serving [192.0.2.1/24 192.0.2.2/24]")
	w.awaitService("192.0.2.1")
	host.ip("addr del 192.0.2.1/24 dev e0") // removes the secondary address, too, by default
	v.reported("e0 no IPv4 address []")
	w.checkSilent()
	host.ip("addr add 192.0.2.3/24 dev e0")
	w.awaitService("192.0.2.3")
	v.reported("e0 serving [192.0.2.3/24]")
	host.ip("addr add 198.51.100.1/24 dev e0")
	host.ip("addr change 192.0.2.3/24 dev e0 valid_lft 1000 preferred_lft 0") // deprecated
	w.awaitService("198.51.100.1")
	host.ip("addr del 198.51.100.1/24 dev e0")
	w.awaitService("192.0.2.3")
	v.within(resumeLimit, func(event) bool { return false })
	v.all = nil

	host.ip("link set e0 down")
	host.ip("link set e0 name e9")
	host.ip("link set e9 up")
	v.reported("e0 missing []")
	w.checkSilent()
	host.ip("link set e9 down")
	host.ip("link set e9 name e0")
	host.ip("link set e0 up")
	w.awaitService("192.0.2.3")
	v.reported("e0 serving [192.0.2.3/24]")

	host.ip("link del e0")
	v.reported("e0 missing []")
	host.connect("e0", client, "e0")
	host.ip("addr add 192.0.2.4/24 dev e0")
	w = client.onWire("e0")
	w.awaitService("192.0.2.4")
	v.reported("e0 serving [192.0.2.4/24]")

	// A bridge replaces the interface later.
	host.ip("link del e0")
	host.connect("p0", client, "e0")
	host.ip("link add e0 type bridge forward_delay 0")
	host.ip("addr add 192.0.2.5/24 dev e0")
	host.ip("link set p0 master e0")
	host.ip("link set e0 up")
	w = client.onWire("e0")
	w.awaitService("192.0.2.5")
	v.reported("e0 serving [192.0.2.5/24]")
}

// TestFlaps changes the state of an interface a thousand times, deletes it a
// hundred times, and counts the files and sockets that stay open.
func TestFlaps(t *testing.T) {
	host, client := cable(t)
	host.ip("addr add 192.0.2.1/24 dev e0")
	v := start(t, host, setup{Interfaces: []server.Interface{{Name: "e0", VLANs: []uint16{20, 30}}}, Relayed: true, Files: []fileOf{{File: "any"}}})
	client.onWire("e0").awaitService("192.0.2.1")
	before := v.stats()
	sockets := host.packetSockets()
	flaps := strings.Repeat("link set e0 down\nlink set e0 up\n", 1000)
	host.batch(flaps)
	host.batch(strings.Repeat("addr del 192.0.2.1/24 dev e0\naddr add 192.0.2.1/24 dev e0\n", 1000))
	client.onWire("e0").awaitService("192.0.2.1")
	for range 100 {
		host.batch("link del e0\n")
		host.connect("e0", client, "e0")
		host.batch("addr add 192.0.2.1/24 dev e0\n")
		time.Sleep(20 * time.Millisecond) // so that the server notices some changes, not all
	}
	client.onWire("e0").awaitService("192.0.2.1")
	drain(v)
	after := v.stats()
	if after.Files != before.Files || after.Routines != before.Routines {
		t.Errorf("%d files and %d goroutines before, %d and %d after", before.Files, before.Routines, after.Files, after.Routines)
	}
	if now := host.packetSockets(); now != sockets {
		t.Errorf("%d packet sockets before, %d after", sockets, now)
	}
	v.checkErrors()
}
