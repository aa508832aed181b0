package proxydhcp

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// heardBy returns a responder that has heard a machine boot, in transaction 1.
func heardBy(t *testing.T) *Responder {
	t.Helper()
	r := NewResponder(ResponderConfig{Policy: shapePolicy()})
	in := discover(ArchX64)
	copy(in[offXID:], []byte{1, 0, 0, 0})
	if res := r.Respond(nil, in, onServerPort(), testTime); res.Reply == nil {
		t.Fatal(res.Reason)
	}
	return r
}

// fromServer is the arrival of another server's answer.
func fromServer() Arrival {
	a := onServerPort()
	a.Port, a.From = PortClient, netip.MustParseAddrPort("192.0.2.1:67")
	return a
}

// withHeader edits the header of an answer.
func withHeader(b []byte, off int, value string) []byte {
	copy(b[off:], value)
	return b
}

// proxied makes an answer one without an address.
func proxied(b []byte) []byte { return withHeader(b, offYIAddr, "\x00\x00\x00\x00") }

// TestConflicts checks each kind in packets such as Windows servers send.
func TestConflicts(t *testing.T) {
	xid := [4]byte{1}
	offer := func(options ...option) []byte { return answer(testMAC, xid, dhcp4.MessageTypeOffer, options...) }
	pxe := opt(dhcp4.OptionClassIdentifier, "PXEClient")
	const itself = "\xc0\x00\x02\x01"
	for _, tt := range []struct {
		name   string
		answer []byte
		want   string // faults and their values
	}{
		{"clean", offer(), ""},
		{"siaddr is the server itself", withHeader(offer(), offSIAddr, itself), "other next-server 192.0.2.1"},
		{"siaddr is ours", withHeader(offer(), offSIAddr, "\xc0\x00\x02\x0a"), ""},
		{"in the ACK", withHeader(answer(testMAC, xid, dhcp4.MessageTypeAck), offSIAddr, itself), "other next-server 192.0.2.1"},
		{"option 60 alone", offer(pxe), "option 60 PXEClient "},
		{"option 60, long", offer(opt(dhcp4.OptionClassIdentifier, "PXEClient:Arch:00000")), "option 60 PXEClient "},
		{"another vendor class", offer(opt(dhcp4.OptionClassIdentifier, "MSFT 5.0")), ""},
		{"option 67", offer(opt(dhcp4.OptionBootfileName, "boot\\x86\\wdsnbp.com\x00")), `other boot file boot\x86\wdsnbp.com`},
		{"a file in the header", withHeader(withHeader(offer(), offFile, "pxelinux.0"), offSIAddr, itself), "other boot file pxelinux.0"},
		{"option 67 without a zero", offer(opt(dhcp4.OptionBootfileName, "x")), "other boot file x, option 67 without a zero x"},
		{"66 without 67", offer(opt(66, "192.0.2.1")), ""},
		{"43 of a wireless controller, with 60", offer(pxe, opt(dhcp4.OptionVendorSpecificInformation, "\xf1\x04\xc0\x00\x02\x05")), "option 43 is not for PXE f1 04 c0 00 02 05"},
		{"43 that is text, with 60", offer(pxe, opt(dhcp4.OptionVendorSpecificInformation, "192.0.2.5")), "option 43 is not for PXE 31 39 32 2e 30 2e 32 2e 35"},
		{"43 of a wireless controller, without 60", offer(opt(dhcp4.OptionVendorSpecificInformation, "\xf1\x04\xc0\x00\x02\x05")), "option 43 for everybody f1 04 c0 00 02 05"},
		{"a boot service of its own", offer(pxe, opt(dhcp4.OptionVendorSpecificInformation, "\x06\x01\x08\xff")), "another boot service 06 01 08 ff"},
		{"no-pxedhcp", offer(opt(dhcp4.OptionEtherboot, "\xb0\x01\x01")), "proxies forbidden "},
		{"no-pxedhcp 0", offer(opt(dhcp4.OptionEtherboot, "\xb0\x01\x00")), ""},
		{"everything at once", withHeader(offer(pxe, opt(dhcp4.OptionBootfileName, "x"), opt(dhcp4.OptionEtherboot, "\xb0\x01\x01")), offSIAddr, itself), "other boot file x, option 67 without a zero x, option 60 PXEClient , proxies forbidden "},
		{"another proxy", proxied(offer(pxe, opt(dhcp4.OptionBootfileName, "x"))), `another proxy the boot file "x", next-server 0.0.0.0, vendor class "PXEClient"`},
		{"a proxy that names the file on port 4011 alone", withHeader(proxied(offer(pxe)), offSIAddr, itself), `another proxy no boot file in the OFFER, next-server 192.0.2.1, vendor class "PXEClient"`},
		{"a proxy with our file, on itself", withHeader(proxied(offer(pxe, opt(dhcp4.OptionBootfileName, "ipxe.efi"))), offSIAddr, itself),
			`another proxy with our answer the boot file "ipxe.efi", next-server 192.0.2.1, vendor class "PXEClient"`},
		{"a proxy with our file, elsewhere", withHeader(proxied(offer(pxe, opt(dhcp4.OptionBootfileName, "ipxe.efi"))), offSIAddr, "\xc0\x00\x02\x63"),
			`another proxy the boot file "ipxe.efi", next-server 192.0.2.99, vendor class "PXEClient"`},
		{"a proxy with our file, and a menu", withHeader(proxied(offer(pxe, opt(dhcp4.OptionBootfileName, "ipxe.efi"), opt(dhcp4.OptionVendorSpecificInformation, "\x09\x04\x80\x00\x01a\xff"))), offSIAddr, itself),
			`another proxy the boot file "ipxe.efi", next-server 192.0.2.1, vendor class "PXEClient"`},
		{"no address, and no proxy", proxied(offer(opt(dhcp4.OptionBootfileName, "x"))), ""},
		{"a NAK", answer(testMAC, xid, dhcp4.MessageTypeNak, pxe), ""},
		{"to a machine that does not boot", answer([6]byte{2}, xid, dhcp4.MessageTypeOffer, pxe), ""},
		{"in another transaction", answer(testMAC, [4]byte{2}, dhcp4.MessageTypeOffer, pxe), ""},
		{"a request", request(testMAC, opt(dhcp4.OptionDHCPMessageType, "\x02")), ""},
		{"BOOTP", withHeader(withHeader(request(testMAC, pxe), 0, "\x02"), offXID, "\x01\x00\x00\x00"), ""},
		{"cut", offer(pxe)[:dhcp4.HeaderLen-1], ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, c := range heardBy(t).Heard(fromServer(), tt.answer, testTime) {
				got = append(got, c.Kind.String()+" "+c.Value)
			}
			if text := strings.Join(got, ", "); text != tt.want {
				t.Errorf("%s\nwant %s", text, tt.want)
			}
		})
	}
}

