package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/bootfiles"
	"github.com/pxesidecar/pxesidecar/internal/eventlog"
	"github.com/pxesidecar/pxesidecar/internal/ipxescript"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/tftp"
)

// TestTFTPLimits checks that the largest limits that the configuration accepts
// are those of the TFTP server, and that it refuses larger ones by name.
func TestTFTPLimits(t *testing.T) {
	s := config.Settings{
		AnswersText: config.AnswersText{NextServer: "192.0.2.99", ROMs: []string{"bios=undionly.kpxe"}}, NoDHCP: true,
		TFTPBlockSize: 65464, TFTPWindow: 16384, TFTPMaxTransfers: 1 << 20, TFTPCache: 1,
	}
	l := mustLoad(t, s)
	l.TFTP.Addr = netip.MustParseAddrPort("127.0.0.1:0")
	d := newDaemon(l, eventlog.New(slog.New(slog.DiscardHandler)))
	defer d.close()
	served, err := tftp.Listen(d.tftpConfig(l.TFTP))
	if err != nil {
		t.Fatal(err)
	}
	served.Close()
	for flag, raise := range map[string]func(*config.Settings){
		"--tftp-block-size":    func(s *config.Settings) { s.TFTPBlockSize++ },
		"--tftp-window-size":   func(s *config.Settings) { s.TFTPWindow++ },
		"--tftp-max-transfers": func(s *config.Settings) { s.TFTPMaxTransfers++ },
	} {
		larger := s
		raise(&larger)
		if _, err := config.Parse(larger, nil); err == nil || !strings.HasPrefix(err.Error(), flag) {
			t.Errorf("%s: %v", flag, err)
		}
	}
}

// TestHTTPPortTaken checks what a port in use means: if nobody asked for HTTP,
// it is off, nobody is told a URL of ours, and the report says who has the
// port; else it is an error.
func TestHTTPPortTaken(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := config.Settings{
		AnswersText: config.AnswersText{NextServer: "192.0.2.99", ROMs: []string{"bios=undionly.kpxe"}}, IPXETexts: []string{"2.0.0"}, NoDHCP: true, TFTP: "off", HTTP: taken.Addr().String(),
	}
	silent := eventlog.New(slog.New(slog.DiscardHandler))
	l := mustLoad(t, s)
	d, err := listen(l, silent)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if d.http != nil || l.DHCP.Options.HTTPPort != 0 {
		t.Errorf("HTTP is served: %v, clients are told port %d", d.http != nil, l.DHCP.Options.HTTPPort)
	}
	var b bytes.Buffer
	report(slog.New(slog.NewTextHandler(&b, nil)), l, d)
	if text := b.String(); strings.Count(text, "level=WARN") != 1 || !strings.Contains(text, httpOff) || !strings.Contains(text, fmt.Sprintf("(process %d) has it", os.Getpid())) || !strings.Contains(text, "http=off") {
		t.Errorf("reported:\n%s", text)
	}
	if problems := checkSockets(mustLoad(t, s)); len(problems) != 1 || problems[0].Serious || !strings.Contains(problems[0].What, httpOff) {
		t.Errorf("check: %+v", problems)
	}

	s.SetSource("http", config.CommandLine)
	var portTaken *portTakenError
	if _, err := listen(mustLoad(t, s), silent); !errors.As(err, &portTaken) {
		t.Errorf("a port that is named: %v, want that it is taken", err)
	}
	taken.Close()
	free := mustLoad(t, s)
	d, err = listen(free, silent)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if d.http == nil || free.DHCP.Options.HTTPPort == 0 || d.httpText() != s.HTTP {
		t.Errorf("a free port: %v, port %d, at %s", d.http != nil, free.DHCP.Options.HTTPPort, d.httpText())
	}
}

