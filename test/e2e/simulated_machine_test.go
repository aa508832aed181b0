package e2e

// Simulated machines, which wait and repeat as edk2 and iPXE do.

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
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/pxesidecar/pxesidecar/test/bench/tftpload"
	"github.com/pxesidecar/pxesidecar/test/lab"
)

// simulatedMachine is a client that boots as a kind of firmware does.
type simulatedMachine struct {
	*lab.Client
	simulatedFirmware
	rom []byte
	// tries is how often it began, err how that ended, and failure why it had
	// to begin again.
	tries        int
	err, failure error
}

// simulatedFirmware is how a kind of firmware boots.
type simulatedFirmware struct {
	name    string
	options []dhcpv4.Modifier
	// timers are its waits for OFFERs. wholeWindow means that it waits until
	// each timer ends, whatever has arrived.
	timers      []time.Duration
	wholeWindow bool
	// behaviour is how it reads files, and request what it requests.
	behaviour tftpload.Behaviour
	request   tftpload.Request
}

// simulatedFirmwares returns the two kinds that matter. edk2 takes the proxy
// that answered first, and asks its port 4011. iPXE takes the one that answered
// last, and asks nobody.
func simulatedFirmwares() []simulatedFirmware {
	seconds := func(list ...time.Duration) []time.Duration {
		for i := range list {
			list[i] *= time.Second
		}
		return list
	}
	return []simulatedFirmware{
		{name: "edk2", options: pxeOptions(), timers: seconds(4, 8, 16, 32), wholeWindow: true,
			behaviour: tftpload.Behaviours["edk2"], request: tftpload.Request{File: "snponly.efi", Block: 1468, Window: 4}},
		{name: "ipxe", options: biosIPXE(), timers: seconds(1, 2, 4, 8),
			behaviour: tftpload.Behaviours["ipxe"], request: tftpload.Request{File: "undionly.kpxe", Block: 1432}},
	}
}

// newMachines makes the machines.
func newMachines(t *testing.T, p pair) []*simulatedMachine {
	t.Helper()
	kinds := simulatedFirmwares()
	machines := make([]*simulatedMachine, stormSize)
	for i := range machines {
		kind := kinds[i%len(kinds)]
		machines[i] = &simulatedMachine{Client: newClient(t, p.trial, fmt.Sprint(kind.name, "-", i)), simulatedFirmware: kind}
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

// boot begins again when it fails, as firmware does that has nothing else to
// boot from.
func (m *simulatedMachine) boot(ctx context.Context) {
	for m.tries < maxTries {
		m.tries++
		if m.err = m.try(ctx); m.err == nil {
			return
		}
		m.failure = m.err
	}
}

// try is one boot: a lease and the proxies' OFFERs, the name of a file, and the
// file.
func (m *simulatedMachine) try(ctx context.Context) error {
	// Remove what the last try left. The route for broadcasts goes with the
	// last address.
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

// discover broadcasts DISCOVERs until an OFFER with an address and one of a
// proxy have arrived.
func (m *simulatedMachine) discover(ctx context.Context) (lease *dhcpv4.DHCPv4, proxies []*dhcpv4.DHCPv4, err error) {
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
	return nil, nil, fmt.Errorf("missing OFFERs (an address: %t, proxies: %d)", lease != nil, len(proxies))
}

// receive returns the next answer in a transaction, or nil if there is none in
// time.
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

// take requests an offered lease.
func (m *simulatedMachine) take(ctx context.Context, offer *dhcpv4.DHCPv4) (netip.Addr, error) {
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

// ask asks one proxy after the other on port 4011, each four times, with waits
// of one to four seconds.
func (m *simulatedMachine) ask(ctx context.Context, own netip.Addr, proxies []*dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, error) {
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

// fileOf returns the TFTP server and the file that an answer names.
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
func (m *simulatedMachine) read(ctx context.Context, server netip.AddrPort) ([]byte, error) {
	conn, err := m.Socket(netip.MustParseAddrPort("0.0.0.0:0"))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	epoch := time.Now()
	var got []byte
	x := tftpload.Transfer{Request: m.request, Behaviour: m.behaviour}
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
			return nil, fmt.Errorf("%s from %s: ended after %d bytes", m.request.File, server, len(got))
		case tftpload.Running:
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

// send sends what a step asks for, no faster than a machine does.
func (m *simulatedMachine) send(ctx context.Context, conn *net.UDPConn, x *tftpload.Transfer, step tftpload.Step, server netip.AddrPort) error {
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
	case tftpload.Nothing:
	}
	return ctx.Err()
}
