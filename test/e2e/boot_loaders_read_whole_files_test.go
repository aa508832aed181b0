package e2e

// Files by TFTP through boot loaders and firmware, at the sizes where servers
// fail. What each machine received is compared by its hash.

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pxesidecar/pxesidecar/test/lab"
)

// readersEnd is the last line that these machines write on their screens.
const readersEnd = "All files are read."

// testFile is a file to read.
type testFile struct {
	name string
	size int64
}

// testFiles returns an empty file, a file of one byte, one of whole blocks, and
// one with more blocks than a block number can count: 65,535 is followed by 0.
func testFiles(block int64) []testFile {
	return []testFile{{"empty", 0}, {"byte", 1}, {"blocks", 100 * block}, {"wrap", 65_536*block + 1}}
}

// names returns the files' names.
func names(files []testFile) []string {
	var names []string
	for _, f := range files {
		names = append(names, f.name)
	}
	return names
}

// fileRead is one read of a file, as the capture shows it.
type fileRead struct {
	Name  string
	Bytes int64
	// Block and Window are the options in force. An empty window means none.
	Block, Window string
}

// serveFiles starts a sidecar that serves the files, and returns the hash of
// each.
func serveFiles(t *testing.T, files []testFile, hash func([]byte) string, config func(*lab.Lab) (lab.Sidecar, error)) (trial, map[string]string) {
	t.Helper()
	r := scenario{sidecar: config}.setUp(t)
	r.lab.Capture.Pause()
	want := map[string]string{}
	for _, f := range files {
		path := filepath.Join(r.daemon.Root, f.name)
		content(t, path, f.size)
		want[f.name] = hash(must(os.ReadFile(path)))
	}
	return r, want
}

// checkReads compares the hashes of what a machine received, and the reads that
// the capture shows.
func (r *trial) checkReads(t *testing.T, want, got map[string]string, wantRead []fileRead) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("hashes (-want +got):\n%s\n%s", diff, r.daemon.Output)
	}
	var read []fileRead
	for _, x := range r.lab.Capture.Traffic.Transfers("", nil) {
		name := strings.TrimLeft(x.File, "/")
		_, ours := want[name]
		// edk2 asks for the size first. GRUB may close an empty file before its
		// only block arrives; that counts as a read.
		probe := x.ByClient && strings.HasPrefix(x.Error, "8 ")
		if ours && !probe {
			read = append(read, fileRead{name, x.Bytes, x.Granted["blksize"], x.Granted["windowsize"]})
		}
	}
	if diff := cmp.Diff(wantRead, read); diff != "" {
		t.Errorf("on the wire (-want +got):\n%s\n%s", diff, r.daemon.Output)
	}
	r.sound(t)
}

// expectedReads returns the reads of all files with these options in force.
func expectedReads(files []testFile, block int64, window string) []fileRead {
	var all []fileRead
	for _, f := range files {
		all = append(all, fileRead{f.name, f.size, fmt.Sprint(block), window})
	}
	return all
}

// sha256Text returns a hash as programs write it.
func sha256Text(content []byte) string { return fmt.Sprintf("%x", sha256.Sum256(content)) }

// hashLine matches a line of sha256sum. GRUB writes a slash before its names.
var hashLine = regexp.MustCompile(`(?m)^([0-9a-f]{64})  /?(\S+)$`)

// hashesOnScreen boots a machine that writes hashes on its screen, and returns
// them.
func (r *trial) hashesOnScreen(t *testing.T, g lab.Guest) map[string]string {
	t.Helper()
	defer takeSlot()()
	ctx := deadline(t, bootLimit)
	m, err := r.lab.Boot(ctx, g)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Stop()
	if err := m.AwaitConsole(ctx, readersEnd); err != nil {
		t.Fatalf("%v\nconsole:\n%s\nsidecar:\n%s", err, m.Console(), r.daemon.Output)
	}
	got := map[string]string{}
	for _, line := range hashLine.FindAllStringSubmatch(m.Console(), -1) {
		got[line[2]] = line[1]
	}
	return got
}

// smallestCap is the smallest value of --tftp-block-size. It bounds clients
// that cannot be configured to use small blocks.
const smallestCap = 512

