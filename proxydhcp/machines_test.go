package proxydhcp

// What is remembered of machines when others say that they are these machines,
// or when one name stands for several.

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// site is a network with a responder.
type site struct {
	t   *testing.T
	r   *Responder
	now time.Time
}

// newSite returns a network in which an iPXE older than 2.0.0 gets the ROM, and
// VLAN 66 is denied.
func newSite(t *testing.T) *site {
	rom := ROMs{BIOS: {"undionly.kpxe"}, X64: {"ipxe.efi"}}
	return &site{t: t, now: testTime, r: NewResponder(ResponderConfig{Policy: &Policy{Rules: []Rule{
		{Name: "denied", Match: Match{VLANs: []uint16{66}}, Outcome: Outcome{}},
		{Name: "thirty", Match: Match{VLANs: []uint16{30}}, Outcome: Outcome{Kind: BootFile, File: "thirty"}},
		{Name: "old", Match: Match{IPXE: &IPXEMatch{Version: mustRange(t, "<2.0.0")}}, Outcome: Outcome{Kind: BootROM, ROMs: rom}},
		{Name: "script", Match: Match{IPXE: &IPXEMatch{}}, Outcome: Outcome{Kind: BootScript, File: "boot.ipxe"}},
		{Name: "rom", Outcome: Outcome{Kind: BootROM, ROMs: rom}},
	}}})}
}

// machineAt is a machine in a segment.
type machineAt struct {
	mac  [6]byte
	ip   netip.Addr
	vlan uint16
	own  []option // in each of its requests
	gi   netip.Addr
}

// old are the options of an iPXE that the site's ROM is for.
func old() []option { return ipxeOptions(Version{1, 0, 0}, 20) }

// sends sends a request of the machine, and returns how it ended.
func (s *site) sends(m machineAt, port uint16, options ...option) Result {
	in := request(m.mac, append(append([]option{opt(dhcp4.OptionClassIdentifier, "PXEClient:Arch:00007:UNDI:003001"),
		opt(dhcp4.OptionClientSystemArchitectureType, "\x00\x07")}, m.own...), options...)...)
	if m.mac == ([6]byte{}) {
		in[1], in[2] = dhcp4.InfiniBand, 0
	}
	a := onServerPort()
	if port == PortProxy {
		a = onProxyPort(m.ip.String() + ":4011")
		copy(in[offCIAddr:], m.ip.AsSlice())
	} else {
		a.Segment.VLAN = m.vlan
		if m.gi.IsValid() {
			copy(in[offGIAddr:], m.gi.AsSlice())
		}
	}
	return s.r.Respond(nil, in, a, s.now)
}

// discovers sends a DISCOVER of the machine.
func (s *site) discovers(m machineAt) Result {
	return s.sends(m, PortServer, opt(dhcp4.OptionDHCPMessageType, "\x01"))
}

// takes has the machine take its address.
func (s *site) takes(m machineAt) {
	s.sends(m, PortServer, opt(dhcp4.OptionDHCPMessageType, "\x03"), opt(dhcp4.OptionServerIdentifier, "\xc0\x00\x02\x01"),
		opt(dhcp4.OptionRequestedIPAddress, string(m.ip.AsSlice())))
}

// asksProxy has the machine ask port 4011.
func (s *site) asksProxy(m machineAt) Result {
	return s.sends(m, PortProxy, opt(dhcp4.OptionDHCPMessageType, "\x03"))
}

// victim is a machine with an old iPXE in VLAN 20.
func victim() machineAt {
	return machineAt{mac: testMAC, ip: netip.MustParseAddr("192.0.2.50"), vlan: 20, own: old()}
}

// forged is a machine that somebody makes up.
func forged(i int, vlan uint16) machineAt {
	return machineAt{mac: [6]byte{2, 6, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}, vlan: vlan,
		ip: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}
}

