package main

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/portowner"
)

// TestLoad checks that the problems of the text, of the files and of the
// certificate are reported together, and those of the policy only if there are
// no others.
func TestLoad(t *testing.T) {
	cert, key := writeCertificate(t, t.TempDir())
	absent := filepath.Join(t.TempDir(), "absent")
	answers := config.AnswersText{NextServer: "192.0.2.99", ROMs: []string{"x64=a.efi"}}
	for _, tt := range []struct {
		name     string
		settings config.Settings
		want     string
	}{
		{"all at once", config.Settings{AnswersText: config.AnswersText{Root: absent, IPXEVersion: "new"}, HTTP: ":443", TLSCert: "absent.pem", TLSKey: key, TFTPPorts: "9-3"},
			`--tftp-ports "9-3": the range ends (3) before it begins (9)` + "\n" +
				`--ipxe-version "new": "new" is not a number from 0 to 255` + "\n" +
				`--root "` + absent + `": no such file or directory` + "\n" +
				`--tls-cert "absent.pem": open absent.pem: no such file or directory`},
		{"key", config.Settings{AnswersText: answers, HTTP: ":80", TLSCert: cert, TLSKey: cert}, `--tls-cert "` + cert + `": tls: found a certificate rather than a key in the PEM for the private key`},
		{"certificate", config.Settings{AnswersText: answers, HTTP: ":80", TLSCert: "absent.pem", TLSKey: key}, `--tls-cert "absent.pem": open absent.pem: no such file or directory`},
		{"certificate without HTTP", config.Settings{AnswersText: answers, TLSCert: cert, TLSKey: key}, `--tls-cert "` + cert + `": --tls-cert, --tls-key and --http go together`},
		{"certificate without a key", config.Settings{AnswersText: answers, HTTP: ":80", TLSCert: cert}, `--tls-cert "` + cert + `": --tls-cert, --tls-key and --http go together`},
	} {
		l, err := load(tt.settings, testHost(t))
		if err == nil {
			l.files.Close()
			t.Fatalf("%s: accepted", tt.name)
		}
		if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestLoadPolicy checks that a command that serves nothing needs no
// certificate: whoever asks may not be allowed to read its key.
func TestLoadPolicy(t *testing.T) {
	answers := config.AnswersText{NextServer: "192.0.2.99", ROMs: []string{"x64=a.efi"}}
	l, err := loadPolicy(config.Settings{AnswersText: answers, HTTP: ":8443", TLSCert: "absent.pem", TLSKey: "absent.pem"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.files.Close()
	if !l.DHCP.Options.HTTPS {
		t.Error("URLs are not https")
	}
}

// TestLoadTLS checks that a certificate is read, and that URLs then are https.
func TestLoadTLS(t *testing.T) {
	cert, key := writeCertificate(t, t.TempDir())
	answers := config.AnswersText{NextServer: "192.0.2.99", ROMs: []string{"x64=a.efi"}}
	if l := mustLoad(t, config.Settings{AnswersText: answers, HTTP: ":8443", TLSCert: cert, TLSKey: key}); l.tls == nil || !l.DHCP.Options.HTTPS {
		t.Errorf("TLS %v, URLs https %v", l.tls, l.DHCP.Options.HTTPS)
	}
	if l := mustLoad(t, config.Settings{AnswersText: answers, HTTP: ":80"}); l.tls != nil || l.DHCP.Options.HTTPS {
		t.Errorf("without a certificate: TLS %v, URLs https %v", l.tls, l.DHCP.Options.HTTPS)
	}
}

// TestLoadWarnings checks that warnings of all calls arrive, each once.
func TestLoadWarnings(t *testing.T) {
	l := mustLoad(t, config.Settings{
		AnswersText:  config.AnswersText{NextServer: "192.0.2.99", ROMs: []string{"x64=a.efi"}, BootURL: "https://boot.example/"},
		SegmentFlags: []string{"interface=eth0,ipxe-version=>=2.0.0"}, Servers: []string{"203.0.113.9"},
	})
	want := []string{
		"the boot URL is https, and an iPXE without HTTPS cannot load it: --ipxe-feature https upgrades those first",
		"clients are told that this host is at 203.0.113.9, which is no address of its own: " +
			"what is sent there to UDP 4011 and 69, and TCP 8067 or what --http says, must be forwarded here; --tftp-single-port helps with that",
	}
	if diff := cmp.Diff(want, l.warnings); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPortTaken checks that the owner of a port in use is known by type, and
// that the error is still that of the socket.
func TestPortTaken(t *testing.T) {
	err := advise(&os.SyscallError{Syscall: "bind", Err: syscall.EADDRINUSE}, "udp", 0)
	var taken *portTakenError
	if !errors.As(err, &taken) || !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("%v", err)
	}
	for owner, want := range map[portowner.Owner]string{
		{}:                             "bind: address already in use: another process has it; ss -lnp shows which",
		{Program: "dnsmasq", PID: 812}: "bind: address already in use: dnsmasq (process 812) has it; stop that, or let only one of the two serve",
	} {
		taken.owner = owner
		if taken.Error() != want {
			t.Errorf("%s\nwant %s", taken, want)
		}
	}
}
