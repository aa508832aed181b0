// Command demo boots two machines through pxesidecar in a network of their own, beside a DHCP server that knows nothing
// of booting, and shows what happens as it happens. It ends by itself, with code 0 when both machines reached the boot
// script in the newest iPXE.
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

// limit bounds the whole demonstration once everything is installed.
const limit = 4 * time.Minute

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
	guests := []lab.Guest{
		{Name: "bios-machine", Firmware: lab.BIOS, OptionROM: bundled},
		{Name: "uefi-machine", Firmware: lab.OVMF64},
	}
	fmt.Printf("\nTwo machines, one with BIOS and a bundled iPXE %s, one with UEFI and none. The policy wants iPXE %s.\n\n", old.Version, newest.Version)
	return show(ctx, stock, newest, guests)
}

// show builds the network, boots the guests and prints what becomes of them.
func show(ctx context.Context, stock *lab.Stock, newest lab.IPXE, guests []lab.Guest) (err error) {
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
	root := map[string]string{}
	for _, name := range []string{"undionly.kpxe", "snponly.efi"} {
		if root[name], err = newest.File(name); err != nil {
			return err
		}
	}
	if _, err = l.StartDHCP(ctx, lab.DHCP{PingCheck: true}); err != nil {
		return err
	}
	if _, err = l.StartSidecar(ctx, lab.Sidecar{Root: root, Args: []string{"--ipxe-version", ">=" + newest.Version}}); err != nil {
		return err
	}
	results := make([]error, len(guests))
	summary := make([]string, len(guests))
	var all sync.WaitGroup
	for i, g := range guests {
		all.Go(func() { summary[i], results[i] = boot(ctx, l, g, newest.Version) })
	}
	all.Wait()
	fmt.Printf("\n%s\n", strings.Join(summary, "\n"))
	return errors.Join(results...)
}

// boot boots one machine and says in a line how that went.
func boot(ctx context.Context, l *lab.Lab, g lab.Guest, version string) (string, error) {
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
	return fmt.Sprintf("%s: read %s, and ran the boot script in iPXE %s after %.0f s", g.Name,
		strings.Join(l.Capture.Traffic.Completed(m.MAC), " and "), e.Version, e.At.Sub(m.Started).Seconds()), err
}
