package rom

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

func TestFits(t *testing.T) {
	application := func(m machine) Image {
		return Image{format: formatEFI, Size: 1, machine: m, subsystem: efiApplication}
	}
	tests := map[string]struct {
		image Image
		want  []proxydhcp.Platform
	}{
		"bios":       {Image{format: formatNBP, Size: 1}, []proxydhcp.Platform{proxydhcp.BIOS}},
		"unknown":    {Image{Size: 1}, []proxydhcp.Platform{proxydhcp.BIOS}},
		"empty":      {Image{}, nil},
		"kernel":     {Image{format: formatKernel, Size: 1}, nil},
		"script":     {Image{format: formatScript, Size: 1}, nil},
		"option ROM": {Image{format: formatOptionROM, Size: 1}, nil},
		"driver":     {Image{format: formatEFI, Size: 1, machine: machineX64, subsystem: efiBootDriver}, nil},
		"ia32":       {application(machineI386), []proxydhcp.Platform{proxydhcp.IA32}},
		"x64":        {application(machineX64), []proxydhcp.Platform{proxydhcp.X64}},
		"arm":        {application(machineARM), []proxydhcp.Platform{proxydhcp.ARM32}},
		"thumb":      {application(machineThumb), []proxydhcp.Platform{proxydhcp.ARM32}},
		"armnt":      {application(machineARMNT), []proxydhcp.Platform{proxydhcp.ARM32}},
		"arm64":      {application(machineARM64), []proxydhcp.Platform{proxydhcp.ARM64}},
		"riscv32":    {application(machineRISCV32), []proxydhcp.Platform{proxydhcp.RISCV32}},
		"riscv64":    {application(machineRISCV64), []proxydhcp.Platform{proxydhcp.RISCV64}},
		"loong64":    {application(machineLoong64), []proxydhcp.Platform{proxydhcp.Loong64}},
		"byte code":  {application(machineEBC), nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got []proxydhcp.Platform
			for _, platform := range proxydhcp.Platforms() {
				if test.image.Fits(platform) {
					got = append(got, platform)
				}
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
		"a BIOS network boot program":                 {format: formatNBP, Size: 1},
		"a Linux-style kernel (.lkrn), an iPXE":       {format: formatKernel, Size: 1, isIPXE: true},
		"an iPXE script":                              {format: formatScript, Size: 1},
		"a PCI option ROM":                            {format: formatOptionROM, Size: 1},
		"a disk image":                                {format: formatDisk, Size: 1},
		"an EFI image for arm64, iPXE 1.21.1, signed": {format: formatEFI, Size: 1, machine: machineARM64, subsystem: efiApplication, isIPXE: true, HasVersion: true, Version: [3]byte{1, 21, 1}, Signatures: make([]Signature, 1)},
		"an EFI image for x64, a shim":                {format: formatEFI, Size: 1, machine: machineX64, subsystem: efiApplication, shim: &shim{}},
		"an EFI image for x64, a GRUB, signed":        {format: formatEFI, Size: 1, machine: machineX64, subsystem: efiApplication, isGRUB: true, Signatures: make([]Signature, 1)},
		"an EFI driver for arm32":                     {format: formatEFI, Size: 1, machine: machineThumb, subsystem: efiRuntimeDriver},
		"an EFI image for ebc":                        {format: formatEFI, Size: 1, machine: machineEBC, subsystem: efiApplication},
		"an EFI image for machine 0x0200":             {format: formatEFI, Size: 1, machine: 0x200, subsystem: efiApplication},
	}
	for want, image := range tests {
		if got := image.String(); got != want {
			t.Errorf("String() = %q, want %q", got, want)
		}
	}
}
