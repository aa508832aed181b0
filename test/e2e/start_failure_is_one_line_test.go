package e2e

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// nobody is a user without any rights.
const nobody = 65534

// serving are the capabilities that a sidecar needs to serve: ports below 1024
// and packet sockets.
var serving = []uintptr{unix.CAP_NET_BIND_SERVICE, unix.CAP_NET_RAW}

// TestStartFailures starts sidecars that cannot serve. Each must exit with one
// line that names the cause, and leave nothing half started.
func TestStartFailures(t *testing.T) {
	t.Parallel()
	self := strings.TrimSpace(string(must(os.ReadFile("/proc/self/comm"))))
	tests := []struct {
		name string
		// prepare changes the host or the settings so that the start fails.
		prepare func(*testing.T, *lab.Host, *lab.Sidecar)
		// words must all be in the message.
		words []string
		// usage marks mistakes of the command line itself, which have an exit
		// code of their own.
		usage bool
	}{
		{"root is a file", func(t *testing.T, _ *lab.Host, s *lab.Sidecar) {
			s.Root, s.Args = nil, []string{"--root", "/etc/hostname"}
		}, []string{"/etc/hostname"}, false},
		{"root is not readable", func(t *testing.T, h *lab.Host, s *lab.Sidecar) {
			locked := filepath.Join(must(os.MkdirTemp("", "locked-")), "tree")
			t.Cleanup(func() { os.RemoveAll(filepath.Dir(locked)) })
			if err := errors.Join(os.Chmod(filepath.Dir(locked), 0o755), os.Mkdir(locked, 0)); err != nil {
				t.Fatal(err)
			}
			s.Root, s.Args = nil, []string{"--root", locked}
			s.Credential, s.Capabilities = &syscall.Credential{Uid: nobody, Gid: nobody}, serving
		}, []string{"locked-", "permission denied"}, false},
		{"root is missing", func(t *testing.T, _ *lab.Host, s *lab.Sidecar) {
			s.Root, s.Args = nil, []string{"--root", "/nonexistent/tree"}
		}, []string{"/nonexistent/tree"}, false},
		{"a ROM is missing", func(t *testing.T, _ *lab.Host, s *lab.Sidecar) {
			s.Args = []string{"--rom", "x64=absent.efi"}
		}, []string{"absent.efi", "x64"}, false},
		{"TFTP port in use", func(t *testing.T, h *lab.Host, _ *lab.Sidecar) { occupy(t, h, "udp4", 69) }, []string{"69", self}, false},
		{"port 4011 in use", func(t *testing.T, h *lab.Host, _ *lab.Sidecar) { occupy(t, h, "udp4", 4011) }, []string{"4011", self}, false},
		{"HTTP port in use", func(t *testing.T, h *lab.Host, s *lab.Sidecar) {
			occupy(t, h, "tcp4", 8080)
			s.Args = []string{"--http", ":8080"}
		}, []string{"8080", self}, false},
		{"no IPv4 address", func(t *testing.T, h *lab.Host, s *lab.Sidecar) {
			s.Args = []string{"--no-wait"}
			if err := h.IP("addr", "flush", "dev", "eth0"); err != nil {
				t.Fatal(err)
			}
		}, []string{"eth0", "IPv4"}, false},
		{"no such interface", func(t *testing.T, _ *lab.Host, s *lab.Sidecar) { s.Args = []string{"--no-wait", "--interface", "eth9"} }, []string{"eth9"}, false},
		{"no permission", func(t *testing.T, _ *lab.Host, s *lab.Sidecar) {
			s.Root = nil
			s.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		}, []string{"permi"}, false},
		{"a stray argument", func(t *testing.T, _ *lab.Host, s *lab.Sidecar) { s.Args = []string{"stray"} }, []string{"stray"}, true},
		{"a mistyped flag value", func(t *testing.T, _ *lab.Host, s *lab.Sidecar) { s.Args = []string{"--ipxe-version", ">=two"} }, []string{"two"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t)
			host, err := l.NewServerHost("pxesidecar")
			if err != nil {
				t.Fatal(err)
			}
			s := lab.Sidecar{Host: host, Root: roms(t, lab.Sid, everyROM...)}
			test.prepare(t, host, &s)
			code := 1
			if test.usage {
				code = 2
			}
			failsToStart(t, l, s, code, test.words)
		})
	}
}

// failsToStart starts a sidecar and checks how it fails.
func failsToStart(t *testing.T, l *lab.Lab, s lab.Sidecar, want int, words []string) {
	t.Helper()
	ctx := deadline(t, stepLimit)
	before := must(s.Host.Sockets())
	d, err := l.LaunchSidecar(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	d.Wait(ctx)
	text := strings.TrimSpace(d.Output.String())
	if code := d.ExitCode(); code != want {
		t.Errorf("exit code %d, want %d", code, want)
	}
	if lines := strings.Split(text, "\n"); len(lines) != 1 {
		t.Errorf("%d lines, want one", len(lines))
	}
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("the message lacks %q", word)
		}
	}
	if sent := l.Capture.Traffic.Sent(d.Address); sent != 0 {
		t.Errorf("it sent %d packets", sent)
	}
	if diff := cmp.Diff(before, must(s.Host.Sockets())); diff != "" {
		t.Errorf("sockets before it and after (-before +after):\n%s", diff)
	}
	t.Logf("it wrote: %s", text)
}

// occupy holds a port in a host until the test ends.
func occupy(t *testing.T, h *lab.Host, network string, port uint16) {
	t.Helper()
	if network == "udp4" {
		// A plain socket that is not shared, as other servers open it.
		var conn net.PacketConn
		err := h.Do(func() (err error) {
			conn, err = net.ListenPacket(network, netip.AddrPortFrom(netip.IPv4Unspecified(), port).String())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return
	}
	var listener net.Listener
	err := h.Do(func() (err error) {
		listener, err = net.Listen(network, netip.AddrPortFrom(netip.IPv4Unspecified(), port).String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
}
