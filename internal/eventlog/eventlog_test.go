package eventlog

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/internal/httpboot"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
	"github.com/pxesidecar/pxesidecar/tftp"
)

// logged returns what write logs from a level on, without the
// time of day.
func logged(level slog.Level, write func(*Log)) string {
	var b bytes.Buffer
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey && len(groups) == 0 {
			return slog.Attr{}
		}
		return a
	}}
	l := New(slog.New(slog.NewTextHandler(&b, options)))
	write(l)
	l.Close()
	return strings.TrimSuffix(b.String(), "\n")
}

// someResult is an old iPXE that was offered a ROM.
func someResult() proxydhcp.Result {
	return proxydhcp.Result{
		Arrival: proxydhcp.Arrival{Port: proxydhcp.PortServer, Segment: proxydhcp.Segment{Interface: "eth0"}},
		Client: proxydhcp.Client{
			Hardware:    proxydhcp.HardwareAddr{Type: 1, Len: 6, Bytes: [16]byte{0x52, 0x54, 0, 0, 0, 1}},
			Arch:        proxydhcp.ArchBIOS,
			VendorClass: "PXEClient:Arch:00000:UNDI:002001",
			IPXE:        proxydhcp.IPXE{Present: true, HasVersion: true, Version: proxydhcp.Version{1, 0, 0}},
		},
		Decision: proxydhcp.Decision{Rule: "upgrade", Kind: proxydhcp.BootROM, File: "undionly.kpxe", Unmet: proxydhcp.Unmet{Version: true, Text: "iPXE reports version 1.0.0, wanted >=2.0.0"}},
		Reply:    []byte{},
	}
}

