package main

// The results of one run, and the medians of several.

import (
	"slices"
	"time"

	"github.com/pxesidecar/pxesidecar/test/bench/dhcpload"
	"github.com/pxesidecar/pxesidecar/test/bench/figure"
	"github.com/pxesidecar/pxesidecar/test/bench/tftpload"
)

// sample is the result of one run. A field that a pattern does not measure is
// zero.
type sample struct {
	rate             float64 // MB/s of file content, or OFFERs per second
	median, p99, max time.Duration
	done             int // completed transfers, or OFFERs
	failed           int // gave up or were refused, and transfers with wrong content
	unfinished       int // when the time was over
	total            int // requested, if transfers are counted
	lost             float64
	extra            float64       // the share of useless DATA packets
	bulk             float64       // MB/s of the additional client
	load             time.Duration // processor time of the load
	busy             float64       // its share of its core
	volume           float64       // GB, or 100,000 OFFERs: the unit of processor time

	processor float64 // seconds of the server for each of these
	used      float64 // the server's share of its core
	peak      float64 // MiB of the server
	died      bool
	others    background
}

const megabyte = 1e6

// tftpSample summarizes a result. The first group is measured, a second one
// runs beside it.
func tftpSample(r tftpload.Result, load time.Duration) sample {
	o := r.Groups[0]
	s := sample{
		done: o.Completed, failed: o.Failed + o.Wrong, unfinished: o.Unfinished, load: load, busy: float64(load) / float64(r.Elapsed),
		total:  o.Completed + o.Failed + o.Unfinished,
		median: figure.Quantile(o.Durations, 0.5), p99: figure.Quantile(o.Durations, 0.99), max: figure.Quantile(o.Durations, 1),
	}
	if o.Elapsed > 0 {
		s.rate = float64(o.Bytes) / megabyte / o.Elapsed.Seconds()
	}
	if o.Blocks > 0 {
		s.extra = float64(o.Extra) / float64(o.Blocks)
	}
	bytes := o.Bytes
	for _, beside := range r.Groups[1:] {
		s.bulk += float64(beside.Bytes) / megabyte / beside.Elapsed.Seconds()
		bytes += beside.Bytes
	}
	s.volume = float64(bytes) / 1e9
	return s
}

// dhcpSample summarizes a result.
func dhcpSample(r dhcpload.Result, load time.Duration) sample {
	s := sample{
		rate: float64(r.Offers) / r.Elapsed.Seconds(), median: r.Median, p99: r.P99, max: r.Max,
		done: r.Offers, volume: float64(r.Offers) / 1e5, load: load, busy: float64(load) / float64(r.Elapsed),
	}
	if r.Sent > 0 {
		s.lost = float64(r.Lost) / float64(r.Sent)
	}
	return s
}

// spend adds what the server used in the run.
func (s *sample) spend(before, after usage, elapsed time.Duration) {
	used := (after.processor - before.processor).Seconds()
	if s.volume > 0 {
		s.processor = used / s.volume
	}
	s.used = used / elapsed.Seconds()
	s.peak = float64(after.peak) / mib
}

// middle returns the median of several runs, field by field. Failures and
// losses are those of the worst run.
func middle(runs []sample) sample {
	var m sample
	for _, f := range []func(*sample) *float64{
		func(s *sample) *float64 { return &s.rate }, func(s *sample) *float64 { return &s.extra },
		func(s *sample) *float64 { return &s.bulk }, func(s *sample) *float64 { return &s.busy },
		func(s *sample) *float64 { return &s.processor }, func(s *sample) *float64 { return &s.used },
	} {
		values := make([]float64, len(runs))
		for i := range runs {
			values[i] = *f(&runs[i])
		}
		*f(&m) = figure.Median(values)
	}
	for _, f := range []func(*sample) *time.Duration{
		func(s *sample) *time.Duration { return &s.median }, func(s *sample) *time.Duration { return &s.p99 },
		func(s *sample) *time.Duration { return &s.max },
	} {
		values := make([]time.Duration, len(runs))
		for i := range runs {
			values[i] = *f(&runs[i])
		}
		*f(&m) = figure.Quantile(values, 0.5)
	}
	worst := slices.MaxFunc(runs, func(a, b sample) int { return a.failed + a.unfinished - b.failed - b.unfinished })
	m.done, m.failed, m.unfinished, m.total = worst.done, worst.failed, worst.unfinished, worst.total
	for _, r := range runs {
		m.died = m.died || r.died
		m.lost, m.peak = max(m.lost, r.lost), max(m.peak, r.peak)
	}
	return m
}
