package check

import (
	"bytes"
	"crypto/x509/pkix"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/config"
	"github.com/pxesidecar/pxesidecar/internal/bootfiles"
	"github.com/pxesidecar/pxesidecar/internal/rom/romtest"
)

// input loads a configuration to be checked.
func input(t *testing.T, s config.Settings) Input {
	t.Helper()
	c, err := config.Parse(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	files, err := bootfiles.Open(c, t.TempDir(), "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { files.Close() })
	policy, warnings, err := c.Policy(files.Segments)
	if err != nil {
		t.Fatal(err)
	}
	return Input{Config: c, Files: files, Policy: policy, Warnings: warnings}
}

// TestWrite checks the report as people read it.
func TestWrite(t *testing.T) {
	s := config.Settings{
		AnswersText:  config.AnswersText{NextServer: "192.0.2.99", BootURL: "http://boot.example/", ROMs: []string{"x64=new.efi", "bios=http://boot.example/undionly.kpxe"}, IPXEVersion: ">=2.0.0"},
		SegmentFlags: []string{"vlan=66,deny", "relay=10.9.0.0/16,boot-url=https://other.example/"},
		DenyMACs:     []string{"00:11"},
	}
	in := input(t, s)
	report := Run(in)
	report.Problems = append(report.Problems, Problem{Serious: true, What: "port 69 is in use"})
	if !report.Serious() {
		t.Error("a serious problem is not")
	}
	var got bytes.Buffer
	if err := report.Write(&got); err != nil {
		t.Fatal(err)
	}
	const rows = `  arch     PXE                HTTP boot    iPXE 1.0.0                         iPXE 1.21.1                        iPXE 2.0.0, https
  bios     needs a TFTP name  -            http://boot.example/undionly.kpxe  http://boot.example/undionly.kpxe  script
  ia32     no ROM             no ROM       script                             script                             script
  x64      new.efi            HTTP is off  new.efi                            new.efi                            script
  arm32    no ROM             no ROM       script                             script                             script
  arm64    no ROM             no ROM       script                             script                             script
  riscv32  no ROM             no ROM       script                             script                             script
  riscv64  no ROM             no ROM       script                             script                             script
  loong64  no ROM             no ROM       script                             script                             script
`
	const want = `vlan66: nobody is answered

relay10.9.0.0-16: the script is https://other.example/
` + rows + `
everybody: the script is http://boot.example/
` + rows + `
boot ROMs
  arch  file                               is                        reports  calls itself  signed  features
  bios  http://boot.example/undionly.kpxe  elsewhere, not looked at  ?        ?             no      ?
  x64   new.efi                            elsewhere, not looked at  ?        ?             no      ?

warning: the boot URL is https, and an iPXE without HTTPS cannot load it: --ipxe-feature https upgrades those first
error: port 69 is in use
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestMenu checks what firmware is said to get of a boot menu.
func TestMenu(t *testing.T) {
	in := input(t, config.Settings{
		AnswersText: config.AnswersText{NextServer: "192.0.2.99", ROMs: []string{"x64=new.efi"}}, Menu: []string{"Install=rom"},
	})
	for _, row := range Run(in).Segments[0].Rows {
		want := map[string]string{"x64": "menu"}[row.Arch]
		if want == "" {
			want = "no ROM"
		}
		if got := row.Gets[0]; got != want {
			t.Errorf("%s gets %q, want %q", row.Arch, got, want)
		}
	}
}

// TestChain checks the line about what firmware loads.
func TestChain(t *testing.T) {
	key := func(name string, issuer *romtest.Key, organisation ...string) *romtest.Key {
		return romtest.NewKey(t, pkix.Name{Organization: organisation, CommonName: name}, issuer)
	}
	const microsoft = "Microsoft Corporation"
	old := key("Publisher", key("Microsoft Corporation UEFI CA 2011", nil, microsoft))
	current := key("Signer", key("Microsoft UEFI CA 2023", nil, microsoft))
	vendor := key("Acme", nil)
	shim := romtest.Shim([]string{"ipxe.efi"}, romtest.IPXEShimText, vendor.Certificate.Raw).Build()
	ipxe := romtest.IPXE(2, 0, 0).Build()
	for _, tt := range []struct {
		name  string
		files map[string][]byte
		want  string
	}{
		{"chain", map[string][]byte{"snponly-shim.efi": romtest.Sign(t, shim, old, current), "snponly.efi": romtest.Sign(t, ipxe, vendor)},
			"snponly-shim.efi (shim, Microsoft 2011+2023) -> snponly.efi (iPXE 2.0.0, signed by Acme)"},
		{"test key", map[string][]byte{"ipxe.efi": romtest.Sign(t, ipxe, key("Lab test", nil))}, "ipxe.efi (iPXE 2.0.0, signed by Lab test, a test key)"},
		{"vendor", map[string][]byte{"ipxe.efi": romtest.Sign(t, ipxe, key("Leaf", key("Acme CA", nil)))}, "ipxe.efi (iPXE 2.0.0, signed by Leaf of Acme CA)"},
		{"not signed", map[string][]byte{"ipxe.efi": ipxe}, "ipxe.efi (iPXE 2.0.0, not signed)"},
	} {
		dir := t.TempDir()
		for name, data := range tt.files {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		report := Run(input(t, config.Settings{AnswersText: config.AnswersText{Root: dir}}))
		if len(report.ROMs) != 1 || report.ROMs[0].Chain != tt.want {
			t.Errorf("%s: %+v, want %s", tt.name, report.ROMs, tt.want)
		}
		var text bytes.Buffer
		if err := report.Write(&text); err != nil {
			t.Fatal(err)
		}
		if want := "what firmware loads\n  x64  " + tt.want + "\n\n"; !bytes.Contains(text.Bytes(), []byte(want)) {
			t.Errorf("%s: the report has no %q:\n%s", tt.name, want, text.String())
		}
	}
}
