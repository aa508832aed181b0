package proxydhcp

import "testing"

func TestParseVersionRange(t *testing.T) {
	for _, tt := range []struct {
		expression string
		text       string
		in, out    []Version
	}{
		{"1.21.1", "=1.21.1", []Version{{1, 21, 1}}, []Version{{1, 21, 0}, {2, 0, 0}}},
		{"==2", "=2.0.0", []Version{{2, 0, 0}}, []Version{{2, 0, 1}}},
		{">=1.21.1", ">=1.21.1", []Version{{1, 21, 1}, {2, 0, 0}}, []Version{{1, 0, 0}, {1, 21, 0}}},
		{"> 1.21", ">1.21.0", []Version{{1, 21, 1}}, []Version{{1, 21, 0}}},
		{"<2.0.0", "<2.0.0", []Version{{1, 255, 255}}, []Version{{2, 0, 0}}},
		{"<=2.0.0", "<=2.0.0", []Version{{2, 0, 0}}, []Version{{2, 0, 1}}},
		{"!=1.0.0", "!=1.0.0", []Version{{1, 0, 1}}, []Version{{1, 0, 0}}},
		{">=1.20.1, <2, !=1.21.0", ">=1.20.1, <2.0.0, !=1.21.0", []Version{{1, 20, 1}, {1, 21, 1}}, []Version{{1, 20, 0}, {1, 21, 0}, {2, 0, 0}}},
	} {
		r, err := ParseVersionRange(tt.expression)
		if err != nil {
			t.Errorf("%s: %v", tt.expression, err)
			continue
		}
		if got := r.String(); got != tt.text {
			t.Errorf("%s reads as %q, want %q", tt.expression, got, tt.text)
		}
		for _, v := range tt.in {
			if !r.Contains(v) {
				t.Errorf("%s does not contain %s", tt.expression, v)
			}
		}
		for _, v := range tt.out {
			if r.Contains(v) {
				t.Errorf("%s contains %s", tt.expression, v)
			}
		}
		if v, ok := r.Example(); !ok || !r.Contains(v) {
			t.Errorf("%s: example %s, %v", tt.expression, v, ok)
		}
	}
}

func TestParseVersionRangeErrors(t *testing.T) {
	for expression, want := range map[string]string{
		"":                  `no version after ""; write for example >=1.21.1`,
		">=":                `no version after ">="; write for example >=1.21.1`,
		">=1.21.1,":         `no version after ""; write for example >=1.21.1`,
		"~1.2":              `"~1" is not a number from 0 to 255`,
		"1.2.3.4":           `"1.2.3.4" has more than three numbers (major.minor.patch)`,
		"1.256":             `"256" is not a number from 0 to 255`,
		"1,2,3,4,5,6,7,8,9": `more than 8 comparisons`,
		"1.21.1+ (g6ba67)":  `"1+ (g6ba67)" is not a number from 0 to 255`,
	} {
		if _, err := ParseVersionRange(expression); err == nil || err.Error() != want {
			t.Errorf("%q: %v\nwant %s", expression, err, want)
		}
	}
}

// TestExampleImpossible checks that a range without a member has no example.
func TestExampleImpossible(t *testing.T) {
	r, err := ParseVersionRange(">2.0.0, <1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := r.Example(); ok {
		t.Errorf("an impossible range has the example %s", v)
	}
}

func TestFeatures(t *testing.T) {
	var s Features
	for _, name := range []string{"https", "VLAN", "79", "16"} {
		f, err := ParseFeature(name)
		if err != nil {
			t.Fatal(err)
		}
		s = s.With(f)
	}
	if got, want := s.String(), "pxeext,https,vlan,feature-79"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if s.With(80) != s || s.With(15) != s {
		t.Error("a number outside the range adds a feature")
	}
	if !s.Has(Features(0).With(20)) || s.Has(Features(0).With(20).With(19)) {
		t.Error("Has is wrong")
	}
	if got, want := Features(0).With(20).With(19).Without(s).String(), "http"; got != want {
		t.Errorf("missing %q, want %q", got, want)
	}
	_, err := ParseFeature("htps")
	const want = `unknown iPXE feature "htps": one of pxeext,iscsi,aoe,http,https,tftp,ftp,dns,bzimage,multiboot,slam,srp,nbi,pxe,elf,comboot,efi,fcoe,vlan,menu,sdi,nfs, or a number from 16 to 79`
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

func TestArchTable(t *testing.T) {
	for i, row := range archTable {
		if int(row.arch) != i {
			t.Errorf("row %d is architecture %d: the table is indexed by number", i, row.arch)
		}
		if a, err := ParseArch(row.name); err != nil || a != row.arch {
			t.Errorf("%s reads as %v, %v", row.name, a, err)
		}
	}
	for text, want := range map[string]Arch{"00007": 7, "0x10": 16, "X64-UEFI": 7, "65535": 0xffff} {
		if a, err := ParseArch(text); err != nil || a != want {
			t.Errorf("%s reads as %d, %v; want %d", text, a, err, want)
		}
	}
	if got := Arch(0x1234).String(); got != "arch-4660" {
		t.Errorf("an unknown architecture is called %s", got)
	}
	for _, p := range Platforms() {
		if q, err := ParsePlatform(p.String()); err != nil || q != p {
			t.Errorf("%s reads as %v, %v", p, q, err)
		}
	}
}
