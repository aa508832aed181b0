package lab

// A lab whose process is killed leaves nothing behind.

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// peerVariable holds the path of the parent's network namespace, and marks this
// process as the child that is to be killed.
const peerVariable = "PXESIDECAR_LAB_TEST_PEER"

// limit bounds every wait of these tests.
const limit = 10 * time.Second

// TestMain runs the tests, or the child.
func TestMain(m *testing.M) {
	if peer := os.Getenv(peerVariable); peer != "" {
		fmt.Fprintln(os.Stderr, holdLab(peer))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// holdLab builds a lab with a cable into the parent's namespace and a running
// program, writes the lab's folder and the program's id, and waits to be
// killed.
func holdLab(peer string) error {
	l, err := NewBare()
	if err != nil {
		return err
	}
	h, err := l.NewHost("killed")
	if err != nil {
		return err
	}
	if err := h.IP("link", "add", "e0", "type", "veth", "peer", "name", "e0", "netns", peer); err != nil {
		return err
	}
	p, err := h.Start(Command{Path: "sleep", Args: []string{fmt.Sprint(2 * limit.Seconds())}})
	if err != nil {
		return err
	}
	fmt.Println("holding", l.Dir, p.PID())
	return p.Wait(context.Background())
}

// TestKilledProcess kills a process that has a lab. Its namespace and its
// programs end with it, and the next sweep removes its folder, but not ours.
func TestKilledProcess(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	l, err := NewBare()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h, err := l.NewHost("watching")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child, err := h.Start(Command{Path: self, Env: []string{peerVariable + "=" + h.NetNS()}})
	if err != nil {
		t.Fatal(err)
	}
	line, err := child.Output.Await(ctx, "holding")
	if err != nil {
		t.Fatalf("%v\n%s", err, child.Output)
	}
	var dir string
	var pid int
	if _, err := fmt.Sscanf(line, "holding %s %d", &dir, &pid); err != nil {
		t.Fatal(err)
	}
	if !hasInterface(t, h, "e0") || !running(pid) {
		t.Fatalf("the child has no cable, or process %d does not run", pid)
	}
	if err := child.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := poll(ctx, "the killed lab to end", func() (bool, error) { return !hasInterface(t, h, "e0") && !running(pid), nil }); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("before the sweep: %v", err)
	}
	sweep()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("after the sweep, %s: %v", dir, err)
	}
	if _, err := os.Stat(l.Dir); err != nil {
		t.Errorf("our own folder: %v", err)
	}
}

// hasInterface reports whether a host has an interface of this name.
func hasInterface(t *testing.T, h *Host, name string) bool {
	t.Helper()
	found := false
	err := h.Do(func() error {
		all, err := net.Interfaces()
		for _, i := range all {
			found = found || i.Name == name
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// running reports whether a process runs. A zombie does not.
func running(pid int) bool {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	// The state follows the name, which is in parentheses.
	_, state, ok := strings.Cut(string(content), ") ")
	return err == nil && ok && !strings.HasPrefix(state, "Z")
}
