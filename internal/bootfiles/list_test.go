package bootfiles

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/rom"
	"github.com/pxesidecar/pxesidecar/internal/rom/romtest"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// shown returns a list, a line for each ROM, with paths below root.
func shown(list []Listed, root string) (lines []string) {
	for _, r := range list {
		line := fmt.Sprintf("%s %s %s: %s", r.ROM.Platform, r.ROM.Source, r.ROM.IPXE.Version, r.Use)
		if r.Segment != "" {
			line = r.Segment + " " + line
		}
		if r.Why != "" {
			line += ", " + r.Why
		}
		lines = append(lines, strings.ReplaceAll(line, root, ""))
	}
	return lines
}

// TestList checks which ROMs are known on a host that has fetched some beside
// the distribution's, and which of them are used in which configuration.
func TestList(t *testing.T) {
	s := newSigners(t)
	fetched := rom.FetchedDir()
	host := t.TempDir()
	for name, content := range s.release() {
		write(t, host, fetched+"/"+name, string(content))
	}
	write(t, host, "usr/lib/ipxe/snponly.efi", string(s.sign(romtest.IPXE(1, 0, 0))))
	write(t, host, "boot/ipxe.efi", string(s.sign(romtest.IPXE(1, 0, 0))))
	write(t, host, "srv/ipxe.efi", string(s.sign(romtest.IPXE(1, 21, 1))))
	notMixed := func(dir string) string {
		return "not used, the ROMs of /" + dir + " are used, and those of two places are not mixed"
	}
	const shim, twin = "x86_64-sb/snponly-shim.efi", "not used, of the same kind as x86_64-sb/snponly-shim.efi, which comes first"
	inRoot := []string{
		"x64 /srv/ipxe.efi 1.21.1: chosen",
		"x64 /" + fetched + "/" + shim + " 2.0.0: " + notMixed("srv"),
		"x64 /" + fetched + "/x86_64-sb/ipxe-shim.efi 2.0.0: " + notMixed("srv"),
		"x64 /" + fetched + "/x86_64/snponly.efi 1.21.1: " + notMixed("srv"),
		"x64 /" + fetched + "/x86_64/ipxe.efi 1.21.1: " + notMixed("srv"),
		"x64 /" + fetched + "/x86_64-sb/shimx64.efi 2.0.0: " + notMixed("srv"),
		"x64 /usr/lib/ipxe/snponly.efi 1.0.0: " + notMixed("srv"),
		"x64 /boot/ipxe.efi 1.0.0: " + notMixed("srv"),
	}
	for _, tt := range []struct {
		name     string
		settings config.Settings
		want     []string
		err      string
	}{
		{"no flag", config.Settings{}, []string{
			"x64 /" + fetched + "/" + shim + " 2.0.0: chosen",
			"x64 /" + fetched + "/x86_64-sb/ipxe-shim.efi 2.0.0: alternative",
			"x64 /" + fetched + "/x86_64/snponly.efi 1.21.1: alternative",
			"x64 /" + fetched + "/x86_64/ipxe.efi 1.21.1: alternative",
			"x64 /" + fetched + "/x86_64-sb/shimx64.efi 2.0.0: " + twin,
			"x64 /usr/lib/ipxe/snponly.efi 1.0.0: " + notMixed(fetched),
			"x64 /boot/ipxe.efi 1.0.0: " + notMixed(fetched),
		}, ""},
		{"a root with a ROM", config.Settings{AnswersText: config.AnswersText{Root: host + "/srv"}}, inRoot, ""},
		{"--rom, and no shims", config.Settings{AnswersText: config.AnswersText{ROMs: []string{"x64=" + host + "/srv/ipxe.efi"}}, SecureBoot: "off"}, []string{
			"x64 /srv/ipxe.efi 1.21.1: chosen",
			"x64 /" + fetched + "/x86_64/snponly.efi 1.21.1: not used, --rom x64=/srv/ipxe.efi",
			"x64 /" + fetched + "/x86_64/ipxe.efi 1.21.1: not used, --rom x64=/srv/ipxe.efi",
			"x64 /" + fetched + "/" + shim + " 2.0.0: not used, --rom x64=/srv/ipxe.efi",
			"x64 /" + fetched + "/x86_64-sb/ipxe-shim.efi 2.0.0: not used, --rom x64=/srv/ipxe.efi",
			"x64 /" + fetched + "/x86_64-sb/shimx64.efi 2.0.0: not used, --rom x64=/srv/ipxe.efi",
			"x64 /usr/lib/ipxe/snponly.efi 1.0.0: not used, --rom x64=/srv/ipxe.efi",
			"x64 /boot/ipxe.efi 1.0.0: not used, --rom x64=/srv/ipxe.efi",
		}, ""},
		{"--rom, of one that is known anyhow", config.Settings{AnswersText: config.AnswersText{ROMs: []string{"x64=" + host + "/usr/lib/ipxe/snponly.efi"}}, SecureBoot: "off"}, []string{
			"x64 /usr/lib/ipxe/snponly.efi 1.0.0: chosen",
			"x64 /" + fetched + "/x86_64/snponly.efi 1.21.1: not used, --rom x64=/usr/lib/ipxe/snponly.efi",
			"x64 /" + fetched + "/x86_64/ipxe.efi 1.21.1: not used, --rom x64=/usr/lib/ipxe/snponly.efi",
			"x64 /" + fetched + "/" + shim + " 2.0.0: not used, --rom x64=/usr/lib/ipxe/snponly.efi",
			"x64 /" + fetched + "/x86_64-sb/ipxe-shim.efi 2.0.0: not used, --rom x64=/usr/lib/ipxe/snponly.efi",
			"x64 /" + fetched + "/x86_64-sb/shimx64.efi 2.0.0: not used, --rom x64=/usr/lib/ipxe/snponly.efi",
			"x64 /boot/ipxe.efi 1.0.0: not used, --rom x64=/usr/lib/ipxe/snponly.efi",
		}, ""},
		{"signed ones alone", config.Settings{SecureBoot: "require"}, []string{
			"x64 /" + fetched + "/" + shim + " 2.0.0: chosen",
			"x64 /" + fetched + "/x86_64-sb/ipxe-shim.efi 2.0.0: alternative",
			"x64 /" + fetched + "/x86_64/snponly.efi 1.21.1: not used, is not signed",
			"x64 /" + fetched + "/x86_64/ipxe.efi 1.21.1: not used, is not signed",
			"x64 /" + fetched + "/x86_64-sb/shimx64.efi 2.0.0: " + twin,
			"x64 /usr/lib/ipxe/snponly.efi 1.0.0: " + notMixed(fetched),
			"x64 /boot/ipxe.efi 1.0.0: " + notMixed(fetched),
		}, ""},
		{"demands", config.Settings{AnswersText: config.AnswersText{IPXEVersion: ">=2.0.0"}}, []string{
			"x64 /" + fetched + "/" + shim + " 2.0.0: chosen",
			"x64 /" + fetched + "/x86_64-sb/ipxe-shim.efi 2.0.0: alternative",
			"x64 /" + fetched + "/x86_64/snponly.efi 1.21.1: not used, the policy would replace it at once",
			"x64 /" + fetched + "/x86_64/ipxe.efi 1.21.1: not used, the policy would replace it at once",
			"x64 /" + fetched + "/x86_64-sb/shimx64.efi 2.0.0: " + twin,
			"x64 /usr/lib/ipxe/snponly.efi 1.0.0: " + notMixed(fetched),
			"x64 /boot/ipxe.efi 1.0.0: " + notMixed(fetched),
		}, ""},
		{"no alternatives", config.Settings{ROMFallback: "never", SecureBoot: "off"}, []string{
			"x64 /" + fetched + "/x86_64/snponly.efi 1.21.1: chosen",
			"x64 /" + fetched + "/x86_64/ipxe.efi 1.21.1: not used, --rom-fallback never",
			"x64 /" + fetched + "/" + shim + " 2.0.0: not used, a shim, and none is wanted",
			"x64 /" + fetched + "/x86_64-sb/ipxe-shim.efi 2.0.0: not used, a shim, and none is wanted",
			"x64 /" + fetched + "/x86_64-sb/shimx64.efi 2.0.0: not used, a shim, and none is wanted",
			"x64 /usr/lib/ipxe/snponly.efi 1.0.0: " + notMixed(fetched),
			"x64 /boot/ipxe.efi 1.0.0: " + notMixed(fetched),
		}, ""},
		{"alternatives of a ROM that is named", config.Settings{AnswersText: config.AnswersText{ROMs: []string{"x64=" + host + "/srv/ipxe.efi"}}, ROMFallback: "always", SecureBoot: "off"}, []string{
			"x64 /srv/ipxe.efi 1.21.1: chosen",
			"x64 /" + fetched + "/x86_64/snponly.efi 1.21.1: alternative",
			"x64 /" + fetched + "/x86_64/ipxe.efi 1.21.1: alternative",
			"x64 /" + fetched + "/" + shim + " 2.0.0: not used, --rom x64=/srv/ipxe.efi",
			"x64 /" + fetched + "/x86_64-sb/ipxe-shim.efi 2.0.0: not used, --rom x64=/srv/ipxe.efi",
			"x64 /" + fetched + "/x86_64-sb/shimx64.efi 2.0.0: not used, --rom x64=/srv/ipxe.efi",
			"x64 /usr/lib/ipxe/snponly.efi 1.0.0: not used, --rom x64=/srv/ipxe.efi",
			"x64 /boot/ipxe.efi 1.0.0: not used, --rom x64=/srv/ipxe.efi",
		}, ""},
		{"a mistake", config.Settings{AnswersText: config.AnswersText{Root: host + "/srv", ROMs: []string{"arm64=" + host + "/srv/ipxe.efi"}}}, inRoot, `--rom "arm64=/srv/ipxe.efi": /srv/ipxe.efi is an EFI image for x64, iPXE 1.21.1, which does not start on arm64`},
		{"a segment of its own", config.Settings{SegmentFlags: []string{"vlan=7,root=" + host + "/srv", "vlan=8,boot-url=http://x/", "vlan=9,deny"}, SecureBoot: "off"}, []string{
			"vlan7 x64 /srv/ipxe.efi 1.21.1: chosen",
			"vlan7 x64 /" + fetched + "/x86_64/snponly.efi 1.21.1: " + notMixed("srv"),
			"vlan7 x64 /" + fetched + "/x86_64/ipxe.efi 1.21.1: " + notMixed("srv"),
			"vlan7 x64 /" + fetched + "/" + shim + " 2.0.0: " + notMixed("srv"),
			"vlan7 x64 /" + fetched + "/x86_64-sb/ipxe-shim.efi 2.0.0: " + notMixed("srv"),
			"vlan7 x64 /" + fetched + "/x86_64-sb/shimx64.efi 2.0.0: " + notMixed("srv"),
			"vlan7 x64 /usr/lib/ipxe/snponly.efi 1.0.0: " + notMixed("srv"),
			"vlan7 x64 /boot/ipxe.efi 1.0.0: " + notMixed("srv"),
			"x64 /" + fetched + "/x86_64/snponly.efi 1.21.1: chosen",
			"x64 /" + fetched + "/x86_64/ipxe.efi 1.21.1: alternative",
			"x64 /" + fetched + "/" + shim + " 2.0.0: not used, a shim, and none is wanted",
			"x64 /" + fetched + "/x86_64-sb/ipxe-shim.efi 2.0.0: not used, a shim, and none is wanted",
			"x64 /" + fetched + "/x86_64-sb/shimx64.efi 2.0.0: not used, a shim, and none is wanted",
			"x64 /usr/lib/ipxe/snponly.efi 1.0.0: " + notMixed(fetched),
			"x64 /boot/ipxe.efi 1.0.0: " + notMixed(fetched),
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			list, _, err := List(parse(t, tt.settings), host, "test")
			if diff := cmp.Diff(tt.want, shown(list, host)); diff != "" {
				t.Errorf("list (-want +got):\n%s", diff)
			}
			text := ""
			if err != nil {
				text = strings.ReplaceAll(err.Error(), host, "")
			}
			if text != tt.err {
				t.Errorf("error %q, want %q", text, tt.err)
			}
		})
	}
}

