package proxydhcp

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

var testTime = time.Unix(1_800_000_000, 0)

// TestRespondRelay checks that a relayed request is answered to its relay, with
// option 82 untouched and last.
func TestRespondRelay(t *testing.T) {
	in := discover(ArchX64, opt(optRelayInfo, "\x01\x04eth1\x05\x04\xc6\x33\x64\x00"), opt(optClientID, "\x01abcdef"))
	copy(in[offGIAddr:], []byte{198, 51, 100, 1})
	a := onServerPort()
	a.From, a.To = netip.MustParseAddrPort("198.51.100.1:67"), testServer
	res := NewResponder(testPolicy(t), Service{}, false).Respond(nil, in, a, testTime)
	if res.Reply == nil {
		t.Fatalf("no answer: %s, %v", res.Reason, res.Err)
	}
	want := Destination{To: netip.MustParseAddrPort("198.51.100.1:67"), FromPort: PortServer}
	if res.To != want {
		t.Errorf("sent to %+v, want %+v", res.To, want)
	}
	m, err := dhcpv4.FromBytes(res.Reply)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.GatewayIPAddr.String(); got != "198.51.100.1" {
		t.Errorf("giaddr %s", got)
	}
	end := strings.TrimRight(string(res.Reply), "\x00")
	if !strings.HasSuffix(end, "\x52\x0c\x01\x04eth1\x05\x04\xc6\x33\x64\x00\xff") {
		t.Errorf("option 82 is not the last before END: % x", end[offOptions:])
	}
}

// TestRespondProxy checks where the answers of port 4011 go.
func TestRespondProxy(t *testing.T) {
	in := discover(ArchX64)
	in[offOptions+2] = typeRequest
	leased := append([]byte{}, in...)
	copy(leased[offCIAddr:], []byte{192, 0, 2, 50})
	relayed := append([]byte{}, leased...)
	copy(relayed[offGIAddr:], []byte{198, 51, 100, 1})
	for _, tt := range []struct {
		name, from string
		in         []byte
		want       Destination
		flags      uint16
	}{
		{"edk2 from 4011", "192.0.2.50:4011", leased, Destination{To: netip.MustParseAddrPort("192.0.2.50:4011"), FromPort: PortProxy}, 0},
		{"iPXE from 68", "192.0.2.50:68", leased, Destination{To: netip.MustParseAddrPort("192.0.2.50:68"), FromPort: PortProxy}, 0},
		{"no address", "0.0.0.0:68", in, Destination{To: netip.MustParseAddrPort("255.255.255.255:68"), FromPort: PortProxy, Link: true}, broadcastFlag},
		{"forwarded by a relay", "198.51.100.1:67", relayed, Destination{To: netip.MustParseAddrPort("198.51.100.1:67"), FromPort: PortProxy}, 0},
		{"routed, with giaddr set", "198.51.100.77:4011", relayed, Destination{To: netip.MustParseAddrPort("198.51.100.77:4011"), FromPort: PortProxy}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res := NewResponder(testPolicy(t), Service{}, false).Respond(nil, tt.in, onProxyPort(tt.from), testTime)
			if res.Reply == nil {
				t.Fatalf("no answer: %s, %v", res.Reason, res.Err)
			}
			if diff := cmp.Diff(tt.want, res.To, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got := binary.BigEndian.Uint16(res.Reply[offFlags:]); got != tt.flags {
				t.Errorf("flags %#04x, want %#04x", got, tt.flags)
			}
			if got, want := addrAt(res.Reply, offCIAddr), addrAt(tt.in, offCIAddr); got != want {
				t.Errorf("ciaddr %s, want %s", got, want)
			}
		})
	}
}

// TestRespondProxyPlace checks that what holds on port 67 holds on 4011 where the
// second request comes routed: the machine is where its DISCOVER came from, for
// a while.
func TestRespondProxyPlace(t *testing.T) {
	p := &Policy{Rules: []Rule{
		{Name: "vlan", Match: Match{VLANs: []uint16{20}}, Outcome: Outcome{Kind: BootFile, File: "vlan.efi"}},
		{Name: "relay", Match: Match{Relays: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}, Outcome: Outcome{Kind: BootFile, File: "relay.efi"}},
		{Name: "rest", Outcome: Outcome{Kind: BootFile, File: "rest.efi"}},
	}}
	second := discover(ArchX64)
	second[offOptions+2] = typeRequest
	copy(second[offCIAddr:], []byte{192, 0, 2, 50})
	relayed := discover(ArchX64)
	copy(relayed[offGIAddr:], []byte{198, 51, 100, 1})
	tagged := onServerPort()
	tagged.Segment.VLAN = 20
	for _, tt := range []struct {
		name  string
		first []byte
		at    Arrival
		later time.Duration
		want  string
	}{
		{"VLAN", discover(ArchX64), tagged, time.Second, "vlan"},
		{"relay", relayed, onServerPort(), time.Second, "relay"},
		{"our own link", discover(ArchX64), onServerPort(), time.Second, "rest"},
		{"long ago", discover(ArchX64), tagged, placeMemory, "rest"},
	} {
		r := NewResponder(p, Service{}, false)
		r.Respond(nil, tt.first, tt.at, testTime)
		if res := r.Respond(nil, second, onProxyPort("192.0.2.50:4011"), testTime.Add(tt.later)); res.Decision.Rule != tt.want {
			t.Errorf("%s: rule %s, want %s", tt.name, res.Decision.Rule, tt.want)
		}
	}
}