// TestOtherProxies checks that two of us with one configuration are no conflict
// for any client, and that two with different ones are one.
func TestOtherProxies(t *testing.T) {
	menu := &Menu{Prompt: "Press F8", Items: []MenuItem{{Type: FirstItemType, Text: "Install", File: "ipxe.efi"}}}
	script := Outcome{Kind: BootScript, File: "boot.ipxe"}
	rules := func(rom, script Outcome) *Policy {
		return &Policy{Rules: []Rule{{Name: "script", Match: Match{IPXE: &IPXEMatch{}}, Outcome: script}, {Name: "rom", Outcome: rom}}}
	}
	rom := shapePolicy().Rules[0].Outcome
	usual := rules(rom, script)
	other := rules(Outcome{Kind: BootROM, ROMs: ROMs{BIOS: {"pxelinux.0"}, X64: {"grubx64.efi"}}}, Outcome{Kind: BootScript, File: "other.ipxe"})
	menus := rules(Outcome{Kind: BootMenu, Menu: menu}, script)
	remote := rules(Outcome{Kind: BootROM, ROMs: rom.ROMs, NextServer: netip.MustParseAddr("192.0.2.99")}, script)
	silent := &Policy{Rules: []Rule{{Name: "deny"}}}
	web := ReplyOptions{HTTPPort: 8067}
	x64 := Client{Hardware: hardware(testMAC), Arch: ArchX64, VendorClass: "PXEClient:Arch:00007:UNDI:003001"}
	bios, byHTTP, ipxe := x64, x64, x64
	bios.Arch, bios.VendorClass = ArchBIOS, "PXEClient:Arch:00000:UNDI:002001"
	byHTTP.Arch, byHTTP.Transport, byHTTP.VendorClass = ArchX64HTTP, HTTP, "HTTPClient:Arch:00016:UNDI:003001"
	ipxe.UserClass, ipxe.IPXE = "iPXE", IPXE{Present: true, HasFeatures: true}
	for name, tt := range map[string]struct {
		ours, theirs *Policy
		want         []ConflictKind
	}{
		"one configuration": {usual, usual, []ConflictKind{SameProxy}},
		"one menu":          {menus, menus, []ConflictKind{SameProxy}},
		"one next-server":   {remote, remote, []ConflictKind{SameProxy}},
		"other files":       {usual, other, []ConflictKind{OtherProxy}},
		"we are silent":     {silent, other, nil},
	} {
		for kind, c := range map[string]Client{"BIOS": bios, "UEFI": x64, "HTTP boot": byHTTP, "iPXE": ipxe} {
			if kind == "HTTP boot" && tt.ours != usual {
				continue // a menu and another server's files are not for it
			}
			us := NewResponder(ResponderConfig{Policy: tt.ours, Options: web})
			them := NewResponder(ResponderConfig{Policy: tt.theirs, Options: web})
			there := onServerPort()
			there.Ours = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}
			us.Respond(nil, c.Discover(), onServerPort(), testTime)
			reply := them.Respond(nil, c.Discover(), there, testTime).Reply
			var got []ConflictKind
			for _, found := range us.Heard(fromServer(), reply, testTime) {
				got = append(got, found.Kind)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", name, kind, diff)
			}
			if again := us.Heard(fromServer(), reply, testTime); len(again) > 0 {
				t.Errorf("%s, %s: reported again: %v", name, kind, again)
			}
		}
	}
}

