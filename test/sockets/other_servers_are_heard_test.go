package sockets

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/pxesidecar/pxesidecar/proxydhcp/server"
)

// TestHeard has another DHCP server answer on the segment, by broadcast and
// not, and checks which of its packets the server receives.
func TestHeard(t *testing.T) {
	for _, listen := range []bool{true, false} {
		host, client := cable(t)
		host.ip("addr add 192.0.2.1/24 dev e0")
		w := client.onWire("e0")
		v := start(t, host, setup{Interfaces: []server.Interface{{Name: "e0", VLANs: []uint16{20}}}, Listen: listen, Files: []fileOf{{File: "any"}}})
		send := func(from, to string, op dhcpv4.OpcodeType, tags ...tag) {
			m := request(t, dhcpv4.MessageTypeOffer)
			m.OpCode = op
			w.send(ethernetAll, packet(from, to, m.ToBytes()), tags...)
		}
		send("192.0.2.9:68", "255.255.255.255:68", dhcpv4.OpcodeBootReply)   // not from a server's port
		send("192.0.2.9:67", "255.255.255.255:69", dhcpv4.OpcodeBootReply)   // not to a client's port
		send("192.0.2.9:67", "255.255.255.255:68", dhcpv4.OpcodeBootRequest) // not an answer
		send("192.0.2.9:67", "255.255.255.255:67", dhcpv4.OpcodeBootReply)   // to servers
		send("192.0.2.8:67", "255.255.255.255:68", dhcpv4.OpcodeBootReply, tag{0x8100, 30})
		send("192.0.2.7:67", "255.255.255.255:68", dhcpv4.OpcodeBootReply, tag{0x8100, 20})
		drain(v)
		send("192.0.2.9:67", "255.255.255.255:68", dhcpv4.OpcodeBootReply)
		drain(v)
		var got []event
		for _, e := range v.all {
			if e.Kind != "ready" {
				e.Payload = nil
				got = append(got, e)
			}
		}
		var want []event
		if listen {
			want = []event{
				{Kind: "heard", Interface: "e0", VLAN: 20, Port: 68, From: "192.0.2.7:67", To: "255.255.255.255", Server: "invalid IP"},
				{Kind: "heard", Interface: "e0", Port: 68, From: "192.0.2.9:67", To: "255.255.255.255", Server: "invalid IP"},
			}
		}
		if diff := cmp.Diff(want, got, comparers); diff != "" {
			t.Errorf("listening %v (-want +got):\n%s", listen, diff)
		}
	}
}
