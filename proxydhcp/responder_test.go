package proxydhcp

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

var testTime = time.Unix(1_800_000_000, 0)

// TestRespondRelay checks that a relayed request is answered to its relay, with
// option 82 untouched and last.
func TestRespondRelay(t *testing.T) {
	in := discover(ArchX64, opt(dhcp4.OptionRelayAgentInformation, "\x01\x04eth1\x05\x04\xc6\x33\x64\x00"), opt(dhcp4.OptionClientIdentifier, "\x01abcdef"))
	copy(in[offGIAddr:], []byte{198, 51, 100, 1})
	a := onServerPort()
	a.From, a.To = netip.MustParseAddrPort("198.51.100.1:67"), testServer
	res := NewResponder(ResponderConfig{Policy: testPolicy(t)}).Respond(nil, in, a, testTime)
	if res.Reply == nil {
		t.Fatalf("no answer: %s, %v", res.Reason, res.Err)
	}
	want := Destination{To: netip.MustParseAddrPort("198.51.100.1:67"), FromPort: PortServer, Relay: true}
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
		t.Errorf("option 82 is not the last before END: % x", end[dhcp4.HeaderLen:])
	}
}

// TestRespondProxy checks where the answers of port 4011 go.
func TestRespondProxy(t *testing.T) {
	in := discover(ArchX64)
	in[dhcp4.HeaderLen+2] = uint8(dhcp4.MessageTypeRequest)
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
		{"no address", "0.0.0.0:68", in, Destination{To: netip.MustParseAddrPort("255.255.255.255:68"), FromPort: PortProxy, Link: true}, dhcp4.BroadcastFlag},
		{"forwarded by a relay", "198.51.100.1:67", relayed, Destination{To: netip.MustParseAddrPort("198.51.100.1:67"), FromPort: PortProxy, Relay: true}, 0},
		{"routed, with giaddr set", "198.51.100.77:4011", relayed, Destination{To: netip.MustParseAddrPort("198.51.100.77:4011"), FromPort: PortProxy}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res := NewResponder(ResponderConfig{Policy: testPolicy(t)}).Respond(nil, tt.in, onProxyPort(tt.from), testTime)
			if res.Reply == nil {
				t.Fatalf("no answer: %s, %v", res.Reason, res.Err)
			}
			if diff := cmp.Diff(tt.want, res.To, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got := binary.BigEndian.Uint16(res.Reply[10:]); got != tt.flags {
				t.Errorf("flags %#04x, want %#04x", got, tt.flags)
			}
			if got, want := [4]byte(res.Reply[offCIAddr:]), [4]byte(tt.in[offCIAddr:]); got != want {
				t.Errorf("ciaddr %v, want %v", got, want)
			}
		})
	}
}

