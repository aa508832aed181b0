package sockets

// Tagged frames on a trunk of a host that has no VLAN interface.

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/proxydhcp/server"
)

// filesByVLAN are the files of these tests' policies: one for each VLAN, and
// one for frames without a tag or with another one.
var filesByVLAN = []fileOf{
	{proxydhcp.Match{VLANs: []uint16{20}}, "twenty"},
	{proxydhcp.Match{VLANs: []uint16{4094}}, "last"},
	{proxydhcp.Match{}, "other"},
}

// comparers compare addresses by their text.
var comparers = cmp.Options{
	cmp.AllowUnexported(tag{}),
	cmp.Transformer("text", func(v interface{ String() string }) string { return v.String() }),
}

// TestTrunk sends frames with all kinds of tags. It checks which are answered,
// how, and by which rule.
func TestTrunk(t *testing.T) {
	host, client := cable(t)
	host.ip("addr add 192.0.2.1/24 dev e0")
	w := client.onWire("e0")
	both := server.Interface{Name: "e0", VLANs: []uint16{20, 4094}}
	tagged := server.Interface{Name: "e0", VLANs: []uint16{20, 21}, TaggedOnly: true, Server: addr("203.0.113.9")}
	const q, ad = unix.ETH_P_8021Q, unix.ETH_P_8021AD
	other := []byte{2, 0, 0, 0, 0, 9}
	for _, run := range []struct {
		name      string
		on        server.Interface
		server    string
		untagged  bool
		answered  map[uint16]string
		unanswers []uint16
	}{
		{"tagged and untagged", both, "192.0.2.1", true, map[uint16]string{20: "twenty", 4094: "last"}, []uint16{1, 19, 21, 52, 148, 4095}},
		{"tagged only", tagged, "203.0.113.9", false, map[uint16]string{20: "twenty", 21: "other"}, []uint16{1, 19, 22, 4094}},
	} {
		t.Run(run.name, func(t *testing.T) {
			v := start(t, host, setup{Interfaces: []server.Interface{run.on}, Files: filesByVLAN})
			check := func(name string, want string, wantTags []tag, to []byte, tags ...tag) {
				t.Helper()
				m := request(t, dhcpv4.MessageTypeDiscover)
				w.send(to, broadcast(m), tags...)
				wait := 300 * time.Millisecond
				var wanted []answer
				if want != "" {
					wait = limit
					wanted = []answer{{Tags: wantTags, Server: addr(run.server), File: want, Type: dhcpv4.MessageTypeOffer,
						From: addrPort(run.server + ":67"), To: addrPort("255.255.255.255:68")}}
				}
				if diff := cmp.Diff(wanted, w.answers(m.TransactionID, wait), comparers); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
			plain := ""
			if run.untagged {
				plain = "other"
			}
			check("untagged", plain, nil, ethernetAll)
			check("priority tag", plain, nil, ethernetAll, tag{q, 0})
			check("priority tag, priority 7", plain, nil, ethernetAll, tag{q, 7 << 13})
			for id, file := range run.answered {
				check("VLAN of ours", file, []tag{{q, id}}, ethernetAll, tag{q, id})
				check("with a priority", file, []tag{{q, id}}, ethernetAll, tag{q, id | 5<<13})
			}
			for _, id := range run.unanswers {
				check("foreign VLAN", "", nil, ethernetAll, tag{q, id})
			}
			check("to another host", "", nil, other, tag{q, 20})
			check("service tag", "", nil, ethernetAll, tag{ad, 20})
			check("two tags", "", nil, ethernetAll, tag{ad, 20}, tag{q, 20})
			check("two customer tags", "", nil, ethernetAll, tag{q, 20}, tag{q, 21})
			check("priority tag, then VLAN", "", nil, ethernetAll, tag{q, 0}, tag{q, 20})
			// A frame of another protocol is no request, even if its bytes are
			// those of one.
			const experimental = 0x88b5
			m := request(t, dhcpv4.MessageTypeDiscover)
			w.sendAs(experimental, ethernetAll, broadcast(m), tag{q, 20})
			if got := w.answers(m.TransactionID, 300*time.Millisecond); got != nil {
				t.Errorf("another protocol: %v", got)
			}
			// The unanswered frames must not have reached the server at all.
			requests := 0
			drain(v)
			for _, e := range v.all {
				if e.Kind == "request" {
					requests++
				}
				if e.Kind == "error" {
					t.Errorf("error: %s", e.Error)
				}
			}
			want := 2 * len(run.answered)
			if run.untagged {
				want += 3
			}
			if requests != want {
				t.Errorf("%d requests reached the server, want %d", requests, want)
			}
		})
	}
}

// TestTrunkBatch sends more requests at once than one system call receives, in
// two VLANs. Each answer must be in the VLAN of its request.
func TestTrunkBatch(t *testing.T) {
	host, client := cable(t)
	host.ip("addr add 192.0.2.1/24 dev e0")
	w := client.onWire("e0")
	start(t, host, setup{Interfaces: []server.Interface{{Name: "e0", VLANs: []uint16{20, 30}}}, Files: filesByVLAN})
	want := map[dhcpv4.TransactionID]uint16{}
	for i := range 500 {
		m := request(t, dhcpv4.MessageTypeDiscover)
		id := []uint16{0, 20, 30}[i%3]
		want[m.TransactionID] = id
		w.send(ethernetAll, broadcast(m), tag{unix.ETH_P_8021Q, id})
	}
	for end := time.Now().Add(limit); len(want) > 0 && time.Now().Before(end); {
		f := w.next()
		if f == nil {
			continue
		}
		d, ok := f.udp()
		if !ok {
			continue
		}
		m, err := dhcpv4.FromBytes(d.payload)
		if err != nil {
			t.Fatal(err)
		}
		id, ok := want[m.TransactionID]
		delete(want, m.TransactionID)
		if got := d.vlan(); !ok || got != id {
			t.Errorf("answer in VLAN %d to a request in %d (expected at all: %v)", got, id, ok)
		}
	}
	if len(want) > 0 {
		t.Errorf("%d requests were not answered", len(want))
	}
}
