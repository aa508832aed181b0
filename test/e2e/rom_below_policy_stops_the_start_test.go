package e2e

import (
	"strings"
	"testing"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// TestRejectedROM starts with an EFI ROM that the policy rejects. The sidecar
// must exit with a complete explanation.
func TestRejectedROM(t *testing.T) {
	trixie := ipxe(t, lab.Trixie)
	l := newLab(t)
	ctx := deadline(t, stepLimit)
	d, err := l.LaunchSidecar(ctx, lab.Sidecar{Root: roms(t, lab.Trixie, "snponly.efi"), Args: []string{"--ipxe-version", ">=" + trixie.Version}})
	if err != nil {
		t.Fatal(err)
	}
	d.Wait(ctx)
	text := d.Stderr.String()
	if d.ExitCode() != 1 {
		t.Errorf("exit code %d, want 1", d.ExitCode())
	}
	for _, word := range []string{"snponly.efi", trixie.Announced, ">=" + trixie.Version, "VERSION_"} {
		if !strings.Contains(text, word) {
			t.Errorf("the message lacks %q", word)
		}
	}
	if t.Failed() {
		t.Logf("it wrote:\n%s", text)
	}
}