// TestRespondProxySegment checks that what holds on port 67 holds on 4011 where
// the second request comes routed: the machine is where its DISCOVER came from,
// for a while.
func TestRespondProxySegment(t *testing.T) {
	p := &Policy{Rules: []Rule{
		{Name: "vlan", Match: Match{VLANs: []uint16{20}}, Outcome: Outcome{Kind: BootFile, File: "vlan.efi"}},
		{Name: "relay", Match: Match{Relays: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}, Outcome: Outcome{Kind: BootFile, File: "relay.efi"}},
		{Name: "rest", Outcome: Outcome{Kind: BootFile, File: "rest.efi"}},
	}}
	second := discover(ArchX64)
	second[dhcp4.HeaderLen+2] = uint8(dhcp4.MessageTypeRequest)
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
		{"long ago", discover(ArchX64), tagged, segmentMemory, "rest"},
	} {
		r := NewResponder(ResponderConfig{Policy: p})
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
	long := discover(ArchX64)[:dhcp4.HeaderLen]
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
		{"HTTP without a listener", policy, false, request(testMAC, opt(dhcp4.OptionDHCPMessageType, "\x01"), opt(dhcp4.OptionClientSystemArchitectureType, "\x00\x10"), opt(dhcp4.OptionClassIdentifier, "HTTPClient")), onServerPort(), NeedsHTTP},
		{"no options", policy, false, long, onServerPort(), NotBooting},
		{"cut behind the vendor class", policy, false, append(discover(ArchX64), opt(12, "").value...)[:len(discover(ArchX64))-1], onServerPort(), Answerable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res := NewResponder(ResponderConfig{Policy: tt.policy, DryRun: tt.dryRun}).Respond(nil, tt.in, tt.at, testTime)
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
	byHTTP, byTFTP := ipxe, ipxe
	byHTTP.IPXE.HasFeatures, byHTTP.IPXE.Features = true, Features(0).With(FeatureHTTP)
	byTFTP.IPXE.HasFeatures, byTFTP.IPXE.Features = true, Features(0).With(FeatureHTTPS)
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
		{"iPXE with http, name", byHTTP, "x/boot.ipxe", testServer, 8067, "http://192.0.2.10:8067/x/boot.ipxe", testServer, Answerable},
		{"iPXE with http, name, no listener", byHTTP, "boot.ipxe", testServer, 0, "tftp://192.0.2.10/boot.ipxe", testServer, Answerable},
		{"iPXE with http, name on another server", byHTTP, "boot.ipxe", foreign, 8067, "tftp://192.0.2.99/boot.ipxe", foreign, Answerable},
		{"iPXE with http, URL", byHTTP, "https://boot.example/x", testServer, 8067, "https://boot.example/x", testServer, Answerable},
		{"iPXE without http, name", byTFTP, "boot.ipxe", testServer, 8067, "tftp://192.0.2.10/boot.ipxe", testServer, Answerable},
		{"iPXE, name on another server", ipxe, "boot.ipxe", foreign, 0, "tftp://192.0.2.99/boot.ipxe", foreign, Answerable},
		{"iPXE, URL with settings", ipxe, "http://boot.example/${net0/mac}", testServer, 0, "http://boot.example/${net0/mac}", testServer, Answerable},
		{"iPXE over HTTP boot", Client{Transport: HTTP, IPXE: IPXE{Present: true}}, "boot.ipxe", testServer, 80, "tftp://192.0.2.10/boot.ipxe", testServer, Answerable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, reason := Decision{File: tt.file, NextServer: tt.next}.bootFile(tt.client, testServer, ReplyOptions{HTTPPort: tt.http})
			if reason != tt.reason || reason == Answerable && got != (bootFile{tt.want, tt.from}) {
				t.Errorf("%v, %s; want %q from %s, %s", got, reason, tt.want, tt.from, tt.reason)
			}
		})
	}
}

// TestBootFileByHTTP checks which decisions an iPXE with http loads over HTTP:
// none if the port speaks TLS, and not the file of a rule, which may be a boot
// program that loads the rest by TFTP.
func TestBootFileByHTTP(t *testing.T) {
	c := Client{Arch: ArchX64, IPXE: IPXE{Present: true, HasFeatures: true, Features: Features(0).With(FeatureHTTP)}}
	for kind, want := range map[OutcomeKind]string{
		BootROM: "http://192.0.2.10:8067/a", BootScript: "http://192.0.2.10:8067/a", LocalDisk: "http://192.0.2.10:8067/a", BootFile: "tftp://192.0.2.10/a",
	} {
		d := Decision{Kind: kind, File: "a"}
		if got, _ := d.bootFile(c, testServer, ReplyOptions{HTTPPort: 8067}); got.name != want {
			t.Errorf("%s: %s, want %s", kind, got.name, want)
		}
		if got, _ := d.bootFile(c, testServer, ReplyOptions{HTTPPort: 8067, HTTPS: true}); got.name != "tftp://192.0.2.10/a" {
			t.Errorf("%s beside HTTPS: %s", kind, got.name)
		}
	}
}

