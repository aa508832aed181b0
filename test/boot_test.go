package test

// Real firmware, a real DHCP server that knows nothing of booting, and pxesidecar: who gets which file, how often, and
// what runs the boot script in the end.

import (
	"strings"
	"testing"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// everyROM are the names of the ROMs that a suite's iPXE package has for the guests of the lab.
var everyROM = []string{"undionly.kpxe", "snponly.efi", "ipxe-arm64.efi"}

// alone makes a scenario of one guest.
func alone(guest lab.Guest, want outcome, sidecar func(*lab.Lab) (lab.Sidecar, error)) scenario {
	return scenario{guests: []lab.Guest{guest}, want: map[string]outcome{guest.Name: want}, sidecar: sidecar}
}

// TestBundledIPXE boots BIOS machines whose network card brings an iPXE.
func TestBundledIPXE(t *testing.T) {
	t.Parallel()
	old, newest := ipxe(t, lab.Bookworm), ipxe(t, lab.Sid)
	bundledOld := lab.Guest{Name: "old", Firmware: lab.BIOS, OptionROM: optionROM(t, lab.Bookworm, lab.BIOS)}
	bundledNew := lab.Guest{Name: "new", Firmware: lab.BIOS, OptionROM: optionROM(t, lab.Sid, lab.BIOS)}
	script := func(version string, roms ...string) outcome {
		return outcome{Version: version, Platform: "pcbios", Arch: "i386", ROMs: roms}
	}
	want := ">=" + newest.Version
	t.Run("too old gets one ROM", func(t *testing.T) {
		t.Parallel()
		s := alone(bundledOld, script(newest.Version, "undionly.kpxe"), sidecar(roms(t, lab.Sid, everyROM...), "--ipxe-version", want))
		// As on many networks; the others have one to save time.
		s.options.NoRouter = true
		s.run(t)
	})
	t.Run("new enough gets the script at once", func(t *testing.T) {
		t.Parallel()
		alone(bundledNew, script(newest.Version), sidecar(roms(t, lab.Sid, everyROM...), "--ipxe-version", want)).run(t)
	})
	t.Run("never a downgrade", func(t *testing.T) {
		t.Parallel()
		alone(bundledNew, script(newest.Version), sidecar(roms(t, lab.Bookworm, "undionly.kpxe", "snponly.efi"))).run(t)
	})
	t.Run("old is good enough without a policy", func(t *testing.T) {
		t.Parallel()
		alone(bundledOld, script(old.Version), sidecar(roms(t, lab.Sid, everyROM...))).run(t)
	})
}

// TestLoopGuard serves BIOS ROMs that do not satisfy the policy, which nobody can read out of them beforehand: every
// machine gets them once, and then the script; one warning names machine and ROM.
func TestLoopGuard(t *testing.T) {
	t.Parallel()
	trixie, newest := ipxe(t, lab.Trixie), ipxe(t, lab.Sid)
	tests := []struct {
		name    string
		suite   lab.Suite
		version string
		// runs is the release that runs the script, says the version that it gives in DHCP.
		runs, says string
	}{
		{"1.21.1 that calls itself 1.0.0", lab.Trixie, ">=" + trixie.Version, trixie.Version, trixie.Announced},
		{"no ROM can satisfy it", lab.Sid, ">=9.0.0", newest.Version, newest.Announced},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			guest := lab.Guest{Name: "bios", Firmware: lab.BIOS, OptionROM: optionROM(t, lab.Bookworm, lab.BIOS)}
			want := outcome{Version: test.runs, Platform: "pcbios", Arch: "i386", ROMs: []string{"undionly.kpxe"}}
			r := alone(guest, want, sidecar(roms(t, test.suite, "undionly.kpxe"),
				"--ipxe-version", test.version, "--rom", "x64=none", "--rom", "arm64=none")).run(t)
			mac := r.lab.Capture.Traffic.Transfers("", nil)[0].Client
			warnings := r.daemon.Stderr.Matching("level=WARN", mac, "undionly.kpxe")
			if len(warnings) != 1 {
				t.Errorf("%d warnings name %s and the ROM, want 1:\n%s", len(warnings), mac, r.daemon.Output)
				return
			}
			t.Log(warnings[0])
			for _, why := range []string{test.version, test.says} {
				if !strings.Contains(warnings[0], why) {
					t.Errorf("the warning lacks %q: %s", why, warnings[0])
				}
			}
		})
	}
}

