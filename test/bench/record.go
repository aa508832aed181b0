package main

// The runs: every contender once, then every contender again in reverse order,
// and the results.

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// key is one cell of the table.
type key struct{ pattern, contender string }

// record is everything measured.
type record struct {
	contenders []contender
	runs       map[key][]sample
	others     background
}

// compete measures patterns.
func (r *record) compete(ctx context.Context, a *arena, o options, patterns []pattern, reps int) error {
	for i, p := range patterns {
		began := time.Now()
		for rep := range reps {
			for i := range r.contenders {
				if rep%2 == 1 { // who is late in one round is early in the next
					i = len(r.contenders) - 1 - i
				}
				c := r.contenders[i]
				if r.cutOff(p, c) {
					continue
				}
				s := o.settings
				s.seed = uint64(rep) + 1
				if err := r.quietly(ctx, a, p, c, s); err != nil {
					return fmt.Errorf("%s, %s: %w", p.id(), c.name, err)
				}
			}
		}
		progress("%d/%d %s (%.1f s)", i+1, len(patterns), p.title(), time.Since(began).Seconds())
	}
	return nil
}

// cutOff reports whether a contender exceeded the time limit. Another run would
// not differ.
func (r *record) cutOff(p pattern, c contender) bool {
	runs := r.runs[key{p.id(), c.name}]
	return len(runs) > 0 && runs[len(runs)-1].unfinished > 0
}

// quietly measures one contender with one pattern, and keeps the least
// disturbed of several runs.
func (r *record) quietly(ctx context.Context, a *arena, p pattern, c contender, s settings) error {
	run, ok, err := quietest(s.tries, s.quiet, func() (sample, bool, error) { return r.once(ctx, a, p, c, s) })
	if err != nil || !ok {
		return err
	}
	k := key{p.id(), c.name}
	r.runs[k] = append(r.runs[k], run)
	r.others.add(run.others)
	return nil
}

// quietest repeats a run in which others used more of a core than quiet, and
// returns the one in which they used the least. The result must not depend on
// other programs, or on other virtual machines on the same hardware.
func quietest(tries int, quiet float64, once func() (sample, bool, error)) (least sample, ok bool, err error) {
	for try := 0; try == 0 || try < tries && least.others.share() > quiet; try++ {
		run, ok, err := once()
		if err != nil || !ok {
			return sample{}, false, err
		}
		if try == 0 || run.others.share() < least.others.share() {
			least = run
		}
	}
	return least, true, nil
}

// once measures one contender with one pattern, if it supports the pattern.
func (r *record) once(ctx context.Context, a *arena, p pattern, c contender, s settings) (_ sample, ok bool, err error) {
	if ctx.Err() != nil {
		return sample{}, false, context.Cause(ctx)
	}
	if p, ok := p.(*tftpPattern); ok { // the limit maps its file when it starts
		if err := writeFile(filepath.Join(a.dir, p.file()), p.size); err != nil {
			return sample{}, false, err
		}
	}
	args, port := p.command(a, c)
	if args == nil {
		return sample{}, false, nil
	}
	server, err := a.start(ctx, args, port)
	if err != nil {
		return sample{}, false, err
	}
	defer server.stop()
	run, err := watch(ctx, a, p, server, s)
	return run, err == nil, err
}

// watch measures a started server, with what it and the rest of the machine
// use.
func watch(ctx context.Context, a *arena, p pattern, server *process, s settings) (sample, error) {
	before, err := server.usage()
	if err != nil {
		return sample{}, err
	}
	allBefore, err := machineTime()
	if err != nil {
		return sample{}, err
	}
	began := time.Now()
	result, err := p.measure(ctx, a, s)
	if err != nil {
		return sample{}, err
	}
	elapsed := time.Since(began)
	all, err := machineTime()
	if err != nil {
		return sample{}, err
	}
	after, err := server.usage()
	if err != nil {
		return sample{}, err
	}
	result.others = backgroundOf(elapsed, all-allBefore, after.processor-before.processor+result.load)
	result.spend(before, after, elapsed)
	if result.died = server.dead(); result.died {
		progress("%s died: %s %s", p.id(), server.cmd.ProcessState, server.outputEnd())
	}
	return result, nil
}

// get returns the median of a cell, and whether it was measured.
func (r *record) get(pattern, contender string) (sample, bool) {
	runs := r.runs[key{pattern, contender}]
	if len(runs) == 0 {
		return sample{}, false
	}
	return middle(runs), true
}

// publish prints the results, and writes them to a folder.
func (r *record) publish(dir string, table, curve []pattern) error {
	text := r.report(table)
	fmt.Println(text)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "table.md"), []byte(text), 0o644); err != nil {
		return err
	}
	if len(curve) == 0 {
		return nil
	}
	for name, plot := range r.plots() {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(plot.SVG()), 0o644); err != nil {
			return err
		}
		progress("plot: %s", path)
	}
	return nil
}