// TestHTTPSURL checks the URL where our own HTTP port speaks TLS.
func TestHTTPSURL(t *testing.T) {
	for port, want := range map[uint16]string{443: "https://192.0.2.10/ipxe.efi", 8443: "https://192.0.2.10:8443/ipxe.efi", 80: "https://192.0.2.10:80/ipxe.efi"} {
		if got := (ReplyOptions{HTTPPort: port, HTTPS: true}).treeURL(testServer, "ipxe.efi"); got != want {
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
		in := discover(ArchX64, append(ipxeOptions(Version{2, 0, 0}), opt(dhcp4.OptionMaximumDHCPMessageSize, "\x05\xc0"), opt(dhcp4.OptionRelayAgentInformation, "relay"))...)
		res := NewResponder(ResponderConfig{Policy: policy}).Respond(nil, in, onServerPort(), testTime)
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
		field, optional := m.BootFileName, string(m.Options[uint8(dhcp4.OptionBootfileName)])
		if tt.inField && (field != name || optional != "") || !tt.inField && (field != "" || optional != name+"\x00") {
			t.Errorf("%d bytes: file %q, option 67 %q", tt.length, field, optional)
		}
	}
}

// TestReplyLimit checks that a reply that would not fit is not sent.
func TestReplyLimit(t *testing.T) {
	in := discover(ArchX64, opt(dhcp4.OptionClientIdentifier, strings.Repeat("c", 200)), opt(dhcp4.OptionRelayAgentInformation, strings.Repeat("r", 200)))
	res := NewResponder(ResponderConfig{Policy: testPolicy(t)}).Respond(nil, in, onServerPort(), testTime)
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
	policy := &Policy{Rules: []Rule{{Outcome: Outcome{Kind: BootROM, ROMs: ROMs{X64: {"ipxe.efi"}}}}}}
	res := NewResponder(ResponderConfig{Policy: policy}).Respond(nil, in, onServerPort(), testTime)
	if res.Reply == nil || res.Reply[2] != 16 || string(res.Reply[offCHAddr:offSName]) != "0123456789abcdef" {
		t.Errorf("not echoed: %s, %v", res.Reason, res.Err)
	}
}

// TestForeignServerLoop checks that a loop ends if the ROMs come from another
// server, whose downloads nobody reports to us.
func TestForeignServerLoop(t *testing.T) {
	m := NewMachines()
	p := testPolicy(t)
	c := Client{Hardware: hardware(testMAC), IPXE: IPXE{Present: true, HasVersion: true, Version: Version{1, 0, 0}}}
	ip := netip.MustParseAddr("192.0.2.50")
	var kinds []string
	for boot := range 4 {
		v := m.visit(identity{station: c.Hardware}, &c.Segment, testTime)
		v.discovered(c, [4]byte{byte(boot)})
		d := p.Decide(c, v.upgradeFailed(&c, "undionly.kpxe"))
		kinds = append(kinds, d.Kind.String())
		v.machine.upgrade.decided(&c, d, true, &v.machine.read, v.now)
		for range 2 { // its REQUEST is sent twice, and once by its firmware
			v.leased(ip, [4]byte{byte(boot), 1}, true)
		}
		v.leased(ip, [4]byte{byte(boot), 2}, false)
		v.end()
	}
	if got, want := strings.Join(kinds, " "), "rom rom script script"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := m.LastROM(ip, testTime); got != "" {
		t.Errorf("%s of another server counts as one of ours", got)
	}
}

// TestMachinesAreBounded checks that the quiet machines are forgotten first,
// and that no address leads to a machine that was forgotten.
func TestMachinesAreBounded(t *testing.T) {
	m := NewMachines()
	client := func(i int) Client {
		return Client{Hardware: hardware([6]byte{2, 0, byte(i >> 16), byte(i >> 8), byte(i)}), IPXE: IPXE{Present: true}}
	}
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	rom := Decision{Kind: BootROM, File: "undionly.kpxe"}
	discovered := func(i int) visit {
		v := m.visit(identity{station: client(i).Hardware}, &Segment{}, testTime)
		v.discovered(client(i), [4]byte{})
		return v
	}
	for i := range 3 * maxMachines {
		v := discovered(i)
		c := client(i)
		v.machine.upgrade.decided(&c, rom, false, &v.machine.read, v.now)
		v.leased(address(i), [4]byte{}, true)
		v.end()
		m.ROMRead(address(i), "undionly.kpxe", testTime)
		v = discovered(0) // stays in touch
		v.end()
		m.ROMRead(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}), "undionly.kpxe", testTime) // without DHCP
	}
	if m.count != maxMachines || m.byStation.len > maxMachines || m.byIP.len > maxMachines {
		t.Errorf("%d machines, %d by hardware address, %d by IP address; want %d", m.count, m.byStation.len, m.byIP.len, maxMachines)
	}
	failed := func(i int) bool {
		v := discovered(i)
		defer v.end()
		c := client(i)
		return v.upgradeFailed(&c, rom.File)
	}
	if !failed(0) || !failed(3*maxMachines-1) || failed(1) {
		t.Error("it is not the quiet machines that are forgotten")
	}
}

