package proxydhcp

import (
	"os/exec"
	"strings"
	"testing"
)

// TestWall checks that the core and its codec know no socket: nothing that they
// depend on opens one in its own way, watches the network or writes a log.
func TestWall(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".", "./dhcp4").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	if len(deps) < 10 {
		t.Fatalf("go list names only %q", deps)
	}
	const own = "github.com/pxesidecar/pxesidecar/"
	for _, dep := range deps {
		host, _, _ := strings.Cut(dep, "/")
		inside := strings.HasPrefix(dep, own+"proxydhcp")
		if strings.Contains(host, ".") && !inside || dep == "log" || dep == "log/slog" || dep == own+"proxydhcp/server" {
			t.Errorf("the core depends on %s", dep)
		}
	}
}
