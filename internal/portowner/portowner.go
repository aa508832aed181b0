// Package portowner finds the process that uses a UDP or TCP port.
package portowner

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Owner is a process that uses a port.
type Owner struct {
	Program string // as the kernel names it, at most 15 bytes
	PID     int
}

// String returns the program with its process number, such as
// "dnsmasq (process 812)".
func (o Owner) String() string { return fmt.Sprintf("%s (process %d)", o.Program, o.PID) }

// Find returns the process that uses a local port. ok is false if it cannot be
// found. network is "udp" or "tcp". Find reads Linux's /proc, so it finds
// nothing on other systems.
func Find(network string, port uint16) (owner Owner, ok bool) {
	return find("/proc", network, port)
}

// find is Find with the directory of the proc file system.
func find(proc, network string, port uint16) (owner Owner, ok bool) {
	for _, family := range []string{network, network + "6"} {
		for _, inode := range inodes(filepath.Join(proc, "net", family), port) {
			if owner, ok := socketOwner(proc, inode); ok {
				return owner, true
			}
		}
	}
	return Owner{}, false
}

// inodes returns the inodes of the sockets bound to a port. In a table of
// /proc/net, the second field is the local address and port in hexadecimal, and
// the tenth is the socket's inode.
func inodes(table string, port uint16) []string {
	f, err := os.Open(table)
	if err != nil {
		return nil
	}
	defer f.Close()
	var found []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 {
			continue
		}
		_, hex, _ := strings.Cut(fields[1], ":")
		if n, err := strconv.ParseUint(hex, 16, 16); err == nil && uint16(n) == port {
			found = append(found, fields[9])
		}
	}
	return found
}

// socketOwner returns the process that has a socket open.
func socketOwner(proc, inode string) (owner Owner, ok bool) {
	links, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "fd", "*"))
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || target != "socket:["+inode+"]" {
			continue
		}
		dir := filepath.Dir(filepath.Dir(link))
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		name, _ := os.ReadFile(filepath.Join(dir, "comm"))
		return Owner{strings.TrimSpace(string(name)), pid}, true
	}
	return Owner{}, false
}
