// Package portowner tells which process holds a UDP or TCP port, where the
// system says so.
package portowner

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Find returns the owner of a local port in words, such as "dnsmasq (process
// 812)"; "" where it cannot be told. network is "udp" or "tcp". It reads what
// Linux shows under /proc; other systems have nothing there.
func Find(network string, port uint16) string {
	return find("/proc", network, port)
}

func find(proc, network string, port uint16) string {
	for _, family := range []string{network, network + "6"} {
		for _, inode := range inodes(filepath.Join(proc, "net", family), port) {
			if owner := holder(proc, inode); owner != "" {
				return owner
			}
		}
	}
	return ""
}

// inodes returns the sockets bound to a port: in a table of /proc/net the
// second field is the local address and port in hexadecimal, the tenth the
// socket's inode.
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

// holder returns the process that has a socket open.
func holder(proc, inode string) string {
	links, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "fd", "*"))
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || target != "socket:["+inode+"]" {
			continue
		}
		dir := filepath.Dir(filepath.Dir(link))
		name, _ := os.ReadFile(filepath.Join(dir, "comm"))
		return fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(name)), filepath.Base(dir))
	}
	return ""
}
