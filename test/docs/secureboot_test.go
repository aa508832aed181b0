package docs

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pxesidecar/pxesidecar/internal/rom/romtest"
	"github.com/pxesidecar/pxesidecar/test/lab"
)

// secureBootPage is the document whose commands TestSecureBoot runs, one after
// the other, with the programs that they name.
const secureBootPage = "docs/secure-boot.md"

// mokPassword is what is typed at the prompts of mokutil, and later of
// MokManager.
const mokPassword = "once-only"

// TestSecureBoot does what the page says, from the first command to the last,
// and boots a machine whenever it serves. The machines have Secure Boot on, so
// that each starts only what the commands before have signed, and only if they
// have made the machine trust it.
func TestSecureBoot(t *testing.T) {
	s := newSigner(t)
	boots := []func(*signer){(*signer).bootRelease, (*signer).bootOwnKey, (*signer).bootShim}
	for _, b := range documentNamed(t, documents(t), secureBootPage).blocks {
		if b.kind != "sh" {
			continue
		}
		for i, line := range strings.Split(b.text, "\n") {
			if isFetch(line) {
				line = s.fetches(line)
			}
			if !strings.Contains(line, " serve ") {
				s.types(b.at(i), line)
				continue
			}
			if len(boots) == 0 {
				t.Fatalf("%s: this test does not know what boots then", b.at(i))
			}
			d := s.start(s.shell("exec " + line)...)
			if err := ready(bounded(t), d); err != nil {
				t.Fatalf("%s: %v", b.at(i), err)
			}
			boots[0](s)
			boots = boots[1:]
			if err := end(bounded(t), d); err != nil {
				t.Errorf("%s: %v", b.at(i), err)
			}
		}
	}
	if len(boots) > 0 {
		t.Errorf("%s: %d machines have not booted, because nothing serves them", secureBootPage, len(boots))
	}
}

// signer is the computer of a person who follows the page, beside a DHCP
// server. It is also the machine whose keys are changed: its variables are in
// efivars.
type signer struct {
	*machine
	environment string

	// release is the key of whoever publishes ipxeboot.tar.gz.
	release lab.SigningKey
}

// guestVariables is the file of a virtual machine's variables on the page.
const guestVariables = "home/guest_VARS.fd"

// newSigner makes the computer, with the files that the page takes for granted.
func newSigner(t *testing.T) *signer {
	t.Helper()
	l, err := lab.New(lab.Options{Stock: stock, Prefix: netip.MustParsePrefix("192.0.2.0/24")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("taking the lab down: %v", err)
		}
	})
	s := &signer{machine: newMachine(t, l)}
	ctx := patient(t)
	if _, err := l.StartDHCP(ctx, lab.DHCP{}); err != nil {
		t.Fatal(err)
	}
	ipxe, err := stock.IPXE(ctx, lab.Sid)
	if err != nil {
		t.Fatal(err)
	}
	rom, err := ipxe.File("snponly.efi")
	if err != nil {
		t.Fatal(err)
	}
	loaders, err := stock.SignedLoaders(ctx, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	variables, err := stock.NewVariables(ctx, lab.Secure64)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.RemoveAll(s.path("srv/pxe")), os.Mkdir(s.path("srv/pxe"), 0o755)); err != nil {
		t.Fatal(err)
	}
	for name, source := range map[string]string{
		"ipxe/snponly.efi":        rom,
		"home/shimx64.efi.signed": loaders.Shim,
		"home/mmx64.efi.signed":   loaders.MokManager,
		guestVariables:            variables,
		"etc/ssl/openssl.cnf":     "/etc/ssl/openssl.cnf",
	} {
		content, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		s.write(name, string(content))
	}
	s.publish(ctx, rom, loaders.Shim)
	// mokutil looks here whether the machine has Secure Boot on.
	s.write("efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", "\x06\x00\x00\x00\x01")
	bin, environment, err := stock.VirtFirmware(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.environment = fmt.Sprintf("export PATH=%s:$PATH %s EFIVARFS_PATH=%s/", bin, environment, s.path("efivars"))
	return s
}

// publish makes a release: the archive that the page fetches, in the layout of
// iPXE's, of Debian's shim and a ROM that a key of the lab's has signed. The
// machines trust that key as they trust iPXE's through iPXE's shim.
func (s *signer) publish(ctx context.Context, rom, shim string) {
	s.t.Helper()
	var err error
	if s.release, err = stock.NewSigningKey(ctx); err != nil {
		s.t.Fatal(err)
	}
	signed, err := s.release.Sign(ctx, rom)
	if err != nil {
		s.t.Fatal(err)
	}
	members := map[string]romtest.Member{"ipxeboot/x86_64-sb/snponly-shim.efi": romtest.Link("shimx64.efi")}
	for name, source := range map[string]string{"x86_64/snponly.efi": rom, "x86_64-sb/snponly.efi": signed, "x86_64-sb/shimx64.efi": shim} {
		content, err := os.ReadFile(source)
		if err != nil {
			s.t.Fatal(err)
		}
		members["ipxeboot/"+name] = romtest.Member{Data: string(content)}
	}
	s.write("home/ipxeboot.tar.gz", string(romtest.Archive(s.t, members)))
}

