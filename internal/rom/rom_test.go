package rom

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/internal/rom/romtest"
)

// someFeatureList is someFeatures as Image has them.
var someFeatureList = []uint8{0x13, 0x14, 0x17, 0x24}

func TestRead(t *testing.T) {
	const signedLen = 16
	x64 := Image{format: formatEFI, machine: machineX64, subsystem: efiApplication}
	with := func(base Image, change func(*Image)) Image { change(&base); return base }
	ipxe := func(version ...byte) func(*Image) {
		return func(i *Image) {
			i.isIPXE, i.HasVersion, i.Version = true, true, [3]byte(version)
			i.HasFeatures, i.Features = true, someFeatureList
		}
	}
	tests := map[string]struct {
		file []byte
		want Image // its Size is len(file)
	}{
		"empty":                    {nil, Image{}},
		"text":                     {[]byte("<html><title>404"), Image{}},
		"script":                   {[]byte("#!ipxe\nautoboot\n"), Image{format: formatScript}},
		"option ROM":               {[]byte("\x55\xaa\x93\xe9"), Image{format: formatOptionROM}},
		"disk":                     {sector(map[int]string{0: "\x33\xed\x90\x90", 0x1fe: "\x55\xaa"}), Image{format: formatDisk}},
		"CD":                       {append(make([]byte, 0x8001), "CD001"...), Image{format: formatDisk}},
		"pxelinux":                 {[]byte("\xea\x05\x7c\x00\x00"), Image{format: formatNBP}},
		"undionly.kpxe":            {[]byte("\xea\x05\x00\xc0\x07f\x9c" + string(biosMark)), Image{format: formatNBP, isIPXE: true}},
		"jump elsewhere":           {[]byte("\xea\x00\x00\x00\xf0"), Image{}},
		"jump past the sector":     {[]byte("\xea\x00\x02\xc0\x07"), Image{}},
		"kernel":                   {sector(map[int]string{0x1fe: "\x55\xaa", 0x202: "HdrS", 0x20e: "\x48\x00", 0x248: "6.1.0\x00"}), Image{format: formatKernel}},
		"ipxe.lkrn":                {sector(map[int]string{0x1fe: "\x55\xaa", 0x202: "HdrS", 0x20e: "\x48\x00", 0x248: "1.21.1+ (g6ba67)\x00" + string(biosMark)}), Image{format: formatKernel, isIPXE: true, VersionText: "1.21.1+ (g6ba67)"}},
		"lkrn without a text":      {sector(map[int]string{0x1fe: "\x55\xaa", 0x202: "HdrS", 0x300: string(biosMark)}), Image{format: formatKernel, isIPXE: true}},
		"lkrn, text outside":       {sector(map[int]string{0x1fe: "\x55\xaa", 0x202: "HdrS", 0x20e: "\xff\xff", 0x300: string(biosMark)}), Image{format: formatKernel, isIPXE: true}},
		"lkrn, garbage for a text": {sector(map[int]string{0x1fe: "\x55\xaa", 0x202: "HdrS", 0x20e: "\x48\x00", 0x248: "1\x01\x00" + string(biosMark)}), Image{format: formatKernel, isIPXE: true}},
		"kernel cut short":         {sector(map[int]string{0x1fe: "\x55\xaa", 0x202: "HdrS"})[:0x206], Image{format: formatKernel}},

		"EFI application":      {efi{}.build(), x64},
		"EFI driver":           {efi{subsystem: efiBootDriver}.build(), Image{format: formatEFI, machine: machineX64, subsystem: efiBootDriver}},
		"32-bit":               {efi{machine: machineI386, sections: []section{data(table200)}}.build(), with(Image{format: formatEFI, machine: machineI386, subsystem: efiApplication}, ipxe(2, 0, 0))},
		"iPXE":                 {efi{sections: []section{{".text", flagsText, "code"}, data(table1211)}}.build(), with(x64, ipxe(1, 21, 1))},
		"arm64":                {efi{machine: machineARM64, sections: []section{data(table200)}}.build(), with(Image{format: formatEFI, machine: machineARM64, subsystem: efiApplication}, ipxe(2, 0, 0))},
		"signed, unreadable":   {efi{sections: []section{data(table200)}, signature: string(romtest.Entry([]byte("not PKCS#7")))}.build(), with(with(x64, ipxe(2, 0, 0)), func(i *Image) { i.Signatures = make([]Signature, 1) })},
		"zeros for signatures": {efi{sections: []section{data(table200)}, signature: string(make([]byte, signedLen))}.build(), with(x64, ipxe(2, 0, 0))},
		"signature cut":        {efi{signature: string(make([]byte, signedLen))}.build()[:0x80+coffSize+directoriesPE32P+16*8], x64},
		"iPXE unreadable":      {efi{sections: []section{data("\x3c\x20" + string(dhcpMark))}}.build(), with(x64, func(i *Image) { i.isIPXE = true })},
		"PE header far away":   {[]byte("MZ" + string(make([]byte, 58)) + "\xff\xff\xff\xff"), Image{}},
		"SBAT": {efi{sections: []section{data(table200), {".sbat", 0x48000040,
			"sbat,1,SBAT Version,sbat,1,https://example.org\nipxe,1,iPXE,snponly.efi,2.0.0+dfsg-5,https://ipxe.org\n\x00\x00"}}}.build(),
			with(with(x64, ipxe(2, 0, 0)), func(i *Image) { i.VersionText = "2.0.0+dfsg-5" })},
		"text in the data":      {efi{sections: []section{data(table200 + shortNameText("2.0.0 (g1234)"))}}.build(), with(with(x64, ipxe(2, 0, 0)), func(i *Image) { i.VersionText = "2.0.0 (g1234)" })},
		"the same text twice":   {efi{sections: []section{data(table200 + shortNameText("2.0.0") + shortNameText("2.0.0"))}}.build(), with(with(x64, ipxe(2, 0, 0)), func(i *Image) { i.VersionText = "2.0.0" })},
		"texts that disagree":   {efi{sections: []section{data(table200 + shortNameText("2.0.0") + shortNameText("2.0.1"))}}.build(), with(x64, ipxe(2, 0, 0))},
		"the name alone":        {efi{sections: []section{data(table200 + "\x00iPXE\x00\x00PCI\x002.0.0\x00")}}.build(), with(x64, ipxe(2, 0, 0))},
		"a text without an end": {efi{sections: []section{data(table200 + "\x00iPXE\x00\x002.0.0")}}.build(), with(x64, ipxe(2, 0, 0))},
		"a text, but no iPXE":   {efi{sections: []section{data(shortNameText("2.0.0"))}}.build(), x64},
		"SBAT and another text": {efi{sections: []section{data(table200 + shortNameText("2.0.0")), {".sbat", 0x48000040,
			"ipxe,1,iPXE,snponly.efi,2.0.0+dfsg-5,https://ipxe.org\n"}}}.build(),
			with(with(x64, ipxe(2, 0, 0)), func(i *Image) { i.VersionText = "2.0.0+dfsg-5" })},
		"SBAT of another":   {efi{sections: []section{{".sbat", 0x48000040, "grub,3,Free Software Foundation,grub,2.06,https://example.org\n"}}}.build(), with(x64, func(i *Image) { i.isGRUB = true })},
		"GRUB without SBAT": {efi{sections: []section{{modulesSection, flagsData, "mimg"}}}.build(), with(x64, func(i *Image) { i.isGRUB = true })},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := read(bytes.NewReader(test.file), int64(len(test.file)))
			if err != nil {
				t.Fatal(err)
			}
			test.want.Size = int64(len(test.file))
			if diff := cmp.Diff(test.want, got, allUnexported); diff != "" {
				t.Errorf("Read (-want +got):\n%s", diff)
			}
		})
	}
}

