package main

// A control group for the servers. The kernel counts there what they and their
// children use, including children that nobody waits for, which /proc does not
// count.

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// group is a control group, version 2, without controllers. Every group counts
// processor time.
type group struct {
	path string
	dir  *os.File
}

// newGroup makes the group, named after this process.
func newGroup() (*group, error) {
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return nil, err
	}
	root := controlGroups(string(mounts))
	if root == "" {
		return nil, errors.New("control groups (cgroup2), which measure processor time, are not mounted")
	}
	g := &group{path: filepath.Join(root, fmt.Sprintf("pxesidecar-bench-%d", os.Getpid()))}
	if err := os.Mkdir(g.path, 0o755); err != nil {
		return nil, err
	}
	if g.dir, err = os.Open(g.path); err != nil {
		return nil, errors.Join(err, os.Remove(g.path))
	}
	return g, nil
}

// controlGroups returns where the control groups are mounted, or an empty
// string if they are not.
func controlGroups(mounts string) string {
	for line := range strings.Lines(mounts) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			return f[1]
		}
	}
	return ""
}

// processor returns the processor time of all processes that were ever in the
// group.
func (g *group) processor() (time.Duration, error) {
	path := filepath.Join(g.path, "cpu.stat")
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(content)) {
		if rest, ok := strings.CutPrefix(line, "usage_usec "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
			return time.Duration(n) * time.Microsecond, err
		}
	}
	return 0, fmt.Errorf("%s: no usage_usec", path)
}

// close removes the group. Its last processes may still be ending.
func (g *group) close() error {
	g.dir.Close()
	limit := time.Now().Add(stopTimeout)
	for {
		err := os.Remove(g.path)
		if err == nil || time.Now().After(limit) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}
