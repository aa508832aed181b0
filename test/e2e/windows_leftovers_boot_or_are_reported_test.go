package e2e

// Options that Windows DHCP servers often send beside a lease, sent here by
// dhcpd. A machine either boots all the same, or one line of the log reports
// what is wrong and how to correct it.

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

const (
	// windowsFile is what an old Windows deployment left in option 67.
	windowsFile = `boot\x64\wdsnbp.com`
	// telephones is an option 43 for telephones: sub-option 0xf1 is the address
	// of their server.
	telephones = "option vendor-encapsulated-options f1:04:0a:d5:00:09;"
)

// windowsCase is a conflict with a server, a machine, and the outcome.
type windowsCase struct {
	name     string
	dhcp     lab.DHCP
	sameHost bool
	args     []string
	guest    lab.Guest
	// want is the outcome of a machine that boots.
	want outcome
	// asks is the port of the other server that a machine asks which cannot
	// boot: 4011, or 69 for the wrong file. It is 0 if the machine boots.
	asks uint16
	// logged are the words of the one line about the server, its level first.
	// It is nil if the server answers by unicast, which we do not receive:
	// dhcpd does so to machines that do not ask for a broadcast, such as iPXE.
	logged []string
}

// windowsCases returns the cases that occur in practice.
func windowsCases(t *testing.T) []windowsCase {
	newest, old := ipxe(t, lab.Sid), ipxe(t, lab.Bookworm)
	ovmf := lab.Guest{Name: "ovmf", Firmware: lab.OVMF64}
	bios := lab.Guest{Name: "bios", Firmware: lab.BIOS, OptionROM: optionROM(t, lab.Bookworm, lab.BIOS)}
	loads := outcome{Version: newest.Version, Platform: "efi", Arch: "x86_64", ROMs: []string{"snponly.efi"}, Asked4011: 1, Answered4011: 1}
	atOnce := outcome{Version: old.Version, Platform: "pcbios", Arch: "i386"}
	// If we answer on port 4011 alone, or yield, every stage asks there.
	// Otherwise iPXE keeps our OFFER if it comes first: it has the higher
	// priority.
	asked, twice := atOnce, loads
	asked.Asked4011, asked.Answered4011 = 1, 1
	twice.Asked4011, twice.Answered4011 = 2, 2
	itself := netip.MustParseAddr("10.213.0.1")
	const class = "PXEClient"
	yield, only := []string{"--yield-to-dhcp-filename"}, []string{"--port-4011-only"}
	// The PowerShell commands that the log recommends, for each conflict.
	const remove, scope = "Remove-DhcpServerv4OptionValue -OptionId ", "-ScopeId 10.213.0.0 "
	itsFile := []string{"level=INFO", `conflict="other boot file"`, "wdsnbp.com", remove + "66,67;", scope, "--yield-to-dhcp-filename"}
	claim := []string{"level=WARN", `conflict="option 60 PXEClient"`, "PXE-E16", remove + "60;", scope}
	return []windowsCase{
		{name: "a, siaddr is the server's own, UEFI", dhcp: lab.DHCP{NextServer: itself}, guest: ovmf, want: loads,
			logged: []string{"level=INFO", `conflict="other next-server"`, itself.String(), "${next-server}"}},
		{name: "a, siaddr is the server's own, iPXE", dhcp: lab.DHCP{NextServer: itself}, guest: bios, want: atOnce},
		{name: "b, option 60 is left over, UEFI", dhcp: lab.DHCP{NextServer: itself, Class: class}, guest: ovmf, asks: 4011, logged: claim},
		{name: "b, option 60 is left over in a later answer, iPXE", dhcp: lab.DHCP{NextServer: itself, Class: class, PingCheck: true, Extra: "always-broadcast on;"},
			guest: bios, want: atOnce, logged: claim},
		{name: "b, the same, yielded to, iPXE", dhcp: lab.DHCP{NextServer: itself, Class: class, PingCheck: true, Extra: "always-broadcast on;"}, args: yield,
			guest: bios, asks: 4011, logged: claim},
		{name: "c, option 60 and the same host, yielded to, UEFI", dhcp: lab.DHCP{Class: class}, sameHost: true, args: yield, guest: ovmf, want: twice},
		{name: "c, option 60 and the same host, iPXE", dhcp: lab.DHCP{Class: class, PingCheck: true}, sameHost: true, guest: bios, want: atOnce},
		{name: "c, port 4011 alone, UEFI", dhcp: lab.DHCP{Class: class}, sameHost: true, args: only, guest: ovmf, want: twice},
		{name: "c, port 4011 alone, iPXE", dhcp: lab.DHCP{Class: class}, sameHost: true, args: only, guest: bios, want: asked},
		{name: "d, a boot file is left over, UEFI", dhcp: lab.DHCP{NextServer: itself, Filename: windowsFile}, guest: ovmf, want: loads, logged: itsFile},
		{name: "d, a boot file is left over and yielded to, UEFI", dhcp: lab.DHCP{NextServer: itself, Filename: windowsFile}, args: yield, guest: ovmf, asks: 69, logged: itsFile},
		{name: "e, option 43 of telephones, UEFI", dhcp: lab.DHCP{NextServer: itself, Extra: telephones}, guest: ovmf, want: loads,
			logged: []string{"level=WARN", `conflict="option 43 for everybody"`, "f1 04 0a d5 00 09", remove + "43;", scope, "vendor class"}},
		{name: "e, option 43 of telephones, iPXE", dhcp: lab.DHCP{NextServer: itself, Extra: telephones}, guest: bios, want: atOnce},
		{name: "e, options 43 and 60, UEFI", dhcp: lab.DHCP{NextServer: itself, Class: class, Extra: telephones}, guest: ovmf, asks: 4011,
			logged: []string{"level=WARN", `conflict="option 43 is not for PXE"`, "f1 04 0a d5 00 09", remove + "60,43;", scope}},
	}
}

