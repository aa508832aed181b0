package e2e

import (
	"testing"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// TestBundledIPXE boots BIOS machines whose network card has an iPXE in its
// ROM.
func TestBundledIPXE(t *testing.T) {
	t.Parallel()
	old, newest := ipxe(t, lab.Bookworm), ipxe(t, lab.Sid)
	bundledOld := lab.Guest{Name: "old", Firmware: lab.BIOS, OptionROM: optionROM(t, lab.Bookworm, lab.BIOS)}
	bundledNew := lab.Guest{Name: "new", Firmware: lab.BIOS, OptionROM: optionROM(t, lab.Sid, lab.BIOS)}
	script := func(version string, roms ...string) outcome {
		return outcome{Version: version, Platform: "pcbios", Arch: "i386", HTTP: roms}
	}
	want := ">=" + newest.Version
	t.Run("too old gets one ROM", func(t *testing.T) {
		t.Parallel()
		s := alone(bundledOld, script(newest.Version, "undionly.kpxe"), sidecar(roms(t, lab.Sid, everyROM...), "--ipxe-version", want))
		// Many networks have no IPv6 router. The other tests have one because
		// iPXE boots faster with it.
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
	t.Run("without a policy an old one stays", func(t *testing.T) {
		t.Parallel()
		alone(bundledOld, script(old.Version), sidecar(roms(t, lab.Sid, everyROM...))).run(t)
	})
}
