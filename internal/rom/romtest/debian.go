package romtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// DebianPackage returns the directory that a package of this host's Debian is
// unpacked in. It is fetched once, and not installed: the packages of boot
// loaders change the machine that they are installed on.
func DebianPackage(t testing.TB, name string) string {
	t.Helper()
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	dir := filepath.Join(base, "pxesidecar-test", name)
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "fetch-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(work)
	run := func(command string, args ...string) error {
		cmd := exec.Command(command, args...)
		cmd.Dir = work
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Logf("%s: %v\n%s", cmd, err, out)
		}
		return err
	}
	if run("apt-get", "-q", "download", name) != nil {
		// The package lists may be old or absent.
		if run("apt-get", "-q", "update") != nil || run("apt-get", "-q", "download", name) != nil {
			t.Fatalf("Debian's package %s is needed", name)
		}
	}
	files, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d packages named %s were fetched: %v", len(files), name, err)
	}
	if run("dpkg-deb", "-x", files[0], filepath.Join(work, "tree")) != nil {
		t.FailNow()
	}
	// Another test may have been faster.
	if err := os.Rename(filepath.Join(work, "tree"), dir); err != nil {
		if _, err := os.Stat(dir); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
