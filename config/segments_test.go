package config

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// TestSegments checks what machines get in parts of the network that have
// answers of their own, by flag and by file.
func TestSegments(t *testing.T) {
	s := Settings{
		AnswersText:  AnswersText{BootURL: "http://all.example/", UserClass: "acme"},
		VLANs:        []string{"10,11", "id=20,30-31,boot-url=http://v20.example/x,ipxe-version=auto", "id=66,deny"},
		SegmentFlags: []string{"name=old lab/2,interface=eth1,root=/srv/lab,boot-url=menu.ipxe", "circuit=eth1/3,boot-url=http://circuit.example/", "relay=10.9.0.0/16,next-server=192.0.2.99,rom=x64=far.efi,bios=none,user-class=other"},
		Segments:     []SegmentText{{Name: "lab", ScopeText: ScopeText{VLANs: "40"}, AnswersText: AnswersText{IPXEFeatures: []string{"http"}}}},
	}
	c := parse(t, s)
	if diff := cmp.Diff([]uint16{10, 11, 20, 30, 31, 40, 66}, c.DHCP.VLANs); diff != "" || !c.DHCP.TaggedOnly {
		t.Errorf("tagged only: %v, VLANs (-want +got):\n%s", c.DHCP.TaggedOnly, diff)
	}
	if !c.DHCP.Relayed {
		t.Error("a segment is behind a relay, and no relay is expected")
	}
	if c := parse(t, Settings{VLANs: []string{"10,untagged"}}); c.DHCP.TaggedOnly || len(c.DHCP.VLANs) != 1 {
		t.Errorf("with what is untagged: %+v", c.DHCP)
	}
	if c := parse(t, Settings{Segments: []SegmentText{{ScopeText: ScopeText{VLANs: "10"}}}}); c.DHCP.TaggedOnly || len(c.DHCP.VLANs) != 1 {
		t.Errorf("with a segment of the file: %+v", c.DHCP)
	}
	policy := policyOf(t, c)
	ipxe := proxydhcp.IPXE{Present: true, HasVersion: true, Version: proxydhcp.Version{1, 0, 0}, HasFeatures: true}
	for _, tt := range []struct {
		name      string
		segment   proxydhcp.Segment
		ipxe      bool
		userClass string
		want      string
	}{
		{"everybody", proxydhcp.Segment{Interface: "eth0"}, true, "acme", "script http://all.example/"},
		{"everybody, in a VLAN without answers of its own", proxydhcp.Segment{Interface: "eth0", VLAN: 10}, true, "iPXE", "upgrade snponly.efi"},
		{"VLAN, by range", proxydhcp.Segment{Interface: "eth0", VLAN: 31}, true, "acme", "vlan20,30-31 script http://v20.example/x"},
		{"VLAN, inherits the user class", proxydhcp.Segment{Interface: "eth0", VLAN: 20}, true, "iPXE", "vlan20,30-31 upgrade snponly.efi"},
		{"denied", proxydhcp.Segment{Interface: "eth0", VLAN: 66}, true, "acme", "vlan66 deny "},
		{"interface, its own root", proxydhcp.Segment{Interface: "eth1"}, false, "", "old lab/2 rom old-lab-2/snponly.efi"},
		{"interface, its own script", proxydhcp.Segment{Interface: "eth1"}, true, "acme", "old lab/2 script old-lab-2/menu.ipxe"},
		{"relay, another server", proxydhcp.Segment{Interface: "eth0", Relay: netip.MustParseAddr("10.9.1.1")}, false, "", "relay10.9.0.0-16 rom far.efi"},
		{"relay elsewhere", proxydhcp.Segment{Interface: "eth0", Relay: netip.MustParseAddr("10.8.1.1")}, false, "", "rom snponly.efi"},
		{"circuit", proxydhcp.Segment{Interface: "eth0", Relay: netip.MustParseAddr("10.8.1.1"), Circuit: "eth1/3"}, true, "acme", "circuiteth1-3 script http://circuit.example/"},
		{"of the file", proxydhcp.Segment{Interface: "eth0", VLAN: 40}, true, "acme", "lab upgrade snponly.efi"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := proxydhcp.Client{Arch: proxydhcp.ArchX64, Segment: tt.segment, UserClass: tt.userClass}
			if tt.ipxe {
				client.IPXE = ipxe
			}
			d := policy.Decide(client, false)
			if got := d.Rule + " " + d.File; got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// TestSegmentFlagErrors checks what is said of a segment that makes no sense.
func TestSegmentFlagErrors(t *testing.T) {
	keys := "the keys are id, boot-url, circuit, deny, interface, ipxe-feature, ipxe-version, name, next-server, relay, rom, root, user-class, vlan"
	for _, tt := range []struct {
		settings Settings
		want     string
	}{
		{Settings{VLANs: []string{"id=20,colour=red"}}, `--vlan "id=20,colour=red": "colour=red" is no KEY=VALUE of a segment: ` + keys},
		{Settings{VLANs: []string{"boot-url=http://x/"}}, `--vlan "boot-url=http://x/": says no VLAN: begin with id=20`},
		{Settings{VLANs: []string{"10,5000"}}, `--vlan "10,5000": "5000" is no VLAN id from 1 to 4094, no range of them such as 30-39, and not untagged`},
		{Settings{SegmentFlags: []string{"eth1"}}, `--segment "eth1": "eth1" is no KEY=VALUE of a segment: ` + keys},
		{Settings{SegmentFlags: []string{"boot-url=http://x/"}}, `--name "": the segment says nowhere: give it interface, vlan, relay or circuit`},
	} {
		_, err := Parse(tt.settings, testHost())
		checkError(t, err, tt.want)
	}
}

// TestSegmentsShareNoDirectory checks that two segments never serve their files
// from one directory of the boot file tree without anybody saying so.
func TestSegmentsShareNoDirectory(t *testing.T) {
	const one, two = "/srv/one", "/srv/two"
	refusal := func(where, other, name, directory string) string {
		return fmt.Sprintf("%s %q: the segments %q and %q would both have their files in the directory %q of the boot file tree; give one of them another name",
			where, two, other, name, directory)
	}
	segment := func(name, vlan, root string) SegmentText {
		return SegmentText{Name: name, ScopeText: ScopeText{VLANs: vlan}, AnswersText: AnswersText{Root: root, BootURL: "http://boot.example/"}}
	}
	for _, tt := range []struct {
		name  string
		flags []string
		file  []SegmentText
		want  string
	}{
		{"names that differ in a blank", nil, []SegmentText{segment("old lab", "20", one), segment("old/lab", "21", two)}, refusal("--segment[1].root", "old lab", "old/lab", "old-lab")},
		{"one name", nil, []SegmentText{segment("lab", "20", one), segment("lab", "21", two)}, refusal("--segment[1].root", "lab", "lab", "lab")},
		{"a flag and the file", []string{"name=a b,vlan=20,boot-url=http://boot.example/,root=" + one}, []SegmentText{segment("a-b", "21", two)}, refusal("--segment[0].root", "a b", "a-b", "a-b")},
		{"names of the places", []string{"interface=eth1,boot-url=http://boot.example/,root=" + one, "name=eth1,vlan=3,boot-url=http://boot.example/,root=" + two}, nil, refusal("--root", "eth1", "eth1", "eth1")},
		{"the same files", nil, []SegmentText{segment("old lab", "20", one), segment("old/lab", "21", one)}, ""},
		{"files of everybody", nil, []SegmentText{segment("old lab", "20", ""), segment("old/lab", "21", two)}, ""},
		{"names that differ", nil, []SegmentText{segment("lab 1", "20", one), segment("lab 2", "21", two)}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(Settings{SegmentFlags: tt.flags, Segments: tt.file}, testHost())
			checkError(t, err, tt.want)
		})
	}
}
