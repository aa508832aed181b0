package explain

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

var testExplainer = Explainer{
	Server: netip.MustParsePrefix("192.0.2.10/24"),
	Policy: &proxydhcp.Policy{Rules: []proxydhcp.Rule{
		{Name: "vlan", Match: proxydhcp.Match{VLANs: []uint16{20}}, Outcome: proxydhcp.Outcome{Kind: proxydhcp.BootFile, File: "vlan.efi"}},
		{Name: "rom", Outcome: proxydhcp.Outcome{Kind: proxydhcp.BootROM, ROMs: proxydhcp.ROMs{proxydhcp.X64: {"ipxe.efi"}}}},
	}},
}

func someClient() proxydhcp.Client {
	return proxydhcp.Client{
		Hardware:    proxydhcp.HardwareAddr{Type: 1, Len: 6, Bytes: [16]byte{0x52, 0x54, 0, 0, 0, 1}},
		Arch:        proxydhcp.ArchX64,
		VendorClass: "PXEClient:Arch:00007:UNDI:003001",
	}
}

// frame is an Ethernet frame with a UDP datagram, tagged where vlan is not 0.
func frame(t *testing.T, from, to string, vlan uint16, payload []byte) []byte {
	t.Helper()
	source, target := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	ethernet := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{255, 255, 255, 255, 255, 255}, EthernetType: layers.EthernetTypeIPv4}
	ip := &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: source.Addr().AsSlice(), DstIP: target.Addr().AsSlice()}
	udp := &layers.UDP{SrcPort: layers.UDPPort(source.Port()), DstPort: layers.UDPPort(target.Port())}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	parts := []gopacket.SerializableLayer{ethernet}
	if vlan != 0 {
		ethernet.EthernetType = layers.EthernetTypeDot1Q
		parts = append(parts, &layers.Dot1Q{VLANIdentifier: vlan, Type: layers.EthernetTypeIPv4})
	}
	buffer := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buffer, options, append(parts, ip, udp, gopacket.Payload(payload))...); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

// TestCapture explains a short boot out of both kinds of capture file.
func TestCapture(t *testing.T) {
	discover := someClient().Discover()
	offer := append([]byte{}, discover...)
	offer[0] = 2
	copy(offer[16:], []byte{192, 0, 2, 50})
	frames := [][]byte{
		frame(t, "0.0.0.0:68", "255.255.255.255:67", 0, discover),
		frame(t, "192.0.2.1:67", "255.255.255.255:68", 0, offer),
		frame(t, "192.0.2.1:53", "192.0.2.50:1024", 0, []byte("not DHCP")),
		frame(t, "0.0.0.0:68", "255.255.255.255:67", 20, discover),
	}
	for name, write := range map[string]func(w io.Writer){
		"pcap": func(w io.Writer) {
			out := pcapgo.NewWriter(w)
			out.WriteFileHeader(65536, layers.LinkTypeEthernet)
			for i, f := range frames {
				out.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(100+int64(i), 0), CaptureLength: len(f), Length: len(f)}, f)
			}
		},
		"pcapng": func(w io.Writer) {
			out, err := pcapgo.NewNgWriter(w, layers.LinkTypeEthernet)
			if err != nil {
				t.Fatal(err)
			}
			for i, f := range frames {
				out.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(100+int64(i), 0), CaptureLength: len(f), Length: len(f)}, f)
			}
			out.Flush()
		},
	} {
		t.Run(name, func(t *testing.T) {
			var file, text bytes.Buffer
			write(&file)
			requests, err := testExplainer.Capture(&text, &file, "eth0")
			if err != nil || requests != 2 {
				t.Fatalf("%d requests, %v", requests, err)
			}
			var got []string
			for line := range strings.Lines(text.String()) {
				for _, begin := range []string{"packet", "gets", "by rule", "answered", "passed over"} {
					if strings.HasPrefix(line, begin) {
						got = append(got, strings.TrimSpace(line))
					}
				}
			}
			want := []string{
				"packet 1, 0.000 s: 0.0.0.0:68 -> 255.255.255.255:67",
				"gets         rom ipxe.efi", "by rule      rom", "passed over  vlan: VLAN is 0, wanted 20",
				"packet 2, 1.000 s: 192.0.2.1:67 -> 255.255.255.255:68",
				`answered     DISCOVER: yiaddr 192.0.2.50, siaddr 0.0.0.0, file "", server <nil>`,
				"packet 4, 3.000 s: 0.0.0.0:68 -> 255.255.255.255:67, VLAN 20",
				"gets         boot-file vlan.efi", "by rule      vlan",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, text := range []string{"", "abc", "no capture at all"} {
		if _, err := testExplainer.Capture(io.Discard, strings.NewReader(text), ""); err == nil {
			t.Errorf("%q is taken for a capture", text)
		}
	}
}

// TestHex checks the forms of hex dumps that tools write.
func TestHex(t *testing.T) {
	want := []byte{1, 0xff, 0x10, 0x20}
	for _, text := range []string{"01ff1020", "01 ff\n10 20\n", "0000:  01ff 1020  | ..  |", "00000000: 01 ff # one\n00000002: 10 20", "01FF1020"} {
		if got, err := Hex([]byte(text)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q: % x, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{"01f": "line 1: an odd number of hexadecimal digits", "01\nxy": `line 2: "xy" is not hexadecimal`} {
		if _, err := Hex([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// FuzzCapture checks that no file breaks the reader.
func FuzzCapture(f *testing.F) {
	f.Add([]byte("\xd4\xc3\xb2\xa1\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01\x00\x00\x00"))
	f.Add([]byte("\x0a\x0d\x0d\x0a"))
	f.Fuzz(func(t *testing.T, file []byte) {
		testExplainer.Capture(io.Discard, bytes.NewReader(file), "")
	})
}
