package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/test/bench/dhcpload"
	"github.com/pxesidecar/pxesidecar/test/bench/tftpload"
)

// TestMain lets the arena start this test binary as one of the programs that
// the benchmark starts itself as.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{workTFTP, workDHCP, workLimitTFTP, workLimitDHCP}, os.Args[1]) {
		if err := run(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestArena runs the limit programs. They must answer every load, byte by byte,
// and leave nothing behind.
func TestArena(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	a, err := openArena(0)
	if err != nil {
		t.Fatal(err)
	}
	s := settings{time: 100 * time.Millisecond, limit: 20 * time.Second, verify: true, seed: 1}
	r := &record{contenders: []contender{limits()}, runs: map[key][]sample{}}
	for _, p := range []pattern{
		&tftpPattern{name: "lockstep", clients: 3, block: 512, window: 1, size: 5000, times: 2, behaviour: "plain"},
		&tftpPattern{name: "windows", clients: 3, block: 1468, window: 100, size: 1468 * 200, times: 2, behaviour: "plain"},
		&dhcpPattern{name: "burst", load: dhcpload.Job{Burst: 200}},
	} {
		if err := r.quietly(ctx, a, p, limits(), s); err != nil {
			t.Errorf("%s: %v", p.id(), err)
		}
	}
	dir, group := a.dir, a.group.path
	if err := a.close(); err != nil {
		t.Error(err)
	}
	for _, path := range []string{dir, group} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s: %v", path, err)
		}
	}
	type count struct{ done, failed, unfinished int }
	got := map[string]count{}
	for k, runs := range r.runs {
		got[k.pattern] = count{runs[0].done, runs[0].failed, runs[0].unfinished}
	}
	want := map[string]count{"tftp/lockstep": {done: 6}, "tftp/windows": {done: 6}, "dhcp/burst": {done: 200}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(count{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPatterns checks that every pattern has an id of its own, and that those
// named by goals and by the quick run exist.
func TestPatterns(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range append(allPatterns(), curvePatterns()...) {
		if seen[p.id()] {
			t.Errorf("two patterns have the id %s", p.id())
		}
		seen[p.id()] = true
		if p, ok := p.(*tftpPattern); ok {
			if _, ok := tftpload.Behaviours[p.behaviour]; !ok {
				t.Errorf("%s: behaviour %q", p.id(), p.behaviour)
			}
		}
	}
	for _, id := range append([]string{idSingle, idFew8, idFew64, idMany1432, idMany512, idRackWindow, idRackLockstep, idAlone, idBeside, idSlow,
		idOffers, idBurst, idBigBurst, idBusy, idBusyProcessor}, slow...) {
		if !seen[id] {
			t.Errorf("pattern %s does not exist", id)
		}
	}
}

// three returns contenders without programs.
func three() []contender {
	return []contender{{name: "us", role: ours}, {name: "a", role: peer}, {name: "b", role: peer}, {name: "limit", role: bound}}
}

func TestGoals(t *testing.T) {
	r := &record{contenders: three(), runs: map[key][]sample{
		{idFew64, "us"}: {{rate: 900, processor: 1}}, {idFew64, "a"}: {{rate: 300, processor: 3}},
		{idFew64, "b"}: {{rate: 400, processor: 1.5}}, {idFew64, "limit"}: {{rate: 1000, processor: 0.5}},
		{idSingle, "us"}: {{rate: 9}}, {idSingle, "a"}: {{rate: 10}}, {idSingle, "limit"}: {{rate: 8}},
		{idRackLockstep, "us"}: {{rate: 10, unfinished: 3, peak: 65}},
		{"tftp/loss1", "us"}:   {{median: 99 * time.Millisecond, max: time.Second}},
		{"tftp/loss5", "us"}:   {{median: 99 * time.Millisecond, max: time.Second}},
		{idSlow, "us"}:         {{extra: 0.06}},
		{idBurst, "us"}:        {{}},
		{idBigBurst, "us"}:     {{lost: 0.01}},
		{idAlone, "us"}:        {{rate: 500, p99: time.Second}},
		{idBeside, "us"}:       {{rate: 300, bulk: 103, p99: 2 * time.Second}},
	}}
	want := []verdict{
		{"16 clients, window 64, 64 MiB: at least 2.00 of the best peer", "2.25 (b)", true},
		{"16 clients, window 64, 64 MiB: at least 0.80 of the limit", "0.90 (limit)", true},
		{"1 client, lock-step 1432, 1 MiB: at least 1.00 of the best peer", "0.90 (a), the limit itself 0.80", false},
		{"1,000 clients at once, lock-step 1432, 1 MiB: nobody fails", "0 failed, 3 unfinished", false},
		{"1,000 clients at once, lock-step 1432, 1 MiB: under 64 MiB", "65 MiB", false},
		{"1 % loss, 16 clients, lock-step 1432, 100 KiB: median under 100 ms, worst under 1.0 s", "99 ms, 1.0 s", false},
		{"5 % loss, 16 clients, lock-step 1432, 100 KiB: median under 500 ms, worst under 5.0 s", "99 ms, 1.0 s", true},
		{"16 slow clients, 100 ms an ACK, window 4, 100 KiB: not flooded", "6.0 % extra", false},
		{"16 clients, window 64, 64 MiB: CPU at most 0.50 of the cheapest peer's", "0.67 (b)", false},
		{"burst of 1,000 DISCOVERs: none lost", "0.0 %", true},
		{"burst of 5,000 DISCOVERs: none lost", "1.0 %", false},
		{"one client reading 500 MiB beside 100 that read ROMs: they keep at least 0.5 of their share", "0.75, p99 1.0 s alone, 2.0 s beside it", true},
	}
	if diff := cmp.Diff(want, r.goals(), cmp.AllowUnexported(verdict{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestRatio checks that a ratio is the median of the rounds' ratios, not the
// ratio of the medians: a machine that is slow in one round is slow for all
// contenders.
func TestRatio(t *testing.T) {
	r := &record{contenders: three(), runs: map[key][]sample{
		{idOffers, "us"}:    {{rate: 50}, {rate: 110}, {rate: 90}, {rate: 1}},
		{idOffers, "limit"}: {{rate: 50}, {rate: 100}, {rate: 100}},
	}}
	if got, ok := r.ratio(idOffers, "us", "limit", rateOf); got != 1 || !ok {
		t.Errorf("%v, %v", got, ok)
	}
	if got, ok := r.ratio(idOffers, "us", "a", rateOf); ok {
		t.Errorf("%v to one that was not measured", got)
	}
}

func TestMiddle(t *testing.T) {
	got := middle([]sample{
		{rate: 3, median: 5, peak: 1, done: 9, total: 10, failed: 1},
		{rate: 1, median: 7, peak: 9, done: 10, total: 10, lost: 0.5},
		{rate: 2, median: 6, peak: 2, done: 10, total: 10, died: true},
	})
	want := sample{rate: 2, median: 6, peak: 9, done: 9, total: 10, failed: 1, lost: 0.5, died: true}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(sample{}, background{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReport(t *testing.T) {
	r := &record{contenders: three(), runs: map[key][]sample{
		{idFew64, "us"}:  {{rate: 1234.4, median: 20 * time.Millisecond, p99: 1500 * time.Microsecond, max: 2 * time.Second, processor: 0.789, used: 0.5, peak: 20, busy: 0.9}},
		{idFew64, "a"}:   {{rate: 9.87, failed: 2, unfinished: 1, total: 16, died: true}},
		{idOffers, "us"}: {{rate: 98765.4, median: 55 * time.Microsecond}},
		{idBurst, "us"}:  {{lost: 0.7}},
	}}
	_, text, _ := strings.Cut(r.report(allPatterns()), "\n\n")
	want := `| pattern                                     |         us |                                             a | b | limit |
|---------------------------------------------|-----------:|----------------------------------------------:|--:|------:|
| 16 clients, window 64, 64 MiB               | 1,234 MB/s | 9.9 MB/s, 2 of 16 failed, 1 of 16 unfinished, died | - |     - |
| OFFERs per second, 64 in flight             |   98,765/s |                                             - | - |     - |
| burst of 1,000 DISCOVERs                    | 70.0 % lost |                                             - | - |     - |
| server CPU per GB, 16 clients window 64 (s) |       0.79 |                                          0.00 | - |     - |
`
	if diff := cmp.Diff(cells(want), cells(text)[:len(cells(want))]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	details := "| tftp/16-window64 | us | 1,234 | 20 ms | 1.5 ms | 2.0 s | 0 | 0 | 0.0 % | 0.79 | 50 % | 20 | 90 % |"
	if !slices.Contains(strings.Split(strings.Join(cells(text), "\n"), "\n"), cells(details)[0]) {
		t.Errorf("no line %s in\n%s", details, text)
	}
}

// cells returns the lines of a table without the spaces that align it.
func cells(table string) []string {
	var lines []string
	for line := range strings.Lines(table) {
		line = strings.Join(strings.Fields(line), " ")
		if !strings.HasPrefix(line, "|-") {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestControlGroups(t *testing.T) {
	const mounts = "proc /proc proc rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
	if got := controlGroups(mounts); got != "/sys/fs/cgroup/unified" {
		t.Errorf("%q", got)
	}
	if got := controlGroups("proc /proc proc rw 0 0\n"); got != "" {
		t.Errorf("%q without control groups", got)
	}
}

func TestMachineTime(t *testing.T) {
	got, err := parseMachineTime("cpu  1 2 3 1000 2000 4 5 6 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
	if err != nil || got != 210*time.Millisecond {
		t.Errorf("%s, %v", got, err)
	}
	for _, bad := range []string{"", "intr 5", "cpu  1 2 3", "cpu  1 2 x 4 5 6 7 8"} {
		if _, err := parseMachineTime(bad); err != errMachineTime {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestBackground(t *testing.T) {
	var b background
	if got := b.share(); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	b.add(backgroundOf(2*time.Second, 3*time.Second, 2*time.Second))
	b.add(backgroundOf(2*time.Second, time.Second, 2*time.Second)) // rounding
	if got := b.share(); got != 0.25 {
		t.Errorf("%v, not 0.25", got)
	}
}

// TestQuietest checks that a disturbed run is repeated, and that the least
// disturbed one counts.
func TestQuietest(t *testing.T) {
	for _, c := range []struct {
		name   string
		shares []time.Duration // thousandths of a core, run by run
		runs   int             // how many runs are made
		kept   int             // the index of the one that counts
	}{
		{"quiet at once", []time.Duration{100, 0, 0}, 1, 0},
		{"quiet later", []time.Duration{900, 150, 0}, 2, 1},
		{"never quiet", []time.Duration{900, 300, 500, 0}, 3, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			made := 0
			got, ok, err := quietest(3, 0.2, func() (sample, bool, error) {
				made++
				return sample{done: made - 1, others: backgroundOf(time.Second, c.shares[made-1]*time.Millisecond, 0)}, true, nil
			})
			if err != nil || !ok || made != c.runs || got.done != c.kept {
				t.Errorf("kept run %d of %d, %t, %v, want %d of %d", got.done, made, ok, err, c.kept, c.runs)
			}
		})
	}
	broken := errors.New("broken")
	if _, ok, err := quietest(3, 0, func() (sample, bool, error) { return sample{}, false, broken }); ok || err != broken {
		t.Errorf("%t, %v", ok, err)
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"-reps x", `invalid value "x" for flag -reps: parse error`},
		{"-run (", "error parsing regexp: missing closing ): `(`"},
		{"tftp", `takes flags, no arguments: "tftp"`},
		{"-sidecar path", `invalid value "path" for flag -sidecar: want NAME=PATH`},
	} {
		if _, err := parse(strings.Fields(c.args)); err == nil || err.Error() != c.want {
			t.Errorf("%s: error %v, want %s", c.args, err, c.want)
		}
	}
	o, err := parse(strings.Fields("-quick -run dhcp/burst -sidecar new=/x"))
	if err != nil {
		t.Fatal(err)
	}
	table, curve := o.patterns()
	var ids []string
	for _, p := range append(table, curve...) {
		ids = append(ids, p.id())
	}
	if diff := cmp.Diff([]string{idBurst, idBigBurst}, ids); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
