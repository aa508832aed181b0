package e2e

// The defaults: no flag but the interface, so the distribution's ROMs and the
// built-in boot script are used.

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

const (
	// pageMark is a text of the built-in script's page that appears nowhere
	// else.
	pageMark = "start it with --boot-url"
	// pageLimit bounds the rest of an unattended boot: the page's own timeout,
	// and then what the firmware tries before the disk.
	pageLimit = 5 * time.Minute
)

// nothingByHTTP returns a DHCP server that points UEFI HTTP boot to a file that
// does not exist. OVMF tries HTTP boot between PXE and the disk, and would wait
// two minutes for an answer. (HTTP by IPv6 takes it one minute.)
func nothingByHTTP(l *lab.Lab) lab.DHCP {
	return lab.DHCP{Extra: `if substring(option vendor-class-identifier, 0, 10) = "HTTPClient" {
  option vendor-class-identifier "HTTPClient";
  filename "` + l.Collector.URL("/absent.efi") + `";
}`}
}

// unattendedBoot describes the boot of a machine without a user: how often it
// asked for an address, what it loaded, how it ended.
type unattendedBoot struct {
	// Sessions counts the transaction ids of the DISCOVERs by PXE.
	Sessions int
	// TFTP and HTTP are the files that it loaded from us.
	TFTP, HTTP []string
	// Page reports whether the built-in page was on the screen, and Disk
	// whether the local disk started after it.
	Page, Disk bool
}

// TestDefaults boots machines with a local disk beside a sidecar that has no
// flag but its interface. Each shows the built-in page and, when nobody presses
// a key, starts from its disk: one ROM, one script, no loop. iPXE loads the
// script by HTTP.
func TestDefaults(t *testing.T) {
	t.Parallel()
	want := map[string]unattendedBoot{
		"bios": {Sessions: 1, HTTP: []string{"boot.ipxe"}, Page: true, Disk: true},
		"ovmf": {Sessions: 2, TFTP: []string{"snponly.efi"}, HTTP: []string{"boot.ipxe"}, Page: true, Disk: true},
	}
	guests := []lab.Guest{
		{Name: "bios", Firmware: lab.BIOS, OptionROM: optionROM(t, lab.Bookworm, lab.BIOS)},
		{Name: "ovmf", Firmware: lab.OVMF64},
	}
	r := scenario{dhcp: nothingByHTTP, sidecar: func(*lab.Lab) (lab.Sidecar, error) { return lab.Sidecar{Script: "none"}, nil }}.setUp(t)
	got := map[string]unattendedBoot{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, g := range guests {
		all.Go(func() {
			p := r.bootUnattended(t, g)
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

// bootUnattended switches a machine on and follows it until its disk has
// started. A machine that only waits takes no slot of the guests.
func (r *trial) bootUnattended(t *testing.T, g lab.Guest) (p unattendedBoot) {
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
	err = m.AwaitConsole(ctx, pageMark, lab.DiskGreeting)
	release()
	if err == nil {
		err = m.AwaitConsole(ctx, lab.DiskGreeting)
	}
	if err != nil {
		t.Errorf("%v\nconsole:\n%s\nsidecar:\n%s", err, m.Console(), r.daemon.Output)
	}
	before, _, started := strings.Cut(lab.Squeezed(m.Console()), lab.Squeezed(lab.DiskGreeting))
	p = unattendedBoot{Page: strings.Contains(before, lab.Squeezed(pageMark)) && strings.Contains(before, "pxesidecar"), Disk: started}
	sessions := map[[4]byte]bool{}
	for _, message := range r.lab.Capture.Traffic.Messages(m.MAC, lab.Message.Discover) {
		if strings.HasPrefix(message.DHCP.ClassIdentifier(), "PXEClient") {
			sessions[message.DHCP.TransactionID] = true
		}
	}
	p.Sessions = len(sessions)
	for _, file := range r.lab.Capture.Traffic.Completed(m.MAC) {
		p.TFTP = append(p.TFTP, strings.TrimLeft(file, "/"))
	}
	for _, request := range r.lab.Capture.Traffic.Requests(m.MAC) {
		if request.Dst.Addr() == r.daemon.Address {
			p.HTTP = append(p.HTTP, strings.TrimLeft(request.Path, "/"))
		}
	}
	return p
}
