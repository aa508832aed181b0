package proxydhcp

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/proxydhcp/dhcp4"
)

// TestClassify checks the facts that are read out of a request.
func TestClassify(t *testing.T) {
	uuid := "\x00\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff"
	hw := hardware(testMAC)
	eth0 := Segment{Interface: "eth0"}
	const bios = "PXEClient:Arch:00000:UNDI:002001"
	for _, tt := range []struct {
		name    string
		request []byte
		want    Client
	}{
		{"BIOS", discover(ArchBIOS), Client{Hardware: hw, Arch: ArchBIOS, VendorClass: bios, Segment: eth0}},
		{"UUID", discover(ArchX64, opt(dhcp4.OptionClientMachineIdentifier, uuid)),
			Client{Hardware: hw, Arch: ArchX64, VendorClass: bios, UUID: UUID([]byte(uuid[1:])), Segment: eth0}},
		{"UUID of another type is not one", discover(ArchX64, opt(dhcp4.OptionClientMachineIdentifier, "\x01"+uuid[1:])),
			Client{Hardware: hw, Arch: ArchX64, VendorClass: bios, Segment: eth0}},
		{"first known of several architectures", request(testMAC, opt(dhcp4.OptionDHCPMessageType, "\x01"), opt(dhcp4.OptionClientSystemArchitectureType, "\x12\x34\x00\x07\x00\x09"), opt(dhcp4.OptionClassIdentifier, "PXEClient")),
			Client{Hardware: hw, Arch: ArchX64, VendorClass: "PXEClient", Segment: eth0}},
		{"unknown architecture is kept", request(testMAC, opt(dhcp4.OptionDHCPMessageType, "\x01"), opt(dhcp4.OptionClientSystemArchitectureType, "\xff\xff"), opt(dhcp4.OptionClassIdentifier, "PXEClient")),
			Client{Hardware: hw, Arch: 0xffff, VendorClass: "PXEClient", Segment: eth0}},
		{"architecture out of option 60", request(testMAC, opt(dhcp4.OptionDHCPMessageType, "\x01"), opt(dhcp4.OptionClassIdentifier, "PXEClient:Arch:00011:UNDI:003016")),
			Client{Hardware: hw, Arch: ArchARM64, VendorClass: "PXEClient:Arch:00011:UNDI:003016", Segment: eth0}},
		{"HTTP boot", request(testMAC, opt(dhcp4.OptionDHCPMessageType, "\x01"), opt(dhcp4.OptionClientSystemArchitectureType, "\x00\x10"), opt(dhcp4.OptionClassIdentifier, "HTTPClient:Arch:00016:UNDI:003001")),
			Client{Hardware: hw, Arch: ArchX64HTTP, Transport: HTTP, VendorClass: "HTTPClient:Arch:00016:UNDI:003001", Segment: eth0}},
		{"PXE with the architecture of HTTP boot is PXE", discover(ArchX64HTTP),
			Client{Hardware: hw, Arch: ArchX64HTTP, VendorClass: bios, Segment: eth0}},
		{"iPXE", discover(ArchBIOS, ipxeOptions(Version{1, 21, 1}, 19, 20)...),
			Client{Hardware: hw, Arch: ArchBIOS, VendorClass: bios, UserClass: "iPXE", Segment: eth0,
				IPXE: IPXE{Present: true, HasVersion: true, Version: Version{1, 21, 1}, HasFeatures: true, Features: Features(0).With(19).With(20)}}},
		{"iPXE by its user class alone", discover(ArchBIOS, opt(dhcp4.OptionUserClassInformation, "\x04iPXE\x04acme")),
			Client{Hardware: hw, Arch: ArchBIOS, VendorClass: bios, UserClass: "iPXE,acme", Segment: eth0, IPXE: IPXE{Present: true}}},
		{"iPXE by option 175 alone, with pads, a card, a feature that is off, unknown and cut sub-options",
			discover(ArchBIOS, opt(dhcp4.OptionUserClassInformation, "acme\x00"), opt(dhcp4.OptionEtherboot, "\x00\xb1\x05\x01\x80\x86\x10\x0e\x13\x01\x00\x14\x01\x01\xc8\x02ab\xeb\x02\x01\x00\x29\x09\x01")),
			Client{Hardware: hw, Arch: ArchBIOS, VendorClass: bios, UserClass: "acme", Segment: eth0,
				IPXE: IPXE{Present: true, HasFeatures: true, Features: Features(0).With(20), NIC: PCIID{0x8086, 0x100e}}}},
		{"repeated options are joined", request(testMAC, opt(dhcp4.OptionDHCPMessageType, "\x01"), opt(dhcp4.OptionClientSystemArchitectureType, "\x00"), opt(dhcp4.OptionClassIdentifier, "PXE"), opt(dhcp4.OptionClassIdentifier, "Client"), opt(dhcp4.OptionClientSystemArchitectureType, "\x07")),
			Client{Hardware: hw, Arch: ArchX64, VendorClass: "PXEClient", Segment: eth0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !MayBoot(tt.request, false) {
				t.Error("the first look drops it")
			}
			m, err := dhcp4.Decode(tt.request)
			if err != nil {
				t.Fatal(err)
			}
			got, reason := readClientOf(&m, PortServer, eth0, ReplyOptions{})
			if reason != Answerable {
				t.Fatalf("ignored: %s", reason)
			}
			if diff := cmp.Diff(tt.want, got, compareAddrs); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestClassifyRelay checks that the relay is part of where a client is.
func TestClassifyRelay(t *testing.T) {
	in := discover(ArchX64)
	copy(in[offGIAddr:], []byte{198, 51, 100, 1})
	m, err := dhcp4.Decode(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		option string
		want   Segment
	}{
		{"\x01\x06eth1/3\x02\x01x", Segment{Relay: netip.MustParseAddr("198.51.100.1"), Circuit: "eth1/3"}},
		{"\x01\x03\x00\x04\x07\x05\x04\xc6\x33\x65\x00", Segment{Relay: netip.MustParseAddr("198.51.101.0"), Circuit: "0x000407"}},
		{"\x05\x03\xc6\x33\x65\x01\x09x", Segment{Relay: netip.MustParseAddr("198.51.100.1")}},
	} {
		in := discover(ArchX64, opt(dhcp4.OptionRelayAgentInformation, tt.option))
		copy(in[offGIAddr:], []byte{198, 51, 100, 1})
		m, err := dhcp4.Decode(in)
		if err != nil {
			t.Fatal(err)
		}
		c, _ := readClientOf(&m, PortServer, Segment{}, ReplyOptions{})
		if diff := cmp.Diff(tt.want, c.Segment, compareAddrs); diff != "" {
			t.Errorf("option 82 % x (-want +got):\n%s", tt.option, diff)
		}
	}
	c, _ := readClientOf(&m, PortServer, Segment{Interface: "eth0", VLAN: 7}, ReplyOptions{})
	want := Segment{Interface: "eth0", VLAN: 7, Relay: netip.MustParseAddr("198.51.100.1")}
	if diff := cmp.Diff(want, c.Segment, compareAddrs); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestClassifyIgnores checks who gets nothing, and why.
func TestClassifyIgnores(t *testing.T) {
	pxe := []option{opt(dhcp4.OptionClientSystemArchitectureType, "\x00\x07"), opt(dhcp4.OptionClassIdentifier, "PXEClient:Arch:00007:UNDI:003001")}
	typed := func(messageType string, more ...option) []byte {
		options := append([]option{opt(dhcp4.OptionDHCPMessageType, messageType)}, pxe...)
		return request(testMAC, append(options, more...)...)
	}
	reply := discover(ArchX64)
	reply[0] = dhcp4.BootReply
	ours, theirs := opt(dhcp4.OptionServerIdentifier, "\xc0\x00\x02\x0a"), opt(dhcp4.OptionServerIdentifier, "\xc0\x00\x02\x01")
	for _, tt := range []struct {
		name    string
		port    uint16
		request []byte
		want    Reason
	}{
		{"a reply", PortServer, reply, NotARequest},
		{"BOOTP", PortServer, request(testMAC, pxe...), NoMessageType},
		{"an INFORM", PortServer, typed("\x08"), OtherMessageType},
		{"a DECLINE", PortServer, typed("\x04"), OtherMessageType},
		{"a RELEASE", PortServer, typed("\x07"), OtherMessageType},
		{"a LEASEQUERY", PortServer, typed("\x0a"), OtherMessageType},
		{"a REQUEST to the DHCP server", PortServer, typed("\x03", theirs), OtherServer},
		{"a REQUEST to us on 67", PortServer, typed("\x03", ours), OtherServer},
		{"a renewal", PortServer, typed("\x03"), OtherServer},
		{"an operating system", PortServer, request(testMAC, opt(dhcp4.OptionDHCPMessageType, "\x01"), opt(dhcp4.OptionClassIdentifier, "MSFT 5.0")), NotBooting},
		{"no vendor class", PortServer, request(testMAC, opt(dhcp4.OptionDHCPMessageType, "\x01"), opt(dhcp4.OptionClientSystemArchitectureType, "\x00\x07")), NotBooting},
		{"U-Boot", PortServer, request(testMAC, opt(dhcp4.OptionDHCPMessageType, "\x01"), opt(dhcp4.OptionClientSystemArchitectureType, "\x00\x16"), opt(dhcp4.OptionClassIdentifier, "U-Boot.armv8")), NotBooting},
		{"Windows boot manager", PortServer, typed("\x01", opt(dhcp4.OptionWindowsBINL, "\x01")), WindowsSecondStage},
		{"no architecture", PortServer, request(testMAC, opt(dhcp4.OptionDHCPMessageType, "\x01"), opt(dhcp4.OptionClassIdentifier, "PXEClient")), NoArchitecture},
		{"odd architecture list", PortServer, request(testMAC, opt(dhcp4.OptionDHCPMessageType, "\x01"), opt(dhcp4.OptionClientSystemArchitectureType, "\x00\x07\x00"), opt(dhcp4.OptionClassIdentifier, "PXEClient")), NoArchitecture},
		{"a DISCOVER on 4011", PortProxy, typed("\x01"), OtherMessageType},
		{"a REQUEST on 4011 to another server", PortProxy, typed("\x03", theirs), OtherServer},
		{"a REQUEST on 4011 with a broken server identifier", PortProxy, typed("\x03", opt(dhcp4.OptionServerIdentifier, "\xc0\x00")), OtherServer},
		{"a REQUEST on 4011 to us", PortProxy, typed("\x03", ours), Answerable},
		{"a REQUEST on 4011 to nobody by name", PortProxy, typed("\x03"), Answerable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := dhcp4.Decode(tt.request)
			if err != nil {
				t.Fatal(err)
			}
			if _, got := readClientOf(&m, tt.port, Segment{}, ReplyOptions{}); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// TestUUIDString checks the byte order that firmware screens show.
func TestUUIDString(t *testing.T) {
	u := UUID{0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	if got, want := u.String(), "00112233-4455-6677-8899-aabbccddeeff"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestDiscover checks that the DISCOVER made of a client's facts is read back
// as the same facts.
func TestDiscover(t *testing.T) {
	for _, want := range []Client{
		{Hardware: hardware(testMAC), Arch: ArchBIOS, VendorClass: "PXEClient:Arch:00000:UNDI:002001"},
		{Hardware: hardware(testMAC), Arch: ArchX64HTTP, Transport: HTTP, VendorClass: "HTTPClient", UUID: UUID{1, 2, 3}},
		{Hardware: hardware(testMAC), Arch: ArchARM64, VendorClass: "PXEClient", UserClass: "iPXE",
			IPXE:    IPXE{Present: true, HasVersion: true, Version: Version{1, 21, 1}, HasFeatures: true, Features: Features(0).With(19).With(38), NIC: PCIID{0x8086, 0x1521}},
			Segment: Segment{Relay: netip.MustParseAddr("198.51.100.1"), Circuit: "eth1/3"}},
		{Hardware: hardware(testMAC), Arch: ArchX64, VendorClass: "PXEClient", Segment: Segment{Relay: netip.MustParseAddr("198.51.100.1"), Circuit: "0x000407"}},
	} {
		m, err := dhcp4.Decode(want.Discover())
		if err != nil {
			t.Fatal(err)
		}
		got, reason := readClientOf(&m, PortServer, Segment{}, ReplyOptions{})
		if diff := cmp.Diff(want, got, compareAddrs); diff != "" || reason != Answerable {
			t.Errorf("%s (-want +got):\n%s", reason, diff)
		}
	}
}
