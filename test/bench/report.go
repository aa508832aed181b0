package main

// The report: the table, the details, the goals and the plots.

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/pxesidecar/pxesidecar/test/bench/figure"
)

// report returns the whole report in Markdown.
func (r *record) report(patterns []pattern) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s; medians, server on one core, load on the other, veth, MTU 1500. "+
		"Other programs used %.0f %% of a core meanwhile.\n\n", time.Now().Format(time.DateOnly), machine(), r.others.share()*100)
	b.WriteString(r.summary(patterns).String())
	b.WriteString("\nDetails: of TFTP the transfers' median, 99th percentile and worst; of DHCP the way from DISCOVER to OFFER. " +
		"CPU is the server's, for a GB or for 100,000 OFFERs; memory its peak; load is how busy the load's core was.\n\n")
	b.WriteString(r.details(patterns).String())
	b.WriteString("\nRatios are taken within each round of runs, one server after the other, and are medians of these.\n\n")
	b.WriteString(goalTable(r.goals()).String())
	return b.String()
}

// machine describes this machine.
func machine() string {
	model := runtime.GOARCH
	content, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(content)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%s, %d cores, Linux %s", model, runtime.NumCPU(), strings.TrimSpace(string(release)))
}

// names returns the headings.
func (r *record) names(first ...string) []string {
	for _, c := range r.contenders {
		first = append(first, c.name)
	}
	return first
}

// summary returns a table with one row for each pattern.
func (r *record) summary(patterns []pattern) *figure.Table {
	t := &figure.Table{Head: r.names("pattern")}
	for _, p := range patterns {
		row := []string{p.title()}
		var any bool
		for _, c := range r.contenders {
			s, ok := r.get(p.id(), c.name)
			if !ok {
				row = append(row, "-")
				continue
			}
			any = true
			row = append(row, cell(p, s))
		}
		if any {
			t.Add(row...)
		}
	}
	if row := r.processorRow(); row != nil {
		t.Add(row...)
	}
	return t
}

// processorRow returns the row with the server's processor time for windows.
func (r *record) processorRow() []string {
	row := []string{"server CPU per GB, 16 clients window 64 (s)"}
	var any bool
	for _, c := range r.contenders {
		s, ok := r.get(idFew64, c.name)
		if !ok {
			row = append(row, "-")
			continue
		}
		any = true
		row = append(row, fmt.Sprintf("%.2f", s.processor))
	}
	if !any {
		return nil
	}
	return row
}

// cell returns the result of a pattern.
func cell(p pattern, s sample) string {
	text := finding(p, s)
	if s.died {
		text += ", died"
	}
	return text
}

// finding returns the main figures of a pattern.
func finding(p pattern, s sample) string {
	switch p := p.(type) {
	case *dhcpPattern:
		switch {
		case p.load.Burst > 0:
			return fmt.Sprintf("%.1f %% lost", s.lost*100)
		case p.load.Rate > 0:
			return fmt.Sprintf("%.1f s CPU per 100,000", s.processor)
		case p.load.InFlight == 1:
			return fmt.Sprintf("%.0f us", float64(s.median)/float64(time.Microsecond))
		}
		return fmt.Sprintf("%s/s", thousands(s.rate))
	case *tftpPattern:
		text := fmt.Sprintf("%s MB/s", significant(s.rate))
		if p.loss > 0 || p.slow > 0 {
			text += fmt.Sprintf("; %s, worst %s", short(s.median), short(s.max))
		}
		if p.slow > 0 {
			text += fmt.Sprintf(", %.0f %% extra", s.extra*100)
		}
		if p.beside > 0 {
			text += fmt.Sprintf(" (and %s)", significant(s.bulk))
		}
		if s.failed > 0 {
			text += fmt.Sprintf(", %d of %d failed", s.failed, s.total)
		}
		if s.unfinished > 0 {
			text += fmt.Sprintf(", %d of %d unfinished", s.unfinished, s.total)
		}
		return text
	}
	return ""
}

// significant returns a number with the digits that matter.
func significant(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.1f", v)
	}
	return thousands(v)
}

// thousands returns a whole number in groups of three digits.
func thousands(v float64) string {
	text := fmt.Sprintf("%.0f", v)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// short returns a duration with the digits that matter. 0 means that it was not
// measured.
func short(d time.Duration) string {
	switch {
	case d == 0:
		return "-"
	case d < time.Millisecond:
		return fmt.Sprintf("%.0f us", float64(d)/float64(time.Microsecond))
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// details returns a table with one row for each result.
func (r *record) details(patterns []pattern) *figure.Table {
	t := &figure.Table{Head: []string{"pattern", "server", "rate", "median", "p99", "worst", "failed", "unfinished", "extra", "CPU (s)", "core", "memory (MiB)", "load"}}
	for _, p := range patterns {
		for _, c := range r.contenders {
			s, ok := r.get(p.id(), c.name)
			if !ok {
				continue
			}
			t.Add(p.id(), c.name, significant(s.rate), short(s.median), short(s.p99), short(s.max), fmt.Sprint(s.failed), fmt.Sprint(s.unfinished),
				fmt.Sprintf("%.1f %%", s.extra*100), fmt.Sprintf("%.2f", s.processor), fmt.Sprintf("%.0f %%", s.used*100), fmt.Sprintf("%.0f", s.peak), fmt.Sprintf("%.0f %%", s.busy*100))
		}
	}
	return t
}

// plots returns the plots of throughput against clients.
func (r *record) plots() map[string]*figure.Plot {
	plots := map[string]*figure.Plot{
		"lockstep.svg": {Title: "TFTP in lock-step, 1,432 bytes a block"},
		"window4.svg":  {Title: "TFTP, 1,468 bytes a block, windows of 4"},
	}
	for file, prefix := range map[string]string{"lockstep.svg": "tftp/curve-lockstep-%d", "window4.svg": "tftp/curve-window4-%d"} {
		p := plots[file]
		p.X, p.Y = "clients at once", "MB/s"
		for _, c := range r.contenders {
			line := figure.Line{Name: c.name}
			for _, n := range curveClients {
				if s, ok := r.get(fmt.Sprintf(prefix, n), c.name); ok {
					line.Points = append(line.Points, figure.Point{X: float64(n), Y: s.rate})
				}
			}
			p.Lines = append(p.Lines, line)
		}
	}
	return plots
}
