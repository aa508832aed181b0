// Bench measures pxesidecar beside its peers, and beside what this machine can do at all.
//
//	go run ./test/bench [-quick] [-run REGEXP] [-reps N] [-time 1s] [-sidecar NAME=PATH ...]
//
// Every server is started anew for every run, in a network namespace with a core of its own; the load runs on the other
// core, at the other end of a veth pair. Runs are interleaved (each server once, then each server again), and medians are
// compared, so that what else the machine does hits all alike: the ratios count, not the figures.
//
// The load and the limit are this program again, told by its first argument.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/pxesidecar/pxesidecar/test/bench/dhcpload"
	"github.com/pxesidecar/pxesidecar/test/bench/limit"
	"github.com/pxesidecar/pxesidecar/test/bench/tftpload"
	"github.com/pxesidecar/pxesidecar/test/lab"
)

// What this program can be, beside the benchmark itself.
const (
	workTFTP      = "load-tftp"
	workDHCP      = "load-dhcp"
	workLimitTFTP = "limit-tftp"
	workLimitDHCP = "limit-dhcp"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run chooses what this process is.
func run(args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case workTFTP:
			return work(tftpload.Run)
		case workDHCP:
			return work(dhcpload.Run)
		case workLimitTFTP:
			return serve[limit.TFTP](args[1:])
		case workLimitDHCP:
			return serve[limit.DHCP](args[1:])
		}
	}
	return bench(args)
}

// work does the job that standard input holds and writes the result to standard output.
func work[Job, Result any](do func(Job) (Result, error)) error {
	var job Job
	if err := json.NewDecoder(os.Stdin).Decode(&job); err != nil {
		return err
	}
	debug.SetGCPercent(1000)
	runtime.LockOSThread()
	result, err := do(job)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// serve runs a limit program that the argument describes.
func serve[Limit interface{ Serve() error }](args []string) error {
	if len(args) != 1 {
		return errors.New("a limit program takes one argument")
	}
	var l Limit
	if err := json.Unmarshal([]byte(args[0]), &l); err != nil {
		return err
	}
	runtime.LockOSThread()
	return l.Serve()
}

// options are the flags.
type options struct {
	reps     int
	nice     int
	settings settings
	match    *regexp.Regexp
	quick    bool
	list     bool
	out      string
	sidecars []contender
}

// parse reads the flags.
func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.BoolVar(&o.quick, "quick", false, "one short run of most patterns, no plot")
	match := flags.String("run", "", "only patterns whose id matches `REGEXP`; curve/ is the plot (see -list)")
	flags.IntVar(&o.reps, "reps", 3, "how often every server runs every pattern")
	flags.DurationVar(&o.settings.time, "time", time.Second, "how long patterns repeat")
	flags.DurationVar(&o.settings.limit, "limit", 8*time.Second, "how long other patterns may take; what takes longer is not repeated")
	flags.Float64Var(&o.settings.quiet, "quiet", 0.2, "what others may use of a core: a run in which they used more is measured again")
	flags.IntVar(&o.settings.tries, "tries", 3, "how often at most, to keep the quietest")
	flags.BoolVar(&o.settings.verify, "verify", false, "compare every byte that clients read")
	flags.IntVar(&o.nice, "nice", 0, "the priority of servers and loads, -20 to 19, for a machine that others use, too")
	flags.BoolVar(&o.list, "list", false, "list the patterns")
	flags.StringVar(&o.out, "out", "out/bench", "the `FOLDER` for table and plot")
	flags.Func("sidecar", "measure this build instead of a new one: `NAME=PATH` (repeatable)", func(s string) error {
		name, path, ok := strings.Cut(s, "=")
		if !ok {
			return errors.New("want NAME=PATH")
		}
		o.sidecars = append(o.sidecars, sidecar(name, path))
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("no arguments are taken, only flags: %q", flags.Arg(0))
	}
	if o.quick {
		o.reps, o.settings.time, o.settings.limit, o.settings.tries = 1, 400*time.Millisecond, 5*time.Second, 1
	}
	var err error
	o.match, err = regexp.Compile(*match)
	return o, err
}

// patterns are the chosen ones, those of the table and those of the plot.
func (o options) patterns() (table, curve []pattern) {
	for _, p := range allPatterns() {
		if o.match.MatchString(p.id()) && !(o.quick && slices.Contains(slow, p.id())) {
			table = append(table, p)
		}
	}
	if !o.quick && o.match.MatchString("curve/") {
		curve = curvePatterns()
	}
	return table, curve
}

// bench is the benchmark itself.
func bench(args []string) error {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	table, curve := o.patterns()
	if o.list {
		for _, p := range append(table, curve...) {
			fmt.Printf("%-28s %s\n", p.id(), p.title())
		}
		return nil
	}
	// Programs die with the thread that started them, and the main thread lives as long as the process.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := allowFiles(); err != nil {
		return err
	}
	stock, err := lab.OpenStock(ctx, progress)
	if err != nil {
		return err
	}
	defer stock.Close()
	contenders, err := line(ctx, stock, o.sidecars)
	if err != nil {
		return err
	}
	a, err := openArena(o.nice)
	if err != nil {
		return err
	}
	r := &record{contenders: contenders, runs: map[key][]sample{}}
	if err = placeROM(ctx, stock, a); err != nil {
		return errors.Join(err, a.close())
	}
	if err = r.compete(ctx, a, o, table, o.reps); err == nil {
		err = r.compete(ctx, a, o, curve, 1)
	}
	// What was measured before an interrupt is worth reading, too.
	return errors.Join(err, r.publish(o.out, table, curve), a.close())
}

// allowFiles lets the programs started from here open as many files as the system grants: a transfer takes two in some,
// and the usual bound of 1,024 is only where they start. Go would give the programs that bound back, were it not set.
func allowFiles() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// progress tells who waits what is going on.
func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// line are the contenders in their order.
func line(ctx context.Context, stock *lab.Stock, sidecars []contender) ([]contender, error) {
	if len(sidecars) == 0 {
		path, err := stock.Sidecar(ctx)
		if err != nil {
			return nil, err
		}
		sidecars = []contender{sidecar("pxesidecar", path)}
	}
	others, err := peers(ctx, stock)
	if err != nil {
		return nil, err
	}
	return append(append(sidecars, others...), limits()), nil
}
