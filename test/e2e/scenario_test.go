package e2e

// A scenario: one network, its machines, and the outcome that the capture and
// the collector must show.

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// scenario describes one network, its machines and the expected outcome.
type scenario struct {
	options lab.Options
	// dhcp returns the DHCP server for the lab. Nil means a dhcpd with a plain
	// pool.
	dhcp func(*lab.Lab) lab.DHCP
	// sameHost puts the DHCP server on the sidecar's host.
	sameHost bool
	// sidecar returns the sidecar for the lab, because some of its values are
	// the lab's.
	sidecar func(*lab.Lab) (lab.Sidecar, error)
	guests  []lab.Guest
	// want is what the capture and the collector must show, by guest.
	want map[string]outcome
}

// outcome is the evidence about one machine.
type outcome struct {
	// Version is the iPXE release that ran the script. Platform and Arch are
	// what it was built for.
	Version, Platform, Arch string
	// ROMs are the boot files read by TFTP to the end, in order. HTTP are those
	// requested by HTTP from a sidecar, scripts left out of both.
	ROMs, HTTP []string
	// Asked4011 and Answered4011 count the machine's requests on port 4011 and
	// the answers.
	Asked4011, Answered4011 int
}

// trial is a scenario that was started.
type trial struct {
	lab    *lab.Lab
	daemon *lab.Daemon
	dhcp   *lab.Program
}

// alone returns a scenario with one guest.
func alone(guest lab.Guest, want outcome, sidecar func(*lab.Lab) (lab.Sidecar, error)) scenario {
	return scenario{guests: []lab.Guest{guest}, want: map[string]outcome{guest.Name: want}, sidecar: sidecar}
}

