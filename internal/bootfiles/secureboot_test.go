package bootfiles

import (
	"bytes"
	"crypto/x509/pkix"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/rom/romtest"
	"github.com/pxesidecar/pxesidecar/proxydhcp"
)

// signers are keys that sign files, and the files that they sign.
type signers struct {
	t              *testing.T
	old, both      []*romtest.Key // of Microsoft
	vendor, other  *romtest.Key
	own, snakeoil  *romtest.Key
	ipxes, debians romtest.EFI // shims that carry the vendor's authority
}

// newSigners makes keys.
func newSigners(t *testing.T) *signers {
	t.Helper()
	key := func(issuer *romtest.Key, organisation []string, name string) *romtest.Key {
		return romtest.NewKey(t, pkix.Name{Organization: organisation, CommonName: name}, issuer)
	}
	microsoft := []string{"Microsoft Corporation"}
	ca := key(nil, nil, "Vendor CA")
	s := &signers{
		t:      t,
		old:    []*romtest.Key{key(key(nil, microsoft, "Microsoft Corporation UEFI CA 2011"), microsoft, "Publisher")},
		vendor: key(ca, nil, "Vendor"), other: key(key(nil, nil, "Other CA"), nil, "Other"),
		own: key(nil, nil, "Own"), snakeoil: key(nil, nil, "PkKek-1-snakeoil"),
		ipxes:   romtest.Shim([]string{"ipxe.efi"}, romtest.IPXEShimText, ca.Certificate.Raw),
		debians: romtest.Shim([]string{`\\grubx64.efi`}, "", ca.Certificate.Raw),
	}
	s.both = append(s.old, key(key(nil, microsoft, "Microsoft UEFI CA 2023"), microsoft, "Signer"))
	return s
}

// files are images by their names in a directory.
type files map[string][]byte

// sign returns a signed image.
func (s *signers) sign(image romtest.EFI, keys ...*romtest.Key) []byte {
	if len(keys) == 0 {
		return image.Build()
	}
	return romtest.Sign(s.t, image.Build(), keys...)
}

// release returns files in the layout of iPXE's releases.
func (s *signers) release() files {
	shim, signed, plain := s.sign(s.ipxes, s.both...), s.sign(romtest.IPXE(2, 0, 0), s.vendor), s.sign(romtest.IPXE(1, 21, 1))
	return files{
		"x86_64-sb/shimx64.efi": shim, "x86_64-sb/snponly-shim.efi": shim, "x86_64-sb/ipxe-shim.efi": shim,
		"x86_64-sb/snponly.efi": signed, "x86_64-sb/ipxe.efi": signed, "x86_64/snponly.efi": plain, "x86_64/ipxe.efi": plain,
	}
}

// directory writes files into a new directory.
func directoryOf(t *testing.T, f files) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range f {
		write(t, dir, name, string(content))
	}
	return dir
}

// described returns each ROM, what it loads, what it reports and its
// alternatives.
func described(roms []config.ROM) (list []string) {
	for _, r := range roms {
		text := r.Name
		if r.SecondStage != "" {
			text += " -> " + r.SecondStage
		}
		if r.IPXE.HasVersion {
			text += " " + r.IPXE.Version.String()
		}
		if others := described(r.Alternatives); others != nil {
			text += ", else " + strings.Join(others, ", else ")
		}
		list = append(list, text)
	}
	return list
}