func TestDHCP(t *testing.T) {
	change := func(f func(*proxydhcp.Result)) proxydhcp.Result {
		res := someResult()
		f(&res)
		return res
	}
	const who = `interface=eth0 mac=52:54:00:00:00:01 arch=bios client="iPXE 1.0.0" rule=upgrade unmet="iPXE reports version 1.0.0, wanted >=2.0.0" file=undionly.kpxe`
	for _, tt := range []struct {
		name string
		res  proxydhcp.Result
		want string
	}{
		{"offered", someResult(), "level=INFO msg=offered " + who},
		{"acknowledged", change(func(r *proxydhcp.Result) { r.Arrival.Port = proxydhcp.PortProxy }), "level=INFO msg=acknowledged " + who},
		{"dry run", change(func(r *proxydhcp.Result) { r.Reason = proxydhcp.DryRun }), `level=INFO msg="would offer" ` + who + ` reason="dry run"`},
		{"failed", change(func(r *proxydhcp.Result) { r.Err = errors.New("too long") }), `level=ERROR msg="answer failed" ` + who + ` error="too long"`},
		{"no address", change(func(r *proxydhcp.Result) { r.Reason, r.Decision = proxydhcp.NoAddress, proxydhcp.Decision{} }),
			`level=WARN msg="cannot answer" interface=eth0 mac=52:54:00:00:00:01 arch=bios client="iPXE 1.0.0" reason="no IPv4 address of ours there"`},
		{"ignored", proxydhcp.Result{Arrival: proxydhcp.Arrival{From: netip.MustParseAddrPort("192.0.2.1:68")}, Reason: proxydhcp.NotBooting},
			`level=DEBUG msg=ignored ip=192.0.2.1 reason="not booting from the network"`},
		{"relayed, by a user class that tries to break the line", change(func(r *proxydhcp.Result) {
			r.Client.Segment.Relay = netip.MustParseAddr("198.51.100.1")
			r.Decision = proxydhcp.Decision{Rule: "a\nb", File: "x", NextServer: netip.MustParseAddr("192.0.2.9")}
		}), `level=INFO msg=offered interface=eth0 relay=198.51.100.1 mac=52:54:00:00:00:01 arch=bios client="iPXE 1.0.0" rule="a\nb" file=x next-server=192.0.2.9`},
		{"loop ended", change(func(r *proxydhcp.Result) {
			r.LoopEnded = "undionly.kpxe"
			r.Decision.Rule, r.Decision.File, r.Decision.UpgradeFailed = "script", "boot.ipxe", true
		}), `level=INFO msg=offered interface=eth0 mac=52:54:00:00:00:01 arch=bios client="iPXE 1.0.0" rule=script unmet="iPXE reports version 1.0.0, wanted >=2.0.0" file=boot.ipxe` + "\n" +
			`level=WARN msg="upgrade did not help, giving the boot script as it is" interface=eth0 mac=52:54:00:00:00:01 arch=bios client="iPXE 1.0.0" rom=undionly.kpxe unmet="iPXE reports version 1.0.0, wanted >=2.0.0" file=boot.ipxe ` +
			`hint="the ROM reports this version itself (iPXE 1.x built outside a git clone reports 1.0.0), or the machine did not run it; rebuild it with a bumped VERSION_MAJOR, VERSION_MINOR or VERSION_PATCH, or demand features instead of a version"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := logged(slog.LevelDebug, func(l *Log) { l.request(tt.res) })
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if got := logged(slog.LevelInfo, func(l *Log) { l.request(proxydhcp.Result{Reason: proxydhcp.NotBooting}) }); got != "" {
		t.Errorf("ordinary clients are logged: %s", got)
	}
}

func TestTFTP(t *testing.T) {
	client := netip.MustParseAddrPort("192.0.2.50:1024")
	done := tftp.Transfer{Client: client, Asked: "/x.efi", File: "x.efi", Size: 300, Sent: 300, Duration: 12345678, Result: tftp.Completed}
	early := done
	early.Result, early.Sent, early.Resent, early.Err = tftp.Aborted, 100, 2, &tftp.RemoteError{Code: 3, Message: "disk\nfull"}
	probed := done
	probed.Result = tftp.Probed
	refused := tftp.Refusal{Client: client, Asked: "no\n.efi", Reason: tftp.NotFound}
	speculative := refused
	speculative.Asked = "dir/autoexec.ipxe"
	foreign := refused
	foreign.Reason = tftp.NotAllowed
	for _, tt := range []struct {
		name  string
		write func(*Log)
		want  string
	}{
		{"completed", func(l *Log) { l.tftpFinished(done) }, `level=INFO msg=transferred ip=192.0.2.50 file=x.efi bytes=300 duration=12ms`},
		{"aborted", func(l *Log) { l.tftpFinished(early) },
			`level=INFO msg="transfer ended early" ip=192.0.2.50 file=x.efi bytes=300 sent=100 reason=aborted resent=2 duration=12ms error="client sent error 3: \"disk\\nfull\""`},
		{"probed", func(l *Log) { l.tftpFinished(probed) }, `level=DEBUG msg="size probed" ip=192.0.2.50 file=x.efi bytes=300 duration=12ms`},
		{"not found", func(l *Log) { l.tftpRefused(refused) }, `level=INFO msg="boot file not found" ip=192.0.2.50 file="no\n.efi" reason=not-found`},
		{"not found, and not expected to be", func(l *Log) { l.tftpRefused(speculative) }, `level=DEBUG msg="boot file not found" ip=192.0.2.50 file=dir/autoexec.ipxe reason=not-found`},
		{"not allowed", func(l *Log) { l.tftpRefused(foreign) },
			`level=WARN msg="transfer refused" ip=192.0.2.50 file="no\n.efi" reason=not-allowed hint="add its network with --tftp-allow if it is one of yours"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, logged(slog.LevelDebug, tt.write)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestSpeculative checks which files clients ask for on the chance that they
// exist, and which they need.
func TestSpeculative(t *testing.T) {
	for name, want := range map[string]bool{
		"autoexec.ipxe": true, `x\autoexec.ipxe`: true, "revocations_sbat.efi": true, "shim_certificate_0.efi": true, "grubx64.efi": false,
		"pxelinux.cfg/35434433-3435-375a-4d4d-6cc2175fa130": true, "pxelinux.cfg/01-52-54-00-12-34-56": true, "pxelinux.cfg/C0000232": true,
		"pxelinux.cfg/C": true, "pxelinux.cfg/default": false, "ldlinux.c32": false,
		"grub/x86_64-efi/command.lst": true, "grub/x86_64-efi/normal.mod": false, "grub/grub.cfg-01-52-54-00-12-34-56": true, "grub/grub.cfg-C00002": true, "grub/grub.cfg": false,
		"4372ee6a/start4.elf": true, "start4.elf": false, "pieeprom.sig": true, "recover4.elf": true, "bootcode.bin": false, "/4372ee6a/config.txt": true,
	} {
		if got := isSpeculative(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestHTTP(t *testing.T) {
	a := httpboot.Access{Client: netip.MustParseAddr("192.0.2.50"), Method: "GET", Path: "/x.efi", File: "x.efi", Status: 200, Sent: 9, Complete: true}
	missing := httpboot.Access{Client: a.Client, Method: "GET", Path: "/y\n.efi", Status: 404, Sent: 18}
	speculative := missing
	speculative.Path = "/autoexec.ipxe"
	foreign := httpboot.Access{Client: a.Client, Method: "GET", Path: "/x.efi", Status: 403, NotAllowed: true, Sent: 46}
	unreadable := httpboot.Access{Client: a.Client, Method: "GET", Path: "/x.efi", Status: 403, Sent: 30}
	head := a
	head.Method, head.Complete, head.Sent = "HEAD", false, 0
	for _, tt := range []struct {
		name   string
		access httpboot.Access
		want   string
	}{
		{"completed", a, `level=INFO msg=transferred ip=192.0.2.50 file=x.efi bytes=9 duration=0s status=200`},
		{"size asked", head, `level=DEBUG msg="size probed" ip=192.0.2.50 file=x.efi bytes=0 duration=0s status=200`},
		{"not found", missing, `level=INFO msg="boot file not found" ip=192.0.2.50 file="/y\n.efi" bytes=18 duration=0s status=404`},
		{"not found, and not expected to be", speculative, `level=DEBUG msg="boot file not found" ip=192.0.2.50 file=/autoexec.ipxe bytes=18 duration=0s status=404`},
		{"not allowed", foreign,
			`level=WARN msg="transfer refused" ip=192.0.2.50 file=/x.efi bytes=46 reason=not-allowed duration=0s status=403 hint="add its network with --tftp-allow if it is one of yours"`},
		{"unreadable", unreadable, `level=INFO msg="transfer refused" ip=192.0.2.50 file=/x.efi bytes=30 duration=0s status=403`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, logged(slog.LevelDebug, func(l *Log) { l.HTTP(tt.access) })); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