// TestIPXEReads has iPXE read the files. Of Debian's builds, only the ROMs to
// serve can compute hashes, not the option ROMs.
func TestIPXEReads(t *testing.T) {
	t.Parallel()
	files := testFiles(smallestCap)
	r, want := serveFiles(t, files, sha256Text, sidecar(roms(t, lab.Sid, everyROM...), "--tftp-block-size", fmt.Sprint(smallestCap)))
	script := "#!ipxe\n"
	for _, name := range names(files) {
		script += fmt.Sprintf("imgfetch --name %[1]s tftp://%[2]s/%[1]s && sha256sum %[1]s && imgfree %[1]s ||\n", name, r.daemon.Address)
	}
	r.lab.Collector.Serve("/boot.ipxe", script+"echo "+readersEnd+"\nsleep 600\n")
	got := r.hashesOnScreen(t, lab.Guest{Name: "ipxe", Firmware: lab.OVMF64})
	r.checkReads(t, want, got, expectedReads(files, smallestCap, ""))
}

// TestGRUBReads boots a GRUB that reads the files.
func TestGRUBReads(t *testing.T) {
	t.Parallel()
	files := testFiles(smallestCap)
	r, want := serveFiles(t, files, sha256Text, func(l *lab.Lab) (lab.Sidecar, error) {
		image, err := l.GRUBHashes(deadline(t, fetchLimit), l.SidecarAddress(), names(files), readersEnd)
		return lab.Sidecar{Root: map[string]string{"grub.efi": image},
			Args: []string{"--rom", "x64=grub.efi", "--tftp-block-size", fmt.Sprint(smallestCap)}}, err
	})
	got := r.hashesOnScreen(t, lab.Guest{Name: "grub", Firmware: lab.OVMF64})
	r.checkReads(t, want, got, expectedReads(files, smallestCap, ""))
}

// TestUEFIShellReads has edk2's own TFTP client, the tftp command of its shell,
// read the files onto a disk, in windows.
func TestUEFIShellReads(t *testing.T) {
	t.Parallel()
	// Larger windows are slower: an emulated machine loses much of each window.
	const block, window = 64, "8"
	// The command shows its progress. It crashes on an empty file, with any
	// server.
	files := testFiles(block)[1:]
	r, want := serveFiles(t, files, sha256Text, sidecar(roms(t, lab.Sid, everyROM...)))
	// The machine boots from the disk only, which has no boot loader. The
	// firmware then starts its shell, which must look for the network card.
	script := []string{"connect -r", "fs0:", "ifconfig -s eth0 static " + r.lab.LAN.Address(200).String() + " 255.255.255.0 " + r.daemon.Address.String()}
	for _, name := range names(files) {
		script = append(script, fmt.Sprintf("tftp -s %d -w %s %s %s", block, window, r.daemon.Address, name))
	}
	const mebibytes = 16
	disk, err := r.lab.NewFAT(deadline(t, stepLimit), "disk", mebibytes, map[string]string{"startup.nsh": strings.Join(append(script, "echo "+readersEnd, ""), "\r\n")})
	if err != nil {
		t.Fatal(err)
	}
	defer takeSlot()()
	ctx := deadline(t, bootLimit)
	m, err := r.lab.Boot(ctx, lab.Guest{Name: "shell", Firmware: lab.OVMF64, Disk: disk, Local: true})
	if err != nil {
		t.Fatal(err)
	}
	err = m.AwaitConsole(ctx, readersEnd)
	m.Stop()
	if err != nil {
		t.Fatalf("%v\nconsole:\n%s\nsidecar:\n%s", err, m.Console(), r.daemon.Output)
	}
	got := map[string]string{}
	for _, name := range names(files) {
		file, err := r.lab.FromFAT(ctx, disk, name)
		if err != nil {
			t.Errorf("%v\nconsole:\n%s", err, m.Console())
			continue
		}
		got[name] = sha256Text(file)
	}
	r.checkReads(t, want, got, expectedReads(files, block, window))
}

// TestUBootReads has U-Boot read the files, in windows.
// TestUBootBesideMainServer reads in lock-step. Debian's build computes no hash
// but CRC-32.
func TestUBootReads(t *testing.T) {
	t.Parallel()
	// Its virtio driver may stop receiving for good once its 32 buffers are
	// full. Repetitions of larger windows fill them while the machine gets no
	// processor time.
	const block, window = 64, "3"
	files := testFiles(block)
	r, want := serveFiles(t, files, crcText, sidecar(roms(t, lab.Sid, everyROM...)))
	u := bootUBoot(t, r)
	u.run(t, fmt.Sprintf("setenv autoload no; setenv tftpblocksize %d; setenv tftpwindowsize %s", block, window))
	u.run(t, "dhcp")
	got := map[string]string{}
	for _, name := range names(files) {
		got[name] = u.load(t, "tftpboot ${loadaddr} "+r.daemon.Address.String()+":"+name)
	}
	r.checkReads(t, want, got, expectedReads(files, block, window))
}
