// Bench measures pxesidecar beside its peers, and beside the limit of this
// machine.
//
//	go run ./test/bench [-quick] [-run REGEXP] [-reps N] [-time 1s] [-sidecar NAME=PATH ...]
//
// Every server is started again for every run, in a network namespace with a
// core of its own. The load runs on the other core, at the other end of a veth
// pair. Runs are interleaved (each server once, then each server again), so
// that other work of the machine affects all alike. Ratios count, not figures.
//
// The load and the limit are this program again, chosen by its first argument.
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

// The programs that this program can be, beside the benchmark itself.
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

// run runs the program that the first argument chooses.
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

// work does the job on standard input and writes the result to standard output.
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

// options are the values of the flags.
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

// parse parses the flags.
func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.BoolVar(&o.quick, "quick", false, "one short run of most patterns, no plot")
	match := flags.String("run", "", "only patterns whose id matches `REGEXP`; curve/ is the plot (see -list)")
	flags.IntVar(&o.reps, "reps", 3, "how many rounds are measured")
	flags.DurationVar(&o.settings.time, "time", time.Second, "how long patterns repeat")
	flags.DurationVar(&o.settings.limit, "limit", 8*time.Second, "how long other patterns may take; what takes longer is not repeated")
	flags.Float64Var(&o.settings.quiet, "quiet", 0.2, "the part of a core that others may use; a run in which they used more is repeated")
	flags.IntVar(&o.settings.tries, "tries", 3, "how often a run is repeated at most; the least disturbed one counts")
	flags.BoolVar(&o.settings.verify, "verify", false, "compare every byte that clients read")
	flags.IntVar(&o.nice, "nice", 0, "the nice value of servers and loads, -20 to 19, for a shared machine")
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
		return o, fmt.Errorf("takes flags, no arguments: %q", flags.Arg(0))
	}
	if o.quick {
		o.reps, o.settings.time, o.settings.limit, o.settings.tries = 1, 400*time.Millisecond, 5*time.Second, 1
	}
	var err error
	o.match, err = regexp.Compile(*match)
	return o, err
}

// patterns returns the chosen patterns, those of the table and those of the
// plot.
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
	// Programs end with the thread that started them, and the main thread lives
	// as long as the process.
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
	contenders, err := allContenders(ctx, stock, o.sidecars)
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
	// What was measured before an interrupt is published, too.
	return errors.Join(err, r.publish(o.out, table, curve), a.close())
}

// allowFiles raises the limit of open files for the programs started from here:
// some servers use two files for each transfer, and the default limit is 1,024.
// Go would restore that limit in child processes if it were not set here.
func allowFiles() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// progress writes the progress to standard error.
func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// allContenders returns the contenders in the order of the table.
func allContenders(ctx context.Context, stock *lab.Stock, sidecars []contender) ([]contender, error) {
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