// TestConflictWhole checks all of a finding, and that each kind of a server is
// reported once where it is heard.
func TestConflictWhole(t *testing.T) {
	r := heardBy(t)
	b := answer(testMAC, [4]byte{1}, dhcp4.MessageTypeOffer, opt(dhcp4.OptionClassIdentifier, "PXEClient"))
	want := []Conflict{{
		Kind: PXEClientWithoutMenu, Server: netip.MustParseAddr("192.0.2.1"), Segment: Segment{Interface: "eth0"},
		Network: netip.MustParsePrefix("192.0.2.0/24"), Client: hardware(testMAC), Ours: testServer,
	}}
	values := cmp.Options{compareAddrs, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })}
	if diff := cmp.Diff(want, r.Heard(fromServer(), b, testTime), values); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if again := r.Heard(fromServer(), b, testTime); len(again) != 0 {
		t.Errorf("reported again: %v", again)
	}
	elsewhere := fromServer()
	elsewhere.Segment.VLAN = 20
	if there := r.Heard(elsewhere, b, testTime); len(there) != 1 {
		t.Errorf("in another VLAN: %v", there)
	}
	more := answer(testMAC, [4]byte{1}, dhcp4.MessageTypeOffer, opt(dhcp4.OptionClassIdentifier, "PXEClient"), opt(dhcp4.OptionBootfileName, "x\x00"))
	if got := r.Heard(fromServer(), more, testTime); len(got) != 1 || got[0].Kind != OtherBootFile {
		t.Errorf("another kind: %v", got)
	}
	if late := heardBy(t).Heard(fromServer(), b, testTime.Add(answerTime+1)); len(late) != 0 {
		t.Errorf("long after the DISCOVER: %v", late)
	}

	here := fromServer()
	here.Ours = append([]netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}, here.Ours...)
	if got := heardBy(t).Heard(here, b, testTime); len(got) != 1 || got[0].Kind != PXEClientHere {
		t.Errorf("on our own host: %v", got)
	}
}

