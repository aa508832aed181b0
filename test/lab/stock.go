package lab

// The stock: programs and firmware of other projects, installed or fetched when
// they are missing, never committed.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// programs are the Debian packages that the lab installs: tools and clients
// that leave no service running. Servers are not among them, because installing
// a server starts it. Servers are unpacked into the cache, like everything from
// suites.
var programs = []string{
	"iproute2", "qemu-system-x86", "qemu-system-arm", "tshark", "busybox", "tftp-hpa", "atftp", "curl",
	"dnsmasq-base", "kea-common", "mtools", "debian-archive-keyring", "xz-utils",
	"ipxe",               // where pxesidecar looks for ROMs by itself
	"libdevmapper1.02.1", // for grub-mkimage
	// For keys, signatures, and the firmware's variables.
	"openssl", "sbsigntool", "osslsigncode", "mokutil", "python3-cryptography", "python3-pefile", "python3-importlib-resources",
}

// Suite is a release of Debian that files are taken from, whatever release this
// machine runs.
type Suite string

// The suites: iPXE 1.0.0 with the firmware and servers of one stable release,
// iPXE 1.21.1 (which reports 1.0.0 in DHCP), and the newest iPXE.
const (
	Bookworm Suite = "bookworm"
	Trixie   Suite = "trixie"
	Sid      Suite = "sid"
	// ThisHost is the release that this machine runs, from its own apt sources.
	ThisHost Suite = "host"
)

// Stock provides programs and firmware. Any number of labs share one.
type Stock struct {
	cache string
	// temp is for what is built for this run. remove removes it.
	temp   string
	remove func() error
	log    func(format string, args ...any)

	mu      sync.Mutex
	sidecar string
	// pace is the result of Pace, 0 before.
	pace float64
	// kvmFails is set after KVM failed on a guest that needed only what every
	// firmware needs.
	kvmFails atomic.Bool
}

// OpenStock installs missing programs and finds the cache. It calls log before
// steps that take time.
func OpenStock(ctx context.Context, log func(format string, args ...any)) (*Stock, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("lab: root is needed, for network namespaces and packet sockets")
	}
	base, err := os.UserCacheDir()
	if err != nil {
		// A root shell without a home has no cache of its own.
		base = "/var/cache"
	}
	s := &Stock{cache: filepath.Join(base, "pxesidecar-lab"), log: log}
	if err := os.MkdirAll(s.cache, 0o755); err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	if err := s.install(ctx); err != nil {
		return nil, err
	}
	sweep()
	if s.temp, s.remove, err = tempDir("stock"); err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	return s, nil
}

// Close removes what was built for this run. The cache stays.
func (s *Stock) Close() error { return s.remove() }

// install installs the missing programs.
func (s *Stock) install(ctx context.Context) error {
	var missing []string
	for _, name := range programs {
		out, _ := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${db:Status-Status}", name).Output()
		if string(out) != "installed" {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	s.log("installing %s", strings.Join(missing, " "))
	args := append([]string{"install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"}, missing...)
	if s.apt(ctx, args...) == nil {
		return nil
	}
	// The package lists may be old or absent.
	if err := s.apt(ctx, "update", "-q"); err != nil {
		return fmt.Errorf("lab: package lists: %w", err)
	}
	if err := s.apt(ctx, args...); err != nil {
		return fmt.Errorf("lab: install %s: %w", strings.Join(missing, " "), err)
	}
	return nil
}

// apt runs apt-get. Its error contains the end of the output.
func (s *Stock) apt(ctx context.Context, args ...string) error {
	_, err := output(ctx, "", "apt-get", args...)
	return err
}

// output runs a program of this machine, outside any lab.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	return finish(command(ctx, dir, name, args...))
}

// command prepares a program of this machine.
func command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace
	return cmd
}

// finish runs a prepared program. Its error contains the end of the output.
func finish(cmd *exec.Cmd) (string, error) {
	out, err := cmd.CombinedOutput()
	if err != nil {
		text := strings.TrimSpace(string(out))
		if len(text) > 2000 {
			text = "..." + text[len(text)-2000:]
		}
		return string(out), fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, text)
	}
	return string(out), nil
}

// lock prevents two runs from fetching into the cache at the same time.
func (s *Stock) lock() (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(s.cache, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, fmt.Errorf("lab: lock the cache: %w", errors.Join(err, file.Close()))
	}
	return func() { file.Close() }, nil
}

// Package returns the folder that a package of a suite is unpacked in, and the
// package's version. It is fetched once. To get newer packages, delete the
// cache. A package of another architecture is NAME:ARCHITECTURE.
func (s *Stock) Package(ctx context.Context, suite Suite, name string) (dir, version string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	unlock, err := s.lock()
	if err != nil {
		return "", "", err
	}
	defer unlock()
	pattern := filepath.Join(s.cache, string(suite), name+"_*")
	found, _ := filepath.Glob(pattern)
	if len(found) == 0 {
		s.log("fetching %s of %s", name, suite)
		if err := s.fetch(ctx, suite, name); err != nil {
			return "", "", fmt.Errorf("lab: package %s of %s: %w", name, suite, err)
		}
		if found, _ = filepath.Glob(pattern); len(found) == 0 {
			return "", "", fmt.Errorf("lab: package %s of %s: nothing was unpacked in %s", name, suite, filepath.Dir(pattern))
		}
	}
	slices.Sort(found)
	dir = found[len(found)-1]
	return dir, strings.TrimPrefix(filepath.Base(dir), name+"_"), nil
}