// TestWindowsServers boots beside each server, or waits for the line that
// explains why the machine cannot boot.
func TestWindowsServers(t *testing.T) {
	t.Parallel()
	for _, c := range windowsCases(t) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := alone(c.guest, c.want, sidecar(roms(t, lab.Sid, everyROM...), c.args...))
			s.dhcp, s.sameHost = func(*lab.Lab) lab.DHCP { return c.dhcp }, c.sameHost
			if c.asks == 0 {
				c.checkLog(t, s.run(t))
				return
			}
			r := s.setUp(t)
			r.failToBoot(t, c)
			c.checkLog(t, r)
			r.sound(t)
		})
	}
}

// failToBoot switches a machine on that cannot boot, and waits until it asks
// the other server.
func (r *trial) failToBoot(t *testing.T, c windowsCase) {
	t.Helper()
	defer takeSlot()()
	ctx := deadline(t, bootLimit)
	m, err := r.lab.Boot(ctx, c.guest)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Stop()
	other := netip.AddrPortFrom(r.lab.LAN.Address(1), c.asks)
	if c.asks == 4011 {
		_, err = r.lab.Capture.Traffic.AwaitMessage(ctx, m.MAC, func(x lab.Message) bool { return x.Dst == other })
	} else {
		_, err = r.lab.Capture.Traffic.AwaitTransfer(ctx, m.MAC, func(x lab.Transfer) bool { return x.Server == other && x.File == windowsFile })
	}
	if err != nil {
		t.Fatalf("%v\nconsole:\n%s\nsidecar:\n%s", err, m.Console(), r.daemon.Output)
	}
	t.Logf("asked after %.1f s", time.Since(m.Started).Seconds())
}

// checkLog checks what the log says of the server: one line, however many
// machines are affected.
func (c windowsCase) checkLog(t *testing.T, r trial) {
	t.Helper()
	if c.logged == nil {
		return
	}
	// Packets are handled in order. When this client has its answer, all
	// packets of the machine have been examined.
	awaitOffer(t, r, newClient(t, r, "last"))
	message := "the DHCP server gets in the way of network boot"
	if c.logged[0] == "level=INFO" {
		message = "the DHCP server has boot options of its own"
	}
	lines := r.daemon.Stderr.Matching(message, c.logged[0], "server="+r.lab.LAN.Address(1).String())
	if len(lines) != 1 || len(r.daemon.Stderr.Matching(append(c.logged, message)...)) != 1 {
		t.Errorf("%d lines about the DHCP server, want one, with %q:\n%s", len(lines), c.logged, r.daemon.Output)
		return
	}
	t.Log(lines[0])
}
