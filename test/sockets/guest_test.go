package sockets

// A guest with Debian's kernel, for features that this host's kernel lacks. It
// holds only this test binary, the programs that the tests run, and their
// libraries.

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// guestLimit bounds the guest, which is emulated, because not every machine has
// KVM.
const guestLimit = 6 * time.Minute

// guestKernel is the package with the kernel.
const guestKernel = "linux-image-cloud-amd64"

// runInGuest runs tests of this binary in a guest, and fails unless they pass
// there.
func runInGuest(t *testing.T, pattern string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), guestLimit+5*time.Minute)
	defer cancel()
	stock, err := lab.OpenStock(ctx, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	defer stock.Close()
	kernel := fetchKernel(t, ctx, stock)
	image, err := filepath.Glob(filepath.Join(kernel, "boot/vmlinuz-*"))
	if err != nil || len(image) != 1 {
		t.Fatalf("kernels in %s: %v, %v", kernel, image, err)
	}
	root := t.TempDir()
	fillGuest(t, root, kernel, pattern)
	initrd := filepath.Join(t.TempDir(), "initrd")
	run(ctx, t, "sh", "-c", fmt.Sprintf("cd %q && find . | busybox cpio -o -H newc > %q", root, initrd))
	ctx, cancel = context.WithTimeout(ctx, guestLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "512",
		"-nodefaults", "-nographic", "-no-reboot", "-serial", "stdio", "-kernel", image[0], "-initrd", initrd,
		"-append", "console=ttyS0 quiet panic=-1 random.trust_cpu=on")
	out, err := cmd.CombinedOutput()
	text := strings.ReplaceAll(string(out), "\r", "")
	if err != nil || !strings.Contains(text, guestPassed) {
		t.Fatalf("the guest: %v\n%s", err, text)
	}
	t.Logf("the guest:\n%s", text)
}

// run runs a program of this machine and returns what it writes.
func run(ctx context.Context, t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// guestPassed is what the guest writes after tests that pass.
const guestPassed = "guest: passed"

// fetchKernel returns a folder with a kernel and its modules. The package
// guestKernel only depends on the newest one.
func fetchKernel(t *testing.T, ctx context.Context, stock *lab.Stock) string {
	t.Helper()
	out := run(ctx, t, "apt-cache", "depends", "--important", guestKernel)
	_, name, ok := strings.Cut(out, "Depends: ")
	if !ok {
		t.Fatalf("%s depends on nothing: %s", guestKernel, out)
	}
	dir, _, err := stock.Package(ctx, lab.ThisHost, strings.Fields(name)[0])
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// guestModules are the modules that the tests need, in the order of loading.
var guestModules = []string{"llc", "stp", "garp", "mrp", "8021q", "bridge", "veth"}

// fillGuest makes the guest's root folder.
func fillGuest(t *testing.T, root, kernel, pattern string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"proc", "sys", "dev", "tmp", "run", "modules", "bin", "etc"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	copyProgram(t, root, self, "bin/tests")
	for _, name := range []string{"ip", "busybox"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		copyProgram(t, root, path, "bin/"+name)
	}
	var script bytes.Buffer
	script.WriteString("#!/bin/busybox sh\nexport PATH=/bin HOME=/\nbusybox mount -t proc proc /proc\nbusybox mount -t sysfs sys /sys\n" +
		"busybox mount -t devtmpfs dev /dev\nbusybox mount -t tmpfs run /run\nbusybox mount -t tmpfs tmp /tmp\n")
	for _, name := range guestModules {
		copyFile(t, findModule(t, kernel, name), filepath.Join(root, "modules", name+".ko"))
		fmt.Fprintf(&script, "busybox insmod /modules/%s.ko || echo guest: no module %s\n", name, name)
	}
	fmt.Fprintf(&script, "busybox uname -r\n/bin/tests -test.v -test.run '%s' && echo %s\nbusybox poweroff -f\n", pattern, guestPassed)
	if err := os.WriteFile(filepath.Join(root, "init"), script.Bytes(), 0o755); err != nil {
		t.Fatal(err)
	}
}

// findModule returns a module's file.
func findModule(t *testing.T, kernel, name string) (found string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(kernel, "lib/modules"), func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.Name() == name+".ko" {
			found = path
		}
		return err
	})
	if err != nil || found == "" {
		t.Fatalf("module %s in %s: %v", name, kernel, err)
	}
	return found
}

// copyProgram copies a program and the libraries it is linked with.
func copyProgram(t *testing.T, root, path, name string) {
	t.Helper()
	copyFile(t, path, filepath.Join(root, name))
	out, err := exec.Command("ldd", path).Output()
	if err != nil {
		return // linked statically
	}
	for _, word := range strings.Fields(string(out)) {
		if strings.HasPrefix(word, "/") {
			copyFile(t, word, filepath.Join(root, word))
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}