// TestOlderThan checks that a ROM is called old only if nobody named it.
func TestOlderThan(t *testing.T) {
	s := newSigners(t)
	host := t.TempDir()
	write(t, host, "usr/lib/ipxe/snponly.efi", string(s.sign(romtest.IPXE(1, 0, 0))))
	write(t, host, "srv/snponly.efi", string(s.sign(romtest.IPXE(1, 0, 0))))
	for _, tt := range []struct {
		text    config.AnswersText
		version proxydhcp.Version
		want    string
	}{
		{config.AnswersText{}, proxydhcp.Version{2, 0, 0}, "/usr/lib/ipxe/snponly.efi"},
		{config.AnswersText{}, proxydhcp.Version{1, 0, 0}, ""},
		{config.AnswersText{Root: host + "/srv"}, proxydhcp.Version{2, 0, 0}, ""},
		{config.AnswersText{ROMs: []string{"x64=" + host + "/usr/lib/ipxe/snponly.efi"}}, proxydhcp.Version{2, 0, 0}, ""},
	} {
		older, ok := open(t, parse(t, config.Settings{AnswersText: tt.text}), host).OlderThan(tt.version)
		if got := strings.TrimPrefix(older.Source, host); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%+v, %s: %q, want %q", tt.text, tt.version, got, tt.want)
		}
	}
}
