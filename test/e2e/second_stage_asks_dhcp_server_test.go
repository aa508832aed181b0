package e2e

// What a shim, and GRUB behind it, ask for beside a DHCP server that names
// itself as next-server, or a boot file of its own. The firmware follows our
// OFFER in each case; some of its successors do not.

import (
	"strings"
	"testing"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// TestSecondStageAsks boots Debian's shim, and Debian's signed GRUBs.
func TestSecondStageAsks(t *testing.T) {
	t.Parallel()
	named := []string{"level=INFO", `conflict="other next-server"`, "GRUB before 2.12"}
	for _, tt := range []struct {
		name string
		grub lab.Suite
		// filename is the DHCP server's own boot file.
		filename string
		args     []string
		// asks is the beginning of the name of a file, and other whether the
		// DHCP server is asked for it, and not we.
		asks  string
		other bool
		// logged are words of the line about that server, and warned those of
		// the warning, once it is clear that the second stage goes no further.
		logged, warned []string
	}{
		{name: "GRUB 2.06, its configuration", grub: lab.Bookworm, asks: "/grub/", other: true, logged: named,
			warned: []string{"level=WARN", "boot file was loaded, but did not start", "file=shim/grubx64.efi", "GRUB"}},
		{name: "GRUB 2.12, its configuration", grub: lab.Trixie, asks: "/grub/", logged: named},
		{name: "shim, its second stage", grub: lab.Trixie, filename: "theirs/boot.efi",
			asks: "theirs/grubx64.efi", other: true, logged: []string{"level=WARN", `conflict="other boot file for a shim"`, "theirs/boot.efi"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			grub, err := stock.SignedGRUB(deadline(t, fetchLimit), tt.grub)
			if err != nil {
				t.Fatal(err)
			}
			files := map[string]string{"shim/shimx64.efi": signedShim(t, "amd64"), "shim/grubx64.efi": grub}
			s := scenario{sidecar: sidecar(files, append(tt.args, "--rom", "x64=shim/shimx64.efi")...)}
			s.dhcp = func(l *lab.Lab) lab.DHCP { return lab.DHCP{NextServer: l.LAN.Address(1), Filename: tt.filename} }
			guest := secureMachine(t, "guest", lab.Secure64, nil)
			r := s.setUp(t)
			defer takeSlot()()
			ctx := deadline(t, bootLimit)
			m, err := r.lab.Boot(ctx, guest)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Stop()
			asked, err := r.lab.Capture.Traffic.AwaitTransfer(ctx, m.MAC, func(x lab.Transfer) bool { return strings.HasPrefix(x.File, tt.asks) })
			if err != nil {
				t.Fatalf("%v\nconsole:\n%s\nsidecar:\n%s", err, m.Console(), r.daemon.Output)
			}
			want := r.daemon.Address
			if tt.other {
				want = r.lab.LAN.Address(1)
			}
			if asked.Server.Addr() != want {
				t.Errorf("%s was asked for %s, want %s", asked.Server, asked.File, want)
			}
			if read := r.lab.Capture.Traffic.Completed(m.MAC); len(read) == 0 || read[0] != "shim/shimx64.efi" {
				t.Errorf("the firmware has read %q, want our shim first", read)
			}
			r.logged(t, append(tt.logged, r.lab.LAN.Address(1).String())...)
			if tt.warned != nil {
				if _, err := r.daemon.Output.Await(ctx, append(tt.warned, r.lab.LAN.Address(1).String())...); err != nil {
					t.Errorf("%v\n%s", err, r.daemon.Output)
				}
			}
			r.sound(t)
		})
	}
}