// TestReadStrict checks what must not be read as a version: with a wrong one,
// machines load their ROM in a loop.
func TestReadStrict(t *testing.T) {
	// This is arm64 code from a real ipxe-arm64.efi: subs, b.ne, movz.
	const arm64Code = "\x1f\x00\x05\xeb\x03\x01\x00\x54\x00\x00\x80\xd2\x54\xfe\xff\x97"
	unread, named := false, true // whether the file is still recognised as an iPXE
	tests := map[string]struct {
		sections []section
		isIPXE   bool
	}{
		"in code":                  {[]section{{".text", flagsText, table200}}, unread},
		"in a section marked both": {[]section{{".all", flagsText | flagsData, table200}}, unread},
		"code in data":             {[]section{data(arm64Code)}, unread},
		"no features":              {[]section{data("\xeb\x03\x01\x15\x01")}, unread},
		"two features":             {[]section{data("\xeb\x03\x01\x15\x01\x17\x01\x01\x24\x01\x01")}, unread},
		"the same feature twice":   {[]section{data("\xeb\x03\x01\x15\x01\x17\x01\x01\x24\x01\x01\x24\x01\x01")}, unread},
		"feature of length 2":      {[]section{data("\xeb\x03\x01\x15\x01\x17\x01\x01\x24\x02\x01\x13\x01\x01\x14\x01\x01")}, unread},
		"feature of revision 0":    {[]section{data("\xeb\x03\x01\x15\x01\x17\x01\x00\x24\x01\x01\x13\x01\x01")}, unread},
		"tag past the features":    {[]section{data("\xeb\x03\x01\x15\x01\x50\x01\x01\x24\x01\x01\x13\x01\x01\x17\x01\x01")}, unread},
		"tag before the features":  {[]section{data("\xeb\x03\x01\x15\x01\x0f\x01\x01\x24\x01\x01\x13\x01\x01\x17\x01\x01")}, unread},
		"version of length 4":      {[]section{data("\xeb\x04\x01\x15\x01\x01" + someFeatures)}, unread},
		"cut by the section's end": {[]section{{".data", flagsData, "\xeb\x03\x01\x15"}, {".data", flagsData, "\x01" + someFeatures}}, unread},
		"two that differ":          {[]section{data(table200), data(table1211)}, named},
		"two that differ in features": {[]section{
			data(table200 + "\x26\x01\x01"), data(table200)}, named},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			file := efi{sections: test.sections}.build()
			got, err := read(bytes.NewReader(file), int64(len(file)))
			if err != nil {
				t.Fatal(err)
			}
			want := Image{format: formatEFI, Size: int64(len(file)), machine: machineX64, subsystem: efiApplication, isIPXE: test.isIPXE}
			if diff := cmp.Diff(want, got, allUnexported); diff != "" {
				t.Errorf("Read (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFindFeatureTables(t *testing.T) {
	want := []featureTable{{[3]byte{2, 0, 0}, someFeatureList}}
	tests := map[string]struct {
		data string
		want []featureTable
	}{
		"alone":             {table200, want},
		"version last":      {"\x00" + someFeatures + "\xeb\x03\x02\x00\x00", want},
		"version in middle": {"\x01\x17\x01\x01\x24\x01\x01\xeb\x03\x02\x00\x00\x13\x01\x01\x14\x01\x01\x00", want},
		"repeated feature":  {table200 + "\x14\x01\x01", want},
		"one after another": {table200 + "\x00" + table1211, []featureTable{want[0], {[3]byte{1, 21, 1}, someFeatureList}}},
		"first and last tag, highest revision": {"\xeb\x03\x00\x09\x0a\x10\x01\x02\x4f\x01\x0f\x20\x01\x01",
			[]featureTable{{[3]byte{0, 9, 10}, []uint8{0x10, 0x20, 0x4f}}}},
		"begin only": {"\xeb\x03\x02", nil},
		"nothing":    {"", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := findFeatureTables([]byte(test.data))
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(featureTable{})); diff != "" {
				t.Errorf("findFeatureTables (-want +got):\n%s", diff)
			}
		})
	}
}

// TestReadHuge checks that neither many nor huge sections make reading
// expensive: sections within the budget are searched, those beyond it are not.
func TestReadHuge(t *testing.T) {
	zeros := make([]byte, maxScan)
	file := efi{sections: []section{{".data", flagsData, string(zeros[:maxScan-100])}, data(table200)}}.build()
	got, err := read(bytes.NewReader(file), int64(len(file)))
	if err != nil || !got.HasVersion {
		t.Errorf("within the budget: version %v, error %v", got.HasVersion, err)
	}
	file = efi{sections: []section{{".data", flagsData, string(zeros)}, data(table200)}}.build()
	got, err = read(bytes.NewReader(file), int64(len(file)))
	if err != nil || got.HasVersion {
		t.Errorf("past the budget: version %v, error %v", got.HasVersion, err)
	}
	file = efi{sections: make([]section, maxSections+1)}.build()
	got, err = read(bytes.NewReader(file), int64(len(file)))
	if err != nil || got.format != formatUnknown {
		t.Errorf("%d sections: %v, error %v", maxSections+1, got.format, err)
	}
}

// errBroken is the error of a broken disk.
var errBroken = errors.New("input/output error")

// brokenAt is a reader that fails to read bytes from an offset on.
type brokenAt struct {
	io.ReaderAt
	offset int64
}

// ReadAt reads bytes before the offset.
func (b brokenAt) ReadAt(p []byte, offset int64) (int, error) {
	if offset+int64(len(p)) > b.offset {
		return 0, errBroken
	}
	return b.ReaderAt.ReadAt(p, offset)
}

func TestReadError(t *testing.T) {
	file := efi{sections: []section{{".data", flagsData, string(make([]byte, 2*maxHead))}, data(table200)}}.build()
	for _, offset := range []int64{0, maxHead, int64(len(file)) - 1} {
		got, err := read(brokenAt{bytes.NewReader(file), offset}, int64(len(file)))
		if !errors.Is(err, errBroken) || got.format != formatUnknown {
			t.Errorf("broken at %d: %v, error %v", offset, got, err)
		}
	}
}

// plainFS is a file system whose files cannot be read at an offset.
type plainFS struct{ fs.FS }

// Open opens a file that can be read only from its beginning.
func (p plainFS) Open(name string) (fs.File, error) {
	f, err := p.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return struct{ fs.File }{f}, nil
}

func TestReadFile(t *testing.T) {
	file := efi{sections: []section{data(table200)}}.build()
	fsys := fstest.MapFS{"efi/ipxe.efi": {Data: file}}
	want := Image{
		format: formatEFI, Size: int64(len(file)), machine: machineX64, subsystem: efiApplication,
		isIPXE: true, HasVersion: true, Version: [3]byte{2, 0, 0}, HasFeatures: true, Features: someFeatureList,
	}
	for name, fsys := range map[string]fs.FS{"at an offset": fsys, "from the beginning": plainFS{fsys}} {
		got, err := ReadFile(fsys, "efi/ipxe.efi")
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got, allUnexported); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for name, want := range map[string]string{
		"missing.efi": `boot file "missing.efi": open missing.efi: file does not exist`,
		"efi":         `boot file "efi": is a directory, name a file in it`,
	} {
		if _, err := ReadFile(fsys, name); err == nil || err.Error() != want {
			t.Errorf("ReadFile(%q) error = %v, want %s", name, err, want)
		}
	}
}

// FuzzRead checks that no file makes read fail or return a fact that is not in
// the file: the bytes of a version are in the file, and features are ascending
// and within their range.
func FuzzRead(f *testing.F) {
	f.Add([]byte("#!ipxe\n"))
	f.Add([]byte("\xea\x05\x00\xc0\x07" + string(biosMark)))
	f.Add(sector(map[int]string{0x1fe: "\x55\xaa", 0x202: "HdrS", 0x20e: "\x48\x00", 0x248: "1.21.1\x00" + string(biosMark)}))
	f.Add(efi{sections: []section{{".text", flagsText, "code"}, data(table1211)}, signature: "signature"}.build())
	f.Add(efi{machine: machineI386, sections: []section{data(table200), {".sbat", flagsData, "ipxe,1,iPXE,i,2.0.0,u\n"}}}.build())
	f.Fuzz(func(t *testing.T, file []byte) {
		image, err := read(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		if image.HasVersion != image.HasFeatures || image.HasVersion && !image.isIPXE {
			t.Errorf("version %v, features %v, iPXE %v", image.HasVersion, image.HasFeatures, image.isIPXE)
		}
		if image.HasVersion && !bytes.Contains(file, append([]byte{tagVersion, 3}, image.Version[:]...)) {
			t.Errorf("version %v is not in the file", image.Version)
		}
		last := uint8(tagFirstFeature - 1)
		for _, feature := range image.Features {
			if feature <= last || feature > tagLastFeature || !bytes.Contains(file, []byte{feature, 1}) {
				t.Errorf("features %v", image.Features)
			}
			last = feature
		}
		if !bytes.Contains(file, []byte(image.VersionText)) {
			t.Errorf("text %q is not in the file", image.VersionText)
		}
	})
}