// TestShimFollowsOtherServer checks that a boot file of the DHCP server is
// serious for a machine that gets a shim: if it is in the header of the answer,
// where a shim looks. An iPXE gets no shim.
func TestShimFollowsOtherServer(t *testing.T) {
	xid := [4]byte{1}
	inHeader := withHeader(answer(testMAC, xid, dhcp4.MessageTypeOffer), offFile, "pxelinux.0")
	inOption := answer(testMAC, xid, dhcp4.MessageTypeOffer, opt(dhcp4.OptionBootfileName, "pxelinux.0\x00"))
	x64 := Client{Hardware: hardware(testMAC), Arch: ArchX64, VendorClass: "PXEClient:Arch:00007:UNDI:003001"}
	ipxe := x64
	ipxe.UserClass, ipxe.IPXE = "iPXE", IPXE{Present: true, HasFeatures: true}
	for _, tt := range []struct {
		name   string
		shims  []string
		client Client
		answer []byte
		want   ConflictKind
	}{
		{"a shim, the header", []string{"ipxe.efi"}, x64, inHeader, ShimBootFile},
		{"a shim, option 67", []string{"ipxe.efi"}, x64, inOption, OtherBootFile},
		{"no shim", []string{"other-shim.efi"}, x64, inHeader, OtherBootFile},
		{"iPXE", []string{"ipxe.efi"}, ipxe, inHeader, OtherBootFile},
	} {
		policy := &Policy{Shims: tt.shims, Rules: slices.Concat(
			[]Rule{{Name: "script", Match: Match{IPXE: &IPXEMatch{}}, Outcome: Outcome{Kind: BootScript, File: "boot.ipxe"}}}, shapePolicy().Rules)}
		r := NewResponder(ResponderConfig{Policy: policy})
		discover := tt.client.Discover()
		copy(discover[offXID:], xid[:])
		if res := r.Respond(nil, discover, onServerPort(), testTime); res.Reply == nil {
			t.Fatal(tt.name, res.Reason)
		}
		if found := r.Heard(fromServer(), tt.answer, testTime); len(found) != 1 || found[0].Kind != tt.want || found[0].Value != "pxelinux.0" {
			t.Errorf("%s: %+v, want %s", tt.name, found, tt.want)
		}
	}
}

// TestOtherServersAreBounded checks that made-up servers do not fill the
// memory, that a real one is reported however many of them were heard before,
// and that it is reported once if it is heard among them.
func TestOtherServersAreBounded(t *testing.T) {
	r := heardBy(t)
	hear := func(number int) int {
		b := answer(testMAC, [4]byte{1}, dhcp4.MessageTypeOffer, opt(dhcp4.OptionClassIdentifier, "PXEClient"))
		b[dhcp4.HeaderLen+2+3+2], b[dhcp4.HeaderLen+2+3+3] = byte(number>>8), byte(number) // in option 54
		return len(r.Heard(fromServer(), b, testTime))
	}
	const real = 1000
	for i := range 3 * maxOtherServers {
		if got := hear(i); got != 1 {
			t.Fatalf("server %d: %d conflicts", i, got)
		}
	}
	if got := hear(real); got != 1 {
		t.Errorf("the real server: %d conflicts, want 1", got)
	}
	for i := range 3 * maxOtherServers {
		hear(i)
		if got := hear(real); got != 0 {
			t.Fatalf("the real server is reported again, after %d made-up ones", i+1)
		}
	}
	if known := len(r.otherServers.known); known != maxOtherServers {
		t.Errorf("%d servers are remembered, want %d", known, maxOtherServers)
	}
}

