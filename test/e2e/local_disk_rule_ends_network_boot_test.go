package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// nextEntryLimit is how soon the firmware must try its next boot entry. It
// gathers OFFERs for four seconds; without an answer it would ask for a minute.
const nextEntryLimit = 15 * time.Second

// TestLocalDiskRule ends a machine's network boot. After one DISCOVER, and
// without any file, the firmware must try its next boot entry, which is UEFI
// HTTP boot by the same card.
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
