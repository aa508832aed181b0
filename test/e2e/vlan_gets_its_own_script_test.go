package e2e

// A VLAN on the trunk of a host that has no VLAN interface, and a machine that
// creates its own interface there.

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

const (
	// workshop is the VLAN of these tests, and workshopScript its boot script.
	workshop       = 20
	workshopScript = "/workshop.ipxe"
	// trunkScript creates iPXE's interface in the VLAN, and boots from there.
	trunkScript = "#!ipxe\nvcreate --tag 20 net0 || sleep 600\nautoboot net0-20 || sleep 600\n"
)

// newWorkshop adds the VLAN to a lab, with a DHCP server of its own, and a web
// server whose script reports to the lab's collector.
func newWorkshop(t *testing.T, l *lab.Lab) (segment *lab.Segment, web *lab.Collector) {
	t.Helper()
	segment, err := l.NewVLAN("workshop", workshop, netip.MustParsePrefix("10.20.0.0/24"))
	if err != nil {
		t.Fatal(err)
	}
	address := segment.Address(3)
	iface, err := l.Web.Join(segment, address)
	if err == nil {
		// What leaves a segment by a packet socket must have its checksums.
		err = l.Web.FullChecksums(iface)
	}
	if err == nil {
		web, err = l.NewCollector(l.Web, address)
	}
	if err == nil {
		_, err = l.StartDHCP(deadline(t, fetchLimit), lab.DHCP{Segment: segment})
	}
	if err != nil {
		t.Fatal(err)
	}
	web.Serve(workshopScript, l.Collector.Script("workshop"))
	return segment, web
}

// TestVLANByIPXE boots a machine without a tag first, into a script that has
// its iPXE create an interface in VLAN 20. There the same machine must get the
// VLAN's own script, in tagged frames, from a sidecar whose host has no VLAN
// interface.
func TestVLANByIPXE(t *testing.T) {
	t.Parallel()
	newest := ipxe(t, lab.Sid)
	guest := lab.Guest{Name: "bios", Firmware: lab.BIOS, OptionROM: optionROM(t, lab.Sid, lab.BIOS)}
	var segment *lab.Segment
	var web *lab.Collector
	r := alone(guest, outcome{Version: newest.Version, Platform: "pcbios", Arch: "i386"}, func(l *lab.Lab) (lab.Sidecar, error) {
		segment, web = newWorkshop(t, l)
		l.Collector.Serve("/trunk.ipxe", trunkScript)
		return lab.Sidecar{Root: roms(t, lab.Sid, everyROM...), Script: l.Collector.URL("/trunk.ipxe"),
			Args: []string{"--vlan", "untagged", "--vlan", "id=20,boot-url=" + web.URL(workshopScript)}}, nil
	}).run(t)
	got := map[int][]string{}
	for _, m := range r.lab.Capture.Traffic.Messages("", func(m lab.Message) bool { return m.Src == r.daemon.At(67) }) {
		got[m.VLAN] = slices.Compact(append(got[m.VLAN], m.DHCP.BootFileName))
	}
	want := map[int][]string{0: {r.lab.Collector.URL("/trunk.ipxe")}, workshop: {web.URL(workshopScript)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("boot files by VLAN (-want +got):\n%s\n%s", diff, r.daemon.Output)
	}
	for _, v := range web.Visits() {
		if v.Path != workshopScript || !segment.Prefix.Contains(v.From) {
			t.Errorf("%s read %s, want an address of %s", v.From, v.Path, segment.Prefix)
		}
	}
	if ran := r.lab.Collector.Evidence(""); len(ran) != 1 || ran[0].Boot != "workshop" {
		t.Errorf("scripts that ran: %+v", ran)
	}
}
