package e2e

// A check of the lab itself: the same guests beside a ProxyDHCP server that is
// known to work. If these tests fail, the lab is at fault.

import (
	"testing"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// TestLabWithStandIn boots every kind of guest beside dnsmasq.
func TestLabWithStandIn(t *testing.T) {
	t.Parallel()
	new, old := ipxe(t, lab.Sid), ipxe(t, lab.Bookworm)
	tests := []struct {
		guest lab.Guest
		want  outcome
	}{
		{lab.Guest{Name: "bios-bundled", Firmware: lab.BIOS, OptionROM: optionROM(t, lab.Bookworm, lab.BIOS)},
			outcome{Version: old.Version, Platform: "pcbios", Arch: "i386"}},
		{lab.Guest{Name: "ovmf", Firmware: lab.OVMF64},
			outcome{Version: new.Version, Platform: "efi", Arch: "x86_64", ROMs: []string{"snponly.efi"}, Asked4011: 1, Answered4011: 1}},
		{lab.Guest{Name: "ovmf-bundled", Firmware: lab.OVMF64, OptionROM: optionROM(t, lab.Bookworm, lab.OVMF64)},
			outcome{Version: old.Version, Platform: "efi", Arch: "x86_64"}},
		{lab.Guest{Name: "ovmf32", Firmware: lab.OVMF32},
			outcome{Version: "grub", Platform: "efi", Arch: "i386", ROMs: []string{grub32}, Asked4011: 1, Answered4011: 1}},
		{lab.Guest{Name: "aarch64", Firmware: lab.AArch64},
			outcome{Version: new.Version, Platform: "efi", Arch: "arm64", ROMs: []string{"ipxe-arm64.efi"}, Asked4011: 1, Answered4011: 1}},
	}
	for _, test := range tests {
		t.Run(test.guest.Name, func(t *testing.T) {
			t.Parallel()
			scenario{
				sidecar: func(l *lab.Lab) (lab.Sidecar, error) {
					tree := roms(t, lab.Sid, "undionly.kpxe", "snponly.efi", "ipxe-arm64.efi")
					var err error
					if tree[grub32], err = l.GRUB32(deadline(t, fetchLimit)); err != nil {
						return lab.Sidecar{}, err
					}
					return l.StandIn(tree, map[string]string{"x86PC": "undionly.kpxe", "X86-64_EFI": "snponly.efi",
						"ARM64_EFI": "ipxe-arm64.efi", "IA32_EFI": grub32})
				},
				guests: []lab.Guest{test.guest},
				want:   map[string]outcome{test.guest.Name: test.want},
			}.run(t)
		})
	}
}

// grub32 is the name of the GRUB for 32-bit UEFI in the boot file trees.
const grub32 = "grub-ia32.efi"