// gets checks which rule decides.
func (s *site) gets(what string, res Result, rule string) {
	s.t.Helper()
	if res.Decision.Rule != rule {
		s.t.Errorf("%s: rule %q (%s), want %q", what, res.Decision.Rule, res.Reason, rule)
	}
}

// TestSegmentsApart checks that what is sent in one segment in a machine's name
// changes nothing for the machine in another one: not where it is denied, and
// not where others get something else. Its request to port 4011 says nothing of
// its segment.
func TestSegmentsApart(t *testing.T) {
	relayed := victim()
	relayed.vlan, relayed.gi = 0, netip.MustParseAddr("10.2.0.1")
	for _, at := range []machineAt{victim(), relayed} {
		for _, vlan := range []uint16{66, 30, 0} {
			s := newSite(t)
			other := victim()
			other.vlan, other.ip = vlan, netip.MustParseAddr("192.0.2.66")
			s.discovers(other) // before
			s.discovers(at)
			s.takes(at)
			s.discovers(other) // and after
			s.takes(other)
			s.gets(fmt.Sprintf("the other one is in VLAN %d", vlan), s.asksProxy(at), "old")
		}
	}
	s := newSite(t)
	s.discovers(forged(1, 66))
	s.takes(forged(1, 66))
	if s.r.machines.count != 0 {
		t.Error("something is noted of a machine that is denied")
	}
}

// TestGuardOutlivesFloods checks that the loop guard keeps what it knows while
// somebody makes machines up, in the same segment or in others, and that it is
// enough for a large site.
func TestGuardOutlivesFloods(t *testing.T) {
	const flood = maxMachines + maxUnproven
	for name, made := range map[string]func(i int) machineAt{
		"in the same VLAN": func(i int) machineAt { return forged(i, 20) },
		"in another one":   func(i int) machineAt { return forged(i, 21) },
		"behind relays that are made up, too": func(i int) machineAt {
			m := forged(i, 20)
			m.gi = m.ip
			return m
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.discovers(victim())
			s.takes(victim())
			s.r.machines.ROMRead(victim().ip, "ipxe.efi", s.now)
			for i := range flood {
				s.discovers(made(i))
				s.takes(made(i))
			}
			s.gets("after the flood", s.discovers(victim()), "script")
		})
	}
	t.Run("of a machine that is about to read", func(t *testing.T) {
		s := newSite(t)
		s.discovers(victim())
		s.takes(victim())
		for i := range flood {
			m := forged(i, uint16(1000+i%2000))
			m.gi = m.ip
			s.discovers(m)
		}
		s.r.machines.ROMRead(victim().ip, "ipxe.efi", s.now)
		s.gets("after the flood", s.discovers(victim()), "script")
	})
	t.Run("a site of 20,000 machines", func(t *testing.T) {
		s := newSite(t)
		machine := func(i int) machineAt {
			m := forged(i, 20)
			m.own = old()
			return m
		}
		for i := range 20000 {
			s.discovers(machine(i))
			s.takes(machine(i))
			s.r.machines.ROMRead(machine(i).ip, "ipxe.efi", s.now)
		}
		for i := range 20000 {
			if rule := s.discovers(machine(i)).Decision.Rule; rule != "script" {
				t.Fatalf("machine %d: rule %q", i, rule)
			}
		}
	})
}

// TestRequestsProveNothing checks that a request in a machine's name does not
// count as if the machine had read the file.
func TestRequestsProveNothing(t *testing.T) {
	s := newSite(t)
	s.discovers(victim())
	s.takes(victim())
	s.r.machines.FileRequested(victim().ip, "ipxe.efi", true, s.now)
	s.gets("a request alone", s.discovers(victim()), "old")
	s.r.machines.ROMRead(victim().ip, "ipxe.efi", s.now)
	s.gets("the whole file", s.discovers(victim()), "script")
}

