package main

// What other programs did meanwhile. Figures of a busy machine are worth less,
// and a reader must know.

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"time"
)

// background is the processor time that other programs, and other virtual
// machines, used during one or several runs.
type background struct {
	elapsed time.Duration
	used    time.Duration // processor time, of all cores
}

// backgroundOf returns what others used in one run, from the processor time of
// the whole machine and of the server and the load.
func backgroundOf(elapsed, all, ours time.Duration) background {
	return background{elapsed: elapsed, used: max(all-ours, 0)}
}

// add adds another run.
func (b *background) add(run background) {
	b.elapsed += run.elapsed
	b.used += run.used
}

// share returns their part of one core.
func (b *background) share() float64 {
	if b.elapsed == 0 {
		return 0
	}
	return float64(b.used) / float64(b.elapsed)
}

// clockTick is the unit of times in /proc (USER_HZ).
const clockTick = 10 * time.Millisecond

// machineTime returns the processor time that was used since the machine
// started, by all programs.
func machineTime() (time.Duration, error) {
	content, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return parseMachineTime(string(content))
}

// errMachineTime is the error of a /proc/stat in another format than proc(5)
// describes.
var errMachineTime = errors.New("/proc/stat: no line for all processors")

// parseMachineTime adds the columns of the first line: user, nice, system,
// then, after idle and iowait, irq, softirq and the time that other virtual
// machines used.
func parseMachineTime(content string) (time.Duration, error) {
	line, _, _ := strings.Cut(content, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, errMachineTime
	}
	var sum int64
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, errMachineTime
		}
		sum += n
	}
	return time.Duration(sum) * clockTick, nil
}
