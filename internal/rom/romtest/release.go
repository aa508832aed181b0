package romtest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/x509/pkix"
	"maps"
	"slices"
	"testing"
)

// Member is a member of an archive: a file, unless it is of another type.
type Member struct {
	Type byte   // as in the archive; 0 for a file
	Data string // of a file
	Link string // what a link leads to
}

// Link returns a symbolic link.
func Link(to string) Member { return Member{Type: tar.TypeSymlink, Link: to} }

// Archive returns a .tar.gz file with these members.
func Archive(t testing.TB, members map[string]Member) []byte {
	t.Helper()
	var packed bytes.Buffer
	zipped, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewWriter(zipped)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		m := members[name]
		if m.Type == 0 {
			m.Type = tar.TypeReg
		}
		h := &tar.Header{Name: name, Typeflag: m.Type, Linkname: m.Link, Mode: 0o600, Size: int64(len(m.Data))}
		if err := archive.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(m.Data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// BIOS is as much of a BIOS build of iPXE as says what it is.
const BIOS = "\xea\x05\x00\xc0\x07Installation failed - cannot continue"

// releaseMachines are the machines of each folder of a release.
var releaseMachines = map[string]uint16{
	"i386": 0x014c, "x86_64": x64, "arm32": 0x01c2, "arm64": 0xaa64, "riscv32": 0x5032, "riscv64": 0x5064, "loong64": 0x6264,
}

// Release returns the members of an archive in the layout of iPXE's releases
// (src/util/gensrvimg of ipxe/ipxe), with iPXEs of a version. Its shims and
// signed ROMs have signatures of keys with the names that theirs have.
func Release(t testing.TB, major, minor, patch byte) map[string]Member {
	t.Helper()
	const top = "ipxeboot/"
	microsoft := []string{"Microsoft Corporation"}
	signer := NewKey(t, pkix.Name{Organization: microsoft, CommonName: "Microsoft Windows UEFI Driver Publisher"},
		NewKey(t, pkix.Name{Organization: microsoft, CommonName: "Microsoft Corporation UEFI CA 2011"}, nil))
	ca := NewKey(t, pkix.Name{CommonName: "iPXE Secure Boot CA"}, nil)
	own := NewKey(t, pkix.Name{CommonName: "iPXE Secure Boot Signing"}, ca)
	members := map[string]Member{top: {Type: tar.TypeDir}, top + "sb": Link("x86_64-sb")}
	for folder, machine := range releaseMachines {
		rom := IPXE(major, minor, patch)
		rom.Machine = machine
		plain := Member{Data: string(rom.Build())}
		members[top+folder+"/"] = Member{Type: tar.TypeDir}
		for _, name := range []string{"ipxe.efi", "ipxe-legacy.efi", "snponly.efi"} {
			members[top+folder+"/"+name] = plain
		}
		shim, known := map[string]string{"x86_64": "shimx64.efi", "arm64": "shimaa64.efi"}[folder]
		if !known {
			continue
		}
		image := Shim([]string{"ipxe.efi"}, IPXEShimText, ca.Certificate.Raw)
		image.Machine = machine
		members[top+folder+"-sb/"+shim] = Member{Data: string(Sign(t, image.Build(), signer))}
		for _, name := range []string{"ipxe", "snponly"} {
			members[top+folder+"-sb/"+name+".efi"] = Member{Data: string(Sign(t, rom.Build(), own))}
			members[top+folder+"-sb/"+name+"-shim.efi"] = Link(shim)
		}
	}
	for _, name := range []string{"ipxe.pxe", "ipxe-legacy.pxe", "undionly.kpxe"} {
		members[top+"i386/"+name], members[top+"x86_64/"+name] = Member{Data: BIOS}, Member{Data: BIOS}
		members[top+name] = Link("x86_64/" + name)
	}
	for _, name := range []string{"ipxe.efi", "ipxe-legacy.efi", "snponly.efi"} {
		members[top+name] = Link("x86_64/" + name)
	}
	return members
}