// TestChains checks which chains are chosen in which modes, under which names
// their files are served, and which ROMs come after them.
func TestChains(t *testing.T) {
	s := newSigners(t)
	signed := s.sign(romtest.IPXE(2, 0, 0), s.vendor)
	debian := directoryOf(t, files{"a/snponly-shim.efi": s.sign(s.debians, s.both...), "a/snponly.efi": signed, "a/shimx64.efi": s.sign(s.ipxes, s.both...), "a/ipxe.efi": signed})
	release := directoryOf(t, s.release())
	flat := directoryOf(t, files{"shimx64.efi": s.sign(s.debians, s.both...), "snponly.efi": signed})
	package_ := t.TempDir()
	write(t, package_, "usr/lib/ipxe/shimx64.efi", string(s.sign(s.debians, s.both...)))
	write(t, package_, "usr/lib/ipxe/ipxe.efi", string(signed))
	write(t, package_, "usr/lib/ipxe/undionly.kpxe", "\xea\x05\x00\xc0\x07")
	write(t, package_, "usr/lib/ipxe/ipxe.pxe", "\xea\x05\x00\xc0\x07")
	grub := directoryOf(t, files{"grubx64.efi": s.sign(romtest.EFI{Sections: []romtest.Section{{Name: "mods"}}}, s.vendor)})
	bare := newHost(t, true)
	for _, tt := range []struct {
		name     string
		host     string
		settings config.Settings
		want     []string
	}{
		{"iPXE's release", bare, answers(config.AnswersText{Root: release}), []string{
			"x86_64-sb/snponly-shim.efi -> x86_64-sb/snponly.efi 2.0.0, else x86_64-sb/ipxe-shim.efi -> x86_64-sb/ipxe.efi 2.0.0, else x86_64/snponly.efi 1.21.1, else x86_64/ipxe.efi 1.21.1"}},
		{"without shims", bare, config.Settings{AnswersText: config.AnswersText{Root: release}, SecureBoot: "off"}, []string{"x86_64/snponly.efi 1.21.1, else x86_64/ipxe.efi 1.21.1"}},
		{"signed ones alone", bare, config.Settings{AnswersText: config.AnswersText{Root: release}, SecureBoot: "require"}, []string{
			"x86_64-sb/snponly-shim.efi -> x86_64-sb/snponly.efi 2.0.0, else x86_64-sb/ipxe-shim.efi -> x86_64-sb/ipxe.efi 2.0.0"}},
		{"alternatives that the policy would replace", bare, answers(config.AnswersText{Root: release, IPXEVersion: ">=2.0.0"}), []string{
			"x86_64-sb/snponly-shim.efi -> x86_64-sb/snponly.efi 2.0.0, else x86_64-sb/ipxe-shim.efi -> x86_64-sb/ipxe.efi 2.0.0"}},
		{"the version of the ROM", bare, answers(config.AnswersText{Root: release, IPXEVersion: "auto"}), []string{
			"x86_64-sb/snponly-shim.efi -> x86_64-sb/snponly.efi 2.0.0, else x86_64-sb/ipxe-shim.efi -> x86_64-sb/ipxe.efi 2.0.0"}},
		{"another shim in the user's directory", bare, answers(config.AnswersText{Root: flat}), []string{"shimx64.efi -> grubx64.efi 2.0.0"}},
		{"named", bare, answers(config.AnswersText{Root: release, ROMs: []string{"x64=x86_64-sb/ipxe-shim.efi"}}), []string{"x86_64-sb/ipxe-shim.efi -> x86_64-sb/ipxe.efi 2.0.0"}},
		{"named, without shims otherwise", bare, config.Settings{AnswersText: config.AnswersText{Root: release, ROMs: []string{"x64=x86_64-sb/ipxe-shim.efi"}}, SecureBoot: "off"},
			[]string{"x86_64-sb/ipxe-shim.efi -> x86_64-sb/ipxe.efi 2.0.0"}},
		{"named, with alternatives", bare, config.Settings{AnswersText: config.AnswersText{Root: release, ROMs: []string{"x64=x86_64-sb/ipxe-shim.efi"}}, ROMFallback: "always"}, []string{
			"x86_64-sb/ipxe-shim.efi -> x86_64-sb/ipxe.efi 2.0.0, else x86_64-sb/snponly-shim.efi -> x86_64-sb/snponly.efi 2.0.0, else x86_64/snponly.efi 1.21.1, else x86_64/ipxe.efi 1.21.1"}},
		{"named elsewhere, with alternatives", package_, config.Settings{AnswersText: config.AnswersText{ROMs: []string{"x64=" + debian + "/a/snponly-shim.efi"}}, ROMFallback: "always"},
			[]string{"undionly.kpxe, else ipxe.pxe", "snponly-shim.efi -> grubx64.efi 2.0.0, else x64/shimx64.efi -> x64/grubx64.efi 2.0.0"}},
		{"named on another host, with alternatives", bare, config.Settings{AnswersText: config.AnswersText{Root: flat, ROMs: []string{"x64=http://boot.example/a.efi"}}, ROMFallback: "always"},
			[]string{"http://boot.example/a.efi"}},
		{"none, with alternatives", bare, config.Settings{AnswersText: config.AnswersText{Root: release, ROMs: []string{"x64=none"}}, ROMFallback: "always"}, nil},
		{"without alternatives", package_, config.Settings{ROMFallback: "never"}, []string{"undionly.kpxe", "shimx64.efi -> grubx64.efi 2.0.0"}},
		{"named, elsewhere", bare, answers(config.AnswersText{ROMs: []string{"x64=" + debian + "/a/snponly-shim.efi"}}), []string{"snponly-shim.efi -> grubx64.efi 2.0.0"}},
		{"named, elsewhere, beside a file of the name that it loads", bare, answers(config.AnswersText{Root: grub, ROMs: []string{"x64=" + debian + "/a/snponly-shim.efi"}}),
			[]string{"x64/snponly-shim.efi -> x64/grubx64.efi 2.0.0"}},
		{"a package's", package_, config.Settings{}, []string{"undionly.kpxe, else ipxe.pxe", "shimx64.efi -> grubx64.efi 2.0.0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set := open(t, parse(t, tt.settings), tt.host)
			if diff := cmp.Diff(tt.want, described(everybody(set).ROMs)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, r := range everybody(set).ROMs {
				for _, r := range append(r.Alternatives, r) {
					if r.Source == "" {
						continue // on another host
					}
					checkServed(t, set, r)
				}
			}
		})
	}
}

// checkServed checks that the files of a ROM are in the tree, and that the Set
// knows what they are.
func checkServed(t *testing.T, set *Set, r config.ROM) {
	t.Helper()
	if got, ok := set.rom(r.Name); !ok || got.Name != r.Name || !set.hasROM(r.Name) || set.isSecondStage(r.Name) {
		t.Errorf("%s is ROM %q, %v", r.Name, got.Name, ok)
	}
	if _, ok := set.Image(r.Name); !ok || set.Source(r.Name) != r.Source {
		t.Errorf("%s comes from %q, an image: %v", r.Name, set.Source(r.Name), ok)
	}
	if r.SecondStage == "" {
		return
	}
	if image, ok := set.Image(r.SecondStage); !ok || !image.IsIPXE() || set.hasROM(r.SecondStage) || !set.isSecondStage(r.SecondStage) {
		t.Errorf("%s is %v", r.SecondStage, image)
	}
	served, err := fs.ReadFile(set, r.SecondStage)
	if err != nil || filepath.Dir(r.SecondStage) != filepath.Dir(r.Name) {
		t.Errorf("%s loads %s: %v", r.Name, r.SecondStage, err)
	}
	if on, err := os.ReadFile(set.Source(r.SecondStage)); err != nil || string(on) != string(served) {
		t.Errorf("%s is not the file that it comes from: %v", r.SecondStage, err)
	}
}

// TestChainInSegment checks that a segment's own directory has its chain in it,
// with the name that the shim asks for.
func TestChainInSegment(t *testing.T) {
	s := newSigners(t)
	own := directoryOf(t, files{"snponly-shim.efi": s.sign(s.debians, s.both...), "snponly.efi": s.sign(romtest.IPXE(2, 0, 0), s.vendor)})
	set := open(t, parse(t, config.Settings{SegmentFlags: []string{"vlan=3,root=" + own}}), newHost(t, false))
	if diff := cmp.Diff([]string{"vlan3/snponly-shim.efi -> vlan3/grubx64.efi 2.0.0"}, described(set.Segments[0].ROMs)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	checkServed(t, set, set.Segments[0].ROMs[0])
	if set.isSecondStage("") || set.hasROM("") {
		t.Error("no name is a name")
	}
}

// TestChainWarnings checks what is said of the ROMs that are chosen.
func TestChainWarnings(t *testing.T) {
	s := newSigners(t)
	ipxe := romtest.IPXE(2, 0, 0)
	arm64 := ipxe
	arm64.Machine = 0xaa64
	changed := bytes.ReplaceAll(s.sign(ipxe, s.own), []byte{235, 3, 2, 0, 0}, []byte{235, 3, 2, 0, 1})
	shim := s.sign(s.ipxes, s.both...)
	chain := func(second []byte) files { return files{"snponly-shim.efi": shim, "snponly.efi": second} }
	named := []string{"x64=snponly-shim.efi"}
	const test = "is signed with a test key, PkKek-1-snakeoil: whoever has that key can sign what machines that accept it start"
	for _, tt := range []struct {
		name  string
		files files
		text  config.AnswersText
		mode  string
		want  []string
	}{
		{"all is well", chain(s.sign(ipxe, s.vendor)), config.AnswersText{}, "auto", nil},
		{"not signed, without a shim", files{"snponly.efi": s.sign(ipxe)}, config.AnswersText{}, "auto", nil},
		{"own key", chain(s.sign(ipxe, s.own)), config.AnswersText{}, "auto", nil},
		{"Microsoft's signature on the second stage", chain(s.sign(ipxe, s.both...)), config.AnswersText{}, "auto", nil},
		{"2011 alone", files{"snponly-shim.efi": s.sign(s.ipxes, s.old...), "snponly.efi": s.sign(ipxe, s.vendor)}, config.AnswersText{}, "auto",
			[]string{"ROM ROOT/snponly-shim.efi (x64) is signed by Microsoft's authority of 2011 alone: machines with Secure Boot that have only that of 2023 refuse it"}},
		{"the same, if nobody cares", files{"snponly-shim.efi": s.sign(s.ipxes, s.old...), "snponly.efi": s.sign(ipxe, s.vendor)}, config.AnswersText{ROMs: named}, "off", nil},
		{"another vendor's key", chain(s.sign(ipxe, s.other)), config.AnswersText{}, "auto",
			[]string{"ROM ROOT/snponly-shim.efi (x64) loads ROOT/snponly.efi, which is signed by Other, whose key the shim does not carry: with Secure Boot, it starts only on machines where that key is enrolled"}},
		{"test key", chain(s.sign(ipxe, s.snakeoil)), config.AnswersText{}, "auto", []string{"ROM ROOT/snponly-shim.efi (x64) loads ROOT/snponly.efi, which " + test}},
		{"test key, without a shim", files{"snponly.efi": s.sign(ipxe, s.snakeoil)}, config.AnswersText{}, "auto", []string{"ROM ROOT/snponly.efi (x64) " + test}},
		{"changed", files{"snponly.efi": changed}, config.AnswersText{}, "auto",
			[]string{"ROM ROOT/snponly.efi (x64) was changed after it was signed: machines with Secure Boot refuse it"}},
		{"second stage missing", files{"snponly-shim.efi": shim, "ipxe-x86_64.efi": s.sign(ipxe)}, config.AnswersText{}, "auto",
			[]string{`boot file "snponly-shim.efi": is a shim, and the file "snponly.efi" that it loads is missing`}},
		{"named, second stage missing", files{"snponly-shim.efi": shim}, config.AnswersText{ROMs: named}, "auto",
			[]string{`ROM ROOT/snponly-shim.efi (x64): is a shim, and the file "snponly.efi" that it loads is missing: no machine gets further with it`}},
		{"named, second stage not signed", chain(s.sign(ipxe)), config.AnswersText{ROMs: named}, "auto",
			[]string{"ROM ROOT/snponly-shim.efi (x64) loads ROOT/snponly.efi, which is not signed: machines with Secure Boot refuse it"}},
		{"named, second stage changed", chain(changed), config.AnswersText{ROMs: named}, "auto",
			[]string{"ROM ROOT/snponly-shim.efi (x64) loads ROOT/snponly.efi, which was changed after it was signed: machines with Secure Boot refuse it"}},
		{"named, second stage for another processor", chain(s.sign(arm64, s.vendor)), config.AnswersText{ROMs: named}, "off",
			[]string{"ROM ROOT/snponly-shim.efi (x64) loads ROOT/snponly.efi, which is an EFI image for arm64, iPXE 2.0.0, signed and does not start on x64"}},
		{"named, shim not signed", files{"snponly-shim.efi": s.sign(s.ipxes), "snponly.efi": s.sign(ipxe, s.vendor)}, config.AnswersText{ROMs: named}, "auto",
			[]string{"ROM ROOT/snponly-shim.efi (x64) is not signed: machines with Secure Boot refuse it"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := directoryOf(t, tt.files)
			tt.text.Root = root
			set := open(t, parse(t, config.Settings{AnswersText: tt.text, SecureBoot: tt.mode}), newHost(t, true))
			var got []string
			for _, w := range set.Warnings {
				got = append(got, strings.ReplaceAll(w, root, "ROOT"))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestRequireSecureBoot checks the errors for ROMs that are not signed, if
// signed ones are required.
func TestRequireSecureBoot(t *testing.T) {
	s := newSigners(t)
	ipxe := romtest.IPXE(2, 0, 0)
	arm64 := ipxe
	arm64.Machine = 0xaa64
	mixed := files{"snponly.efi": s.sign(ipxe, s.own), "ipxe-arm64.efi": s.sign(arm64), "undionly.kpxe": []byte("\xea\x05\x00\xc0\x07")}
	chain := files{"snponly-shim.efi": s.sign(s.ipxes, s.both...), "snponly.efi": s.sign(ipxe)}
	for _, tt := range []struct {
		name  string
		files files
		roms  []string
		want  string
	}{
		{"one of two", mixed, nil, `--secure-boot "require": ROOT/ipxe-arm64.efi (arm64) is not signed: sign it, name a signed one (--rom arm64=FILE), or leave the platform out (--rom arm64=none)`},
		{"left out", mixed, []string{"arm64=none"}, ""},
		{"elsewhere", mixed, []string{"arm64=http://boot.example/arm64.efi"}, ""},
		{"named", mixed, []string{"arm64=none", "x64=snponly.efi"}, ""},
		{"a shim with one that is not", chain, []string{"x64=snponly-shim.efi"},
			`--secure-boot "require": ROOT/snponly-shim.efi (x64) loads ROOT/snponly.efi, which is not signed: sign it, name a signed one (--rom x64=FILE), or leave the platform out (--rom x64=none)`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root, got := directoryOf(t, tt.files), ""
			c := parse(t, config.Settings{AnswersText: config.AnswersText{Root: root, ROMs: tt.roms}, SecureBoot: "require"})
			set, err := Open(c, newHost(t, true), "test")
			if err != nil {
				got = strings.ReplaceAll(err.Error(), root, "ROOT")
			}
			set.Close()
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestDebianChain checks the chain of Debian's shim and Debian's iPXE, signed
// with another key and put beside it under the name of an iPXE.
func TestDebianChain(t *testing.T) {
	shim, err := os.ReadFile(filepath.Join(romtest.DebianPackage(t, "shim-signed"), "usr/lib/shim/shimx64.efi.signed"))
	if err != nil {
		t.Fatal(err)
	}
	ipxe, err := os.ReadFile(debianEFI)
	if err != nil {
		t.Fatal(err)
	}
	s := newSigners(t)
	root := directoryOf(t, files{"snponly-shim.efi": shim, "snponly.efi": romtest.Sign(t, ipxe, s.own)})
	set := open(t, parse(t, answers(config.AnswersText{Root: root})), newHost(t, true))
	plain := open(t, parse(t, answers(config.AnswersText{})), newHost(t, false))
	for _, r := range everybody(plain).ROMs {
		if r.Platform == proxydhcp.X64 {
			want := []string{"snponly-shim.efi -> grubx64.efi " + r.IPXE.Version.String()}
			if diff := cmp.Diff(want, described(everybody(set).ROMs)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
	}
	checkServed(t, set, everybody(set).ROMs[0])
}
