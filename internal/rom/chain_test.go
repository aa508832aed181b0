package rom

import (
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/internal/rom/romtest"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// chainFiles are files of chains for x64.
type chainFiles struct {
	ipxes, debian  *fstest.MapFile // shims
	signed, plain  *fstest.MapFile // iPXEs
	grub           *fstest.MapFile
	bare, damaged  *fstest.MapFile // iPXE's shim, not signed, and changed after it was signed
	changed, arm64 *fstest.MapFile // iPXEs that were signed
}

// newChainFiles returns signed files.
func newChainFiles(t *testing.T) chainFiles {
	t.Helper()
	key := romtest.NewKey(t, named("Signer"), nil)
	file := func(image romtest.EFI, keys ...*romtest.Key) *fstest.MapFile {
		data := image.Build()
		if len(keys) > 0 {
			data = romtest.Sign(t, data, keys...)
		}
		return &fstest.MapFile{Data: data}
	}
	change := func(f *fstest.MapFile) *fstest.MapFile {
		f.Data[peOffsetField+0x100]++
		return f
	}
	ipxes, ipxe := romtest.Shim([]string{"ipxe.efi"}, romtest.IPXEShimText, key.Certificate.Raw), romtest.IPXE(2, 0, 0)
	arm64 := ipxe
	arm64.Machine = uint16(machineARM64)
	return chainFiles{
		ipxes: file(ipxes, key), debian: file(romtest.Shim([]string{`\\grubx64.efi`}, "", key.Certificate.Raw), key),
		signed: file(ipxe, key), plain: file(ipxe),
		grub: file(romtest.EFI{Sections: []romtest.Section{{Name: modulesSection, Flags: flagsData}}}, key),
		bare: file(ipxes), damaged: change(file(ipxes, key)), changed: change(file(ipxe, key)), arm64: file(arm64, key),
	}
}

// TestChooseChain checks which chains are found in which layouts of files, and
// what comes after them.
func TestChooseChain(t *testing.T) {
	f := newChainFiles(t)
	release := fstest.MapFS{}
	for name, file := range map[string]*fstest.MapFile{
		"x86_64-sb/shimx64.efi": f.ipxes, "x86_64-sb/snponly-shim.efi": f.ipxes, "x86_64-sb/ipxe-shim.efi": f.ipxes,
		"x86_64-sb/snponly.efi": f.signed, "x86_64-sb/ipxe.efi": f.signed,
		"x86_64/snponly.efi": f.plain, "x86_64/ipxe.efi": f.plain, "snponly.efi": f.plain, "ipxe.efi": f.plain,
	} {
		release[name] = file
	}
	with := func(files fstest.MapFS, more fstest.MapFS) fstest.MapFS {
		all := maps.Clone(files)
		maps.Copy(all, more)
		return all
	}
	flat := fstest.MapFS{"snponly-shim.efi": f.ipxes, "snponly.efi": f.signed}
	for _, tt := range []struct {
		name   string
		files  fstest.MapFS
		want   []string
		passed []string
	}{
		{"iPXE's release", release, []string{
			"x86_64-sb/snponly-shim.efi -> x86_64-sb/snponly.efi", "x86_64-sb/ipxe-shim.efi -> x86_64-sb/ipxe.efi", "x86_64/snponly.efi", "x86_64/ipxe.efi"}, nil},
		{"side by side", flat, []string{"snponly-shim.efi -> snponly.efi"}, nil},
		{"side by side, with the processor", fstest.MapFS{"ipxe-shimx64.efi": f.ipxes, "ipxe.efi": f.signed}, []string{"ipxe-shimx64.efi -> ipxe.efi"}, nil},
		{"beside one that is not signed", with(flat, fstest.MapFS{"ipxe-x86_64.efi": f.plain}), []string{"snponly-shim.efi -> snponly.efi", "ipxe-x86_64.efi"}, nil},
		{"beside a patched one", with(flat, fstest.MapFS{"ipxe-fixed.efi": f.plain}), []string{"snponly-shim.efi -> snponly.efi", "ipxe-fixed.efi"}, nil},
		{"Debian's shim", fstest.MapFS{"shimx64.efi": f.debian, "grubx64.efi": f.signed}, []string{"shimx64.efi -> grubx64.efi"}, nil},
		{"under the name of removable media", fstest.MapFS{"BOOTX64.EFI": f.debian, "grubx64.efi": f.signed}, []string{"BOOTX64.EFI -> grubx64.efi"}, nil},
		{"Debian's shim under iPXE's name", fstest.MapFS{"sb-no/x": f.plain, "x86_64-sb/snponly-shim.efi": f.debian, "x86_64-sb/snponly.efi": f.signed},
			[]string{"x86_64-sb/snponly-shim.efi -> x86_64-sb/grubx64.efi = x86_64-sb/snponly.efi"}, nil},
		{"the same for both drivers", fstest.MapFS{"snponly-shim.efi": f.debian, "snponly.efi": f.signed, "ipxe-shim.efi": f.debian, "ipxe.efi": f.signed},
			[]string{"snponly-shim.efi -> grubx64.efi = snponly.efi", "ipxe.efi"}, nil},
		{"Debian's shim beside an iPXE", fstest.MapFS{"shimx64.efi": f.debian, "ipxe.efi": f.signed}, []string{"shimx64.efi -> grubx64.efi = ipxe.efi"}, nil},
		{"Debian's shim beside a GRUB and an iPXE", fstest.MapFS{"shimx64.efi": f.debian, "grubx64.efi": f.grub, "ipxe.efi": f.signed}, []string{"ipxe.efi"}, nil},
		{"second stage missing", fstest.MapFS{"x86_64-sb/snponly-shim.efi": f.ipxes, "x86_64/snponly.efi": f.plain}, []string{"x86_64/snponly.efi"},
			[]string{`boot file "x86_64-sb/snponly-shim.efi": is a shim, and the file "x86_64-sb/snponly.efi" that it loads is missing`}},
		{"second stage not signed", fstest.MapFS{"snponly-shim.efi": f.ipxes, "snponly.efi": f.plain}, []string{"snponly.efi"},
			[]string{`boot file "snponly-shim.efi": is a shim, and the file "snponly.efi" that it loads is not signed`}},
		{"second stage changed", fstest.MapFS{"snponly-shim.efi": f.ipxes, "snponly.efi": f.changed}, []string{"snponly.efi"},
			[]string{`boot file "snponly-shim.efi": is a shim, and the file "snponly.efi" that it loads was changed after it was signed`}},
		{"second stage for another processor", fstest.MapFS{"shimx64.efi": f.ipxes, "ipxe.efi": f.arm64}, nil,
			[]string{`boot file "shimx64.efi": is a shim, and the file "ipxe.efi" that it loads is an EFI image for arm64, iPXE 2.0.0, signed, not for x64`}},
		{"shim not signed", fstest.MapFS{"snponly-shim.efi": f.bare, "snponly.efi": f.signed}, []string{"snponly.efi"},
			[]string{`boot file "snponly-shim.efi": is a shim that is not signed`}},
		{"shim changed", fstest.MapFS{"snponly-shim.efi": f.damaged, "snponly.efi": f.signed}, []string{"snponly.efi"},
			[]string{`boot file "snponly-shim.efi": is a shim that was changed after it was signed`}},
		{"shim under an iPXE's name", fstest.MapFS{"ipxe.efi": f.debian, "snponly.efi": f.plain}, []string{"snponly.efi"}, nil},
		{"shim alone under an iPXE's name", fstest.MapFS{"ipxe.efi": f.debian}, nil,
			[]string{`boot file "ipxe.efi": is a shim; shims have names such as snponly-shim.efi and shimx64.efi`}},
		{"a shim's name for an iPXE", fstest.MapFS{"shimx64.efi": f.signed}, nil, nil},
		{"a better chain, and one that is broken", with(release, fstest.MapFS{"x86_64-sb/ipxe.efi": f.plain}), []string{
			"x86_64-sb/snponly-shim.efi -> x86_64-sb/snponly.efi", "x86_64/snponly.efi", "x86_64/ipxe.efi"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			choices := Choose(tt.files, ".", proxydhcp.X64, WithShims)
			var got, passed []string
			for _, c := range choices.Usable {
				text := c.Name
				if c.Second.Name != "" {
					text += " -> " + c.Second.Name
				}
				if c.Second.File != c.Second.Name {
					text += " = " + c.Second.File
				}
				got = append(got, text)
			}
			for _, err := range choices.Passed {
				passed = append(passed, err.Error())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("usable (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.passed, passed); diff != "" {
				t.Errorf("passed (-want +got):\n%s", diff)
			}
			for _, c := range Choose(tt.files, ".", proxydhcp.X64, WithoutShims).Usable {
				if c.Second.Name != "" || c.Image.IsShim() {
					t.Errorf("without shims: %s -> %s", c.Name, c.Second.Name)
				}
			}
		})
	}
}

// TestChooseChainElsewhere checks chains of other processors, and shims whose
// names say the wrong one.
func TestChooseChainElsewhere(t *testing.T) {
	f := newChainFiles(t)
	key := romtest.NewKey(t, named("Signer"), nil)
	shim := romtest.Shim([]string{"ipxe.efi"}, romtest.IPXEShimText, nil)
	shim.Machine = uint16(machineARM64)
	arm64 := &fstest.MapFile{Data: romtest.Sign(t, shim.Build(), key)}
	choices := Choose(fstest.MapFS{"arm64-sb/snponly-shim.efi": arm64, "arm64-sb/snponly.efi": f.arm64}, ".", proxydhcp.ARM64, WithShims)
	if got := choices.best(); got.Name != "arm64-sb/snponly-shim.efi" || got.Second.Name != "arm64-sb/snponly.efi" {
		t.Errorf("arm64: %q -> %q, passed %v", got.Name, got.Second.Name, choices.Passed)
	}
	for name, platform := range map[string]proxydhcp.Platform{"shimx64.efi": proxydhcp.X64, "x86_64-sb/snponly-shim.efi": proxydhcp.X64} {
		choices := Choose(fstest.MapFS{name: arm64}, ".", platform, WithShims)
		if len(choices.Usable) > 0 || len(choices.Passed) != 1 || !strings.HasSuffix(choices.Passed[0].Error(), "is an EFI image for arm64, a shim, signed, not for x64") {
			t.Errorf("%s: %v, passed %v", name, choices.Usable, choices.Passed)
		}
	}
	choices = Choose(fstest.MapFS{"shimaa64.efi": f.ipxes}, ".", proxydhcp.ARM64, WithShims)
	if len(choices.Usable) > 0 || len(choices.Passed) != 1 {
		t.Errorf("shimaa64.efi for x64: %v, passed %v", choices.Usable, choices.Passed)
	}
}

// TestFindChainInDistribution checks that a chain of a package is found, with
// paths relative to its directory.
func TestFindChainInDistribution(t *testing.T) {
	f := newChainFiles(t)
	got := Find(fstest.MapFS{"usr/lib/ipxe/snponly-shim.efi": f.debian, "usr/lib/ipxe/snponly.efi": f.signed}, WithShims)[proxydhcp.X64].best()
	if got.Path() != "usr/lib/ipxe/snponly-shim.efi" || got.Second.Name != "grubx64.efi" || got.Second.File != "snponly.efi" {
		t.Errorf("%q -> %q = %q", got.Path(), got.Second.Name, got.Second.File)
	}
}