// TestRespondIgnores checks the reasons that only the responder knows.
func TestRespondIgnores(t *testing.T) {
	policy := testPolicy(t)
	nowhere := onServerPort()
	nowhere.Ours = nil
	long := discover(ArchX64)[:offOptions]
	for _, tt := range []struct {
		name   string
		policy *Policy
		dryRun bool
		in     []byte
		at     Arrival
		want   Reason
	}{
		{"no address of ours", policy, false, discover(ArchX64), nowhere, NoAddress},
		{"dry run", policy, true, discover(ArchX64), onServerPort(), DryRun},
		{"no policy", &Policy{}, false, discover(ArchX64), onServerPort(), NoRule},
		{"no ROM", policy, false, discover(ArchARM64), onServerPort(), NoROM},
		{"HTTP without a listener", policy, false, request(testMAC, opt(optMessageType, "\x01"), opt(optArch, "\x00\x10"), opt(optVendorClass, "HTTPClient")), onServerPort(), NeedsHTTP},
		{"no options", policy, false, long, onServerPort(), NotBooting},
		{"cut behind the vendor class", policy, false, append(discover(ArchX64), opt(12, "").value...)[:len(discover(ArchX64))-1], onServerPort(), Answerable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res := NewResponder(tt.policy, Service{}, tt.dryRun).Respond(nil, tt.in, tt.at, testTime)
			if res.Reason != tt.want || (res.Reply != nil) != (tt.want == Answerable) {
				t.Errorf("%s, answered %v; want %s", res.Reason, res.Reply != nil, tt.want)
			}
		})
	}
}

// TestBootFile checks how each kind of client is told where its file is.
func TestBootFile(t *testing.T) {
	foreign := netip.MustParseAddr("192.0.2.99")
	firmware := Client{Arch: ArchX64}
	web := Client{Arch: ArchX64HTTP, Transport: HTTP}
	ipxe := Client{Arch: ArchX64, IPXE: IPXE{Present: true}}
	for _, tt := range []struct {
		name   string
		client Client
		file   string
		next   netip.Addr
		http   uint16
		want   string
		from   netip.Addr
		reason Reason
	}{
		{"firmware, name", firmware, "x/ipxe.efi", testServer, 0, "x/ipxe.efi", testServer, Answerable},
		{"firmware, other server", firmware, "ipxe.efi", foreign, 0, "ipxe.efi", foreign, Answerable},
		{"firmware, tftp URL", firmware, "tftp://192.0.2.99/x/ipxe.efi", testServer, 0, "x/ipxe.efi", foreign, Answerable},
		{"firmware, tftp URL by name", firmware, "tftp://boot.example/ipxe.efi", testServer, 0, "", testServer, NeedsTFTP},
		{"firmware, http URL", firmware, "http://192.0.2.99/ipxe.efi", testServer, 0, "", testServer, NeedsTFTP},
		{"HTTP boot, name", web, "x/ipxe.efi", testServer, 80, "http://192.0.2.10/x/ipxe.efi", testServer, Answerable},
		{"HTTP boot, name and port", web, "ipxe.efi", testServer, 8080, "http://192.0.2.10:8080/ipxe.efi", testServer, Answerable},
		{"HTTP boot, name, no listener", web, "ipxe.efi", testServer, 0, "", testServer, NeedsHTTP},
		{"HTTP boot, name on another server", web, "ipxe.efi", foreign, 80, "", testServer, NeedsHTTP},
		{"HTTP boot, URL", web, "https://boot.example/ipxe.efi", testServer, 0, "https://boot.example/ipxe.efi", testServer, Answerable},
		{"HTTP boot, tftp URL", web, "tftp://192.0.2.99/ipxe.efi", testServer, 80, "", testServer, NeedsHTTP},
		{"iPXE, name", ipxe, "x/boot.ipxe", testServer, 80, "tftp://192.0.2.10/x/boot.ipxe", testServer, Answerable},
		{"iPXE, name on another server", ipxe, "boot.ipxe", foreign, 0, "tftp://192.0.2.99/boot.ipxe", foreign, Answerable},
		{"iPXE, URL with settings", ipxe, "http://boot.example/${net0/mac}", testServer, 0, "http://boot.example/${net0/mac}", testServer, Answerable},
		{"iPXE over HTTP boot", Client{Transport: HTTP, IPXE: IPXE{Present: true}}, "boot.ipxe", testServer, 80, "tftp://192.0.2.10/boot.ipxe", testServer, Answerable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, from, reason := Decision{File: tt.file, NextServer: tt.next}.bootFile(tt.client, testServer, Service{HTTPPort: tt.http})
			if got != tt.want || from != tt.from || reason != tt.reason {
				t.Errorf("%q from %s, %s; want %q from %s, %s", got, from, reason, tt.want, tt.from, tt.reason)
			}
		})
	}
}

