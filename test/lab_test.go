package test

// What the scenarios share: one stock for the run, and the way a scenario is declared, run and judged.

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// stock, interrupted and pace are set by TestMain before the first test and never again.
var (
	stock       *lab.Stock
	interrupted context.Context
	// pace is how many times longer than on a good machine everything may take here.
	pace float64
)

// guestSlots bounds how many guests run at once, whatever the number of parallel tests: an emulated machine fills a core.
var guestSlots = make(chan struct{}, 2)

// parallelTests is how many tests run at once where -parallel says nothing: most wait for a slot, or for a timer.
const parallelTests = "8"

// What bounds the waits on a good machine that is busy; deadline stretches it for slower ones.
const (
	// bootLimit bounds one machine's way to its boot script, emulation and a busy machine included.
	bootLimit = 4 * time.Minute
	// fetchLimit bounds what may have to be downloaded first.
	fetchLimit = 5 * time.Minute
	// stepLimit bounds everything that needs no firmware.
	stepLimit = 30 * time.Second
)

// TestMain prepares the stock. An interrupt ends every wait, so that all labs are taken down in order.
func TestMain(m *testing.M) {
	os.Exit(prepareAndRun(m))
}

// prepareAndRun is TestMain with deferred steps.
func prepareAndRun(m *testing.M) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	interrupted = ctx
	err := flag.Set("test.parallel", parallelTests)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	stock, err = lab.OpenStock(ctx, func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) })
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer stock.Close()
	if pace, err = stock.Pace(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// deadline is a context that ends after a while, at an interrupt, and with the test. The limit is a good machine's.
func deadline(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	limit = stretched(limit)
	ctx, cancel := context.WithTimeoutCause(interrupted, limit, fmt.Errorf("not within %s", limit))
	t.Cleanup(cancel)
	return ctx
}

// stretched is a good machine's time on this one.
func stretched(d time.Duration) time.Duration { return time.Duration(float64(d) * pace) }

// newLab makes a lab for a test. When the test fails, its timeline is logged, and with PXESIDECAR_LAB_KEEP set to a
// folder its files and captures are kept there.
func newLab(t *testing.T) *lab.Lab {
	t.Helper()
	return newLabAs(t, lab.Options{})
}

// newLabAs is newLab with options, but for the stock.
func newLabAs(t *testing.T, o lab.Options) *lab.Lab {
	t.Helper()
	o.Stock = stock
	l, err := lab.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			var b strings.Builder
			l.Timeline(&b)
			t.Logf("timeline:\n%s", b.String())
			keep(t, l)
		}
		if err := l.Close(); err != nil {
			t.Errorf("taking the lab down: %v", err)
		}
	})
	return l
}

// keep copies a lab's files and capture to where a person can look at them.
func keep(t *testing.T, l *lab.Lab) {
	home := os.Getenv("PXESIDECAR_LAB_KEEP")
	if home == "" {
		return
	}
	dir := filepath.Join(home, strings.ReplaceAll(t.Name(), "/", "_")+"-"+l.ID)
	if err := os.CopyFS(dir, os.DirFS(l.Dir)); err != nil {
		t.Logf("keeping files: %v", err)
	}
	if err := l.Capture.WritePcap(filepath.Join(dir, "lan.pcap")); err != nil {
		t.Log(err)
	}
}

// scenario declares one network, its machines and what is to come of them.
type scenario struct {
	options lab.Options
	// dhcp is made for the lab, too; nil means a dhcpd with a plain pool.
	dhcp func(*lab.Lab) lab.DHCP
	// sameHost puts the DHCP server on the sidecar's host.
	sameHost bool
	// sidecar is made for the lab, because some of its values are the lab's.
	sidecar func(*lab.Lab) (lab.Sidecar, error)
	guests  []lab.Guest
	// want is what the capture and the collector show, by guest.
	want map[string]outcome
}

// outcome is the evidence about one machine.
type outcome struct {
	// Version is the iPXE release that ran the script, Platform and Arch what it was built for.
	Version, Platform, Arch string
	// ROMs are the boot files read by TFTP to the end, in order; HTTP those asked of the sidecar by HTTP.
	ROMs, HTTP []string
	// Asked4011 and Answered4011 count the machine's requests on port 4011 and the answers.
	Asked4011, Answered4011 int
}