// TestHasBooted checks who may read files wherever its address is: a machine
// that was heard to boot and to take that address, for ten minutes.
func TestHasBooted(t *testing.T) {
	ip, other := netip.MustParseAddr("203.0.113.50"), netip.MustParseAddr("203.0.113.51")
	m := NewMachines()
	m.ROMRead(ip, "undionly.kpxe", testTime)
	if m.HasBooted(ip, testTime) {
		t.Error("reading a file counts as booting")
	}
	v := m.visit(identity{station: hardware(testMAC)}, &Segment{}, testTime)
	v.discovered(Client{Hardware: hardware(testMAC)}, [4]byte{1})
	v.leased(ip, [4]byte{1}, false)
	v.end()
	for _, tt := range []struct {
		ip    netip.Addr
		after time.Duration
		want  bool
	}{{ip, 0, true}, {ip, segmentMemory - 1, true}, {ip, segmentMemory, false}, {other, 0, false}, {netip.Addr{}, 0, false}} {
		if got := m.HasBooted(tt.ip, testTime.Add(tt.after)); got != tt.want {
			t.Errorf("%s after %s: %v, want %v", tt.ip, tt.after, got, tt.want)
		}
	}
}

// TestLastROM checks who has just read which ROM: for a while, also if no DHCP
// was heard of it, and when it then takes the address that it has.
func TestLastROM(t *testing.T) {
	ip, other := netip.MustParseAddr("192.0.2.50"), netip.MustParseAddr("192.0.2.51")
	m := NewMachines()
	read := func(name string, ip netip.Addr, after time.Duration, want string) {
		t.Helper()
		if got := m.LastROM(ip, testTime.Add(after)); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	read("nothing read", ip, 0, "")
	m.FileRequested(ip, "file", true, testTime)
	read("a file requested", ip, 0, "")
	m.ROMRead(ip, "undionly.kpxe", testTime)
	read("a ROM read", ip, 0, "undionly.kpxe")
	read("by another", other, 0, "")
	read("long ago", ip, guardMemory, "")

	v := m.visit(identity{station: hardware(testMAC)}, &Segment{}, testTime)
	v.discovered(Client{Hardware: hardware(testMAC)}, [4]byte{})
	v.leased(ip, [4]byte{}, true)
	v.leased(other, [4]byte{}, true)
	v.end()
	read("its old address", ip, 0, "")
	read("its new address", other, 0, "undionly.kpxe")
	if m.count != 1 {
		t.Errorf("%d records of one machine", m.count)
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
		{"the network of the relay", prefixes("10.0.0.1/24", "10.0.1.1/24"), Broadcast, []netip.Addr{addr("10.0.1.9")}, addr("10.0.1.1")},
		{"nothing near", prefixes("10.0.0.1/24", "10.0.1.1/24"), Broadcast, []netip.Addr{none, addr("0.0.0.0"), addr("10.9.9.9")}, addr("10.0.0.1")},
		{"link-local last", prefixes("169.254.1.1/16", "10.0.0.1/24"), Broadcast, nil, addr("10.0.0.1")},
		{"link-local alone", prefixes("169.254.1.1/16"), Broadcast, nil, addr("169.254.1.1")},
		{"shared address after its own", prefixes("10.0.0.9/32", "10.0.0.1/24"), Broadcast, []netip.Addr{addr("10.0.0.9")}, addr("10.0.0.1")},
		{"IPv6 and loopback never", prefixes("2001:db8::1/64", "127.0.0.1/8"), Broadcast, nil, none},
		{"nothing", nil, Broadcast, nil, none},
	} {
		if got := ChooseServer(tt.ours, tt.to, tt.near...); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
