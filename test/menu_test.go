package test

// Boot menus that UEFI firmware shows by itself, and machines that are sent to their local disk.

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// TestMenu lets the firmware's time for a choice pass: it asks for the first item by its number, and loads its ROM.
func TestMenu(t *testing.T) {
	t.Parallel()
	newest := ipxe(t, lab.Sid)
	want := outcome{Version: newest.Version, Platform: "efi", Arch: "x86_64", ROMs: []string{"snponly.efi"}, Asked4011: 1, Answered4011: 1}
	r := alone(lab.Guest{Name: "ovmf", Firmware: lab.OVMF64}, want, sidecar(roms(t, lab.Sid, everyROM...),
		"--menu", "Install=rom", "--menu", "Local disk=local-disk", "--menu-timeout", "2", "--menu-prompt", "Menu")).run(t)
	// Sub-option 71 is type and layer of the item: the first of ours, no credentials.
	const item = "\x47\x04\x80\x00\x00\x00\xff"
	var got []string
	for _, m := range r.lab.Capture.Traffic.Messages("", func(m lab.Message) bool { return m.Dst == r.daemon.At(4011) || m.Src == r.daemon.At(4011) }) {
		got = append(got, m.DHCP.MessageType().String()+" "+string(m.DHCP.Options.Get(dhcpv4.OptionVendorSpecificInformation)))
	}
	if diff := cmp.Diff([]string{"REQUEST " + item, "ACK " + item}, got); diff != "" {
		t.Errorf("on port 4011 (-want +got):\n%s", diff)
	}
}

// nextEntryLimit is how soon firmware must have gone on. Most of it are the four seconds in which it gathers OFFERs;
// left without an answer it would ask for a minute.
const nextEntryLimit = 15 * time.Second

// TestLocalDiskRule sends a machine on: after one DISCOVER, and without any file, the firmware tries its next boot
// entry, which is UEFI HTTP boot by the same card.
func TestLocalDiskRule(t *testing.T) {
	t.Parallel()
	r := scenario{sidecar: func(l *lab.Lab) (lab.Sidecar, error) {
		config, err := l.Write("rules.toml", "[[rule]]\nname = \"done with the network\"\nmac = [\"52:54:00\"]\noutcome = \"local-disk\"\n")
		return lab.Sidecar{Root: roms(t, lab.Sid, everyROM...), Args: []string{"--config", config}}, err
	}}.setUp(t)
	defer takeSlot()()
	ctx := deadline(t, bootLimit)
	m, err := r.lab.Boot(ctx, lab.Guest{Name: "ovmf", Firmware: lab.OVMF64})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Stop()
	by := func(class string) func(lab.Message) bool {
		return func(x lab.Message) bool { return x.Discover() && strings.HasPrefix(x.DHCP.ClassIdentifier(), class) }
	}
	next, err := r.lab.Capture.Traffic.AwaitMessage(ctx, m.MAC, by("HTTPClient"))
	if err != nil {
		t.Fatalf("%v\nconsole:\n%s\nsidecar:\n%s", err, m.Console(), r.daemon.Output)
	}
	first := r.lab.Capture.Traffic.Messages(m.MAC, by("PXEClient"))
	if len(first) != 1 {
		t.Fatalf("%d DISCOVERs by PXE, want one", len(first))
	}
	gap := next.At.Sub(first[0].At)
	if gap > stretched(nextEntryLimit) {
		t.Errorf("the next boot entry was tried after %s, want %s", gap, nextEntryLimit)
	}
	t.Logf("the next boot entry was tried after %s", gap)
	if read := r.lab.Capture.Traffic.Transfers(m.MAC, nil); len(read) > 0 {
		t.Errorf("it asked for the file %s", read[0].File)
	}
	r.sound(t)
}