// TestFirmware boots firmware that has no iPXE yet. 32-bit x86 is among the patched ROMs, see TestPatchedROM.
func TestFirmware(t *testing.T) {
	t.Parallel()
	newest := ipxe(t, lab.Sid)
	uefi := func(arch string, rom string) outcome {
		return outcome{Version: newest.Version, Platform: "efi", Arch: arch, ROMs: []string{rom}, Asked4011: 1, Answered4011: 1}
	}
	policy := []string{"--ipxe-version", ">=" + newest.Version}
	t.Run("x64", func(t *testing.T) {
		t.Parallel()
		alone(lab.Guest{Name: "ovmf", Firmware: lab.OVMF64}, uefi("x86_64", "snponly.efi"),
			sidecar(roms(t, lab.Sid, everyROM...), policy...)).run(t)
	})
	t.Run("x64 with an old bundled iPXE", func(t *testing.T) {
		t.Parallel()
		guest := lab.Guest{Name: "ovmf", Firmware: lab.OVMF64, OptionROM: optionROM(t, lab.Bookworm, lab.OVMF64)}
		want := outcome{Version: newest.Version, Platform: "efi", Arch: "x86_64", ROMs: []string{"snponly.efi"}}
		alone(guest, want, sidecar(roms(t, lab.Sid, everyROM...), policy...)).run(t)
	})
	t.Run("arm64", func(t *testing.T) {
		t.Parallel()
		alone(lab.Guest{Name: "aavmf", Firmware: lab.AArch64}, uefi("arm64", "ipxe-arm64.efi"),
			sidecar(roms(t, lab.Sid, everyROM...), policy...)).run(t)
	})
	t.Run("x64 by HTTP", func(t *testing.T) {
		t.Parallel()
		want := outcome{Version: newest.Version, Platform: "efi", Arch: "x86_64", HTTP: []string{"snponly.efi"}}
		alone(lab.Guest{Name: "ovmf-http", Firmware: lab.OVMF64, HTTP: true}, want,
			sidecar(roms(t, lab.Sid, everyROM...), append([]string{"--http", ":80"}, policy...)...)).run(t)
	})
}

// TestDHCPServers boots beside the DHCP servers there are, whichever of the two OFFERs comes first.
func TestDHCPServers(t *testing.T) {
	t.Parallel()
	newest := ipxe(t, lab.Sid)
	bios := lab.Guest{Name: "bios", Firmware: lab.BIOS, OptionROM: optionROM(t, lab.Bookworm, lab.BIOS)}
	e1000, err := ipxe(t, lab.Bookworm).OptionROM(lab.BIOS, "e1000")
	if err != nil {
		t.Fatal(err)
	}
	other := lab.Guest{Name: "bios", Firmware: lab.BIOS, NIC: "e1000", OptionROM: e1000}
	upgraded := outcome{Version: newest.Version, Platform: "pcbios", Arch: "i386", ROMs: []string{"undionly.kpxe"}}
	ovmf := lab.Guest{Name: "ovmf", Firmware: lab.OVMF64}
	loaded := outcome{Version: newest.Version, Platform: "efi", Arch: "x86_64", ROMs: []string{"snponly.efi"}, Asked4011: 1, Answered4011: 1}
	tests := []struct {
		name  string
		dhcp  lab.DHCP
		guest lab.Guest
		want  outcome
	}{
		{"Kea, UEFI", lab.DHCP{Server: lab.Kea}, ovmf, loaded},
		{"dnsmasq, BIOS with another card", lab.DHCP{Server: lab.Dnsmasq}, other, upgraded},
		{"dhcpd that pings first, BIOS", lab.DHCP{PingCheck: true}, bios, upgraded},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := alone(test.guest, test.want, sidecar(roms(t, lab.Sid, everyROM...), "--ipxe-version", ">="+newest.Version))
			s.dhcp = func(*lab.Lab) lab.DHCP { return test.dhcp }
			s.run(t)
		})
	}
}

// TestSameHost runs the DHCP server on pxesidecar's own host.
func TestSameHost(t *testing.T) {
	t.Parallel()
	newest := ipxe(t, lab.Sid)
	s := alone(lab.Guest{Name: "bios", Firmware: lab.BIOS, OptionROM: optionROM(t, lab.Bookworm, lab.BIOS)},
		outcome{Version: newest.Version, Platform: "pcbios", Arch: "i386", ROMs: []string{"undionly.kpxe"}},
		sidecar(roms(t, lab.Sid, everyROM...), "--ipxe-version", ">="+newest.Version))
	s.sameHost = true
	r := s.run(t)
	renewals(t, r)
}

// TestRejectedROM starts with EFI ROMs that their own policy rejects, and wants to be told all of it.
func TestRejectedROM(t *testing.T) {
	trixie := ipxe(t, lab.Trixie)
	l := newLab(t)
	ctx := deadline(t, stepLimit)
	d, err := l.LaunchSidecar(ctx, lab.Sidecar{Root: roms(t, lab.Trixie, "snponly.efi"), Args: []string{"--ipxe-version", ">=" + trixie.Version}})
	if err != nil {
		t.Fatal(err)
	}
	d.Wait(ctx)
	text := d.Stderr.String()
	if d.ExitCode() != 1 {
		t.Errorf("exit code %d, want 1", d.ExitCode())
	}
	for _, word := range []string{"snponly.efi", trixie.Announced, ">=" + trixie.Version, "VERSION_"} {
		if !strings.Contains(text, word) {
			t.Errorf("the message lacks %q", word)
		}
	}
	if t.Failed() {
		t.Logf("it said:\n%s", text)
	}
}