// TestAddressesStay checks that a machine whose address others claim is still
// the one that reads from there: whether they claim it before or after it does,
// and from where.
func TestAddressesStay(t *testing.T) {
	claim := func(s *site) {
		for i := range maxHolders - 1 {
			m := forged(i, uint16(20+i%2))
			m.ip = victim().ip
			s.discovers(m)
			s.takes(m)
		}
	}
	for _, when := range []string{"before", "after", "both", "of a machine that has booted"} {
		s := newSite(t)
		if when == "of a machine that has booted" {
			s.discovers(victim())
			s.takes(victim())
			s.r.machines.FileReceived(victim().ip, s.now)
			for range 100 {
				claim(s)
			}
		}
		if when != "after" {
			claim(s)
		}
		s.now = s.now.Add(time.Second)
		s.discovers(victim())
		s.takes(victim())
		if when == "after" || when == "both" {
			claim(s)
		}
		s.r.machines.ROMRead(victim().ip, "ipxe.efi", s.now)
		s.gets(when, s.discovers(victim()), "script")
		if when == "after" {
			if _, known := s.r.Autoexec(victim().ip, func(string) (IPXE, bool) { return IPXE{Present: true}, true }, s.now); known {
				t.Error("a guess about whose address it is")
			}
		}
	}
}

// TestAddressesMove checks that an address goes to another machine when the
// first one has left it.
func TestAddressesMove(t *testing.T) {
	s := newSite(t)
	first, second := victim(), victim()
	second.mac[5]++
	s.discovers(first)
	s.takes(first)
	s.now = s.now.Add(leaseFresh)
	s.discovers(second)
	s.takes(second)
	s.r.machines.ROMRead(second.ip, "ipxe.efi", s.now)
	s.gets("the second", s.discovers(second), "script")
	s.gets("the first", s.discovers(first), "old")
	if k := s.r.machines.owner(second.ip); k == nil || k.station != hardware(second.mac) {
		t.Error("the address is not the second machine's")
	}
}

// TestTwoWays checks that the guard holds for a machine whose broadcasts reach
// us by two relays, each of which gets an answer.
func TestTwoWays(t *testing.T) {
	s := newSite(t)
	one, other := victim(), victim()
	one.vlan, one.gi, other.vlan, other.gi = 0, netip.MustParseAddr("10.2.0.2"), 0, netip.MustParseAddr("10.2.0.3")
	for _, m := range []machineAt{one, other} {
		s.gets("at first", s.discovers(m), "old")
	}
	for _, m := range []machineAt{one, other} {
		s.takes(m)
	}
	s.r.machines.ROMRead(one.ip, "ipxe.efi", s.now)
	for _, m := range []machineAt{one, other} {
		s.gets("then", s.discovers(m), "script")
	}
}

// TestOneMACManyMachines checks that machines that boot by one adapter, after
// each other, are told apart by option 97, and machines on InfiniBand by option
// 61.
func TestOneMACManyMachines(t *testing.T) {
	id := func(code dhcp4.OptionCode, text string) machineAt {
		m := victim()
		m.own = append(old(), opt(code, text))
		return m
	}
	a, b := id(dhcp4.OptionClientMachineIdentifier, "\x00aaaaaaaaaaaaaaaa"), id(dhcp4.OptionClientMachineIdentifier, "\x00bbbbbbbbbbbbbbbb")
	c, d := id(dhcp4.OptionClientIdentifier, "\xff\x00\x00\x00\x00\x00\x02c"), id(dhcp4.OptionClientIdentifier, "\xff\x00\x00\x00\x00\x00\x02d")
	c.mac, d.mac = [6]byte{}, [6]byte{}
	d.ip = netip.MustParseAddr("192.0.2.51")
	for _, pair := range [][2]machineAt{{a, b}, {c, d}} {
		s := newSite(t)
		s.discovers(pair[0])
		s.takes(pair[0])
		s.r.machines.ROMRead(pair[0].ip, "ipxe.efi", s.now)
		s.gets("the second machine", s.discovers(pair[1]), "old")
		s.gets("the first", s.discovers(pair[0]), "script")
	}

	// A machine without any name is answered, and nothing is remembered.
	s := newSite(t)
	nameless := machineAt{vlan: 20, ip: victim().ip, own: old()}
	s.gets("nameless", s.discovers(nameless), "old")
	if s.r.machines.count != 0 {
		t.Error("machines without a name share a record")
	}
}

