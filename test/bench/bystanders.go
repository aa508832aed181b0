package main

// What else the machine did meanwhile: figures of a busy machine are worth less, and a reader must know.

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"time"
)

// bystanders is what other programs, and other virtual machines, took of the processors during a run or several.
type bystanders struct {
	elapsed time.Duration
	used    time.Duration // processor time, of all cores
}

// meanwhile is what they took in one run, from the machine's processor time in it and what the server and the load used.
func meanwhile(elapsed, all, ours time.Duration) bystanders {
	return bystanders{elapsed: elapsed, used: max(all-ours, 0)}
}

// add takes another run.
func (b *bystanders) add(run bystanders) {
	b.elapsed += run.elapsed
	b.used += run.used
}

// share is their part of one core.
func (b *bystanders) share() float64 {
	if b.elapsed == 0 {
		return 0
	}
	return float64(b.used) / float64(b.elapsed)
}

// clockTick is the unit of times in /proc (USER_HZ).
const clockTick = 10 * time.Millisecond

// machineTime is the processor time that was used since the machine started, by anybody.
func machineTime() (time.Duration, error) {
	content, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return parseMachineTime(string(content))
}

// errMachineTime is a /proc/stat that is not as proc(5) has it.
var errMachineTime = errors.New("/proc/stat: no line for all processors")

// parseMachineTime adds the columns of the first line: user, nice, system, then idle and iowait, which are nobody's, then
// irq, softirq and what other virtual machines stole.
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
