package e2e

// Firmware with Secure Boot on starts a ROM that it trusts, or a shim that
// trusts its second stage, and refuses everything else.

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// signingKey makes a key for a test.
func signingKey(t *testing.T) lab.SigningKey {
	t.Helper()
	key, err := stock.NewSigningKey(deadline(t, stepLimit))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// signed returns the path of a ROM of the newest iPXE, signed with a key.
func signed(t *testing.T, key lab.SigningKey, name string) string {
	t.Helper()
	path, err := key.Sign(deadline(t, stepLimit), roms(t, lab.Sid, name)[name])
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// signedShim returns the path of Debian's shim for an architecture.
func signedShim(t *testing.T, architecture string) string {
	t.Helper()
	loaders, err := stock.SignedLoaders(deadline(t, fetchLimit), architecture)
	if err != nil {
		t.Fatal(err)
	}
	return loaders.Shim
}

// shimTree is the layout of iPXE's own releases: an unsigned ROM in one folder,
// a shim and a signed ROM in another. Debian's shim asks for the signed ROM
// under another name, grubx64.efi.
func shimTree(t *testing.T, key lab.SigningKey) map[string]string {
	t.Helper()
	return map[string]string{
		"x86_64/snponly.efi":         roms(t, lab.Sid, "snponly.efi")["snponly.efi"],
		"x86_64-sb/snponly-shim.efi": signedShim(t, "amd64"),
		"x86_64-sb/snponly.efi":      signed(t, key, "snponly.efi"),
	}
}

// secureMachine returns a machine with Secure Boot, whose firmware has
// Microsoft's keys and what the arguments add (see lab.Stock.NewVariables).
func secureMachine(t *testing.T, name string, f lab.Firmware, args []string) lab.Guest {
	t.Helper()
	variables, err := stock.NewVariables(deadline(t, fetchLimit), f, args...)
	if err != nil {
		t.Fatal(err)
	}
	return lab.Guest{Name: name, Firmware: f, Variables: variables}
}

// reportSecureBoot has the boot script report whether Secure Boot is on, as the
// firmware tells it to iPXE: 01 or 00.
func reportSecureBoot(l *lab.Lab) {
	l.Collector.Serve("/boot.ipxe", l.Collector.Script("secure-boot-${efi/SecureBoot}"))
}

// The names of the scripts that reportSecureBoot reports.
const (
	secureBootOn  = "secure-boot-01"
	secureBootOff = "secure-boot-00"
)

// TestSecureBoot boots machines from files with signatures.
func TestSecureBoot(t *testing.T) {
	t.Parallel()
	key := signingKey(t)
	ownROM := map[string]string{"snponly.efi": signed(t, key, "snponly.efi")}
	loads := func(arch string, files ...string) outcome {
		return outcome{Version: ipxe(t, lab.Sid).Version, Platform: "efi", Arch: arch, ROMs: files, Asked4011: 1, Answered4011: 1}
	}
	chain := loads("x86_64", "x86_64-sb/snponly-shim.efi", "x86_64-sb/grubx64.efi")
	arm := map[string]string{"arm64-sb/ipxe-shim.efi": signedShim(t, "arm64"), "arm64-sb/ipxe.efi": signed(t, key, "ipxe-arm64.efi")}
	only2023, err := stock.OnlyMicrosoft2023(deadline(t, fetchLimit))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		guest lab.Guest
		root  map[string]string
		args  []string
		want  outcome
		boot  string
	}{
		{"a key of our own in db", secureMachine(t, "own", lab.Secure64, key.InDB()), ownROM, nil, loads("x86_64", "snponly.efi"), secureBootOn},
		{"shim, with a key of our own in MOK", secureMachine(t, "shim", lab.Secure64, key.InMOK()), shimTree(t, key), nil, chain, secureBootOn},
		{"shim, where only the certificate of 2023 is in db", secureMachine(t, "shim2023", lab.Secure64, append(only2023, key.InMOK()...)),
			shimTree(t, key), nil, chain, secureBootOn},
		{"shim on arm64", secureMachine(t, "arm64", lab.SecureAArch64, key.InMOK()), arm, nil,
			loads("arm64", "arm64-sb/ipxe-shim.efi", "arm64-sb/grubaa64.efi"), secureBootOn},
		{"shim, and Secure Boot off", lab.Guest{Name: "off", Firmware: lab.OVMF64}, shimTree(t, key), nil, chain, secureBootOff},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := alone(tt.guest, tt.want, func(l *lab.Lab) (lab.Sidecar, error) {
				reportSecureBoot(l)
				return lab.Sidecar{Root: tt.root, Args: tt.args}, nil
			}).run(t)
			if reports := r.lab.Collector.Evidence(""); len(reports) != 1 || reports[0].Boot != tt.boot {
				t.Errorf("reports %+v, want one, of %s", reports, tt.boot)
			}
		})
	}
}

// TestSecureBootRefuses boots machines from files that their firmware does not
// trust. It reads them to the end, and then does not start them.
func TestSecureBootRefuses(t *testing.T) {
	t.Parallel()
	ctx := deadline(t, fetchLimit)
	only2023, err := stock.OnlyMicrosoft2023(ctx)
	if err != nil {
		t.Fatal(err)
	}
	// Debian's shim has a signature of 2011 and one of 2023.
	shim2011, err := stock.WithoutSignature(ctx, signedShim(t, "amd64"), 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		trusts []string
		files  map[string]string
		args   []string
		reads  string
		reason string
	}{
		{"a ROM without signature", nil, roms(t, lab.Sid, "snponly.efi"), nil, "snponly.efi", "the file is not signed"},
		{"a shim signed in 2011, where only the certificate of 2023 is in db", only2023,
			map[string]string{"shim.efi": shim2011}, []string{"--rom", "x64=shim.efi"}, "shim.efi", "authority of 2011 alone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			guest := secureMachine(t, "refuses", lab.Secure64, tt.trusts)
			r := scenario{sidecar: sidecar(tt.files, tt.args...)}.setUp(t)
			defer takeSlot()()
			ctx := deadline(t, bootLimit)
			m, err := r.lab.Boot(ctx, guest)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Stop()
			if err := m.AwaitConsole(ctx, "Access Denied"); err != nil {
				t.Fatalf("%v\nconsole:\n%s\nsidecar:\n%s", err, m.Console(), r.daemon.Output)
			}
			want := outcome{ROMs: []string{tt.reads}, Asked4011: 1, Answered4011: 1}
			if diff := cmp.Diff(want, r.observe(m, lab.Evidence{})); diff != "" {
				t.Errorf("evidence (-want +got):\n%s", diff)
			}
			line, err := r.daemon.Output.Await(ctx, `level=WARN msg="boot file was loaded, but did not start"`, "mac="+m.MAC, "file="+tt.reads, tt.reason, "Secure Boot")
			if err != nil {
				t.Fatalf("%v\n%s", err, r.daemon.Output)
			}
			t.Log(line)
			r.sound(t)
		})
	}
}
