package e2e

// Options that Windows DHCP servers often send beside a lease, sent here by dhcpd.
// A machine either boots all the same, or one line of the log says what is wrong
// and how to mend it.

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

const (
	// windowsFile is what a Windows deployment that is long gone left in option 67.
	windowsFile = `boot\x64\wdsnbp.com`
	// telephones is an option 43 that tells telephones of their server, sub-option 0xf1.
	telephones = "option vendor-encapsulated-options f1:04:0a:d5:00:09;"
	// bootOptions are options 66 and 67 as such, where Filename is the header's field.
	bootOptions = "option tftp-server-name \"10.213.0.1\";\n  option bootfile-name \"boot\\\\x64\\\\wdsnbp.com\";"
)

// windowsCase is a server's fault, a machine and what comes of the two.
type windowsCase struct {
	name     string
	dhcp     lab.DHCP
	sameHost bool
	args     []string
	guest    lab.Guest
	// want is how the machine boots.
	want outcome
	// astray is where a machine that can not boot asks the other server: 4011, or 69 for the wrong file. 0 is for those
	// that boot.
	astray uint16
	// says are the words of the one line about the server, its level first. A server that answers by unicast is not heard: nil, for
	// dhcpd does so to machines that do not ask for a broadcast, as iPXE.
	says []string
}

// windowsCases are those of the field.
func windowsCases(t *testing.T) []windowsCase {
	newest, old := ipxe(t, lab.Sid), ipxe(t, lab.Bookworm)
	ovmf := lab.Guest{Name: "ovmf", Firmware: lab.OVMF64}
	bios := lab.Guest{Name: "bios", Firmware: lab.BIOS, OptionROM: optionROM(t, lab.Bookworm, lab.BIOS)}
	loads := outcome{Version: newest.Version, Platform: "efi", Arch: "x86_64", ROMs: []string{"snponly.efi"}, Asked4011: 1, Answered4011: 1}
	atOnce := outcome{Version: old.Version, Platform: "pcbios", Arch: "i386"}
	// Where that server claims to be a PXE server, every stage asks on port 4011.
	asked, twice := atOnce, loads
	asked.Asked4011, asked.Answered4011 = 1, 1
	twice.Asked4011, twice.Answered4011 = 2, 2
	itself := netip.MustParseAddr("10.213.0.1")
	const class = "PXEClient"
	override, only := []string{"--override-dhcp-filename"}, []string{"--port-4011-only"}
	// What PowerShell is told, for each fault.
	const remove, scope = "Remove-DhcpServerv4OptionValue -OptionId ", "-ScopeId 10.213.0.0 "
	wrongFile := []string{"level=WARN", `fault="other boot file"`, "wdsnbp.com", remove + "66,67;", scope, "--override-dhcp-filename"}
	claim := []string{"level=WARN", `fault="option 60 PXEClient"`, "PXE-E16", remove + "60;", scope}
	return []windowsCase{
		{name: "a, siaddr is the server's own, UEFI", dhcp: lab.DHCP{NextServer: itself}, guest: ovmf, want: loads,
			says: []string{"level=INFO", `fault="other next-server"`, itself.String(), "${next-server}"}},
		{name: "a, siaddr is the server's own, iPXE", dhcp: lab.DHCP{NextServer: itself}, guest: bios, want: atOnce},
		{name: "b, option 60 is left over, UEFI", dhcp: lab.DHCP{NextServer: itself, Class: class}, guest: ovmf, astray: 4011, says: claim},
		{name: "b, option 60 is left over, iPXE", dhcp: lab.DHCP{NextServer: itself, Class: class, PingCheck: true, Extra: "always-broadcast on;"},
			guest: bios, astray: 4011, says: claim},
		{name: "c, option 60 and the same host, UEFI", dhcp: lab.DHCP{Class: class}, sameHost: true, guest: ovmf, want: twice},
		{name: "c, option 60 and the same host, iPXE", dhcp: lab.DHCP{Class: class, PingCheck: true}, sameHost: true, guest: bios, want: asked},
		{name: "c, port 4011 alone, UEFI", dhcp: lab.DHCP{Class: class}, sameHost: true, args: only, guest: ovmf, want: twice},
		{name: "c, port 4011 alone, iPXE", dhcp: lab.DHCP{Class: class}, sameHost: true, args: only, guest: bios, want: asked},
		{name: "d, a boot file is left over, UEFI", dhcp: lab.DHCP{NextServer: itself, Filename: windowsFile}, guest: ovmf, astray: 69, says: wrongFile},
		{name: "d, overridden, UEFI", dhcp: lab.DHCP{NextServer: itself, Filename: windowsFile}, args: override, guest: ovmf, want: loads, says: wrongFile},
		{name: "d, overridden, iPXE", dhcp: lab.DHCP{NextServer: itself, Filename: windowsFile}, args: override, guest: bios, want: atOnce},
		{name: "d, overridden as options 66 and 67, iPXE", dhcp: lab.DHCP{NextServer: itself, Extra: bootOptions}, args: override, guest: bios, want: atOnce},
		{name: "e, option 43 of telephones, UEFI", dhcp: lab.DHCP{NextServer: itself, Extra: telephones}, guest: ovmf, want: loads,
			says: []string{"level=WARN", `fault="option 43 for everybody"`, "f1 04 0a d5 00 09", remove + "43;", scope, "vendor class"}},
		{name: "e, option 43 of telephones, iPXE", dhcp: lab.DHCP{NextServer: itself, Extra: telephones}, guest: bios, want: atOnce},
		{name: "e, options 43 and 60, UEFI", dhcp: lab.DHCP{NextServer: itself, Class: class, Extra: telephones}, guest: ovmf, astray: 4011,
			says: []string{"level=WARN", `fault="option 43 is not for PXE"`, "f1 04 0a d5 00 09", remove + "60,43;", scope}},
	}
}