// TestHTTPSURL checks the URL where our own HTTP port speaks TLS.
func TestHTTPSURL(t *testing.T) {
	for port, want := range map[uint16]string{443: "https://192.0.2.10/ipxe.efi", 8443: "https://192.0.2.10:8443/ipxe.efi", 80: "https://192.0.2.10:80/ipxe.efi"} {
		if got := (Service{HTTPPort: port, HTTPS: true}).treeURL(testServer, "ipxe.efi"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestLongNames checks where a name goes by its length, and that none is cut.
func TestLongNames(t *testing.T) {
	for _, tt := range []struct {
		length  int
		inField bool
		err     string
	}{
		{127, true, ""},
		{128, false, ""},
		{254, false, ""},
		{255, false, "255 bytes long, and DHCP carries at most 254"},
	} {
		name := "http://192.0.2.10/" + strings.Repeat("x", tt.length-len("http://192.0.2.10/"))
		policy := &Policy{Rules: []Rule{{Outcome: Outcome{Kind: BootScript, File: name}}}}
		in := discover(ArchX64, append(ipxeOptions(Version{2, 0, 0}), opt(optMaxSize, "\x05\xc0"), opt(optRelayInfo, "relay"))...)
		res := NewResponder(policy, Service{}, false).Respond(nil, in, onServerPort(), testTime)
		if tt.err != "" {
			if res.Err == nil || !strings.HasSuffix(res.Err.Error(), tt.err) {
				t.Errorf("%d bytes: %v, want %s", tt.length, res.Err, tt.err)
			}
			continue
		}
		m, err := dhcpv4.FromBytes(res.Reply)
		if err != nil {
			t.Fatal(err)
		}
		field, optional := m.BootFileName, string(m.Options[optBootFile])
		if tt.inField && (field != name || optional != "") || !tt.inField && (field != "" || optional != name+"\x00") {
			t.Errorf("%d bytes: file %q, option 67 %q", tt.length, field, optional)
		}
	}
}

// TestReplyLimit checks option 57, and that a reply that would not fit is not
// sent.
func TestReplyLimit(t *testing.T) {
	for option, want := range map[string]int{"": 548, "\x05": 548, "\x00\x00": 548, "\x02\x40": 548, "\x05\xc0": 1444, "\x05\xdc": 1472, "\xff\xff": 1472} {
		if got := replyLimit([]byte(option)); got != want {
			t.Errorf("option 57 % x: %d, want %d", option, got, want)
		}
	}
	in := discover(ArchX64, opt(optClientID, strings.Repeat("c", 200)), opt(optRelayInfo, strings.Repeat("r", 200)))
	res := NewResponder(testPolicy(t), Service{}, false).Respond(nil, in, onServerPort(), testTime)
	if res.Err == nil || res.Reply != nil {
		t.Errorf("a reply beyond the client's limit: %d bytes, %v", len(res.Reply), res.Err)
	}
}

// TestHardwareOfSixteenBytes checks the GUID that edk2 can be told to put in
// chaddr.
func TestHardwareOfSixteenBytes(t *testing.T) {
	in := discover(ArchX64)
	in[2] = 16
	copy(in[offCHAddr:], "0123456789abcdef")
	policy := &Policy{Rules: []Rule{{Outcome: Outcome{Kind: BootROM, ROMs: ROMs{X64: "ipxe.efi"}}}}}
	res := NewResponder(policy, Service{}, false).Respond(nil, in, onServerPort(), testTime)
	if res.Reply == nil || res.Reply[2] != 16 || string(res.Reply[offCHAddr:offSName]) != "0123456789abcdef" {
		t.Errorf("not echoed: %s, %v", res.Reason, res.Err)
	}
}

// TestForeignServerLoop checks that a loop ends where the ROMs come from
// another server, whose downloads nobody tells us of.
func TestForeignServerLoop(t *testing.T) {
	g := newMemory()
	p := testPolicy(t)
	c := Client{Hardware: hardware(testMAC), IPXE: IPXE{Present: true, HasVersion: true, Version: Version{1, 0, 0}}}
	ip := netip.MustParseAddr("192.0.2.50")
	var kinds []string
	for boot := range 4 {
		g.discovered(c, [4]byte{byte(boot)}, testTime)
		d := p.Decide(c, g.settled(c, "undionly.kpxe", testTime))
		kinds = append(kinds, d.Kind.String())
		g.decided(c, d, true, testTime)
		for range 2 { // its REQUEST is sent twice, and once by its firmware
			g.leased(c.Hardware, ip, [4]byte{byte(boot), 1}, true, testTime)
		}
		g.leased(c.Hardware, ip, [4]byte{byte(boot), 2}, false, testTime)
	}
	if got, want := strings.Join(kinds, " "), "rom rom script script"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestMemoryIsBounded checks that the memory forgets the quiet first, and that no
// address leads to a machine it forgot.
func TestMemoryIsBounded(t *testing.T) {
	g := newMemory()
	client := func(i int) Client {
		return Client{Hardware: hardware([6]byte{2, 0, byte(i >> 16), byte(i >> 8), byte(i)}), IPXE: IPXE{Present: true}}
	}
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	rom := Decision{Kind: BootROM, File: "undionly.kpxe"}
	for i := range 3 * memorySize {
		g.discovered(client(i), [4]byte{}, testTime)
		g.decided(client(i), rom, false, testTime)
		g.leased(client(i).Hardware, address(i), [4]byte{}, true, testTime)
		g.read(address(i), "undionly.kpxe", testTime)
		g.discovered(client(0), [4]byte{}, testTime) // stays in touch
	}
	if len(g.machines) != memorySize || g.quiet.Len() != memorySize || len(g.byIP) > memorySize {
		t.Errorf("%d machines, %d in order, %d addresses; want %d", len(g.machines), g.quiet.Len(), len(g.byIP), memorySize)
	}
	settled := func(i int) bool {
		g.discovered(client(i), [4]byte{}, testTime)
		return g.settled(client(i), rom.File, testTime)
	}
	if !settled(0) || !settled(3*memorySize-1) || settled(1) {
		t.Error("it is not the quiet that are forgotten")
	}
}

// TestChooseServer checks which of our addresses a client is told.
func TestChooseServer(t *testing.T) {
	prefixes := func(texts ...string) (list []netip.Prefix) {
		for _, s := range texts {
			list = append(list, netip.MustParsePrefix(s))
		}
		return list
	}
	var none netip.Addr
	addr := netip.MustParseAddr
	for _, tt := range []struct {
		name string
		ours []netip.Prefix
		to   netip.Addr
		near []netip.Addr
		want netip.Addr
	}{
		{"the one that was asked", prefixes("10.0.0.1/24", "10.0.1.1/24"), addr("10.0.1.1"), []netip.Addr{addr("10.0.0.9")}, addr("10.0.1.1")},
		{"the network of the relay", prefixes("10.0.0.1/24", "10.0.1.1/24"), broadcastAddr, []netip.Addr{addr("10.0.1.9")}, addr("10.0.1.1")},
		{"nothing near", prefixes("10.0.0.1/24", "10.0.1.1/24"), broadcastAddr, []netip.Addr{none, addr("0.0.0.0"), addr("10.9.9.9")}, addr("10.0.0.1")},
		{"link-local last", prefixes("169.254.1.1/16", "10.0.0.1/24"), broadcastAddr, nil, addr("10.0.0.1")},
		{"link-local alone", prefixes("169.254.1.1/16"), broadcastAddr, nil, addr("169.254.1.1")},
		{"shared address after its own", prefixes("10.0.0.9/32", "10.0.0.1/24"), broadcastAddr, []netip.Addr{addr("10.0.0.9")}, addr("10.0.0.1")},
		{"IPv6 and loopback never", prefixes("2001:db8::1/64", "127.0.0.1/8"), broadcastAddr, nil, none},
		{"nothing", nil, broadcastAddr, nil, none},
	} {
		if got := chooseServer(tt.ours, tt.to, tt.near...); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
