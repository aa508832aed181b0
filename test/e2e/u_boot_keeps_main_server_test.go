package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// uBootOffer is the one answer that U-Boot gets, if it gets one.
const uBootOffer = "pxesidecar: OFFER yiaddr 0.0.0.0 siaddr 10.213.0.2 file ipxe-arm64.efi"

// efiClass is the vendor class that U-Boot's own boot command sends before it
// looks for an EFI program.
const efiClass = "PXEClient:Arch:00011:UNDI:003000"

// TestUBootBesideMainServer checks that U-Boot gets the lease and the file of
// the main server, whether we answer or not. U-Boot takes an address from any
// server that offers one, and ignores other OFFERs.
func TestUBootBesideMainServer(t *testing.T) {
	t.Parallel()
	const mainFile = "main.img"
	for _, tt := range []struct {
		name, class string
		args        []string
		ours        []string
	}{
		{"not served", "U-Boot.armv8", nil, nil},
		{"served", "U-Boot.armv8", []string{"--u-boot"}, []string{uBootOffer}},
		{"claims to be UEFI", efiClass, nil, []string{uBootOffer}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := scenario{sidecar: sidecar(roms(t, lab.Sid, everyROM...), tt.args...)}
			s.dhcp = func(l *lab.Lab) lab.DHCP { return lab.DHCP{NextServer: l.SidecarAddress(), Filename: mainFile} }
			r := s.setUp(t)
			content(t, filepath.Join(r.daemon.Root, mainFile), 10_000)
			u := bootUBoot(t, r)
			if tt.class == efiClass {
				u.run(t, "setenv bootp_vci "+efiClass+"; setenv bootp_arch b")
			}
			sum := u.load(t, "dhcp")
			if want := crcText(must(os.ReadFile(filepath.Join(r.daemon.Root, mainFile)))); sum != want {
				t.Errorf("CRC-32 %s, want %s", sum, want)
			}
			want := append(tt.ours, "machine: DISCOVER "+tt.class, "machine: REQUEST "+tt.class,
				"main server: OFFER file "+mainFile, "main server: ACK file "+mainFile)
			slices.Sort(want)
			if diff := cmp.Diff(want, r.conversation(u.machine.MAC)); diff != "" {
				t.Errorf("DHCP (-want +got):\n%s\n%s", diff, r.daemon.Output)
			}
			if diff := cmp.Diff([]string{mainFile}, r.lab.Capture.Traffic.Completed(u.machine.MAC)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			r.sound(t)
		})
	}
}

// TestUBootStockBoot lets U-Boot boot by itself, beside a main server without
// boot options. U-Boot claims to be UEFI for its last file, but ignores our
// OFFER, so it knows no server. With a boot command that names us it starts our
// iPXE, which then boots like any other. The main server still needs no change.
func TestUBootStockBoot(t *testing.T) {
	t.Parallel()
	const rom = "ipxe-arm64.efi"
	r := scenario{sidecar: func(l *lab.Lab) (lab.Sidecar, error) {
		path, err := l.WithoutSleep(ipxe(t, lab.Sid), rom)
		return lab.Sidecar{Root: map[string]string{rom: path}, Args: []string{"--u-boot"}}, err
	}}.setUp(t)
	u := bootUBoot(t, r)
	text := u.run(t, "boot")
	if n := strings.Count(text, "*** ERROR: `serverip' not set"); n != 2 {
		t.Errorf("U-Boot missed a server %d times, want twice:\n%s", n, text)
	}
	want := []string{"machine: DISCOVER " + efiClass, "machine: DISCOVER U-Boot.armv8",
		"machine: REQUEST " + efiClass, "machine: REQUEST U-Boot.armv8",
		"main server: ACK file ", "main server: ACK file ", "main server: OFFER file ", "main server: OFFER file ", uBootOffer, uBootOffer}
	if diff := cmp.Diff(want, r.conversation(u.machine.MAC)); diff != "" {
		t.Errorf("DHCP (-want +got):\n%s\n%s", diff, r.daemon.Output)
	}
	if asked := r.lab.Capture.Traffic.Transfers(u.machine.MAC, nil); len(asked) > 0 {
		t.Errorf("U-Boot asked for %s", asked[0].File)
	}
	u.run(t, "setenv bootcmd 'dhcp ${kernel_addr_r} "+r.daemon.Address.String()+":"+rom+"; bootefi ${kernel_addr_r} ${fdtcontroladdr}'")
	if err := u.Type("boot"); err != nil {
		t.Fatal(err)
	}
	e, err := u.machine.Script(u.ctx)
	if err != nil {
		t.Fatalf("%v\nconsole:\n%s\nsidecar:\n%s", err, u.machine.Console(), r.daemon.Output)
	}
	booted := outcome{Version: ipxe(t, lab.Sid).Version, Platform: "efi", Arch: "arm64", ROMs: []string{rom}}
	if diff := cmp.Diff(booted, r.observe(u.machine, e)); diff != "" {
		t.Errorf("evidence (-want +got):\n%s", diff)
	}
	r.sound(t)
}