// TestLongHardware checks that an address of InfiniBand, which does not fit
// into the header, is no reason for silence.
func TestLongHardware(t *testing.T) {
	in := discover(ArchX64, opt(dhcp4.OptionClientIdentifier, "\xff\x00\x00\x00\x00\x00\x02c"))
	in[1], in[2] = dhcp4.InfiniBand, 20
	res := NewResponder(ResponderConfig{Policy: shapePolicy()}).Respond(nil, in, onServerPort(), testTime)
	if res.Reply == nil || res.Reply[1] != dhcp4.InfiniBand || res.Reply[2] != 20 {
		t.Errorf("%s, %v", res.Reason, res.Err)
	}
}

// TestUUIDOfIPXE checks that an iPXE that has another UUID than its firmware,
// or none, shows that the ROM has started.
func TestUUIDOfIPXE(t *testing.T) {
	for _, own := range [][]option{nil, {opt(dhcp4.OptionClientMachineIdentifier, "\x00bbbbbbbbbbbbbbbb")}} {
		s := newSite(t)
		firmware, ipxe := victim(), victim()
		firmware.own = []option{opt(dhcp4.OptionClientMachineIdentifier, "\x00aaaaaaaaaaaaaaaa")}
		ipxe.own = append(ipxeOptions(Version{2, 0, 0}, 20), own...)
		s.discovers(firmware)
		s.takes(firmware)
		s.r.machines.ROMRead(firmware.ip, "ipxe.efi", s.now)
		s.discovers(ipxe)
		if reports := s.r.machines.StartReports(s.now.Add(time.Hour)); len(reports) != 0 {
			t.Errorf("%+v", reports)
		}
	}
}

// TestMemoryOfMachines checks that a full table of machines that have done
// everything takes no more than 24 MiB, and neither does one of machines that
// somebody makes up with names of full length.
func TestMemoryOfMachines(t *testing.T) {
	const most = 24 << 20
	long := func(i int) string {
		text := make([]byte, 255)
		for at := range text {
			text[at] = 'a' + byte((i>>(at%16))&15)
		}
		return string(text)
	}
	for name, play := range map[string]func(s *site, i int){
		"machines that boot": func(s *site, i int) {
			m := forged(i, 20)
			m.own = []option{opt(dhcp4.OptionClientMachineIdentifier, fmt.Sprintf("\x00%016d", i))}
			s.discovers(m)
			s.takes(m)
			s.asksProxy(m)
			s.r.machines.ROMRead(m.ip, "ipxe.efi", s.now)
			m.own = append(old(), m.own...)
			s.discovers(m)
			s.takes(m)
			s.r.machines.ROMRead(m.ip, "ipxe.efi", s.now)
			s.discovers(m)
		},
		"machines that are made up": func(s *site, i int) {
			m := forged(i, 20)
			m.gi = m.ip
			m.own = []option{opt(dhcp4.OptionUserClassInformation, "x"+long(i)[:250]), opt(dhcp4.OptionRelayAgentInformation, "\x01\xfb"+long(i)[:251])}
			s.discovers(m)
			s.takes(m)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			before := heap()
			for i := range maxMachines {
				play(s, i)
			}
			used := heap() - before
			t.Logf("%d records: %.1f MiB", s.r.machines.count, float64(used)/(1<<20))
			if used > most {
				t.Errorf("%d bytes, want %d at most", used, most)
			}
			if want := maxMachines; name == "machines that boot" && s.r.machines.count != want {
				t.Errorf("%d records, want %d", s.r.machines.count, want)
			}
			runtime.KeepAlive(s)
		})
	}
}

// heap returns the bytes that are in use.
func heap() int64 {
	var stats runtime.MemStats
	for range 3 { // what is shared is freed by a cycle after the last one to use it
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
