package docs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pxesidecar/pxesidecar/internal/rom/romtest"
	"github.com/pxesidecar/pxesidecar/test/lab"
)

// stock has the program under test. It is set by TestMain and never again.
var stock *lab.Stock

// limit bounds every wait for something that takes a moment.
const limit = 20 * time.Second

// parallelTests is how many tests run at once: most of them wait.
const parallelTests = "8"

// TestMain builds the program.
func TestMain(m *testing.M) { os.Exit(prepareAndRun(m)) }

// prepareAndRun is TestMain with deferred steps.
func prepareAndRun(m *testing.M) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	stock, err = lab.OpenStock(ctx, func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) })
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer stock.Close()
	if _, err := stock.Sidecar(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := flag.Set("test.parallel", parallelTests); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// itoa is a number for people.
func itoa(n int) string { return strconv.Itoa(n) }

// bounded is a context that ends after a while, and with the test.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), limit, fmt.Errorf("not within %s", limit))
	t.Cleanup(cancel)
	return ctx
}

// newLab makes an empty lab, whose LAN is the network of the documents.
func newLab(t *testing.T) *lab.Lab {
	t.Helper()
	l, err := lab.New(lab.Options{Stock: stock, Prefix: netip.MustParsePrefix("192.0.2.0/24"), NoRouter: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("taking the lab down: %v", err)
		}
	})
	return l
}

// machine is the computer that the documents speak of: its interfaces have the
// names and addresses that these use, and so have its files. It sees them in a
// mount namespace; where they really are is dir.
type machine struct {
	t    *testing.T
	lab  *lab.Lab
	host *lab.Host
	dir  string
}

// machines counts the machines of a process, for their folders.
var machines atomic.Int32

// newMachine makes the computer. eth0 is on the lab's LAN.
func newMachine(t *testing.T, l *lab.Lab) *machine {
	t.Helper()
	n := itoa(int(machines.Add(1)))
	m := &machine{t: t, lab: l, dir: l.Path("machine" + n)}
	var err error
	if m.host, err = l.NewHost("machine" + n); err != nil {
		t.Fatal(err)
	}
	m.join(l.LAN, "eth0", "192.0.2.2/24")
	m.join(m.segment("eth1"+n, "198.51.100.0/24"), "eth1", "198.51.100.2/24")
	m.join(m.segment("Ethernet"+n, "203.0.113.0/24"), "Ethernet", "203.0.113.2/24")
	m.furnish()
	return m
}

