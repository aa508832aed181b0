package main

// The goals, as ratios of what one run measured.

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/pxesidecar/pxesidecar/test/bench/figure"
)

// verdict is one goal and its result.
type verdict struct {
	goal, found string
	reached     bool
}

// goalTable returns the table of all verdicts.
func goalTable(verdicts []verdict) *figure.Table {
	t := &figure.Table{Head: []string{"goal", "found", "reached"}}
	for _, v := range verdicts {
		word := "NO"
		if v.reached {
			word = "yes"
		}
		t.Add(v.goal, v.found, word)
	}
	return t
}

// measure returns the figure of a sample that a goal is about.
type measure func(sample) float64

func rateOf(s sample) float64      { return s.rate }
func processorOf(s sample) float64 { return s.processor }

// goals compares everything that was measured with the goals, for the first
// build of pxesidecar.
func (r *record) goals() []verdict {
	name := r.contenders[0].name
	var v []verdict
	for _, id := range []string{"tftp/1-window8", "tftp/1-window64", idFew8, idFew64, idRackWindow} {
		v = r.atLeast(v, id, name, peer, rateOf, 2)
		v = r.atLeast(v, id, name, bound, rateOf, 0.8)
	}
	for _, id := range []string{idMany1432, idMany512} {
		v = r.atLeast(v, id, name, peer, rateOf, 1)
		v = r.atLeast(v, id, name, bound, rateOf, 0.95)
	}
	v = r.atLeast(v, idSingle, name, peer, rateOf, 1)
	v = r.atLeast(v, idRackLockstep, name, peer, rateOf, 1)
	v = r.atLeast(v, idRackLockstep, name, bound, rateOf, 0.9)
	v = r.rack(v, name)
	v = r.losses(v, name)
	v = r.atMost(v, idFew64, name, processorOf, 0.5)
	v = r.bursts(v, name)
	v = r.atLeast(v, idOffers, name, peer, rateOf, 3)
	v = r.atLeast(v, idBusy, name, peer, rateOf, 4)
	v = r.atMost(v, idBusyProcessor, name, processorOf, 1.0/3)
	return r.fairness(v, name)
}

// best returns the highest figure among the contenders of a role.
func (r *record) best(id string, as role, m measure) (figure float64, name string) {
	for _, c := range r.contenders {
		if s, ok := r.get(id, c.name); ok && c.role == as && m(s) > figure {
			figure, name = m(s), c.name
		}
	}
	return figure, name
}

// ratio returns the ratio of two contenders' figures, as the median of all
// rounds: what slows the machine down for a while slows both.
func (r *record) ratio(id, name, other string, m measure) (ratio float64, ok bool) {
	mine, others := r.runs[key{id, name}], r.runs[key{id, other}]
	var ratios []float64
	for i := range min(len(mine), len(others)) {
		if of := m(others[i]); of > 0 {
			ratios = append(ratios, m(mine[i])/of)
		}
	}
	if len(ratios) == 0 {
		return 0, false
	}
	return figure.Median(ratios), true
}

// titleOf returns the title of a pattern.
func titleOf(id string) string {
	for _, p := range allPatterns() {
		if p.id() == id {
			return p.title()
		}
	}
	return id
}

// atLeast compares a figure with the best one of a role.
func (r *record) atLeast(v []verdict, id, name string, as role, m measure, factor float64) []verdict {
	_, of := r.best(id, as, m)
	ratio, ok := r.ratio(id, name, of, m)
	if !ok {
		return v
	}
	found := fmt.Sprintf("%.2f (%s)", ratio, of)
	_, limit := r.best(id, bound, m)
	if most, ok := r.ratio(id, limit, of, m); ok && as == peer && most < factor {
		found += fmt.Sprintf(", the limit itself %.2f", most)
	}
	whose := "the best peer"
	if as == bound {
		whose = "the limit"
	}
	return append(v, verdict{
		goal:    fmt.Sprintf("%s: at least %.2f of %s", titleOf(id), factor, whose),
		found:   found,
		reached: ratio >= factor,
	})
}

