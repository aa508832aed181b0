package e2e

import (
	"testing"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// TestFirmware boots UEFI firmware that has no iPXE yet. TestPatchedROM does so
// for 32-bit x86. An iPXE that gets a generated autoexec.ipxe does not ask DHCP
// again if its firmware has a lease.
func TestFirmware(t *testing.T) {
	t.Parallel()
	newest := ipxe(t, lab.Sid)
	uefi := func(arch string, rom string) outcome {
		return outcome{Version: newest.Version, Platform: "efi", Arch: arch, ROMs: []string{rom}, Asked4011: 1, Answered4011: 1}
	}
	policy := []string{"--ipxe-version", ">=" + newest.Version}
	t.Run("x64", func(t *testing.T) {
		t.Parallel()
		r := alone(lab.Guest{Name: "ovmf", Firmware: lab.OVMF64}, uefi("x86_64", "snponly.efi"),
			sidecar(roms(t, lab.Sid, everyROM...), policy...)).run(t)
		r.askedAgain(t, 0)
		r.logged(t, `msg="offered by autoexec.ipxe"`, "rule=script file=http")
	})
	t.Run("x64 with an old bundled iPXE", func(t *testing.T) {
		t.Parallel()
		guest := lab.Guest{Name: "ovmf", Firmware: lab.OVMF64, OptionROM: optionROM(t, lab.Bookworm, lab.OVMF64)}
		want := outcome{Version: newest.Version, Platform: "efi", Arch: "x86_64", HTTP: []string{"snponly.efi"}}
		alone(guest, want, sidecar(roms(t, lab.Sid, everyROM...), policy...)).run(t)
	})
	t.Run("arm64", func(t *testing.T) {
		t.Parallel()
		r := alone(lab.Guest{Name: "aavmf", Firmware: lab.AArch64}, uefi("arm64", "ipxe-arm64.efi"),
			sidecar(roms(t, lab.Sid, everyROM...), append([]string{"--no-autoexec"}, policy...)...)).run(t)
		r.askedAgain(t, 1)
	})
	t.Run("x64 by HTTP", func(t *testing.T) {
		t.Parallel()
		want := outcome{Version: newest.Version, Platform: "efi", Arch: "x86_64", HTTP: []string{"snponly.efi"}}
		r := alone(lab.Guest{Name: "ovmf-http", Firmware: lab.OVMF64, HTTP: true}, want,
			sidecar(roms(t, lab.Sid, everyROM...), policy...)).run(t)
		r.askedAgain(t, 0)
	})
}

// askedAgain checks how many times the iPXE of the only machine asked DHCP.
func (r *trial) askedAgain(t *testing.T, want int) {
	t.Helper()
	transactions := map[string]bool{}
	for _, m := range r.lab.Capture.Traffic.Messages("", lab.Message.Discover) {
		if len(m.DHCP.UserClass()) > 0 {
			transactions[m.DHCP.TransactionID.String()] = true
		}
	}
	if len(transactions) != want {
		t.Errorf("the iPXE asked DHCP %d times, want %d", len(transactions), want)
	}
}

// logged checks that the sidecar has logged a line with these words.
func (r *trial) logged(t *testing.T, words ...string) {
	t.Helper()
	if len(r.daemon.Output.Matching(words...)) == 0 {
		t.Errorf("no line has %q:\n%s", words, r.daemon.Output)
	}
}