// TestHTTPAccess checks who reads by HTTP: whom TFTP serves, and a machine that
// was just heard to boot.
func TestHTTPAccess(t *testing.T) {
	l := mustLoad(t, config.Settings{
		AnswersText: config.AnswersText{NextServer: "192.0.2.99", ROMs: []string{"x64=snponly.efi"}}, TFTPAllow: []string{"203.0.113.64/26"},
	})
	d := newDaemon(l, eventlog.New(slog.New(slog.DiscardHandler)))
	defer d.close()
	h := d.newHTTPServer().Handler
	status := func(client string) int {
		r := httptest.NewRequest("GET", "/boot.ipxe", nil)
		r.RemoteAddr = client + ":4000"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	for client, want := range map[string]int{"10.1.2.3": 200, "192.0.2.77": 200, "203.0.113.65": 200, "203.0.113.7": 403} {
		if got := status(client); got != want {
			t.Errorf("%s: status %d, want %d", client, got, want)
		}
	}
	ours := []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24")}
	c := proxydhcp.Client{Hardware: proxydhcp.HardwareAddr{Type: 1, Len: 6, Bytes: [16]byte{0x52, 0x54, 0, 0, 0, 1}}, Arch: proxydhcp.ArchX64, VendorClass: "PXEClient:Arch:00007:UNDI:003001"}
	d.responder.Respond(nil, c.Discover(), proxydhcp.Arrival{Port: proxydhcp.PortServer, From: netip.MustParseAddrPort("0.0.0.0:68"), Ours: ours}, time.Now())
	request := c.Discover()
	request = bytes.Replace(request, []byte{53, 1, 1}, []byte{53, 1, 3}, 1) // a REQUEST
	copy(request[12:], []byte{203, 0, 113, 7})                              // ciaddr
	d.responder.Respond(nil, request, proxydhcp.Arrival{Port: proxydhcp.PortServer, From: netip.MustParseAddrPort("0.0.0.0:68"), Ours: ours}, time.Now())
	if got := status("203.0.113.7"); got != 200 {
		t.Errorf("a machine that boots: status %d", got)
	}
}

// TestUpgradeByScript plays machines that are upgraded by script, where no DHCP
// is answered. Each reads the version check and says, if it is not the wanted
// iPXE, that it wants a ROM; the answer lets it load one, or go on as it is.
func TestUpgradeByScript(t *testing.T) {
	l := mustLoad(t, config.Settings{
		AnswersText: config.AnswersText{NextServer: "192.0.2.99", ROMs: []string{"bios=undionly.kpxe"}},
		IPXETexts:   []string{"2.0.0"}, NoDHCP: true,
	})
	d := newDaemon(l, eventlog.New(slog.New(slog.DiscardHandler)))
	defer d.close()
	machine := netip.MustParseAddr("192.0.2.50")
	asks := func(at netip.Addr, name string) string {
		t.Helper()
		text, err := fs.ReadFile(d.files.For(bootfiles.Asker{Client: at, Name: name}), name)
		if err != nil {
			t.Fatal(err)
		}
		d.fileRead(at, name)
		return string(text)
	}
	const wants, tried = "version_check/wants-52-54-00-12-34-56/1.0.0.ipxe", "version_check/tried-52-54-00-12-34-56/1.0.0.ipxe"
	const warning = `level=WARN msg="upgrade by script did not help, going on with the iPXE as it is" mac=52:54:00:12:34:56 ip=192.0.2.50 client="iPXE 1.0.0"`
	for _, tt := range []struct {
		name string
		did  string // one letter for each thing that the machine does
		want string // the answers to w and t: Load a ROM, or Go on
	}{
		{"upgraded", "cwrc", "L"},
		{"upgraded at three boots", "cwrc cwrc cwrc", "LLL"},
		{"upgraded from another server, at three boots", "cwc cwc cwc", "LLL"},
		{"our ROM does not help", "cwrcw", "LG"},
		{"our ROM does not help, at the next boot", "cwrcw cw", "LGG"},
		{"another server's ROM does not help", "cwcwcw", "LLG"},
		{"the ROM does not start", "cwrcw", "LG"},
		{"it knows by itself", "cwrct", "LG"},
		{"the wanted iPXE", "c c c", ""},
		{"a wanted iPXE after a failure", "cwrcw c c cw", "LGL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d.machines = proxydhcp.NewMachines()
			d.files = bootfiles.NewFiles(l.files, d.responder, d.machines)
			var log bytes.Buffer
			d.log = eventlog.New(slog.New(slog.NewTextHandler(&log, nil)))
			got := ""
			for _, step := range tt.did {
				switch step {
				case 'c':
					if text := asks(machine, ipxescript.CheckName); !strings.Contains(text, "chain --autofree tftp://192.0.2.99/undionly.kpxe") {
						t.Errorf("the check is\n%s", text)
					}
				case 'r':
					d.fileRead(machine, "undionly.kpxe")
				case 'w', 't':
					name := map[rune]string{'w': wants, 't': tried}[step]
					answer := "L"
					if text := asks(machine, name); text == string(ipxescript.Tried()) || step == 't' {
						answer = "G"
					} else if text != string(ipxescript.Proceed()) {
						t.Errorf("the answer is\n%s", text)
					}
					got += answer
				}
			}
			if got != tt.want {
				t.Errorf("answers %s, want %s", got, tt.want)
			}
			d.log.Close() // with what was folded
			if warned, failed := strings.Count(log.String(), warning), strings.Count(tt.want, "G"); warned != failed {
				t.Errorf("%d warnings, want %d:\n%s", warned, failed, &log)
			}
			if got := asks(netip.MustParseAddr("192.0.2.51"), wants); got != string(ipxescript.Proceed()) {
				t.Errorf("another machine is told %q", got)
			}
		})
	}
}

// TestAdviseCapability checks that a missing capability is named, with the way
// to get it: root is not told to become root.
func TestAdviseCapability(t *testing.T) {
	packet := fmt.Errorf("interface eth0: %w", &os.SyscallError{Syscall: "socket", Err: syscall.EPERM})
	port := fmt.Errorf("tftp: %w", &os.SyscallError{Syscall: "bind", Err: syscall.EACCES})
	for _, tt := range []struct {
		err         error
		user        int
		want, there string
		not         string
	}{
		{packet, 0, "CAP_NET_RAW is missing, although this is root: interface eth0: socket: operation not permitted; ", "--cap-add NET_RAW", "run as root"},
		{packet, 1000, "CAP_NET_RAW is missing: interface eth0: socket: operation not permitted; ", "run as root, or once: setcap", "although"},
		{port, 0, "CAP_NET_BIND_SERVICE is missing, although this is root: tftp: bind: permission denied; ", "--cap-add NET_BIND_SERVICE", "run as root"},
		{port, 1000, "CAP_NET_BIND_SERVICE is missing: tftp: bind: permission denied; ", "run as root, or once: setcap", "although"},
	} {
		err := adviseCapability(tt.err, tt.user)
		if text := err.Error(); !strings.HasPrefix(text, tt.want) || !strings.Contains(text, tt.there) || strings.Contains(text, tt.not) || !errors.Is(err, os.ErrPermission) {
			t.Errorf("user %d: %v", tt.user, err)
		}
	}
}