// TestRemedies checks the words, which a person copies into a Windows console.
func TestRemedies(t *testing.T) {
	c := Conflict{Server: netip.MustParseAddr("192.0.2.1"), Network: netip.MustParsePrefix("192.0.2.0/24")}
	remedy := func(kind ConflictKind) string { c.Kind = kind; return c.Remedy() }
	const windows = "on a Windows server untick 060 in the DHCP console (IPv4 > Server Options, Scope [192.0.2.0] > Scope Options, each policy's Options), or in PowerShell " +
		"Remove-DhcpServerv4OptionValue -OptionId 60; with -ScopeId 192.0.2.0 for the scope, and -PolicyName NAME for a policy"
	if got := remedy(PXEClientWithoutMenu); got != windows {
		t.Errorf("%s\nwant %s", got, windows)
	}
	for kind, want := range map[ConflictKind]string{
		OtherNextServer:      "write addresses instead of ${next-server}",
		ShimBootFile:         "--secure-boot off",
		OtherBootFile:        "-OptionId 66,67; with -ScopeId 192.0.2.0 for the scope, and -PolicyName NAME for a policy",
		UnterminatedBootFile: "filename in dhcpd.conf",
		PXEClientHere:        "--port-4011-only",
		ForeignVendorInfo:    "untick 060 and 043",
		UnaskedVendorInfo:    "-OptionId 43;",
		OtherBootService:     "-OptionId 60,43;",
		ProxyForbidden:       "-OptionId 175;",
		OtherProxy:           "stop one of the two",
		SameProxy:            "nothing is to be done",
	} {
		if got := remedy(kind); !strings.Contains(got, want) {
			t.Errorf("%s: %q lacks %q", kind, got, want)
		}
	}
	c.Network = netip.Prefix{}
	if got := remedy(ProxyForbidden); !strings.Contains(got, "-ScopeId SCOPE") {
		t.Errorf("without a scope: %s", got)
	}
	for kind := NoConflict + 1; int(kind) < len(conflictTable); kind++ {
		c.Kind, c.Value = kind, "f1 04"
		if kind == OtherBootFile || kind == ShimBootFile || kind == UnterminatedBootFile {
			c.Value = "\x1b[2Jx" // the ones that the server words as it likes
		}
		if text := c.Problem() + c.Affects() + c.Remedy(); c.Problem() == "" || c.Affects() == "" || c.Remedy() == "" || strings.ContainsAny(text, "%\x1b") {
			t.Errorf("%s: %q", kind, text)
		}
		harmless := kind == SameProxy
		if (kind.Severity() == Harmless) != harmless {
			t.Errorf("%s: severity %d, harmless: %v", kind, kind.Severity(), harmless)
		}
		minor := kind == OtherNextServer || kind == OtherBootFile || kind == PXEClientHere
		if (kind.Severity() == Minor) != minor {
			t.Errorf("%s: severity %d, minor: %v", kind, kind.Severity(), minor)
		}
	}
	if got := ConflictKind(99).String(); got != "conflict 99" {
		t.Error(got)
	}
}

// FuzzHeard checks that no answer of another server upsets the responder.
func FuzzHeard(f *testing.F) {
	f.Add(answer(testMAC, [4]byte{1}, dhcp4.MessageTypeOffer, opt(dhcp4.OptionClassIdentifier, "PXEClient"), opt(dhcp4.OptionVendorSpecificInformation, "\x06\x01")))
	f.Add(answer(testMAC, [4]byte{1}, dhcp4.MessageTypeAck, opt(dhcp4.OptionEtherboot, "\xb0\x01\x01"), opt(dhcp4.OptionBootfileName, "x")))
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, found := range heardBy(t).Heard(fromServer(), in, testTime.Add(time.Second)) {
			if found.Kind == NoConflict || found.Problem() == "" || found.Remedy() == "" {
				t.Errorf("%+v", found)
			}
		}
	})
}
