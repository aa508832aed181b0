package e2e

// A patched ROM with a version of its own: the recommendation for networks with
// an old iPXE.

import (
	"testing"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// The names of the patched ROMs, and the version that they report. It is one
// more than the version of the release that they are made from. That release
// reports 1.0.0 in DHCP, like every 1.x of a distribution, and a policy could
// not tell it from the ROMs that it replaces.
const (
	fixedBIOS = "undionly-fixed.kpxe"
	fixedX64  = "ipxe-x86_64-fixed.efi"
	fixedIA32 = "ipxe-i386-fixed.efi"

	fixedVersion = "1.21.2"
)

// fixedROMs runs a sidecar with a patched ROM for every x86 architecture. The
// one for 32-bit UEFI is GRUB, see Lab.GRUB32.
func fixedROMs(t *testing.T) func(*lab.Lab) (lab.Sidecar, error) {
	return func(l *lab.Lab) (lab.Sidecar, error) {
		ctx := deadline(t, fetchLimit)
		s := lab.Sidecar{Root: map[string]string{}, Args: []string{"--ipxe-version", ">=" + fixedVersion,
			"--rom", "bios=" + fixedBIOS, "--rom", "x64=" + fixedX64, "--rom", "ia32=" + fixedIA32}}
		var err error
		if s.Root[fixedBIOS], err = l.Patched(ctx, ipxe(t, lab.Trixie), "undionly.kpxe", fixedVersion); err != nil {
			return s, err
		}
		if s.Root[fixedX64], err = l.Patched(ctx, ipxe(t, lab.Trixie), "snponly.efi", fixedVersion); err != nil {
			return s, err
		}
		s.Root[fixedIA32], err = l.GRUB32(ctx)
		return s, err
	}
}

// TestPatchedROM boots machines with an older iPXE, or none. They must load the
// patched ROM once, and run the script in it.
func TestPatchedROM(t *testing.T) {
	t.Parallel()
	bios := outcome{Version: fixedVersion, Platform: "pcbios", Arch: "i386", HTTP: []string{fixedBIOS}}
	x64 := outcome{Version: fixedVersion, Platform: "efi", Arch: "x86_64", ROMs: []string{fixedX64}, Asked4011: 1, Answered4011: 1}
	tests := []struct {
		guest lab.Guest
		want  outcome
	}{
		{lab.Guest{Name: "bios", Firmware: lab.BIOS, OptionROM: optionROM(t, lab.Bookworm, lab.BIOS)}, bios},
		{lab.Guest{Name: "ovmf", Firmware: lab.OVMF64}, x64},
		{lab.Guest{Name: "ovmf32", Firmware: lab.OVMF32},
			outcome{Version: "grub", Platform: "efi", Arch: "i386", ROMs: []string{fixedIA32}, Asked4011: 1, Answered4011: 1}},
	}
	for _, test := range tests {
		t.Run(test.guest.Name, func(t *testing.T) {
			t.Parallel()
			alone(test.guest, test.want, fixedROMs(t)).run(t)
		})
	}
}
