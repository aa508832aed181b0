package test

// Two sidecars on one segment: the same answers from both, and nobody lost when one of them dies.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/pxesidecar/pxesidecar/test/bench/tftpload"
	"github.com/pxesidecar/pxesidecar/test/lab"
)

// pair is a trial with two sidecars of the same policy, on two hosts. Its daemon is the first of them.
type pair struct {
	trial
	second *lab.Daemon
}

// secondAddress is the second sidecar's, counted from the segment's start.
const secondAddress = 4

// newPair builds the network. The DHCP server looks whether an address is free before it offers it, so that both
// sidecars' OFFERs come before its own.
func newPair(t *testing.T) pair {
	t.Helper()
	policy := []string{"--ipxe-version", ">=" + ipxe(t, lab.Sid).Version}
	s := scenario{sidecar: sidecar(roms(t, lab.Sid, everyROM...), policy...), dhcp: func(*lab.Lab) lab.DHCP { return lab.DHCP{PingCheck: true} }}
	p := pair{trial: s.setUp(t)}
	host, err := p.lab.NewHost("second")
	if err != nil {
		t.Fatal(err)
	}
	address := p.lab.LAN.Address(secondAddress)
	iface, err := host.Join(p.lab.LAN, address)
	if err == nil {
		err = host.FullChecksums(iface)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.lab.Name("proxy "+address.String(), "second")
	p.second, err = p.lab.StartSidecar(deadline(t, stepLimit), lab.Sidecar{Host: host, Address: address, Args: append(policy, "--root", p.daemon.Root)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// pairGuests are the real machines of these tests, and what comes of them; the counts of port 4011 are left out,
// because a machine may ask both sidecars.
func pairGuests(t *testing.T) ([]lab.Guest, map[string]outcome) {
	newest := ipxe(t, lab.Sid)
	return []lab.Guest{
			{Name: "ovmf", Firmware: lab.OVMF64},
			{Name: "bios", Firmware: lab.BIOS, OptionROM: optionROM(t, lab.Bookworm, lab.BIOS)},
		}, map[string]outcome{
			"ovmf": {Version: newest.Version, Platform: "efi", Arch: "x86_64", ROMs: []string{"snponly.efi"}},
			"bios": {Version: newest.Version, Platform: "pcbios", Arch: "i386", ROMs: []string{"undionly.kpxe"}},
		}
}

// bootAll boots real machines, all at once, each by the function boot, and compares what comes of them.
func (p *pair) bootAll(t *testing.T, guests []lab.Guest, want map[string]outcome, boot func(*testing.T, lab.Guest) (outcome, bool)) {
	got := map[string]outcome{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, g := range guests {
		all.Go(func() {
			if o, ok := boot(t, g); ok {
				o.Asked4011, o.Answered4011 = 0, 0
				mu.Lock()
				defer mu.Unlock()
				got[g.Name] = o
			}
		})
	}
	all.Wait()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("evidence (-want +got):\n%s", diff)
	}
}

// TestTwoSidecars boots beside both: no machine loads more than one ROM, and the two say the same to everybody, their
// addresses aside.
func TestTwoSidecars(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	guests, want := pairGuests(t)
	p.bootAll(t, guests, want, p.boot)
	for i, options := range [][]dhcpv4.Modifier{pxeOptions(), biosIPXE(), append(biosIPXE(), dhcpv4.WithGeneric(encapsulated, []byte{235, 3, 9, 0, 0}))} {
		c := newClient(t, p.trial, fmt.Sprint("asking-", i))
		broadcast(t, c, dhcpv4.MessageTypeDiscover, options...)
		for _, d := range []*lab.Daemon{p.daemon, p.second} {
			if _, err := p.lab.Capture.Traffic.AwaitMessage(deadline(t, stepLimit), c.MAC, func(m lab.Message) bool { return m.Src == d.At(67) }); err != nil {
				t.Fatalf("%s: %v\n%s", d.Address, err, d.Output)
			}
		}
	}
	first, second := p.offers(p.daemon), p.offers(p.second)
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("OFFERs by transaction (-first +second):\n%s", diff)
	}
	if len(first) < 5 {
		t.Errorf("%d transactions, want those of two machines and three clients", len(first))
	}
	for _, d := range []*lab.Daemon{p.daemon, p.second} {
		p.daemon = d
		p.sound(t)
	}
}

// offers are the bytes of a sidecar's OFFERs, by transaction, with the same address in all of them.
func (p *pair) offers(d *lab.Daemon) map[dhcpv4.TransactionID][][]byte {
	found := map[dhcpv4.TransactionID][][]byte{}
	unify := func(b []byte) []byte {
		any := netip.IPv4Unspecified()
		b = bytes.ReplaceAll(b, d.Address.AsSlice(), any.AsSlice())
		return bytes.ReplaceAll(b, []byte(d.Address.String()), []byte(any.String()))
	}
	for _, m := range p.lab.Capture.Traffic.Messages("", func(m lab.Message) bool { return m.Src == d.At(67) }) {
		found[m.DHCP.TransactionID] = append(found[m.DHCP.TransactionID], unify(m.Payload))
	}
	return found
}

// encapsulated is option 175, in which iPXE says its version and its features.
var encapsulated = dhcpv4.GenericOptionCode(175)

// biosIPXE are the options of an iPXE 1.0.0 on a BIOS.
func biosIPXE() []dhcpv4.Modifier {
	return []dhcpv4.Modifier{
		dhcpv4.WithOption(dhcpv4.OptClassIdentifier("PXEClient:Arch:00000:UNDI:002001")),
		dhcpv4.WithGeneric(dhcpv4.OptionClientSystemArchitectureType, []byte{0, 0}),
		dhcpv4.WithGeneric(dhcpv4.OptionClientNetworkInterfaceIdentifier, []byte{1, 2, 1}),
		dhcpv4.WithGeneric(dhcpv4.OptionUserClassInformation, []byte("iPXE")),
		dhcpv4.WithGeneric(encapsulated, []byte{235, 3, 1, 0, 0}),
	}
}

const (
	// stormSize is how many machines boot in a storm, and stormGap how far apart simulated ones begin.
	stormSize = 12
	stormGap  = 150 * time.Millisecond
	// stormLimit bounds a storm: a machine whose server dies in the middle of a file waits half a minute for it.
	stormLimit = 2 * time.Minute
	// ackPace is how long a simulated machine takes over each packet: as slow as real ones.
	ackPace = 20 * time.Millisecond
	// mostTries is how often a machine may begin: with one sidecar left, the second time must do.
	mostTries = 2
	// tornOff is how many real machines are to be in the first half of a file when its server dies.
	tornOff = 3
)

// TestRealBootStorm switches twelve real machines on at once, kills the sidecar that is the first to have several in
// the middle of a file, and wants every machine to boot: at once, or, where its file was torn off, when its firmware
// has waited for it in vain and starts over. No machine reads more than one ROM to its end.
//
// No other guest runs meanwhile: twelve need some ten seconds of a core each, and as long again where they start over.
func TestRealBootStorm(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	rom := optionROM(t, lab.Bookworm, lab.BIOS)
	size := must(os.Stat(filepath.Join(p.daemon.Root, "undionly.kpxe"))).Size()
	var guests []lab.Guest
	want := map[string]outcome{}
	for i := range stormSize {
		name := fmt.Sprint("bios-", i)
		guests = append(guests, lab.Guest{Name: name, MAC: fmt.Sprintf("52:54:00:12:00:%02x", i), Firmware: lab.BIOS, OptionROM: rom, Memory: 64, Again: time.Second})
		want[name] = outcome{Version: ipxe(t, lab.Sid).Version, Platform: "pcbios", Arch: "i386", ROMs: []string{"undionly.kpxe"}}
	}
	release := takeEverySlot()
	defer release()
	var all sync.WaitGroup
	all.Go(func() { p.bootAll(t, guests, want, p.bootNow) })
	victim, torn, err := p.busy(deadline(t, bootLimit), size/2)
	if err == nil {
		err = victim.Signal(syscall.SIGKILL)
	}
	if err != nil {
		t.Error(err)
	}
	all.Wait()
	for _, client := range torn {
		if got := p.lab.Capture.Traffic.Transfers(client, nil); len(got) != 2 || got[0].Complete || !got[1].Complete || got[1].Server.Addr() == victim.Address {
			t.Errorf("%s was to be torn off %s, and to read the file from the other: %+v", client, victim.Address, got)
		}
	}
	again := 0
	for _, m := range guests {
		if len(p.lab.Capture.Traffic.Transfers(m.MAC, nil)) > 1 {
			again++
		}
	}
	t.Logf("%d of %d machines asked for the file again when %s died; %d were in its first half", again, stormSize, victim.Address, len(torn))
	if p.daemon == victim {
		p.daemon = p.second
	}
	p.sound(t)
}

// busy waits until one of the sidecars has several clients that have read something of a file, but less than part of
// it, and returns both.
func (p *pair) busy(ctx context.Context, part int64) (d *lab.Daemon, clients []string, err error) {
	err = p.lab.Capture.Traffic.AwaitTransfers(ctx, "clients in the middle of a file", func(all []lab.Transfer) bool {
		for _, d = range []*lab.Daemon{p.daemon, p.second} {
			clients = nil
			for _, x := range all {
				if x.Server.Addr() == d.Address && 0 < x.Bytes && x.Bytes < part {
					clients = append(clients, x.Client)
				}
			}
			if len(clients) >= tornOff {
				return true
			}
		}
		return false
	})
	return d, clients, err
}

// TestBootStorm kills the first sidecar in the middle of a storm of simulated machines, which wait and repeat
// themselves as edk2 and iPXE do, and switches two real ones on at that moment. Every machine is to boot: at once, or,
// where it was reading a file from the one that died, when its firmware begins again.
func TestBootStorm(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	victim := p.daemon
	p.daemon = p.second
	machines := newStorm(t, p)
	var all sync.WaitGroup
	ctx := deadline(t, stormLimit)
	for i, m := range machines {
		all.Go(func() {
			if pause(ctx, time.Duration(i)*stormGap) == nil {
				m.boot(ctx)
			}
		})
	}
	reading := func(x lab.Transfer) bool { return x.Server.Addr() == victim.Address && x.Bytes > 0 && !x.Complete }
	if _, err := p.lab.Capture.Traffic.AwaitTransfer(ctx, "", reading); err != nil {
		t.Errorf("%s serves nobody: %v", victim.Address, err)
	}
	all.Go(func() {
		guests, want := pairGuests(t)
		p.bootAll(t, guests, want, p.boot)
	})
	if err := victim.Signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	all.Wait()
	judgeStorm(t, p, victim, machines)
	p.sound(t)
}

// judgeStorm wants every machine to have booted, and with one download.
func judgeStorm(t *testing.T, p pair, victim *lab.Daemon, machines []*stormMachine) {
	t.Helper()
	again := 0
	for _, m := range machines {
		if m.err != nil {
			t.Errorf("%s: %d tries, %v", m.Name, m.tries, m.err)
		}
		if m.failure != nil {
			again++
			t.Logf("%s began again: %v", m.Name, m.failure)
		}
		// The capture may still have to see the last acknowledgment.
		if _, err := p.lab.Capture.Traffic.AwaitTransfer(deadline(t, stepLimit), m.MAC, func(x lab.Transfer) bool { return x.Complete }); err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
		if got := p.lab.Capture.Traffic.Completed(m.MAC); len(got) != 1 {
			t.Errorf("%s read %q", m.Name, got)
		}
	}
	if again == len(machines) {
		t.Error("every machine had to begin again")
	}
	t.Logf("%d of %d machines began again when %s died", again, len(machines), victim.Address)
}

// stormMachine is a simulated machine.
type stormMachine struct {
	*lab.Client
	stormKind
	rom []byte
	// tries is how often it began, err how that ended, and failure why it had to begin again.
	tries        int
	err, failure error
}

// stormKind is how a kind of firmware boots.
type stormKind struct {
	name    string
	options []dhcpv4.Modifier
	// timers are its waits for OFFERs; wholeWindow says that it waits them out, whatever has come.
	timers      []time.Duration
	wholeWindow bool
	// manner is how it reads files, request what it asks for.
	manner  tftpload.Manner
	request tftpload.Request
}

// stormKinds are those of the two that matter: edk2 takes the proxy that answered first, and asks its port 4011; iPXE
// takes the one that answered last, at its word.
func stormKinds() []stormKind {
	seconds := func(list ...time.Duration) []time.Duration {
		for i := range list {
			list[i] *= time.Second
		}
		return list
	}
	return []stormKind{
		{name: "edk2", options: pxeOptions(), timers: seconds(4, 8, 16, 32), wholeWindow: true,
			manner: tftpload.Manners["edk2"], request: tftpload.Request{File: "snponly.efi", Block: 1468, Window: 4}},
		{name: "ipxe", options: biosIPXE(), timers: seconds(1, 2, 4, 8),
			manner: tftpload.Manners["ipxe"], request: tftpload.Request{File: "undionly.kpxe", Block: 1432}},
	}
}

// newStorm makes the machines.
func newStorm(t *testing.T, p pair) []*stormMachine {
	t.Helper()
	kinds := stormKinds()
	machines := make([]*stormMachine, stormSize)
	for i := range machines {
		kind := kinds[i%len(kinds)]
		machines[i] = &stormMachine{Client: newClient(t, p.trial, fmt.Sprint(kind.name, "-", i)), stormKind: kind}
		machines[i].rom = must(os.ReadFile(filepath.Join(p.trial.lab.Path("root"), kind.request.File)))
	}
	return machines
}

// pause waits for a while.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// boot begins once more when it fails, as firmware does that has nothing else to boot from.
func (m *stormMachine) boot(ctx context.Context) {
	for m.tries < mostTries {
		m.tries++
		if m.err = m.try(ctx); m.err == nil {
			return
		}
		m.failure = m.err
	}
}

// try is one boot: a lease and the proxies' OFFERs, the name of a file, and the file.
func (m *stormMachine) try(ctx context.Context) error {
	// What the last try left is forgotten; the route for broadcasts goes with the last address.
	err := errors.Join(m.IP("addr", "flush", "dev", "eth0"), m.IP("route", "replace", "255.255.255.255/32", "dev", "eth0"))
	if err != nil {
		return err
	}
	lease, proxies, err := m.discover(ctx)
	if err != nil {
		return err
	}
	own, err := m.take(ctx, lease)
	if err != nil {
		return err
	}
	chosen := proxies[len(proxies)-1]
	if m.wholeWindow {
		if chosen, err = m.ask(ctx, own, proxies); err != nil {
			return err
		}
	}
	server, file, err := fileOf(chosen)
	if err != nil || file != m.request.File {
		return fmt.Errorf("offered %q of %s, want %s: %w", file, server, m.request.File, err)
	}
	got, err := m.read(ctx, netip.AddrPortFrom(server, 69))
	if err == nil && !bytes.Equal(got, m.rom) {
		err = fmt.Errorf("%s from %s: %d bytes that are not the file's", file, server, len(got))
	}
	return err
}

// discover broadcasts DISCOVERs until an OFFER of an address and one of a proxy are there.
func (m *stormMachine) discover(ctx context.Context) (lease *dhcpv4.DHCPv4, proxies []*dhcpv4.DHCPv4, err error) {
	message, err := m.Message(dhcpv4.MessageTypeDiscover, m.options...)
	if err != nil {
		return nil, nil, err
	}
	conn, err := m.Socket(netip.MustParseAddrPort("0.0.0.0:68"))
	if err != nil {
		return nil, nil, err
	}
	defer conn.Close()
	for _, wait := range m.timers {
		if _, err := conn.WriteToUDPAddrPort(message.ToBytes(), netip.MustParseAddrPort("255.255.255.255:67")); err != nil {
			return nil, nil, err
		}
		end := time.Now().Add(wait)
		for ctx.Err() == nil && (m.wholeWindow || lease == nil || len(proxies) == 0) {
			answer := receive(conn, end, message.TransactionID)
			if answer == nil {
				break
			}
			if answer.YourIPAddr.IsUnspecified() {
				proxies = append(proxies, answer)
			} else {
				lease = answer
			}
		}
		if lease != nil && len(proxies) > 0 {
			return lease, proxies, nil
		}
	}
	return nil, nil, fmt.Errorf("no OFFERs (an address: %t, proxies: %d)", lease != nil, len(proxies))
}

// receive returns the next answer in a transaction, or nil when there is none in time.
func receive(conn *net.UDPConn, end time.Time, transaction dhcpv4.TransactionID) *dhcpv4.DHCPv4 {
	conn.SetReadDeadline(end)
	buffer := make([]byte, 2048)
	for {
		n, _, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return nil
		}
		answer, err := dhcpv4.FromBytes(buffer[:n])
		if err == nil && answer.OpCode == dhcpv4.OpcodeBootReply && answer.TransactionID == transaction {
			return answer
		}
	}
}

// take takes an offered lease.
func (m *stormMachine) take(ctx context.Context, offer *dhcpv4.DHCPv4) (netip.Addr, error) {
	request, err := dhcpv4.NewRequestFromOffer(offer, m.options...)
	if err != nil {
		return netip.Addr{}, err
	}
	request.SetBroadcast()
	ack, err := m.Exchange(ctx, request, netip.MustParseAddrPort("0.0.0.0:68"), netip.MustParseAddrPort("255.255.255.255:67"), dhcpv4.MessageTypeAck)
	if err != nil {
		return netip.Addr{}, err
	}
	own, _ := netip.AddrFromSlice(ack.YourIPAddr.To4())
	return own, m.IP("addr", "add", own.String()+"/24", "dev", "eth0")
}

// ask asks one proxy after the other on port 4011, each four times, with waits of one to four seconds.
func (m *stormMachine) ask(ctx context.Context, own netip.Addr, proxies []*dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, error) {
	conn, err := m.Socket(netip.AddrPortFrom(own, 4011))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	for _, proxy := range proxies {
		message, err := m.Message(dhcpv4.MessageTypeRequest, append(m.options, dhcpv4.WithClientIP(own.AsSlice()), dhcpv4.WithBroadcast(false))...)
		if err != nil {
			return nil, err
		}
		server, _ := netip.AddrFromSlice(proxy.ServerIPAddr.To4())
		for try := 1; try <= 4 && ctx.Err() == nil; try++ {
			if _, err := conn.WriteToUDPAddrPort(message.ToBytes(), netip.AddrPortFrom(server, 4011)); err != nil {
				return nil, err
			}
			if answer := receive(conn, time.Now().Add(time.Duration(try)*time.Second), message.TransactionID); answer != nil {
				return answer, nil
			}
		}
	}
	return nil, errors.New("no proxy answers on port 4011")
}

// fileOf is the TFTP server and the file that an answer names.
func fileOf(answer *dhcpv4.DHCPv4) (server netip.Addr, file string, err error) {
	server, _ = netip.AddrFromSlice(answer.ServerIPAddr.To4())
	file = answer.BootFileName
	if rest, isURL := strings.CutPrefix(file, "tftp:"); isURL {
		u, err := url.Parse(rest)
		if err != nil {
			return server, file, err
		}
		file = strings.TrimLeft(u.Path, "/")
		server, err = netip.ParseAddr(u.Host)
		return server, file, err
	}
	return server, file, nil
}

// read reads the file.
func (m *stormMachine) read(ctx context.Context, server netip.AddrPort) ([]byte, error) {
	conn, err := m.Socket(netip.MustParseAddrPort("0.0.0.0:0"))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	epoch := time.Now()
	var got []byte
	x := tftpload.Transfer{Request: m.request, Manner: m.manner}
	buffer := make([]byte, 2048)
	for step := x.Begin(0); ; {
		got = append(got, step.Data...)
		if err := m.send(ctx, conn, &x, step, server); err != nil {
			return nil, err
		}
		switch step.Ending {
		case tftpload.Complete:
			return got, nil
		case tftpload.GaveUp, tftpload.Refused:
			return nil, fmt.Errorf("%s from %s: broken off after %d bytes", m.request.File, server, len(got))
		}
		conn.SetReadDeadline(epoch.Add(x.Deadline))
		n, from, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			step = x.Expire(time.Since(epoch))
			continue
		}
		step = x.Receive(netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), buffer[:n], time.Since(epoch))
	}
}

// send sends what a step asks for, not faster than a machine does.
func (m *stormMachine) send(ctx context.Context, conn *net.UDPConn, x *tftpload.Transfer, step tftpload.Step, server netip.AddrPort) error {
	switch step.Send {
	case tftpload.Asking:
		request := fmt.Sprintf("\x00\x01%s\x00octet\x00blksize\x00%d\x00", m.request.File, m.request.Block)
		if m.request.Window > 1 {
			request += fmt.Sprintf("windowsize\x00%d\x00", m.request.Window)
		}
		_, err := conn.WriteToUDPAddrPort([]byte(request), server)
		return err
	case tftpload.Acking:
		if err := pause(ctx, ackPace); err != nil {
			return err
		}
		_, err := conn.WriteToUDPAddrPort([]byte{0, 4, byte(step.Block >> 8), byte(step.Block)}, x.Server())
		return err
	}
	return ctx.Err()
}
