package tftp

import (
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCandidates checks which names a requested one may mean.
func TestCandidates(t *testing.T) {
	for _, c := range []struct {
		asked string
		want  []string
	}{
		{"ipxe.efi", []string{"ipxe.efi"}},
		{`\EFI\BOOT\BOOTX64.EFI`, []string{"EFI/BOOT/BOOTX64.EFI"}},
		{"//grub//./grub.cfg", []string{"grub/grub.cfg"}},
		{"/dir/", []string{"dir"}},
		{"a/./b", []string{"a/b"}},
		{"undionly.kpxe\xff", []string{"undionly.kpxe"}},
		{"pxelinux.0\xff\xd13*G", []string{"pxelinux.0"}},
		{"pxelinux.0\xff\xff ", []string{"pxelinux.0"}},
		{"rom.bin \r\n", []string{"rom.bin"}},
		{"rom.bin ", []string{"rom.bin ", "rom.bin"}},
		{"gerät.efi", []string{"gerät.efi", "ger"}},
		{"gerä", []string{"gerä", "ger"}},
		{"tftp://server/rom", []string{"tftp:/server/rom"}},
		{"../etc/passwd", nil},
		{`a\..\..\b`, nil},
		{"a/..", nil},
		{"..\xff", nil},
		{"a\nb", nil},
		{"a\x7fb", nil},
		{"", nil},
		{"/", nil},
		{".", nil},
		{strings.Repeat("a", 255), []string{strings.Repeat("a", 255)}},
		{strings.Repeat("a", 256), nil},
	} {
		got := slices.Collect(candidates(c.asked))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.asked, diff)
		}
	}
}

// FuzzCandidates checks that no name leaves the root, whatever is asked.
func FuzzCandidates(f *testing.F) {
	f.Add("undionly.kpxe\xff\xd1")
	f.Add(`..\..\windows`)
	f.Add("a//b/./c ")
	f.Fuzz(func(t *testing.T, asked string) {
		count := 0
		for name := range candidates(asked) {
			count++
			if !fs.ValidPath(name) || len(name) > len(asked) || strings.ContainsFunc(name, isControl) {
				t.Fatalf("%q gives %q", asked, name)
			}
		}
		if count > 3 {
			t.Fatalf("%d names", count)
		}
	})
}
