package rom

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

func TestFits(t *testing.T) {
	application := func(m Machine) Image {
		return Image{Format: EFI, Size: 1, Machine: m, Subsystem: EFIApplication}
	}
	tests := map[string]struct {
		image Image
		want  map[proxydhcp.Platform]Fit // Misfit where absent
	}{
		"bios":       {Image{Format: NBP, Size: 1}, map[proxydhcp.Platform]Fit{proxydhcp.BIOS: Fits}},
		"unknown":    {Image{Size: 1}, map[proxydhcp.Platform]Fit{proxydhcp.BIOS: Perhaps}},
		"empty":      {Image{}, nil},
		"kernel":     {Image{Format: Kernel, Size: 1}, nil},
		"script":     {Image{Format: Script, Size: 1}, nil},
		"option ROM": {Image{Format: OptionROM, Size: 1}, nil},
		"driver":     {Image{Format: EFI, Size: 1, Machine: MachineX64, Subsystem: EFIBootDriver}, nil},
		"ia32":       {application(MachineI386), map[proxydhcp.Platform]Fit{proxydhcp.IA32: Fits}},
		"x64":        {application(MachineX64), map[proxydhcp.Platform]Fit{proxydhcp.X64: Fits}},
		"arm":        {application(MachineARM), map[proxydhcp.Platform]Fit{proxydhcp.ARM32: Fits}},
		"thumb":      {application(MachineThumb), map[proxydhcp.Platform]Fit{proxydhcp.ARM32: Fits}},
		"armnt":      {application(MachineARMNT), map[proxydhcp.Platform]Fit{proxydhcp.ARM32: Fits}},
		"arm64":      {application(MachineARM64), map[proxydhcp.Platform]Fit{proxydhcp.ARM64: Fits}},
		"riscv32":    {application(MachineRISCV32), map[proxydhcp.Platform]Fit{proxydhcp.RISCV32: Fits}},
		"riscv64":    {application(MachineRISCV64), map[proxydhcp.Platform]Fit{proxydhcp.RISCV64: Fits}},
		"loong64":    {application(MachineLoong64), map[proxydhcp.Platform]Fit{proxydhcp.Loong64: Fits}},
		"byte code":  {application(MachineEBC), nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := map[proxydhcp.Platform]Fit{}
			for _, platform := range proxydhcp.Platforms() {
				if fit := test.image.Fits(platform); fit != Misfit {
					got[platform] = fit
				}
			}
			if test.want == nil {
				test.want = map[proxydhcp.Platform]Fit{}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Fits (-want +got):\n%s", diff)
			}
		})
	}
}

func TestImageString(t *testing.T) {
	tests := map[string]Image{
		"empty":                                       {},
		"of no known format":                          {Size: 1},
		"a BIOS network boot program":                 {Format: NBP, Size: 1},
		"a Linux-style kernel (.lkrn), an iPXE":       {Format: Kernel, Size: 1, IPXE: true},
		"an iPXE script":                              {Format: Script, Size: 1},
		"a PCI option ROM":                            {Format: OptionROM, Size: 1},
		"a disk image":                                {Format: Disk, Size: 1},
		"an EFI image for arm64, iPXE 1.21.1, signed": {Format: EFI, Size: 1, Machine: MachineARM64, Subsystem: EFIApplication, IPXE: true, HasVersion: true, Version: [3]byte{1, 21, 1}, Signed: true},
		"an EFI driver for arm32":                     {Format: EFI, Size: 1, Machine: MachineThumb, Subsystem: EFIRuntimeDriver},
		"an EFI image for ebc":                        {Format: EFI, Size: 1, Machine: MachineEBC, Subsystem: EFIApplication},
		"an EFI image for machine 0x0200":             {Format: EFI, Size: 1, Machine: 0x200, Subsystem: EFIApplication},
	}
	for want, image := range tests {
		if got := image.String(); got != want {
			t.Errorf("String() = %q, want %q", got, want)
		}
	}
}