// TestWindowsServers boots beside each, or waits for the line that says why not.
func TestWindowsServers(t *testing.T) {
	t.Parallel()
	for _, c := range windowsCases(t) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := alone(c.guest, c.want, sidecar(roms(t, lab.Sid, everyROM...), c.args...))
			s.dhcp, s.sameHost = func(*lab.Lab) lab.DHCP { return c.dhcp }, c.sameHost
			if c.astray == 0 {
				c.judge(t, s.run(t))
				return
			}
			r := s.setUp(t)
			r.goAstray(t, c)
			c.judge(t, r)
			r.sound(t)
		})
	}
}

// goAstray switches a machine on that can not boot, and waits until it asks the other server.
func (r *trial) goAstray(t *testing.T, c windowsCase) {
	t.Helper()
	defer takeSlot()()
	ctx := deadline(t, bootLimit)
	m, err := r.lab.Boot(ctx, c.guest)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Stop()
	other := netip.AddrPortFrom(r.lab.LAN.Address(1), c.astray)
	if c.astray == 4011 {
		_, err = r.lab.Capture.Traffic.AwaitMessage(ctx, m.MAC, func(x lab.Message) bool { return x.Dst == other })
	} else {
		_, err = r.lab.Capture.Traffic.AwaitTransfer(ctx, m.MAC, func(x lab.Transfer) bool { return x.Server == other && x.File == windowsFile })
	}
	if err != nil {
		t.Fatalf("%v\nconsole:\n%s\nsidecar:\n%s", err, m.Console(), r.daemon.Output)
	}
	t.Logf("astray after %.1f s", time.Since(m.Started).Seconds())
}

// judge looks at what was said of the server: all of it in one line, however many machines suffer.
func (c windowsCase) judge(t *testing.T, r trial) {
	t.Helper()
	if c.says == nil {
		return
	}
	// Answers are heard in order: when this client has its own, the machine's were all looked at.
	offered(t, r, newClient(t, r, "last"))
	const message = "the DHCP server gets in the way of network boot"
	said := r.daemon.Stderr.Matching(message, c.says[0], "server="+r.lab.LAN.Address(1).String())
	if len(said) != 1 || len(r.daemon.Stderr.Matching(append(c.says, message)...)) != 1 {
		t.Errorf("%d lines about the DHCP server, want one, with %q:\n%s", len(said), c.says, r.daemon.Output)
		return
	}
	t.Log(said[0])
}
