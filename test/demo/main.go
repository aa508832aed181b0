// Command demo boots machines through pxesidecar in a network of their own,
// beside DHCP servers without boot options, and shows what happens as it
// happens: two machines on the server's own segment first, then one in a VLAN
// and one behind a relay. It ends by itself, with code 0 if all of them reached
// their boot script in the newest iPXE.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// limit bounds the whole demonstration after everything is installed.
const limit = 6 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		stop()
		os.Exit(1)
	}
}

// run fetches what is needed, shows the demonstration and cleans up.
func run(ctx context.Context) (err error) {
	stock, err := lab.OpenStock(ctx, func(format string, args ...any) { fmt.Printf(format+"\n", args...) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stock.Close()) }()
	old, err := stock.IPXE(ctx, lab.Bookworm)
	if err != nil {
		return err
	}
	newest, err := stock.IPXE(ctx, lab.Sid)
	if err != nil {
		return err
	}
	if _, err := stock.Sidecar(ctx); err != nil {
		return err
	}
	bundled, err := old.OptionROM(lab.BIOS, "")
	if err != nil {
		return err
	}
	return show(ctx, stock, old, newest, bundled)
}

// show builds the network, and runs the two parts.
func show(ctx context.Context, stock *lab.Stock, old, newest lab.IPXE, bundled string) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not within %s", limit))
	defer cancel()
	var l *lab.Lab
	var printing sync.Mutex
	l, err = lab.New(lab.Options{Stock: stock, Live: func(e lab.Event) {
		printing.Lock()
		defer printing.Unlock()
		fmt.Println(e)
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	fmt.Printf("\nFirst part: two machines, one with BIOS and a bundled iPXE %s, one with UEFI and none. The policy wants iPXE %s.\n\n", old.Version, newest.Version)
	n, err := build(ctx, l, newest)
	if err != nil {
		return err
	}
	first := play(ctx, l, newest.Version,
		machine{lab.Guest{Name: "bios-machine", Firmware: lab.BIOS, OptionROM: bundled}, "main"},
		machine{lab.Guest{Name: "uefi-machine", Firmware: lab.OVMF64}, "main"})
	fmt.Printf("\nSecond part: the same server; a machine in VLAN %d, whose frames have a tag, and one in %s behind a relay. Both have iPXE %s.\n\n",
		workshopID, n.branch.Prefix, old.Version)
	return errors.Join(first, play(ctx, l, newest.Version,
		machine{lab.Guest{Name: "in-the-vlan", Firmware: lab.BIOS, OptionROM: bundled, Segment: n.workshop}, "workshop"},
		machine{lab.Guest{Name: "at-the-branch", Firmware: lab.BIOS, OptionROM: bundled, Segment: n.branch}, "branch"}))
}

// machine is a guest and its expected boot script.
type machine struct {
	lab.Guest
	script string
}

// play boots machines at the same time, and prints a summary.
func play(ctx context.Context, l *lab.Lab, version string, machines ...machine) error {
	results := make([]error, len(machines))
	summary := make([]string, len(machines))
	var all sync.WaitGroup
	for i, m := range machines {
		all.Go(func() { summary[i], results[i] = boot(ctx, l, m.Guest, version, m.script) })
	}
	all.Wait()
	fmt.Printf("\n%s\n", strings.Join(summary, "\n"))
	return errors.Join(results...)
}

// boot boots one machine and returns a line about it.
func boot(ctx context.Context, l *lab.Lab, g lab.Guest, version, script string) (string, error) {
	m, err := l.Boot(ctx, g)
	if err != nil {
		return g.Name + ": not switched on", err
	}
	defer m.Stop()
	e, err := m.Script(ctx)
	if err != nil {
		return g.Name + ": did not reach the boot script", fmt.Errorf("%w\nits console:\n%s", err, m.Console())
	}
	if !strings.HasPrefix(e.Version, version) {
		err = fmt.Errorf("%s: runs iPXE %s, not %s", g.Name, e.Version, version)
	}
	if e.Boot != script {
		err = errors.Join(err, fmt.Errorf("%s: ran the boot script %s, not %s", g.Name, e.Boot, script))
	}
	read := ""
	// What comes through a router has the router's hardware address, and is not
	// counted here.
	if files := l.Capture.Traffic.Completed(m.MAC); len(files) > 0 {
		read = "read " + strings.Join(files, " and ") + ", and "
	}
	return fmt.Sprintf("%s: %sran the boot script %s in iPXE %s after %.0f s", g.Name, read, e.Boot, e.Version, e.At.Sub(m.Started).Seconds()), err
}