// bootRelease boots a machine that trusts who has signed the release.
func (s *signer) bootRelease() {
	s.t.Helper()
	variables, err := stock.NewVariables(patient(s.t), lab.Secure64, s.release.InMOK()...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.boot(lab.Guest{Name: "release", Variables: variables})
}

// shell is how a line is typed. Whoever asks for a password gets it, twice.
func (s *signer) shell(line string) []string {
	script := s.environment + "\n" + `eval "$1" <<< "$2"`
	return []string{"bash", "-e", "-u", "-o", "pipefail", "-c", script, "bash", line, mokPassword + "\n" + mokPassword}
}

// types types a line and waits for its end.
func (s *signer) types(at, line string) {
	s.t.Helper()
	p := s.start(s.shell(line)...)
	if err := p.Wait(bounded(s.t)); err != nil {
		s.t.Fatalf("%s: %s: %v\n%s", at, line, err, p.Output)
	}
}

// patient is a context for downloads and for machines that boot, emulated.
func patient(t *testing.T) context.Context {
	t.Helper()
	pace, err := stock.Pace(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	limit := time.Duration(float64(4*time.Minute) * pace)
	ctx, cancel := context.WithTimeoutCause(t.Context(), limit, fmt.Errorf("not within %s", limit))
	t.Cleanup(cancel)
	return ctx
}

// builtInPage is a text of the built-in boot script's page.
const builtInPage = "start it with --boot-url"

// boot boots a machine with Secure Boot until the built-in boot script shows
// its page, and does on the way what the screen asks for.
func (s *signer) boot(guest lab.Guest, steps ...keystroke) {
	s.t.Helper()
	ctx := patient(s.t)
	guest.Firmware = lab.Secure64
	m, err := s.lab.Boot(ctx, guest)
	if err != nil {
		s.t.Fatal(err)
	}
	defer m.Stop()
	for _, step := range append(steps, keystroke{on: builtInPage}) {
		if err := m.AwaitConsole(ctx, step.on); err != nil {
			s.t.Fatalf("%v\nconsole:\n%s\n%s", err, m.Console(), m.Trouble())
		}
		if err := m.Press(step.keys); err != nil {
			s.t.Fatal(err)
		}
	}
}

// keystroke is what is pressed when a text is on the screen.
type keystroke struct{ on, keys string }

// bootOwnKey boots the virtual machine whose firmware trusts the key.
func (s *signer) bootOwnKey() {
	s.t.Helper()
	s.boot(lab.Guest{Name: "own-key", Variables: s.path(guestVariables)})
}

// Keys of MokManager's menus.
const enterKey, downKey = "\r", "\x1b[B"

// bootShim boots a machine for which mokutil has imported the key, and one that
// has no Linux, and gets the key from a disk. MokManager asks for confirmation,
// and the machine starts over.
func (s *signer) bootShim() {
	s.t.Helper()
	pending, err := stock.PendingVariables(s.path("efivars"))
	if err != nil {
		s.t.Fatal(err)
	}
	variables, err := stock.NewVariables(patient(s.t), lab.Secure64, pending...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.boot(lab.Guest{Name: "shim", Variables: variables, Restarts: true},
		keystroke{"Press any key to perform MOK management", enterKey},
		keystroke{"Enroll MOK", downKey + enterKey},
		keystroke{"View key 0", downKey + enterKey},
		keystroke{"Enroll the key(s)?", downKey + enterKey},
		keystroke{"Password:", mokPassword + enterKey},
		keystroke{"Reboot", enterKey})

	certificate, err := os.ReadFile(s.path("home/own.cer"))
	if err != nil {
		s.t.Fatal(err)
	}
	const mebibytes = 40
	disk, err := s.lab.NewFAT(patient(s.t), "stick", mebibytes, map[string]string{"own.cer": string(certificate)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.boot(lab.Guest{Name: "stick", Disk: disk, Restarts: true},
		keystroke{"Verification failed: (0x1A) Security Violation", enterKey},
		keystroke{"Press any key to perform MOK management", enterKey},
		keystroke{"Enroll key from disk", downKey + enterKey},
		keystroke{"Select Key", enterKey},
		keystroke{"own.cer", enterKey},
		keystroke{"View key 0", downKey + enterKey},
		keystroke{"Enroll the key(s)?", downKey + enterKey},
		keystroke{"Reboot", enterKey})
}