// atMost compares a cost with that of the cheapest peer.
func (r *record) atMost(v []verdict, id, name string, m measure, factor float64) []verdict {
	least, of := math.Inf(1), ""
	for _, c := range r.contenders {
		if s, ok := r.get(id, c.name); ok && c.role == peer && m(s) < least {
			least, of = m(s), c.name
		}
	}
	ratio, ok := r.ratio(id, name, of, m)
	if !ok {
		return v
	}
	found := fmt.Sprintf("%.2f (%s)", ratio, of)
	_, limit := r.best(id, bound, m)
	if least, ok := r.ratio(id, limit, of, m); ok && least > factor {
		found += fmt.Sprintf(", the limit itself %.2f", least)
	}
	return append(v, verdict{
		goal:    fmt.Sprintf("%s: CPU at most %.2f of the cheapest peer's", titleOf(id), factor),
		found:   found,
		reached: ratio <= factor,
	})
}

// memoryGoal is how much memory a server of a thousand clients may use, in MiB.
const memoryGoal = 64

// rack checks a thousand clients: no failure, and little memory.
func (r *record) rack(v []verdict, name string) []verdict {
	for _, id := range []string{idRackWindow, idRackLockstep} {
		s, ok := r.get(id, name)
		if !ok {
			continue
		}
		v = append(v,
			verdict{titleOf(id) + ": nobody fails", fmt.Sprintf("%d failed, %d unfinished", s.failed, s.unfinished), s.failed+s.unfinished == 0},
			verdict{fmt.Sprintf("%s: under %d MiB", titleOf(id), memoryGoal), fmt.Sprintf("%.0f MiB", s.peak), s.peak < memoryGoal})
	}
	return v
}

// The goals at a loss of one packet in a hundred. At a higher loss they are
// higher in proportion.
const (
	lossMedian = 100 * time.Millisecond
	lossWorst  = time.Second
)

// losses checks networks that lose packets.
func (r *record) losses(v []verdict, name string) []verdict {
	for _, percent := range []int{1, 5, 10} {
		p := lossPattern(percent)
		s, ok := r.get(p.id(), name)
		if !ok {
			continue
		}
		found := fmt.Sprintf("%s, %s", short(s.median), short(s.max))
		if lost := s.failed + s.unfinished; lost > 0 {
			found += fmt.Sprintf(", %d not read", lost)
		}
		median, worst := lossMedian*time.Duration(percent), lossWorst*time.Duration(percent)
		v = append(v, verdict{
			goal:    fmt.Sprintf("%s: median under %s, worst under %s", p.title(), short(median), short(worst)),
			found:   found,
			reached: s.median < median && s.max < worst && s.failed+s.unfinished == 0,
		})
	}
	if s, ok := r.get(idSlow, name); ok {
		v = append(v, verdict{titleOf(idSlow) + ": not flooded", fmt.Sprintf("%.1f %% extra", s.extra*100), s.extra < 0.05})
	}
	return v
}

// bursts checks many machines that start at once.
func (r *record) bursts(v []verdict, name string) []verdict {
	for _, id := range []string{idBurst, idBigBurst} {
		if s, ok := r.get(id, name); ok {
			v = append(v, verdict{titleOf(id) + ": none lost", fmt.Sprintf("%.1f %%", s.lost*100), s.lost == 0})
		}
	}
	return v
}

// fairness checks a long read beside short ones.
func (r *record) fairness(v []verdict, name string) []verdict {
	alone, ok := r.get(idAlone, name)
	beside, ok2 := r.get(idBeside, name)
	if !ok || !ok2 {
		return v
	}
	const clients = 100
	share := (beside.rate + beside.bulk) * clients / (clients + 1)
	ratio := beside.rate / share
	found := []string{fmt.Sprintf("%.2f", ratio), fmt.Sprintf("p99 %s alone", short(alone.p99)), fmt.Sprintf("%s beside it", short(beside.p99))}
	return append(v, verdict{"one client reading 500 MiB beside 100 that read ROMs: they keep at least 0.5 of their share", strings.Join(found, ", "), ratio >= 0.5})
}