// fetch downloads a package and unpacks it into the cache, without installing
// it.
func (s *Stock) fetch(ctx context.Context, suite Suite, name string) error {
	var config []string
	if suite != ThisHost {
		var err error
		_, architecture, _ := strings.Cut(name, ":")
		if config, err = s.suiteConfig(ctx, suite, architecture); err != nil {
			return err
		}
	}
	// The cache is locked, so the process that left another such folder has
	// ended.
	left, _ := filepath.Glob(filepath.Join(s.cache, "fetch-*"))
	for _, dir := range left {
		os.RemoveAll(dir)
	}
	work, err := os.MkdirTemp(s.cache, "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	args := append(slices.Clone(config), "download", "-q", name)
	if _, err := output(ctx, work, "apt-get", args...); err != nil {
		if suite != ThisHost {
			return err
		}
		// The machine's own package lists may be old.
		if err := s.apt(ctx, "update", "-q"); err != nil {
			return err
		}
		if _, err := output(ctx, work, "apt-get", args...); err != nil {
			return err
		}
	}
	files, _ := filepath.Glob(filepath.Join(work, "*.deb"))
	if len(files) != 1 {
		return fmt.Errorf("%d files downloaded, not one", len(files))
	}
	tree := filepath.Join(work, "tree")
	if _, err := output(ctx, work, "dpkg-deb", "-x", files[0], tree); err != nil {
		return err
	}
	version, err := output(ctx, work, "dpkg-deb", "-f", files[0], "Version")
	if err != nil {
		return err
	}
	home := filepath.Join(s.cache, string(suite))
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	return os.Rename(tree, filepath.Join(home, name+"_"+strings.TrimSpace(version)))
}

// listAge is how old a suite's package lists may be before they are fetched
// again.
const listAge = time.Hour

// suiteConfig returns apt's options for a suite: with sources, lists and status
// of its own, not the system's, so that no package of that suite can be
// installed. An empty architecture is this machine's.
func (s *Stock) suiteConfig(ctx context.Context, suite Suite, architecture string) ([]string, error) {
	home := filepath.Join(s.cache, strings.TrimSuffix("apt-"+string(suite)+"-"+architecture, "-"))
	for _, dir := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(home, dir), 0o755); err != nil {
			return nil, err
		}
	}
	// A hook that empties the system's package cache must not run beside
	// another installation.
	settings := "#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\nAPT::Sandbox::User \"root\";\n"
	if architecture != "" {
		settings += fmt.Sprintf("APT::Architecture %[1]q;\nAPT::Architectures { %[1]q; };\n", architecture)
	}
	mirror, err := s.mirror(ctx)
	if err != nil {
		return nil, err
	}
	source := fmt.Sprintf("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n", mirror, suite)
	err = errors.Join(os.WriteFile(filepath.Join(home, "sources.list"), []byte(source), 0o644),
		os.WriteFile(filepath.Join(home, "status"), nil, 0o644))
	if err != nil {
		return nil, err
	}
	settings += fmt.Sprintf("Dir::Etc::sourcelist %q;\nDir::Etc::sourceparts \"/dev/null\";\nDir::State::status %q;\n",
		filepath.Join(home, "sources.list"), filepath.Join(home, "status"))
	settings += fmt.Sprintf("Dir::State::lists %q;\nDir::Cache %q;\n", filepath.Join(home, "lists"), filepath.Join(home, "cache"))
	file := filepath.Join(home, "apt.conf")
	if err := os.WriteFile(file, []byte(settings), 0o644); err != nil {
		return nil, err
	}
	config := []string{"-c", file, "-q"}
	stamp := filepath.Join(home, "updated")
	if info, err := os.Stat(stamp); err == nil && time.Since(info.ModTime()) < listAge {
		return config, nil
	}
	if _, err := output(ctx, home, "apt-get", append(slices.Clone(config), "update")...); err != nil {
		return nil, err
	}
	return config, os.WriteFile(stamp, nil, 0o644)
}

// mirror returns the Debian mirror of this machine's own apt sources.
func (s *Stock) mirror(ctx context.Context) (string, error) {
	const format = "$(CREATED_BY)|$(REPO_URI)|$(COMPONENT)|$(LABEL)"
	find := func() string {
		out, err := output(ctx, "", "apt-get", "indextargets", "--format", format)
		if err != nil {
			return ""
		}
		for line := range strings.Lines(out) {
			f := strings.Split(strings.TrimSpace(line), "|")
			if len(f) == 4 && f[0] == "Packages" && f[2] == "main" && f[3] == "Debian" {
				return f[1]
			}
		}
		return ""
	}
	if uri := find(); uri != "" {
		return uri, nil
	}
	// The label is known only after the lists were fetched once.
	if err := s.apt(ctx, "update", "-q"); err != nil {
		return "", err
	}
	if uri := find(); uri != "" {
		return uri, nil
	}
	return "", errors.New("no Debian archive among this machine's apt sources (apt-get indextargets)")
}

// Sidecar builds the program under test, once, and returns its path.
func (s *Stock) Sidecar(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sidecar != "" {
		return s.sidecar, nil
	}
	path := filepath.Join(s.temp, "pxesidecar")
	args := []string{"build", "-o", path}
	if os.Getenv("PXESIDECAR_LAB_RACE") != "" {
		args = append(args, "-race")
	}
	cmd := command(ctx, "", "go", append(args, "github.com/pxesidecar/pxesidecar/cmd/pxesidecar")...)
	// A compiler that outlives this process would write into a folder that is
	// removed. The kernel sends the signal when the thread ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if _, err := finish(cmd); err != nil {
		return "", fmt.Errorf("lab: build pxesidecar: %w", err)
	}
	s.sidecar = path
	return path, nil
}
