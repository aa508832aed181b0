package check

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/bootfiles"
	"github.com/pxesidecar/pxesidecar/internal/rom/romtest"
)

// TestList checks the list as people read it: with a segment of its own, a
// shim, a ROM on another host, and a ROM of which nothing is known.
func TestList(t *testing.T) {
	root, host := t.TempDir(), t.TempDir()
	for name, member := range romtest.Release(t, 2, 0, 0) {
		_, short, _ := strings.Cut(name, "/")
		switch short {
		case "x86_64-sb/shimx64.efi", "x86_64-sb/snponly.efi", "i386/undionly.kpxe", "x86_64/snponly.efi":
			write(t, filepath.Join(root, short), member.Data)
			if short == "x86_64-sb/shimx64.efi" {
				write(t, filepath.Join(root, "x86_64-sb/snponly-shim.efi"), member.Data)
			}
		}
	}
	c, err := config.Parse(config.Settings{
		AnswersText:  config.AnswersText{Root: root},
		SegmentFlags: []string{"vlan=7,rom=x64=http://boot.example/snponly.efi"},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	roms, _, err := bootfiles.List(c, host, "test")
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := NewList(roms, []string{"look out"}).Write(&got); err != nil {
		t.Fatal(err)
	}
	const want = `vlan7
arch  file  version  signed by  features  use
bios  ROOT/i386/undionly.kpxe  ?  -  ?  chosen
x64  http://boot.example/snponly.efi  ?  -  ?  chosen
x64  ROOT/x86_64-sb/snponly-shim.efi -> snponly.efi  2.0.0  SIGNERS  http,https,dns,efi  not used: --rom x64=http://boot.example/snponly.efi
x64  ROOT/x86_64/snponly.efi  2.0.0  not signed  http,https,dns,efi  not used: --rom x64=http://boot.example/snponly.efi
x64  ROOT/x86_64-sb/shimx64.efi -> ipxe.efi  2.0.0  SIGNERS  http,https,dns,efi  not used: --rom x64=http://boot.example/snponly.efi
everybody
arch  file  version  signed by  features  use
bios  ROOT/i386/undionly.kpxe  ?  -  ?  chosen
x64  ROOT/x86_64-sb/snponly-shim.efi -> snponly.efi  2.0.0  SIGNERS  http,https,dns,efi  chosen
x64  ROOT/x86_64/snponly.efi  2.0.0  not signed  http,https,dns,efi  alternative
x64  ROOT/x86_64-sb/shimx64.efi -> ipxe.efi  2.0.0  SIGNERS  http,https,dns,efi  not used: of the same kind as x86_64-sb/snponly-shim.efi, which comes first
warning: look out
`
	text := strings.NewReplacer(root, "ROOT", "Microsoft 2011 -> iPXE Secure Boot Signing of iPXE Secure Boot CA", "SIGNERS").Replace(got.String())
	text = regexp.MustCompile("  +").ReplaceAllString(text, "  ") // how wide the columns are depends on the directory
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// write writes a file, and makes its directory.
func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