// trial is a scenario that was run.
type trial struct {
	lab      *lab.Lab
	daemon   *lab.Daemon
	dhcp     *lab.Program
	machines map[string]*lab.Machine
}

// run plays a scenario and compares what happened with what it wants.
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
	r := trial{lab: l, machines: map[string]*lab.Machine{}}
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

// takeSlot waits until one more guest may run; release lets the next one in. After an interrupt nobody waits.
func takeSlot() (release func()) {
	select {
	case guestSlots <- struct{}{}:
		return func() { <-guestSlots }
	case <-interrupted.Done():
		return func() {}
	}
}

// everySlot is held by the one who waits for all slots, so that no two wait for each other's.
var everySlot sync.Mutex

// takeEverySlot waits until no other guest runs; release lets them in again.
func takeEverySlot() (release func()) {
	everySlot.Lock()
	defer everySlot.Unlock()
	var releases []func()
	for range cap(guestSlots) {
		releases = append(releases, takeSlot())
	}
	return func() {
		for _, release := range releases {
			release()
		}
	}
}

// boot switches a machine on, waits for its script, and gathers the evidence about it.
func (r *trial) boot(t *testing.T, g lab.Guest) (outcome, bool) {
	release := takeSlot()
	defer release()
	return r.bootNow(t, g)
}

// bootNow is boot for whoever has a slot already.
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

// observe puts together what collector and capture tell of a machine.
func (r *trial) observe(m *lab.Machine, e lab.Evidence) outcome {
	version, _, _ := strings.Cut(e.Version, "+")
	o := outcome{Version: version, Platform: e.Platform, Arch: e.Arch}
	for _, file := range r.lab.Capture.Traffic.Completed(m.MAC) {
		if !strings.HasSuffix(file, ".ipxe") {
			o.ROMs = append(o.ROMs, strings.TrimLeft(file, "/"))
		}
	}
	for _, request := range r.lab.Capture.Traffic.Requests(m.MAC) {
		if request.Dst.Addr() == r.daemon.Address && request.Method == "GET" && !strings.HasSuffix(request.Path, ".ipxe") {
			o.HTTP = append(o.HTTP, strings.TrimLeft(request.Path, "/"))
		}
	}
	const port = 4011
	o.Asked4011 = len(r.lab.Capture.Traffic.Messages(m.MAC, func(x lab.Message) bool { return x.Dst.Port() == port && x.Src.Addr() != r.daemon.Address }))
	o.Answered4011 = len(r.lab.Capture.Traffic.Messages(m.MAC, func(x lab.Message) bool { return x.Src == r.daemon.At(port) }))
	return o
}

// sound checks what must hold in every scenario: nothing malformed from us, a complete capture, and a daemon alive.
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
		t.Errorf("tshark finds fault with packets of ours:\n%s", strings.Join(malformed, "\n"))
	}
	for _, line := range r.daemon.Output.Matching("DATA RACE") {
		t.Errorf("%s:\n%s", line, r.daemon.Output)
	}
}

// ipxe is the iPXE of a suite.
func ipxe(t *testing.T, suite lab.Suite) lab.IPXE {
	t.Helper()
	i, err := stock.IPXE(deadline(t, fetchLimit), suite)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// optionROM is the option ROM of a suite's iPXE for a virtio card.
func optionROM(t *testing.T, suite lab.Suite, f lab.Firmware) string {
	t.Helper()
	path, err := ipxe(t, suite).OptionROM(f, "")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// roms is a boot file tree with ROMs of a suite's iPXE.
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

// sidecar is a sidecar with this tree and these arguments.
func sidecar(root map[string]string, args ...string) func(*lab.Lab) (lab.Sidecar, error) {
	return func(*lab.Lab) (lab.Sidecar, error) {
		return lab.Sidecar{Root: maps.Clone(root), Args: slices.Clone(args)}, nil
	}
}

// grub32 is the name that scenarios give the GRUB for 32-bit UEFI in their boot file trees.
const grub32 = "grub-ia32.efi"
