package sockets

import (
	"testing"

	"github.com/pxesidecar/pxesidecar/proxydhcp/server"
)

// TestStart checks the errors of servers that cannot start.
func TestStart(t *testing.T) {
	host, _ := cable(t)
	host.ip("link add b0 type bridge")
	host.ip("link set e0 master b0")
	for _, c := range []struct {
		on   []server.Interface
		want string
	}{
		{[]server.Interface{{Name: "e0"}}, "interface e0: it is a port of the bridge b0, which takes all that arrives; serve b0"},
		{[]server.Interface{{Name: "b0"}, {Name: "b0"}}, "interface b0: named twice"},
		{[]server.Interface{{Name: "b0", VLANs: []uint16{5, 6, 5}}}, "interface b0: named twice, VLAN 5"},
		{[]server.Interface{{Name: "b0", VLANs: []uint16{4095}}}, "interface b0: VLAN 4095: ids are 1 to 4094"},
		{[]server.Interface{{Name: "b0", TaggedOnly: true}}, "interface b0: tagged frames only, and no VLAN"},
	} {
		if got := startError(t, host, setup{Interfaces: c.on}); got != c.want {
			t.Errorf("%+v: %q, want %q", c.on, got, c.want)
		}
	}
}