// run runs a scenario and compares its outcome with the expected one.
func (s scenario) run(t *testing.T) trial {
	t.Helper()
	r := s.setUp(t)
	results := make(map[string]outcome)
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, g := range s.guests {
		all.Go(func() {
			o, ok := r.boot(t, g)
			if ok {
				mu.Lock()
				results[g.Name] = o
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if diff := cmp.Diff(s.want, results); diff != "" {
		t.Errorf("evidence (-want +got):\n%s", diff)
	}
	r.sound(t)
	return r
}

// setUp builds the network and starts the servers.
func (s scenario) setUp(t *testing.T) trial {
	t.Helper()
	ctx := deadline(t, fetchLimit)
	l := newLabAs(t, s.options)
	r := trial{lab: l}
	config, err := s.sidecar(l)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host == nil {
		if config.Host, err = l.NewServerHost("pxesidecar"); err != nil {
			t.Fatal(err)
		}
	}
	var dhcp lab.DHCP
	if s.dhcp != nil {
		dhcp = s.dhcp(l)
	}
	if s.sameHost {
		dhcp.Host = config.Host
	}
	if r.dhcp, err = l.StartDHCP(ctx, dhcp); err != nil {
		t.Fatal(err)
	}
	if r.daemon, err = l.StartSidecar(ctx, config); err != nil {
		t.Fatal(err)
	}
	return r
}

// boot switches a machine on, waits for its script, and collects the evidence
// about it.
func (r *trial) boot(t *testing.T, g lab.Guest) (outcome, bool) {
	release := takeSlot()
	defer release()
	return r.bootNow(t, g)
}

// bootNow is boot for a caller that has a slot already.
func (r *trial) bootNow(t *testing.T, g lab.Guest) (outcome, bool) {
	ctx := deadline(t, bootLimit)
	m, err := r.lab.Boot(ctx, g)
	if err != nil {
		t.Error(err)
		return outcome{}, false
	}
	defer m.Stop()
	e, err := m.Script(ctx)
	if err != nil {
		t.Errorf("%s: %v\nconsole:\n%s\nsidecar:\n%s\n%s", g.Name, err, m.Console(), r.daemon.Output, m.Trouble())
		return outcome{}, false
	}
	t.Logf("%s: script after %.1f s (%s)", g.Name, e.At.Sub(m.Started).Seconds(), m.Accelerator)
	return r.observe(m, e), true
}

// observe collects what the collector and the capture show of a machine.
func (r *trial) observe(m *lab.Machine, e lab.Evidence) outcome {
	version, _, _ := strings.Cut(e.Version, "+")
	o := outcome{Version: version, Platform: e.Platform, Arch: e.Arch}
	for _, file := range r.lab.Capture.Traffic.Completed(m.MAC) {
		if !strings.HasSuffix(file, ".ipxe") {
			o.ROMs = append(o.ROMs, strings.TrimLeft(file, "/"))
		}
	}
	for _, request := range r.lab.Capture.Traffic.Requests(m.MAC) {
		name, _, _ := strings.Cut(request.Path, "?")
		if request.Dst.Addr() != r.lab.Collector.Address && request.Method == "GET" && !strings.HasSuffix(name, ".ipxe") {
			o.HTTP = append(o.HTTP, strings.TrimLeft(name, "/"))
		}
	}
	const port = 4011
	o.Asked4011 = len(r.lab.Capture.Traffic.Messages(m.MAC, func(x lab.Message) bool { return x.Dst.Port() == port && x.Src.Addr() != r.daemon.Address }))
	o.Answered4011 = len(r.lab.Capture.Traffic.Messages(m.MAC, func(x lab.Message) bool { return x.Src == r.daemon.At(port) }))
	return o
}

// sound checks what must be true in every scenario: no malformed packet from
// us, a complete capture, and a running daemon.
func (r *trial) sound(t *testing.T) {
	t.Helper()
	select {
	case <-r.daemon.Ended():
		t.Errorf("the sidecar ended by itself with code %d:\n%s", r.daemon.ExitCode(), r.daemon.Output)
	default:
	}
	if err := r.lab.Capture.Err(); err != nil {
		t.Error(err)
	}
	malformed, err := r.lab.Capture.Malformed(deadline(t, stepLimit), r.daemon.Address)
	if err != nil {
		t.Error(err)
	}
	if len(malformed) > 0 {
		t.Errorf("tshark rejects packets of ours:\n%s", strings.Join(malformed, "\n"))
	}
	for _, line := range r.daemon.Output.Matching("DATA RACE") {
		t.Errorf("%s:\n%s", line, r.daemon.Output)
	}
}

// everyROM are the names of the ROMs in an iPXE package that the guests of the
// lab use.
var everyROM = []string{"undionly.kpxe", "snponly.efi", "ipxe-arm64.efi"}

// ipxe returns the iPXE of a suite.
func ipxe(t *testing.T, suite lab.Suite) lab.IPXE {
	t.Helper()
	i, err := stock.IPXE(deadline(t, fetchLimit), suite)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// optionROM returns the option ROM of a suite's iPXE for a virtio card.
func optionROM(t *testing.T, suite lab.Suite, f lab.Firmware) string {
	t.Helper()
	path, err := ipxe(t, suite).OptionROM(f, "")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// roms returns a boot file tree with ROMs of a suite's iPXE.
func roms(t *testing.T, suite lab.Suite, names ...string) map[string]string {
	t.Helper()
	tree := map[string]string{}
	for _, name := range names {
		path, err := ipxe(t, suite).File(name)
		if err != nil {
			t.Fatal(err)
		}
		tree[name] = path
	}
	return tree
}

// sidecar returns a sidecar with this tree and these arguments.
func sidecar(root map[string]string, args ...string) func(*lab.Lab) (lab.Sidecar, error) {
	return func(*lab.Lab) (lab.Sidecar, error) {
		return lab.Sidecar{Root: maps.Clone(root), Args: slices.Clone(args)}, nil
	}
}

// plainSidecar runs dhcpd and a sidecar with the newest ROMs, without guests.
func plainSidecar(t *testing.T, args ...string) trial {
	t.Helper()
	return scenario{sidecar: sidecar(roms(t, lab.Sid, everyROM...), args...)}.setUp(t)
}
