package proxydhcp

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// TestSwap replaces the policy a hundred times under ten thousand requests from
// several goroutines: every request is answered, and each answer is wholly of
// one policy.
func TestSwap(t *testing.T) {
	const swaps, askers, requests = 100, 4, 2500
	policy := func(n int) *Policy {
		next := netip.AddrFrom4([4]byte{192, 0, 2, byte(n + 1)})
		return &Policy{Rules: []Rule{{Name: fmt.Sprint(n), Outcome: Outcome{Kind: BootROM, NextServer: next, ROMs: ROMs{BIOS: {fmt.Sprintf("rom-%s", next)}}}}}}
	}
	r := NewResponder(ResponderConfig{Policy: policy(0)})
	in := discover(ArchBIOS)
	var all sync.WaitGroup
	for range askers {
		all.Go(func() {
			for range requests {
				res := r.Respond(nil, in, onServerPort(), testTime)
				if res.Reply == nil {
					t.Errorf("not answered: %s, %v", res.Reason, res.Err)
					return
				}
				server := netip.AddrFrom4([4]byte(res.Reply[offSIAddr:]))
				if file := dhcp4.CString(res.Reply[offFile:dhcp4.CookieOffset]); file != fmt.Sprintf("rom-%s", server) {
					t.Errorf("a mixture: siaddr %s, file %s", server, file)
					return
				}
			}
		})
	}
	for n := range swaps {
		r.SetPolicy(policy(n))
	}
	all.Wait()
}