// segment adds a segment to the lab.
func (m *machine) segment(name, prefix string) *lab.Segment {
	m.t.Helper()
	s, err := m.lab.NewSegment(name, netip.MustParsePrefix(prefix))
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

// join plugs the computer into a segment with an interface of that name.
func (m *machine) join(s *lab.Segment, name, address string) {
	m.t.Helper()
	given, err := m.host.Join(s, netip.Addr{})
	if err != nil {
		m.t.Fatal(err)
	}
	if given != name {
		m.ip("link set %s down", given)
		m.ip("link set %s name %s", given, name)
		m.ip("link set %s up", name)
	}
	m.ip("address add %s broadcast + dev %s", address, name)
}

// ip runs the ip command in the computer.
func (m *machine) ip(format string, args ...any) {
	m.t.Helper()
	if err := m.host.IP(strings.Fields(fmt.Sprintf(format, args...))...); err != nil {
		m.t.Fatal(err)
	}
}

// biosSize is the size of the BIOS ROM in the log lines of the documents.
const biosSize = 71169

// furnish makes the files that the documents name: what is below these folders
// is seen at home (the working directory), /srv, /etc, /var/lib, /usr/lib/ipxe
// and /usr/local/bin.
func (m *machine) furnish() {
	m.t.Helper()
	bios := strings.Repeat("\x90", biosSize)
	for _, name := range []string{"ipxe/snponly.efi", "srv/pxe/snponly.efi", "srv/pxe/ipxe.efi", "srv/pxe/memtest.efi", "srv/pxe/lab/snponly.efi"} {
		m.write(name, efiROM())
	}
	m.write("ipxe/undionly.kpxe", bios)
	m.write("srv/pxe/undionly.kpxe", bios)
	vendor := romtest.NewKey(m.t, pkix.Name{CommonName: "Lab vendor"}, nil)
	m.write("srv/pxe/signed/snponly-shim.efi", string(romtest.Sign(m.t, romtest.Shim([]string{"ipxe.efi"}, romtest.IPXEShimText, vendor.Certificate.Raw).Build(), vendor)))
	m.write("srv/pxe/signed/snponly.efi", string(romtest.Sign(m.t, romtest.IPXE(2, 0, 0).Build(), vendor)))
	certificate, key := certified(m.t)
	m.write("etc/pxesidecar/cert.pem", certificate)
	m.write("etc/pxesidecar/key.pem", key)
	m.write("home/boot.pcap", capture(firmware(archBIOS).ToBytes()))
	m.write("home/request.hex", hex.EncodeToString(firmware(archX64).ToBytes()))
	for _, name := range []string{"passwd", "group"} {
		content, err := os.ReadFile("/etc/" + name)
		if err != nil {
			m.t.Fatal(err)
		}
		m.write("etc/"+name, string(content))
	}
	m.write("etc/os-release", "ID=debian\n")
	m.write("home/ipxeboot.tar.gz", string(release(m.t)))
	m.write("lib/pxesidecar/README", "")
	program, err := stock.Sidecar(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(m.path("bin"), 0o755), os.Link(program, m.path("bin/pxesidecar"))); err != nil {
		m.t.Fatal(err)
	}
}

// releases is an archive in the layout of iPXE's releases, for all tests.
var releases struct {
	sync.Once
	archive []byte
}

// release is that archive.
func release(t *testing.T) []byte {
	t.Helper()
	releases.Do(func() { releases.archive = romtest.Archive(t, romtest.Release(t, 2, 0, 0)) })
	return releases.archive
}

// fetches is a line that fetches a release, as far as it can be typed without
// the Internet: what it does not say itself is said of an archive that is here.
// Its digest is not that of the release.
func (m *machine) fetches(line string) string {
	m.t.Helper()
	const archive = "ipxeboot.tar.gz"
	content, err := os.ReadFile(m.path("home/" + archive))
	if err != nil {
		m.t.Fatal(err)
	}
	line, _, _ = strings.Cut(line, "#")
	if !strings.Contains(line, " --url ") {
		line += " --url " + archive
	}
	return fmt.Sprintf("%s --sha256 %x", line, sha256.Sum256(content))
}

// isFetch reports whether a line fetches a release.
func isFetch(line string) bool { return strings.Contains(line, "pxesidecar rom fetch") }

// path is where a file of the computer really is.
func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

// write puts a text into a file of the computer.
func (m *machine) write(name, text string) {
	m.t.Helper()
	file := m.path(name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
		m.t.Fatal(err)
	}
}

// enter goes on as the computer: in its own view of the files, with what is
// not ours replaced by commands that do nothing.
const enter = `
mount --bind "$1/srv" /srv
mount --bind "$1/etc" /etc
mount --bind "$1/ipxe" /usr/lib/ipxe
mount --bind "$1/lib" /var/lib
mount --bind "$1/bin" /usr/local/bin
cd "$1/home"
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
shift
exec "$@"
`

// start starts a program of the computer.
func (m *machine) start(args ...string) *lab.Program {
	m.t.Helper()
	all := append([]string{"--mount", "--propagation", "private", "sh", "-e", "-c", enter, "sh", m.dir}, args...)
	p, err := m.host.Start(lab.Command{Name: args[0], Path: "unshare", Args: all})
	if err != nil {
		m.t.Fatal(err)
	}
	return p
}

// shell is how a line is typed: every failure counts, and what is not ours does
// nothing. man checks that it is given a manual page.
var shell = []string{"bash", "-e", "-u", "-o", "pipefail", "-c", `
git() { :; }; cd() { :; }; cp() { :; }; install() { :; }; tcpdump() { :; }
man() { grep -q '^\.TH '; }
eval "$1"
`, "bash"}

// run types a line, waits for its end, and returns what it writes to standard
// output. The error has what it writes besides.
func (m *machine) run(line string) (string, error) {
	m.t.Helper()
	p := m.start(append(shell, line)...)
	if err := p.Wait(bounded(m.t)); err != nil {
		return p.Stdout.String(), fmt.Errorf("%w\n%s", err, p.Output)
	}
	return p.Stdout.String(), nil
}

// serve runs a serve command until it is ready, and stops it.
func (m *machine) serve(line string) error {
	m.t.Helper()
	return m.serveAs(shellOf(line))
}

// shellOf is the command that runs a line in place of the shell.
func shellOf(line string) []string { return append(shell, "exec "+line) }

// serveAs runs a serve command until it is ready, and stops it: it must end by
// itself at SIGTERM, with success.
func (m *machine) serveAs(command []string) error {
	m.t.Helper()
	d := m.start(command...)
	defer d.Stop()
	if err := ready(bounded(m.t), d); err != nil {
		return err
	}
	return end(bounded(m.t), d)
}

// ready waits until a daemon serves.
func ready(ctx context.Context, d *lab.Program) error {
	line := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, err := d.Output.Await(ctx, "ready", "dry-run")
		line <- err
	}()
	select {
	case err := <-line:
		return err
	case <-d.Ended():
		return fmt.Errorf("it ended with code %d\n%s", d.ExitCode(), d.Output)
	}
}

