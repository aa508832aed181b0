package e2e

import (
	"testing"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// TestFirmware boots UEFI firmware that has no iPXE yet. TestPatchedROM does so
// for 32-bit x86.
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
