package e2e

// The defaults: no flag but the interface, so the distribution's ROMs and the
// built-in boot script.

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

const (
	// pageMark is on the built-in script's page and nowhere else.
	pageMark = "start it with --boot-url"
	// pageLimit bounds what follows on a machine that nobody sits at: the page's own time, and then what the firmware
	// tries before the disk.
	pageLimit = 5 * time.Minute
)

// nothingByHTTP is a DHCP server that sends UEFI HTTP boot to a file that is not there. OVMF tries that between PXE and
// the disk, and would wait two minutes for somebody to answer. (HTTP by IPv6 takes it one minute.)
func nothingByHTTP(l *lab.Lab) lab.DHCP {
	return lab.DHCP{Extra: `if substring(option vendor-class-identifier, 0, 10) = "HTTPClient" {
  option vendor-class-identifier "HTTPClient";
  filename "` + l.Collector.URL("/absent.efi") + `";
}`}
}

// passage is what a machine that nobody sits at does: how often it asks for an address, what it loads, how it goes on.
type passage struct {
	// Sessions counts the transaction ids of DISCOVERs for PXE.
	Sessions int
	Files    []string
	// Page and Disk tell whether the built-in page was on the screen, and whether the local disk started after it.
	Page, Disk bool
}

// TestDefaults boots machines with a local disk beside a sidecar that was told nothing but its interface. Each shows
// the built-in page, and when nobody presses a key starts from its disk: one ROM, one script, no loop.
func TestDefaults(t *testing.T) {
	t.Parallel()
	want := map[string]passage{
		"bios": {Sessions: 1, Files: []string{"boot.ipxe"}, Page: true, Disk: true},
		"ovmf": {Sessions: 2, Files: []string{"snponly.efi", "boot.ipxe"}, Page: true, Disk: true},
	}
	guests := []lab.Guest{
		{Name: "bios", Firmware: lab.BIOS, OptionROM: optionROM(t, lab.Bookworm, lab.BIOS)},
		{Name: "ovmf", Firmware: lab.OVMF64},
	}
	r := scenario{dhcp: nothingByHTTP, sidecar: func(*lab.Lab) (lab.Sidecar, error) { return lab.Sidecar{Script: "none"}, nil }}.setUp(t)
	got := map[string]passage{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, g := range guests {
		all.Go(func() {
			p := r.pass(t, g)
			mu.Lock()
			defer mu.Unlock()
			got[g.Name] = p
		})
	}
	all.Wait()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the machines did (-want +got):\n%s", diff)
	}
	r.sound(t)
}

// pass switches a machine on and follows it until its disk has started. A machine that only waits takes no guest's slot.
func (r *trial) pass(t *testing.T, g lab.Guest) (p passage) {
	var err error
	if g.Disk, err = r.lab.NewDisk(deadline(t, fetchLimit), g.Firmware); err != nil {
		t.Error(err)
		return p
	}
	release := takeSlot()
	ctx := deadline(t, bootLimit+pageLimit)
	m, err := r.lab.Boot(ctx, g)
	if err != nil {
		release()
		t.Error(err)
		return p
	}
	defer m.Stop()
	err = m.AwaitConsole(ctx, pageMark)
	release()
	if err == nil {
		err = m.AwaitConsole(ctx, lab.DiskGreeting)
	}
	if err != nil {
		t.Errorf("%v\nconsole:\n%s\nsidecar:\n%s", err, m.Console(), r.daemon.Output)
	}
	before, _, started := strings.Cut(m.Console(), lab.DiskGreeting)
	p = passage{Page: strings.Contains(before, pageMark) && strings.Contains(before, "pxesidecar"), Disk: started}
	sessions := map[[4]byte]bool{}
	for _, message := range r.lab.Capture.Traffic.Messages(m.MAC, lab.Message.Discover) {
		if strings.HasPrefix(message.DHCP.ClassIdentifier(), "PXEClient") {
			sessions[message.DHCP.TransactionID] = true
		}
	}
	p.Sessions = len(sessions)
	for _, file := range r.lab.Capture.Traffic.Completed(m.MAC) {
		p.Files = append(p.Files, strings.TrimLeft(file, "/"))
	}
	return p
}