// end stops a daemon.
func end(ctx context.Context, d *lab.Program) error {
	if err := d.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := d.Wait(ctx); err != nil {
		return fmt.Errorf("after SIGTERM: %w\n%s", err, d.Output)
	}
	return nil
}

// efiROM is as much of an EFI image for x64 as says that it is iPXE 2.0.0 with
// DNS, EFI, HTTP and HTTPS (see internal/rom).
func efiROM() string {
	const said = "\xeb\x03\x02\x00\x00\x17\x01\x01\x24\x01\x01\x13\x01\x01\x14\x01\x01"
	const optionalSize = 112 + 16*8
	le := binary.LittleEndian
	b := make([]byte, 0x80, 0x400)
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], 0x80)
	b = append(b, "PE\x00\x00"...)
	b = le.AppendUint16(b, 0x8664)
	b = le.AppendUint16(b, 1) // section
	b = append(b, make([]byte, 12)...)
	b = le.AppendUint16(b, optionalSize)
	b = le.AppendUint16(b, 0x0206)
	optional := make([]byte, optionalSize)
	le.PutUint16(optional, 0x20b)
	le.PutUint16(optional[68:], 10) // an application
	le.PutUint32(optional[108:], 16)
	b = append(b, optional...)
	section := make([]byte, 40)
	copy(section, ".data")
	le.PutUint32(section[16:], uint32(len(said)))
	le.PutUint32(section[20:], uint32(len(b)+len(section)))
	le.PutUint32(section[36:], 0xc8000040)
	return string(append(append(b, section...), said...))
}

// capture is a pcap file with one broadcast datagram to port 67.
func capture(payload []byte) string {
	le, be := binary.LittleEndian, binary.BigEndian
	b := le.AppendUint32(nil, 0xa1b2c3d4)
	b = le.AppendUint16(b, 2)
	b = le.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...)
	b = le.AppendUint32(b, 1<<16)
	b = le.AppendUint32(b, 1) // Ethernet
	udp := be.AppendUint16(nil, 68)
	udp = be.AppendUint16(udp, 67)
	udp = be.AppendUint16(udp, uint16(8+len(payload)))
	udp = append(append(udp, 0, 0), payload...)
	ip := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255}
	be.PutUint16(ip[2:], uint16(len(ip)+len(udp)))
	frame := append([]byte{255, 255, 255, 255, 255, 255, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 8, 0}, append(ip, udp...)...)
	b = append(b, make([]byte, 8)...)
	b = le.AppendUint32(b, uint32(len(frame)))
	b = le.AppendUint32(b, uint32(len(frame)))
	return string(append(b, frame...))
}

// certified is a certificate with its key, in PEM.
func certified(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{{192, 0, 2, 2}}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	privateDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return text("CERTIFICATE", der), text("PRIVATE KEY", privateDER)
}
